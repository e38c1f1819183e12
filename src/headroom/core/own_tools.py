"""All tools that Headroom can add to a request, by name.

Which of them a conversation has is decided on its first request and repeated in every
record: the list never changes, nor does its order.
"""

from collections.abc import Sequence

from headroom.core import memory_tools, retrieval_tool

_TOOLS: dict[str, dict[str, bytes]] = {
    retrieval_tool.NAME: retrieval_tool.TOOLS,
    **memory_tools.TOOLS,
}


def definitions(api: str, names: Sequence[str]) -> bytes:
    """What stands behind the client's last tool: each tool after a comma.

    Args:
        api: the provider family.
        names: of tools, in the order in which the conversation has them.
    """
    return b"".join(b"," + _TOOLS[name][api] for name in names if name in _TOOLS)

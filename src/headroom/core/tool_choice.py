"""Which tools a conversation is begun with, and what they allow in one request.

Decided on a conversation's first request and repeated in every record: a tool list that
changes in the middle re-bills everything behind it.
"""

import msgspec

from headroom.core.types import RETRIEVAL_TOOL, Policy, RequestView

SHELL_TOOLS = frozenset(
    {"bash", "shell", "exec_command", "run_shell_command", "local_shell", "terminal"}
)
"""Names, in lower case, of the tools by which agents run commands."""

MAX_TOOLS = {"openai_chat": 128, "openai_responses": 128, "gemini": 512}
"""Tools that an API takes in one request; clients with very many of them cut their
lists to just that: https://platform.openai.com/docs/api-reference/chat/create,
https://googleapis.github.io/java-genai/javadoc (``Tool.functionDeclarations``)."""


def is_retrieval_tool(name: str) -> bool:
    """Whether a tool of this name serves originals, ours or an MCP server's."""
    return name == RETRIEVAL_TOOL or name.endswith(f"__{RETRIEVAL_TOOL}")


def first_tools(policy: Policy, view: RequestView) -> str:
    """How a conversation that begins with this request gets originals back.

    A tool is added only where tools are in use already; one that the client brings,
    under our name, wins.
    """
    if not policy.allow_lossy or not view.tool_names:
        return ""
    if policy.retrieval == "shell":
        has_shell = any(name.lower() in SHELL_TOOLS for name in view.tool_names)
        return "shell" if has_shell else ""
    if policy.retrieval in {"tool", "mcp"}:
        if any(is_retrieval_tool(name) for name in view.tool_names):
            return "client"
        is_adding = policy.retrieval == "tool" and _may_call(view)
        return "added" if is_adding else ""
    return ""


def first_more_tools(policy: Policy, view: RequestView) -> tuple[str, ...]:
    """The tools, beside the retrieval tool, that a conversation is begun with.

    Under the same conditions: where tools are in use, and beside none of the client's
    that has the name.
    """
    if not view.tool_names or not _may_call(view):
        return ()
    return tuple(name for name in policy.more_tools if name not in view.tool_names)


def _may_call(view: RequestView) -> bool:
    """Whether the model can call a tool that Headroom adds to this request."""
    is_allowed = view.may_add_tool and not view.is_choice_limited
    return is_allowed and bool(fitting(view, (RETRIEVAL_TOOL,)))


def fitting(view: RequestView, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of Headroom's tools, the first ones, that fit beside the client's."""
    limit = MAX_TOOLS.get(view.api)
    return names if limit is None else names[: max(0, limit - len(view.tool_names))]


def effective_policy(
    policy: Policy, view: RequestView, tools: str, *, keeps_tools: bool = False
) -> Policy:
    """The policy as it holds for one request of a conversation decided as ``tools``.

    Args:
        policy: as configured.
        view: the request.
        tools: see ``Decision.tools``.
        keeps_tools: see ``Thread.keeps_tools``.
    """
    names = view.tool_names
    can_retrieve = bool(
        policy.retrieval in {"elsewhere", "gateway"}
        or (tools == "added" and (names or keeps_tools) and _may_call(view))
        or (tools == "client" and any(is_retrieval_tool(name) for name in names))
        or (tools == "shell" and any(name.lower() in SHELL_TOOLS for name in names))
    )
    is_ours = tools == "added" and RETRIEVAL_TOOL not in names
    marker = "hash" if policy.retrieval == "gateway" else "tool"
    return msgspec.structs.replace(
        policy,
        allow_lossy=policy.allow_lossy and can_retrieve,
        marker="shell" if tools == "shell" else marker,
        asks_by_number=policy.asks_by_number and is_ours and can_retrieve,
    )

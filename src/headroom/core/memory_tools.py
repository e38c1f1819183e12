"""The memory tools as each API's tool list has them: fixed bytes, pinned by tests.

They are paid for in every request of a conversation that has them; so descriptions are
one sentence, and they stay as they are for as long as any conversation lives.
"""

from headroom.core.tool_shapes import shapes

SAVE = "memory_save"
SEARCH = "memory_search"
UPDATE = "memory_update"
DELETE = "memory_delete"
LIST = "memory_list"

NAMES: tuple[str, ...] = (SAVE, SEARCH, UPDATE, DELETE, LIST)
"""In the order in which they stand in the tool list."""

_TEXT, _NUMBER = b'{"type":"string"}', b'{"type":"integer"}'


def _tool(
    name: str, description: str, properties: dict[str, bytes], required: tuple[str, ...]
) -> dict[str, bytes]:
    about = f'"name":"{name}","description":"{description}"'.encode()
    members = b",".join(b'"%b":%b' % (k.encode(), v) for k, v in properties.items())
    schema = b'{"type":"object","properties":{%b}' % members
    if required:
        names = ",".join(f'"{name}"' for name in required)
        schema += b',"required":[%b]' % names.encode()
    return shapes(about, schema + b"}")


TOOLS: dict[str, dict[str, bytes]] = {
    SAVE: _tool(
        SAVE,
        "Keep one fact for later conversations with this user, in a sentence that can"
        " be understood by itself. Returns its id.",
        {"content": _TEXT},
        ("content",),
    ),
    SEARCH: _tool(
        SEARCH,
        "Find facts kept in earlier conversations by words they may contain; the best"
        " come first.",
        {"query": _TEXT, "limit": _NUMBER},
        ("query",),
    ),
    UPDATE: _tool(
        UPDATE,
        "Replace a kept fact that has changed.",
        {"id": _NUMBER, "content": _TEXT},
        ("id", "content"),
    ),
    DELETE: _tool(
        DELETE,
        "Forget a kept fact that is wrong or no longer wanted.",
        {"id": _NUMBER},
        ("id",),
    ),
    LIST: _tool(
        LIST,
        "List kept facts, the newest first; before_id goes on from a list's end.",
        {"limit": _NUMBER, "before_id": _NUMBER},
        (),
    ),
}
"""Name → provider family → the tool as an element of its list (Gemini: functions)."""

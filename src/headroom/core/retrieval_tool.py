"""The retrieval tool as each API's tool list has it: fixed bytes, never built anew.

A tool list that changes in the middle of a conversation re-bills everything behind it,
so these bytes are pinned by tests. The definition is paid for in every request: names
that explain themselves stand in for descriptions.
"""

from headroom.core.tool_shapes import shapes
from headroom.core.types import RETRIEVAL_TOOL

NAME = RETRIEVAL_TOOL

_ABOUT = (
    b'"name":"headroom_retrieve","description":'
    b'"Text behind a <<ccr:HASH>> marker%b: all, or lines A-B, rows A-B, or a search"'
)

_SCHEMA = (
    b'{"type":"object","properties":'
    b'{"hash":{"type":"string"},"lines":{"type":"string"},'
    b'"query":{"type":"string"},"rows":{"type":"string"}},"required":["hash"]}'
)

_KEPT_APIS = ("openai_responses",)
"""APIs that keep conversations: what they keep they may drop, and then a reference
leads nowhere but to what it names."""

TOOLS: dict[str, bytes] = shapes(_ABOUT % b"", _SCHEMA) | {
    api: shapes(_ABOUT % b" or of result #N", _SCHEMA)[api] for api in _KEPT_APIS
}
"""Provider family → the tool as an element of its list of tools (Gemini: functions)."""

TOOL_ANTHROPIC = TOOLS["anthropic"]
TOOL_OPENAI_CHAT = TOOLS["openai_chat"]
TOOL_OPENAI_RESPONSES = TOOLS["openai_responses"]
TOOL_GEMINI = TOOLS["gemini"]

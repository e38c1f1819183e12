"""The retrieval tool as each API's tool list has it: fixed bytes, never built anew.

A tool list that changes in the middle of a conversation re-bills everything behind it,
so these bytes are pinned by tests. The definition is paid for in every request: names
that explain themselves stand in for descriptions.

Shapes: https://docs.anthropic.com/en/api/messages,
https://platform.openai.com/docs/guides/function-calling (the Responses API makes
functions strict unless told otherwise, which would make every parameter required),
https://ai.google.dev/api/caching#FunctionDeclaration.
"""

NAME = "headroom_retrieve"

_ABOUT = (
    b'"name":"headroom_retrieve","description":'
    b'"Text behind a <<ccr:HASH>> marker: all, or lines A-B, rows A-B, or a search",'
)

_PROPERTIES = (
    b'{"hash":{"type":"string"},"lines":{"type":"string"},'
    b'"query":{"type":"string"},"rows":{"type":"string"}}'
)

_SCHEMA = b'{"type":"object","properties":' + _PROPERTIES + b',"required":["hash"]}'

TOOL_ANTHROPIC = b"{" + _ABOUT + b'"input_schema":' + _SCHEMA + b"}"
TOOL_OPENAI_CHAT = (
    b'{"type":"function","function":{' + _ABOUT + b'"parameters":' + _SCHEMA + b"}}"
)
TOOL_OPENAI_RESPONSES = (
    b'{"type":"function",' + _ABOUT + b'"parameters":' + _SCHEMA + b',"strict":false}'
)
# Stands in the client's own list of functions: further entries of ``tools`` are for
# tools that Google runs, and mixing several is refused by many models.
TOOL_GEMINI = (
    b"{"
    + _ABOUT
    + b'"parameters":'
    + _SCHEMA.replace(b'"string"', b'"STRING"').replace(b'"object"', b'"OBJECT"')
    + b"}"
)

TOOLS: dict[str, bytes] = {
    "anthropic": TOOL_ANTHROPIC,
    "openai_chat": TOOL_OPENAI_CHAT,
    "openai_responses": TOOL_OPENAI_RESPONSES,
    "gemini": TOOL_GEMINI,
}
"""Provider family → the tool as an element of its list of tools (Gemini: functions)."""

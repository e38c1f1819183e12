"""The retrieval tool's definition, byte for byte, per provider shape.

It stands in every request of a conversation that may hold lossy results, so its bytes
are part of a cached prefix and of every bill: short, and never changed lightly.
"""

TOOL_ANTHROPIC = (
    b'{"name":"headroom_retrieve","description":"Full text of a <<ccr:HASH>> marker,'
    b' or a part of it.","input_schema":{"type":"object","properties":{"hash":{"type":'
    b'"string"},"lines":{"type":"string","description":"e.g. 10-80"},"query":{"type":'
    b'"string"},"rows":{"type":"string"}},"required":["hash"]}}'
)
"""The definition in the shape of Anthropic Messages."""

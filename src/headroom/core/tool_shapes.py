"""One tool definition in the shape of each API's tool list, as bytes.

Shapes: https://docs.anthropic.com/en/api/messages,
https://platform.openai.com/docs/guides/function-calling (the Responses API makes
functions strict unless told otherwise, which would make every parameter required),
https://ai.google.dev/api/caching#FunctionDeclaration,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html.
"""

_TYPES = ("string", "integer", "object")


def shapes(about: bytes, schema: bytes) -> dict[str, bytes]:
    """Provider family → the tool as an element of its list (Gemini: of functions).

    Args:
        about: the members ``name`` and ``description`` as they stand in an object.
        schema: the JSON Schema of the arguments, of strings and integers.
    """
    upper = schema
    for name in _TYPES:
        word = f'"type":"{name}"'
        upper = upper.replace(word.encode(), f'"type":"{name.upper()}"'.encode())
    return {
        "anthropic": b'{%b,"input_schema":%b}' % (about, schema),
        "openai_chat": b'{"type":"function","function":{%b,"parameters":%b}}'
        % (about, schema),
        "openai_responses": b'{"type":"function",%b,"parameters":%b,"strict":false}'
        % (about, schema),
        # Stands in the client's own list of functions: further entries of ``tools``
        # are for tools that Google runs, and many models refuse a mix of several.
        "gemini": b'{%b,"parameters":%b}' % (about, upper),
        "bedrock_converse": b'{"toolSpec":{%b,"inputSchema":{"json":%b}}}'
        % (about, schema),
    }

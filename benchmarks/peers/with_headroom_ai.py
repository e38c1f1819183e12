"""PyPI's ``headroom-ai``: ``compress(messages)``, as its page there shows it.

The page of release 0.43.0 ("Use it from a Python app that calls an
LLM"): a conversation of a question, a tool call and the tool's result, with a model's
name and no other argument; what counts is the result's text in the messages that come
back. Its package is called ``headroom`` as well, hence an environment of its own.

It can use models and price tables that it downloads when it is first used. The variable
that it documents for machines without network (``HEADROOM_OFFLINE``) is set, so that
it works with what it was installed with instead of waiting for a connection.
"""

from importlib.metadata import version

import answering

from headroom import compress

MODEL = "gpt-4o"
NOTE = "offline: models that it would download are not there"


def conversation(text):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "run", "arguments": "{}"},
    }
    return [
        {"role": "user", "content": "Run the next step and go on."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": text},
    ]


def after(text):
    messages = compress(conversation(text), model=MODEL).messages
    (result,) = (m for m in messages if m["role"] == "tool")
    content = result["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


if __name__ == "__main__":
    answering.serve(
        after, name="headroom-ai", version=version("headroom-ai"), note=NOTE
    )

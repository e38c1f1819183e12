"""Answers of a scripted Converse API: objects, and frames as boto3 reads them.

Blocks are written as the Messages API has them (``scripted``) and translated here, so
that one script serves both.
"""

import json

from botocore.eventstream import EventStreamBuffer

from clouds import converse_block, converse_frames
from scripted import Drive

USAGE = {"inputTokens": 100, "cacheReadInputTokens": 7}


def answer(blocks, *, stop_reason=None, output_tokens=10):
    """An answer of ``converse``."""
    content = [converse_block(block) for block in blocks]
    is_call = any("toolUse" in block for block in content)
    total = sum(USAGE.values()) + output_tokens
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason or ("tool_use" if is_call else "end_turn"),
        "usage": {**USAGE, "outputTokens": output_tokens, "totalTokens": total},
        "metrics": {"latencyMs": 7},
    }


def events_of(data):
    """The events of a stream, read and checked by botocore: name and payload."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [
        (m.headers.get(":event-type", "exception"), json.loads(m.payload))
        for m in buffer
    ]


def read(data, *, is_stream):
    """The answer that a client puts together."""
    if not is_stream:
        return json.loads(data)
    found, whole = {}, {}
    names = [name for name, _ in events_of(data)]
    assert names.count("messageStart") == 1
    assert names[-2:] == ["messageStop", "metadata"]
    for name, payload in events_of(data):
        if name == "contentBlockStart":
            use = payload["start"]["toolUse"]
            found[payload["contentBlockIndex"]] = {"toolUse": {**use, "input": ""}}
        elif name == "contentBlockDelta":
            add(found, payload["contentBlockIndex"], payload["delta"])
        elif name == "messageStop":
            whole["stopReason"] = payload["stopReason"]
        elif name == "metadata":
            whole["usage"] = payload["usage"]
    assert list(found) == list(range(len(found)))
    for block in found.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    content = list(found.values())
    return {"output": {"message": {"role": "assistant", "content": content}}, **whole}


def add(found, index, delta):
    if "text" in delta:
        block = found.setdefault(index, {"text": ""})
        block["text"] += delta["text"]
    elif "toolUse" in delta:
        found[index]["toolUse"]["input"] += delta["toolUse"]["input"]
    else:
        new = {"reasoningContent": {"reasoningText": {"text": "", "signature": ""}}}
        said = found.setdefault(index, new)["reasoningContent"]["reasoningText"]
        for name, value in delta["reasoningContent"].items():
            said[name] += value


class ConverseDrive(Drive):
    """One Converse answer taken through all its rounds."""

    api = "bedrock_converse"

    def data(self, blocks, number, *, is_stream):
        if isinstance(blocks, bytes):
            return blocks
        whole = blocks if isinstance(blocks, dict) else answer(blocks)
        return (
            b"".join(converse_frames(whole))
            if is_stream
            else json.dumps(whole).encode()
        )

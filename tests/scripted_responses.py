"""Answers of a scripted Responses provider, round by round."""

import json

import msgspec

from headroom.cachelab import responses_answer
from headroom.cachelab.responses import items_of
from scripted import Drive, events


def response(blocks, *, number=1, output_tokens=10, status="completed"):
    """An answer of blocks: texts, thoughts and calls."""
    usage = {
        "input_tokens": 100 * number + 7,
        "input_tokens_details": {"cached_tokens": 7},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 100 * number + 7 + output_tokens,
    }
    answer = responses_answer.response(
        {"model": "gpt-5"}, blocks, usage, answer_id=f"resp_{number}"
    )
    return {**answer, "status": status}


def sse(answer):
    """An answer as a stream."""
    data = b"".join(responses_answer.chunks(answer))
    end = f"response.{answer['status']}".encode()
    return data.replace(b"response.completed", end)


def output_of(out, *, is_stream):
    """The items of what a client got."""
    if is_stream:
        return events(out)[-1]["response"]["output"]
    return json.loads(out)["output"]


def items(blocks, number):
    """The items of a round's blocks, as the provider sends them."""
    return items_of(blocks, f"resp_{number}")


class ResponsesDrive(Drive):
    """One answer of Responses taken through all its rounds."""

    api = "openai_responses"

    def data(self, blocks, number, *, is_stream):
        if isinstance(blocks, bytes):
            return blocks
        if not isinstance(blocks, dict):
            blocks = response(blocks, number=number)
        return sse(blocks) if is_stream else msgspec.json.encode(blocks)

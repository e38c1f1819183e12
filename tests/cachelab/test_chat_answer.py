"""Chat Completions answers, made and read."""

import json

import pytest

from headroom.cachelab import chat_answer
from headroom.cachelab.cache import Usage
from headroom.providers.models import cache_rules
from headroom.providers.openai_chat.stream import StreamReader, read_message

BLOCKS = [
    {"type": "text", "text": "Läs “allt” 🦀. " * 10},
    {"type": "tool_use", "id": "a", "name": "f", "input": {"path": "x" * 60}},
    {"type": "tool_use", "id": "b", "name": "g", "input": {}},
]


def answer(blocks=BLOCKS, n=1, model="gpt-5"):
    usage = chat_answer.usage_of(Usage(10, 20, 0, 128), 7, cache_rules(model))
    request = {"model": model, "n": n}
    return chat_answer.completion(request, blocks, usage, request_id="req_1")


@pytest.mark.parametrize("blocks", [BLOCKS, BLOCKS[:1], BLOCKS[1:], []])
def test_streamed_and_whole_answers_say_the_same(blocks):
    whole = answer(blocks)
    stream = b"".join(chat_answer.chunks(whole, has_usage=True))
    assert chat_answer.read_stream(stream) == (blocks, "")
    assert chat_answer.read_whole(json.dumps(whole).encode()) == (blocks, "")


def test_the_proxys_reader_agrees():
    whole = answer(n=2)
    reader = StreamReader()
    reader.feed(b"".join(chat_answer.chunks(whole, has_usage=True)))
    streamed = reader.close()
    read = read_message(json.dumps(whole).encode())
    assert streamed.choices == read.choices
    assert streamed.usage == read.usage
    assert len(read.choices) == 2


def test_figures_come_only_to_who_asks():
    stream = b"".join(chat_answer.chunks(answer(), has_usage=False))
    assert b"usage" not in stream
    assert chat_answer.read_stream(stream) == (BLOCKS, chat_answer.NO_USAGE)


def test_cached_tokens_are_part_of_the_prompts():
    usage = answer()["usage"]
    assert usage["prompt_tokens"] == 158
    assert usage["prompt_tokens_details"]["cached_tokens"] == 128
    assert "cache_write_tokens" not in usage["prompt_tokens_details"]
    newer = answer(model="gpt-5.6")["usage"]["prompt_tokens_details"]
    assert newer["cache_write_tokens"] == 20


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b'data: {"error":{"message":"x"}}\n\n', "error event"),
        (b'data: {"choices":[]}\n\n', "ended before"),
    ],
)
def test_what_is_wrong_with_a_stream_is_told(stream, problem):
    assert problem in chat_answer.read_stream(stream)[1]


@pytest.mark.parametrize("data", [b"{", b"{}", b'{"choices":[]}'])
def test_what_is_no_answer_is_told(data):
    assert "unreadable answer" in chat_answer.read_whole(data)[1]

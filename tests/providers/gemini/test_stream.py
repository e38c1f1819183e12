"""Gemini's answers as values, whatever form and pieces they come in."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.wire.json_array import ArrayFramer
from headroom.providers.gemini.answer import Usage, read_message
from headroom.providers.gemini.stream import StreamReader
from scripted_gemini import call, chunk, events, framed, text, thought

PARTS = [thought("hm"), text("two words"), call(1), call(2, is_signed=False)]


def read(data, form, size=10**6):
    framer = ArrayFramer() if form == "array" else None
    reader = StreamReader(framer=framer)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return reader.close()


@pytest.mark.parametrize("form", ["sse", "array"])
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_a_stream_reads_the_same_however_it_is_cut(form, size):
    message = read(framed(events(PARTS, 0), form), form, size)
    assert message.status == "done"
    assert message.finish_reason == "STOP"
    assert (message.id, message.model) == ("resp_0", "gemini-x")
    assert "".join(p.text or "" for p in message.parts if not p.is_thought) == (
        "two words"
    )
    assert [p.name for p in message.parts if p.is_call] == ["shell", "shell"]
    assert [p.signature for p in message.parts if p.is_call] == ["sig1", ""]


def test_cached_tokens_are_part_of_the_prompt_and_thoughts_of_the_output():
    message = read_message(json.dumps(chunk([text("x")], 0, output=10)).encode())
    assert message.usage == Usage(
        input_tokens=60, output_tokens=13, cache_read_input_tokens=40
    )


def test_the_latest_figures_hold_and_missing_ones_stay():
    data = b"".join(
        b"data: %b\n\n" % json.dumps({"usageMetadata": usage}).encode()
        for usage in (
            {"promptTokenCount": 100, "cachedContentTokenCount": 30},
            {"promptTokenCount": 100, "candidatesTokenCount": 4},
            {"promptTokenCount": 100, "candidatesTokenCount": 9},
        )
    )
    assert read(data, "sse").usage == Usage(
        input_tokens=70, output_tokens=9, cache_read_input_tokens=30
    )


def test_results_of_tools_that_google_ran_are_input():
    usage = {"promptTokenCount": 10, "toolUsePromptTokenCount": 5}
    message = read_message(json.dumps({"usageMetadata": usage}).encode())
    assert message.usage == Usage(input_tokens=15)


def test_a_whole_list_is_read_as_one_answer():
    message = read_message(framed(events(PARTS, 0), "array"))
    assert message.status == "done"
    assert message.usage is not None


@pytest.mark.parametrize("form", ["sse", "array"])
def test_a_stream_without_a_reason_to_end_is_truncated(form):
    assert read(framed([chunk([text("a")], 0)], form), form).status == "truncated"


def test_a_blocked_prompt_is_a_complete_answer():
    message = read_message(b'{"promptFeedback":{"blockReason":"SAFETY"}}')
    assert (message.status, message.finish_reason) == ("done", "SAFETY")


@pytest.mark.parametrize("form", ["sse", "array"])
def test_an_error_ends_the_reading(form):
    error = {"error": {"code": 429, "message": "slow down"}}
    message = read(framed([chunk([text("a")], 0), error], form), form)
    assert message.status == "errored"
    assert json.loads(message.error)["code"] == 429


@settings(max_examples=500)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_can_be_read(data, is_array):
    found = [
        read(data, "array" if is_array else "sse", 5),
        read(b"data: " + data + b"\n\n", "sse"),
        read(b'[{"candidates":' + data + b"}]", "array", 3),
        read_message(data),
    ]
    assert "open" not in {message.status for message in found}


@pytest.mark.parametrize(
    "body",
    [
        b'{"candidates":7}',
        b'{"candidates":[7]}',
        b'{"candidates":[{"content":[]}]}',
        b'{"candidates":[{"content":{"parts":[7]}}]}',
        b'{"usageMetadata":[]}',
        b"[" * 100_000,
        b"7",
        b"",
    ],
)
def test_what_is_no_answer_is_told(body):
    assert read_message(body).status == "errored"
    message = read(b"data: " + body + b"\n\n", "sse")
    assert message.errors or not body


def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer():
    body = b'{"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}'
    (part,) = read_message(body).parts
    assert part.text == "\ud83d"

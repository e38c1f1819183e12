"""Chat Completions answers read from chunks and from JSON."""

import itertools
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.providers.openai_chat.stream import (
    Call,
    StreamReader,
    Usage,
    read_message,
)

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 7,
    "total_tokens": 107,
    "prompt_tokens_details": {"cached_tokens": 64},
}


def chunk(*choices, **more):
    data = {"id": "chatcmpl-1", "model": "gpt-5", "choices": list(choices), **more}
    return b"data: %b\n\n" % json.dumps(data, ensure_ascii=False).encode()


def delta(index=0, reason=None, **members):
    return {"index": index, "delta": members, "finish_reason": reason}


def call(index, **members):
    return {"tool_calls": [{"index": index, **members}]}


DONE = b"data: [DONE]\n\n"
TOOLS = b"".join(
    (
        chunk(delta(role="assistant", content="")),
        chunk(delta(content="Läs ")),
        chunk(delta(content="först 🦀")),
        chunk(
            delta(
                **call(
                    0, id="c1", type="function", function={"name": "f", "arguments": ""}
                )
            )
        ),
        chunk(delta(**call(0, function={"arguments": '{"a": '}))),
        chunk(
            delta(
                **call(
                    1, id="c2", type="function", function={"name": "g", "arguments": ""}
                )
            )
        ),
        chunk(delta(**call(0, function={"arguments": "1.0}"}))),
        chunk(delta(**call(1, function={"arguments": "not json"}))),
        chunk(delta(reason="tool_calls")),
        chunk(usage=USAGE),
        DONE,
    )
)


def read(*pieces):
    reader = StreamReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.close()


def test_tool_call_id_and_name_only_first_chunk():
    message = read(TOOLS)
    (choice,) = message.choices
    assert choice.tool_calls == (
        Call(0, "c1", "function", "f", '{"a": 1.0}'),
        Call(1, "c2", "function", "g", "not json"),
    )
    assert choice.finish_reason == "tool_calls"
    assert message.errors == ()


def test_tool_call_arguments_concatenated_as_the_string_they_are():
    assert read(TOOLS).choices[0].tool_calls[0].arguments == '{"a": 1.0}'


def test_role_comes_once_and_content_adds_up():
    (choice,) = read(TOOLS).choices
    assert (choice.role, choice.content) == ("assistant", "Läs först 🦀")


def test_usage_in_final_chunk_when_include_usage_set():
    message = read(TOOLS)
    assert message.status == "done"
    assert message.usage == Usage(
        input_tokens=36, output_tokens=7, cache_read_input_tokens=64
    )
    assert (message.id, message.model) == ("chatcmpl-1", "gpt-5")


def test_refusal_field_handled():
    stream = (
        chunk(delta(role="assistant", refusal="I can")),
        chunk(delta(refusal="not.", content=None)),
        chunk(delta(reason="stop")),
        DONE,
    )
    (choice,) = read(*stream).choices
    assert (choice.refusal, choice.content) == ("I cannot.", "")


def test_refusal_field_in_response_handled():
    message = {"role": "assistant", "content": None, "refusal": "I cannot."}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    (choice,) = read_message(json.dumps(body).encode()).choices
    assert choice.refusal == "I cannot."


def test_multiple_choices_keyed_by_index():
    stream = (
        chunk(delta(1, role="assistant", content="b")),
        chunk(delta(0, role="assistant", content="a"), delta(1, content="B")),
        chunk(delta(0, reason="stop")),
        chunk(delta(1, reason="length")),
        DONE,
    )
    found = [(c.index, c.content, c.finish_reason) for c in read(*stream).choices]
    assert found == [(0, "a", "stop"), (1, "bB", "length")]


def test_a_stream_without_its_end_is_truncated():
    assert read(TOOLS.removesuffix(DONE)).status == "truncated"
    assert read(b"").status == "truncated"


def test_what_follows_the_end_is_not_read():
    assert read(TOOLS, chunk(delta(content="more"))) == read(TOOLS)


@pytest.mark.parametrize("prefix", [b"", b"event: error\n"])
def test_an_error_in_the_stream_is_kept(prefix):
    error = b'{"message":"overloaded","type":"server_error"}'
    message = read(
        chunk(delta(content="x")), prefix + b'data: {"error":%b}\n\n' % error, DONE
    )
    assert (message.status, message.error) == ("errored", error)
    assert message.choices[0].content == "x"


def test_comments_and_unreadable_chunks_do_no_harm():
    message = read(b": OPENROUTER PROCESSING\n\n", b"data: {\n\n", TOOLS)
    assert message.status == "done"
    assert len(message.errors) == 1
    assert message.choices == read(TOOLS).choices


def test_thoughts_of_compatible_servers_are_read_and_unknown_members_counted():
    message = read(
        chunk(delta(reasoning_content="hm", custom={"a": 1}, other=None)), DONE
    )
    assert message.choices[0].reasoning_content == "hm"
    assert message.unknown == (("custom", 1),)


def test_half_a_surrogate_pair_in_a_delta_loses_nothing():
    halves = [
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83e"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\udd80"}}]}\n\n',
    ]
    assert read(*halves, DONE).choices[0].content == "🦀"


def test_a_json_answer_reads_as_its_stream():
    message = {
        "role": "assistant",
        "content": "Läs först 🦀",
        "refusal": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a": 1.0}'},
            },
            {
                "id": "c2",
                "type": "function",
                "function": {"name": "g", "arguments": "not json"},
            },
        ],
    }
    body = {
        "id": "chatcmpl-1",
        "model": "gpt-5",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": USAGE,
    }
    assert read_message(json.dumps(body).encode()) == read(TOOLS)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"choices":3}', b"\xff"])
def test_what_is_no_answer_is_errored(body):
    assert read_message(body).status == "errored"


def test_a_json_error_is_kept():
    message = read_message(b'{"error":{"message":"Rate limit"}}')
    assert (message.status, message.error) == ("errored", b'{"message":"Rate limit"}')


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 90,
                "prompt_tokens_details": {
                    "cached_tokens": 40,
                    "cache_write_tokens": 30,
                },
            },
            Usage(20, 0, 30, 40),
        ),
        (
            {"prompt_tokens": 90, "prompt_cache_hit_tokens": 64},
            Usage(26, 0, 0, 64),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": None}, Usage(5)),
        ({"prompt_tokens": -1, "completion_tokens": -2.5}, Usage()),
    ],
)
def test_figures_of_every_dialect_have_the_same_names(usage, expected):
    raw = json.dumps({"choices": [], "usage": usage}).encode()
    assert read_message(raw).usage == expected


@given(st.randoms(use_true_random=False))
def test_chunk_boundaries_change_nothing(rng):
    cuts = sorted(rng.sample(range(len(TOOLS)), rng.randrange(1, 40)))
    edges = [0, *cuts, len(TOOLS)]
    pieces = [TOOLS[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*pieces) == read(TOOLS)


@given(st.binary(max_size=200), st.integers(0, 2**16))
def test_no_bytes_make_it_raise(noise, seed):
    rng = random.Random(seed)
    at = rng.randrange(len(TOOLS))
    found = read(TOOLS[:at], noise, TOOLS[at:])
    assert found.status != "open"
    assert read_message(noise).status != "open"


def test_an_event_without_end_is_given_up():
    reader = StreamReader(1000)
    reader.feed(b"data: " + b"x" * 2000)
    reader.feed(DONE)
    assert reader.close().status == "errored"

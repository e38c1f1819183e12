"""Rounds of Chat answers joined into one."""

import json

import pytest

from headroom.providers.openai_chat.splice_json import JsonSplicer
from scripted import ChatDrive, call, completion, retrieval, text

BODY = {"model": "gpt-5", "messages": [{"role": "user", "content": "go on"}]}


def drive(rounds):
    return ChatDrive(rounds, BODY, is_stream=False)


def test_the_client_gets_one_answer_with_the_words_of_all_rounds():
    rounds = [
        [retrieval(1)],
        [text("a "), retrieval(2), retrieval(3)],
        [text("b"), call(4, c="ls")],
    ]
    done = drive(rounds)
    out = json.loads(done.out)
    message = out["choices"][0]["message"]
    assert message["content"] == "a b"
    assert [c["id"] for c in message["tool_calls"]] == ["toolu_4"]
    assert out["id"] == "chatcmpl-0"
    assert out["choices"][0]["finish_reason"] == "tool_calls"
    assert out["usage"]["completion_tokens"] == 30
    assert out["usage"]["total_tokens"] == 137
    assert done.splicer.usage["input_tokens"] == 300
    assert len(done.bodies) == 3


def test_an_answer_that_hides_nothing_passes_byte_for_byte():
    data = json.dumps(completion([text("a"), call(1, c="ls")]), indent=3).encode()
    splicer = JsonSplicer()
    out = b"".join(splicer.feed(data[i : i + 5]) for i in range(0, len(data), 5))
    assert out == b""
    assert splicer.end() == data
    assert splicer.finish() == b""
    assert splicer.hidden is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"error":{"message":"x"}}', b'{"choices":[]}']
)
def test_what_is_no_answer_passes_byte_for_byte(body):
    splicer = JsonSplicer()
    splicer.feed(body)
    assert splicer.end() + splicer.finish() == body
    assert not splicer.is_waiting


def test_calls_beside_the_clients_own_are_answered_for_later():
    done = drive([[text("a"), retrieval(1), call(2, c="ls"), retrieval(3)]])
    message = json.loads(done.out)["choices"][0]["message"]
    assert [c["id"] for c in message["tool_calls"]] == ["toolu_2"]
    assert len(done.bodies) == 1
    assert b"answer to toolu_3" in done.note


def test_a_model_that_never_stops_asking_is_stopped():
    done = drive([[retrieval(n)] for n in range(9)])
    choice = json.loads(done.out)["choices"][0]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


def test_an_error_in_a_continuation_is_the_whole_answer():
    splicer = JsonSplicer()
    splicer.feed(json.dumps(completion([text("a"), retrieval(1)])).encode())
    assert splicer.end() == b""
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    error = b'{"error":{"message":"x"}}'
    assert splicer.fail(error) + splicer.finish() == error
    assert splicer.hidden is None


def test_half_a_surrogate_pair_does_not_keep_an_answer_from_being_joined():
    first = json.dumps(completion([text("a"), retrieval(1)])).encode()
    last = json.dumps(completion([text("?")])).encode().replace(b"?", b"\\ud83d")
    out = json.loads(drive([first, last]).out)
    assert out["choices"][0]["message"]["content"] == "a\ud83d"

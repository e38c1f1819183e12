import json

import pytest

from headroom.providers.anthropic.splice_json import JsonSplicer
from scripted import Drive, call, message, retrieval, text, thinking

BODY = {"model": "claude-x", "messages": [{"role": "user", "content": "go on"}]}


def drive(rounds):
    return Drive(rounds, BODY, is_stream=False)


def test_the_client_gets_one_message_of_all_visible_blocks():
    rounds = [
        [thinking("hm"), retrieval(1)],
        [text("a"), retrieval(2), retrieval(3)],
        [thinking("so"), text("b"), call(4, c="ls")],
    ]
    done = drive(rounds)
    out = json.loads(done.out)
    assert out["content"] == [
        thinking("hm"), text("a"), thinking("so"), text("b"), call(4, c="ls")
    ]  # fmt: skip
    assert out["id"] == "msg_0"
    assert out["stop_reason"] == "tool_use"
    assert out["usage"]["output_tokens"] == 30
    assert out["usage"]["input_tokens"] == 100
    assert done.splicer.usage["input_tokens"] == 300
    assert len(done.bodies) == 3


def test_an_answer_that_hides_nothing_passes_byte_for_byte():
    data = json.dumps(message([text("a"), call(1, c="ls")]), indent=3).encode()
    splicer = JsonSplicer()
    out = b"".join(splicer.feed(data[i : i + 5]) for i in range(0, len(data), 5))
    assert out == b""
    assert splicer.end() == data
    assert splicer.finish() == b""
    assert splicer.hidden is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type":"error","error":{}}'])
def test_what_is_no_message_passes_byte_for_byte(body):
    splicer = JsonSplicer()
    splicer.feed(body)
    assert splicer.end() + splicer.finish() == body
    assert not splicer.is_waiting


def test_calls_beside_the_clients_own_are_answered_for_later():
    done = drive([[text("a"), retrieval(1), call(2, c="ls"), retrieval(3)]])
    assert json.loads(done.out)["content"] == [text("a"), call(2, c="ls")]
    assert len(done.bodies) == 1
    assert b"answer to toolu_3" in done.note


def test_a_model_that_never_stops_asking_is_stopped():
    done = drive([[retrieval(n)] for n in range(9)])
    out = json.loads(done.out)
    assert out["content"] == []
    assert out["stop_reason"] == "end_turn"


def test_an_error_in_a_continuation_is_the_whole_answer():
    splicer = JsonSplicer()
    splicer.feed(json.dumps(message([text("a"), retrieval(1)])).encode())
    assert splicer.end() == b""
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'
    assert splicer.fail(error) + splicer.finish() == error
    assert splicer.hidden is None


def test_half_a_surrogate_pair_does_not_keep_a_message_from_being_joined():
    first = json.dumps(message([text("a"), retrieval(1)])).encode()
    last = json.dumps(message([text("?")])).encode().replace(b"?", b"\\ud83d")
    splicer = JsonSplicer()
    splicer.feed(first)
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    splicer.feed(last)
    out = json.loads(splicer.end() + splicer.finish())
    assert out["content"] == [text("a"), text("\ud83d")]
    assert out["usage"]["output_tokens"] == 20

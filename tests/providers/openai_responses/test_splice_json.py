"""Rounds of Responses JSON answers joined into one."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.responses_answer import read_whole
from headroom.providers.openai_responses.splice_json import JsonSplicer
from scripted import TOOL, call, retrieval, text, thinking
from scripted_responses import ResponsesDrive, items, output_of, response

BODY = {"model": "gpt-5", "input": [{"role": "user", "content": "go on"}]}


def drive(rounds, body=BODY):
    return ResponsesDrive(rounds, body, is_stream=False)


def test_the_client_gets_one_response_of_all_it_may_see():
    rounds = [
        [thinking("hm"), text("a"), retrieval(1)],
        [retrieval(2), retrieval(3)],
        [text("b"), call(4, c="ls")],
    ]
    found = drive(rounds)
    _, problem = read_whole(found.out)
    assert problem == ""
    assert output_of(found.out, is_stream=False) == [
        *items(rounds[0], 0)[:2],
        *items(rounds[2], 2),
    ]
    usage = json.loads(found.out)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (207, 30)
    assert usage["total_tokens"] == 237
    assert usage["output_tokens_details"]["reasoning_tokens"] == 6
    assert TOOL.encode() not in found.out
    assert json.loads(found.out)["id"] == "resp_2"


def test_both_shapes_hide_and_ask_the_same():
    rounds = [[text("a"), retrieval(1)], [text("b"), call(2), retrieval(3)]]
    whole, stream = drive(rounds), ResponsesDrive(rounds, BODY)
    assert whole.note == stream.note
    assert whole.bodies == stream.bodies


def test_an_answer_that_hides_nothing_is_the_same_bytes():
    body = b'{ "id":"r","output" : [ ] ,"usage":{"input_tokens":1.0}}\n'
    splicer = JsonSplicer()
    assert splicer.feed(body) == b""
    assert splicer.end() + splicer.finish() == body


def test_an_error_is_the_whole_answer():
    body = b'{"error":{"message":"no"}}'
    splicer = JsonSplicer()
    splicer.feed(body)
    assert splicer.end() == body
    assert splicer.is_broken
    assert splicer.fail(body) == body


def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer():
    second = json.dumps(response([text("xx")], number=1)).encode()
    second = second.replace(b'"xx"', b'"\\ud83d"')
    found = drive([[text("a"), retrieval(1)], second])
    assert found.out.count(b"\\ud83d") == 1
    assert len(json.loads(found.out)["output"]) == 2
    assert json.loads(found.out)["usage"]["output_tokens"] == 20


def test_an_incomplete_answer_stays_one():
    answer = response([text("a"), retrieval(1)], status="incomplete")
    found = drive([answer])
    assert json.loads(found.out)["status"] == "incomplete"
    assert [i["type"] for i in json.loads(found.out)["output"]] == ["message"]


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_pass_as_they_are(data):
    splicer = JsonSplicer()
    splicer.feed(data)
    assert splicer.end() + splicer.finish() == data

"""Rounds of Responses streams joined into one."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.responses import blocks_of
from headroom.cachelab.responses_answer import read_stream
from headroom.core.hidden import encode_answer
from headroom.providers.openai_responses.splice_stream import StreamSplicer
from headroom.providers.openai_responses.stream import StreamReader
from headroom.providers.rounds import MAX_ROUNDS
from scripted import TOOL, call, cuts, events, retrieval, text, thinking
from scripted_responses import ResponsesDrive, items, output_of, response, sse

BODY = {
    "model": "gpt-5",
    "input": [{"role": "user", "content": "go on"}],
    "stream": True,
}
WORDS = st.text('ab \u2028é"\\{}:,0\n', min_size=1, max_size=40)


@st.composite
def answers(draw):
    """Rounds that end with retrievals, then one that does not."""
    number = iter(range(1000))
    rounds = []
    for _ in range(draw(st.integers(0, MAX_ROUNDS))):
        said = [thinking(draw(WORDS))] if draw(st.booleans()) else []
        said += [text(draw(WORDS))] if draw(st.booleans()) else []
        calls = draw(st.integers(1, 3))
        rounds.append(said + [retrieval(next(number)) for _ in range(calls)])
    last = [thinking(draw(WORDS))] if draw(st.booleans()) else []
    last += [text(draw(WORDS))] if draw(st.booleans()) else []
    calls = [call(next(number), c="ls") for _ in range(draw(st.integers(0, 3)))]
    if calls and draw(st.booleans()):
        calls.insert(draw(st.integers(0, len(calls))), retrieval(next(number)))
    rounds.append(last + calls or [text("done")])
    return rounds


def visible(rounds):
    """The items that the client is to see."""
    return [
        item
        for number, blocks in enumerate(rounds)
        for item in items(blocks, number)
        if item.get("name") != TOOL
    ]


@settings(max_examples=300, deadline=None)
@given(answers(), cuts())
def test_the_client_gets_one_well_formed_response_of_all_it_may_see(rounds, cut):
    drive = ResponsesDrive(rounds, BODY, cut=cut)
    blocks, problem = read_stream(drive.out)  # a careful reader of its own
    assert problem == ""
    assert output_of(drive.out, is_stream=True) == visible(rounds)
    assert blocks == blocks_of(visible(rounds))
    assert TOOL.encode() not in drive.out
    last = events(drive.out)[-1]["response"]["usage"]
    assert last["output_tokens"] == 10 * len(rounds)
    assert last["total_tokens"] == last["input_tokens"] + last["output_tokens"]
    assert last["output_tokens_details"]["reasoning_tokens"] == 2 * len(rounds)
    assert last["input_tokens"] == 100 * (len(rounds) - 1) + 7


@settings(max_examples=100, deadline=None)
@given(answers(), cuts())
def test_the_cut_into_chunks_changes_nothing(rounds, cut):
    drive = ResponsesDrive(rounds, BODY, cut=cut)
    assert drive.out == ResponsesDrive(rounds, BODY).out
    assert drive.note == ResponsesDrive(rounds, BODY).note


def test_an_answer_that_hides_nothing_is_the_same_bytes():
    rounds = [[thinking("hm"), text("é\u2028"), call(1, c="ls"), call(2)]]
    drive = ResponsesDrive(rounds, BODY)
    assert drive.out == sse(response(rounds[0], number=0))
    assert drive.note == b""


def test_events_go_on_at_once():
    data = sse(response([text("a long word " * 20), retrieval(1)]))
    splicer = StreamSplicer()
    end = data.index(b"output_text.done")
    assert splicer.feed(data[:end]) == data[: data.rindex(b"\n\n", 0, end) + 2]


def test_the_model_goes_on_behind_its_calls_and_their_answers():
    first = [thinking("hm"), text("so"), retrieval(1), retrieval(2)]
    drive = ResponsesDrive([first, [text("done")]], BODY)
    sent = json.loads(drive.bodies[1])
    assert sent["input"] == [
        *BODY["input"],
        *items(first, 0),
        *(
            {
                "type": "function_call_output",
                "call_id": f"toolu_{n}",
                "output": f'answer to toolu_{n}\n\u2028"é"',
            }
            for n in (1, 2)
        ),
    ]
    assert {k: v for k, v in sent.items() if k != "input"} == {
        k: v for k, v in BODY.items() if k != "input"
    }
    assert [c.name for c in drive.looked_up] == [TOOL, TOOL]
    assert json.loads(drive.looked_up[0].input) == {"hash": "a" * 24}


def test_string_input_becomes_the_message_it_means():
    body = {"model": "gpt-5", "input": "go \u00e9"}
    drive = ResponsesDrive([[retrieval(1)], [text("done")]], body)
    sent = json.loads(drive.bodies[1])["input"]
    assert sent[0] == {"role": "user", "content": "go \u00e9"}
    assert [item["type"] for item in sent[1:]] == [
        "function_call",
        "function_call_output",
    ]


@pytest.mark.parametrize(
    ("store", "kept"), [(False, False), (True, True), (None, True)]
)
def test_thoughts_that_only_the_provider_knows_are_not_sent_to_one_that_keeps_none(
    store, kept
):
    answer = response([thinking("hm"), retrieval(1)])
    answer["output"][0]["encrypted_content"] = None
    body = BODY if store is None else {**BODY, "store": store}
    drive = ResponsesDrive([answer, [text("done")]], body)
    kinds = [item.get("type") for item in json.loads(drive.bodies[1])["input"]]
    assert ("reasoning" in kinds) is kept


@pytest.mark.parametrize("more", [{}, {"previous_response_id": "resp_before"}])
def test_over_a_socket_only_the_results_follow_the_newest_answer(more):
    body = {**BODY, "type": "response.create", **more}
    drive = ResponsesDrive([[thinking("hm"), retrieval(1)], [text("done")]], body)
    sent = json.loads(drive.bodies[1])
    assert [item["type"] for item in sent["input"]] == ["function_call_output"]
    assert sent["previous_response_id"] == "resp_0"
    rest = {**body, "previous_response_id": "resp_0", "input": sent["input"]}
    assert sent == rest
    assert events(drive.out)[-1]["response"]["id"] == "resp_1"


def test_calls_of_the_client_s_tools_are_the_client_s():
    rounds = [[text("so"), retrieval(1), call(2, c="ls"), retrieval(3), call(4)]]
    drive = ResponsesDrive(rounds, BODY)
    assert len(drive.bodies) == 1
    assert [i.get("call_id") for i in output_of(drive.out, is_stream=True)] == [
        None,
        "toolu_2",
        "toolu_4",
    ]
    assert [c.id for c in drive.looked_up] == ["toolu_1", "toolu_3"]
    results = drive.splicer.hidden.results
    assert results.count(b"function_call_output") == 2


def test_a_tool_of_that_name_in_a_group_is_the_client_s_own():
    answer = response([call(1, TOOL)])
    answer["output"][0]["namespace"] = "mcp__headroom"
    drive = ResponsesDrive([answer], BODY)
    assert drive.out == sse(answer)


def test_custom_tools_are_the_client_s():
    custom = {"type": "tool_use", "id": "p", "name": "apply_patch", "input": "x"}
    rounds = [[retrieval(1), {**custom, "kind": "custom_tool_call"}]]
    drive = ResponsesDrive(rounds, BODY)
    (item,) = output_of(drive.out, is_stream=True)
    assert item["type"] == "custom_tool_call"
    assert not drive.splicer.is_continuing


def test_too_many_rounds_are_told_and_then_cut():
    rounds = [[text(f"r{n}"), retrieval(n)] for n in range(MAX_ROUNDS + 2)]
    drive = ResponsesDrive(rounds, BODY)
    assert len(drive.looked_up) == MAX_ROUNDS
    assert len(drive.bodies) == MAX_ROUNDS + 2
    assert b"not available any more" in drive.bodies[-1]
    _, problem = read_stream(drive.out)
    assert problem == ""
    assert len(output_of(drive.out, is_stream=True)) == MAX_ROUNDS + 2


def test_an_incomplete_answer_ends_as_one():
    answer = response([text("so"), retrieval(1)], status="incomplete")
    drive = ResponsesDrive([answer], BODY)
    last = events(drive.out)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert [i["type"] for i in last["response"]["output"]] == ["message"]
    assert not drive.splicer.is_waiting


@pytest.mark.parametrize("rounds_before", [0, 1])
def test_a_stream_that_breaks_off_is_never_ended_as_complete(rounds_before):
    before = [[retrieval(n)] for n in range(rounds_before)]
    data = sse(response([text("some words"), retrieval(9)]))
    for place in range(0, len(data) - 2, 97):
        drive = ResponsesDrive([*before, data[:place]], BODY)
        assert drive.splicer.is_broken
        reader = StreamReader()
        reader.feed(drive.out)
        assert reader.status in {"open", "errored"}
        assert drive.note == b""
        if rounds_before:
            assert events(drive.out)[-1]["type"] == "error"


def test_a_failed_round_is_told_as_it_is():
    failed = {
        **response([], number=1, status="failed"),
        "error": {"code": "server_error", "message": "x"},
    }
    drive = ResponsesDrive([[text("so"), retrieval(1)], failed], BODY)
    kinds = [event["type"] for event in events(drive.out)]
    assert kinds[-1] == "response.failed"
    assert kinds.count("response.created") == 1
    numbers = [event["sequence_number"] for event in events(drive.out)]
    assert numbers == list(range(len(numbers)))
    assert drive.splicer.is_broken


def test_an_error_of_the_provider_s_is_an_event():
    splicer = StreamSplicer()
    out = splicer.feed(sse(response([text("so"), retrieval(1)])))
    splicer.end()
    splicer.answer(["x"])
    splicer.next_body(json.dumps(BODY).encode())
    error = b'{"error":{"message":"no\\n","type":"t","param":null,"code":null}}'
    out += splicer.fail(error)
    last = events(out)[-1]
    assert (last["type"], last["message"], last["code"]) == ("error", "no\n", "t")
    assert last["sequence_number"] == len(events(out)) - 1
    assert splicer.finish() == b""


def test_what_is_said_after_the_end_is_not_waited_for():
    data = sse(response([text("so")])) + b"data: [DONE]\n\n: bye\n\n"
    splicer = StreamSplicer()
    assert splicer.feed(data) + splicer.end() + splicer.finish() == data


def test_a_done_sentinel_stands_at_the_end_only():
    done = b"data: [DONE]\n\n"
    rounds = [
        sse(response([retrieval(1)], number=0)) + done,
        sse(response([text("so")], number=1)) + done,
    ]
    drive = ResponsesDrive(rounds, BODY)
    assert drive.out.endswith(done)
    assert drive.out.count(b"[DONE]") == 1


def test_comments_and_unknown_events_pass():
    more = b': ping\n\nevent: keepalive\ndata: {"type":"keepalive"}\n\n'
    unknown = b'data: {"type":"response.from_2031","sequence_number":77}\n\n'
    first = sse(response([retrieval(1)], number=0)).replace(
        b"event: response.completed", more + unknown + b"event: response.completed"
    )
    drive = ResponsesDrive([first, [text("so")]], BODY)
    assert b": ping" in drive.out
    assert b"keepalive" in drive.out
    numbers = [e["sequence_number"] for e in _numbered(drive.out)]
    assert numbers == list(range(len(numbers)))


def test_items_that_come_whole_are_hidden_too():
    """Some compatible servers never tell that an item has begun."""
    whole = b"".join(
        frame + b"\n\n"
        for frame in sse(response([text("a"), retrieval(1)], number=0)).split(b"\n\n")
        if frame and (b".done" not in frame or b"output_item.done" in frame)
        if b"output_item.added" not in frame and b".delta" not in frame
    )
    drive = ResponsesDrive([whole, [text("so")]], BODY)
    assert TOOL.encode() not in drive.out
    assert len(output_of(drive.out, is_stream=True)) == 2


def test_comments_pass_at_once_in_every_round():
    keep_alive = b": PROCESSING\n\n"
    splicer = StreamSplicer()
    assert splicer.feed(keep_alive) == keep_alive
    splicer.feed(sse(response([retrieval(1)], number=0))[:-1])
    assert splicer.feed(b"\n" + keep_alive) == keep_alive
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    assert splicer.feed(keep_alive) == keep_alive


def _numbered(out):
    frames = [f.partition(b"data: ")[2] for f in out.split(b"\n\n") if b"data: " in f]
    found = [json.loads(frame) for frame in frames]
    return [event for event in found if "sequence_number" in event]


def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer():
    data = sse(response([text("so")], number=1)).replace(b'"so"', b'"\\ud83d"')
    drive = ResponsesDrive([[text("first"), retrieval(1)], data], BODY)
    raw = drive.out
    assert raw.count(b"\\ud83d") >= 3
    assert raw.count(b"event: response.completed") == 1
    reader = StreamReader()
    reader.feed(raw)
    found = reader.close()
    assert (found.status, len(found.items)) == ("completed", 2)


def test_an_end_without_output_stays_without():
    answer = {**response([text("so"), retrieval(1)], number=0)}
    bare = sse(answer)
    head, tail = bare.rsplit(b"event: response.completed", 1)
    last = json.loads(tail.partition(b"data: ")[2])
    last["response"]["output"] = []
    bare = head + b"event: response.completed\ndata: " + json.dumps(last).encode()
    drive = ResponsesDrive([bare + b"\n\n", [text("done")]], BODY)
    assert len(output_of(drive.out, is_stream=True)) == 2
    second = response([text("done")], number=1)
    head, tail = sse(second).rsplit(b"event: response.completed", 1)
    last = json.loads(tail.partition(b"data: ")[2])
    last["response"]["output"] = []
    ending = head + b"event: response.completed\ndata: " + json.dumps(last).encode()
    drive = ResponsesDrive([bare + b"\n\n", ending + b"\n\n"], BODY)
    assert output_of(drive.out, is_stream=True) == []


def test_what_was_hidden_is_noted_with_what_was_seen():
    rounds = [[thinking("hm"), retrieval(1)], [text("so"), call(2)]]
    answer = ResponsesDrive(rounds, BODY).splicer.hidden
    assert [part.kind for part in answer.parts] == [
        "seen",
        "call",
        "turn",
        "seen",
        "seen",
    ]
    assert len(encode_answer(answer)) < 1000


SNAPSHOT = """\
response.created 0 -
response.in_progress 1 -
response.output_item.added 2 0
response.content_part.added 3 0
response.output_text.delta 4 0
response.output_text.done 5 0
response.content_part.done 6 0
response.output_item.done 7 0
response.output_item.added 8 1
response.function_call_arguments.delta 9 1
response.function_call_arguments.done 10 1
response.output_item.done 11 1
response.completed 12 -"""


def test_the_client_s_stream_is_pinned():
    drive = ResponsesDrive([[retrieval(1)], [text("so"), call(2, c="ls")]], BODY)
    told = [
        f"{e['type']} {e['sequence_number']} {e.get('output_index', '-')}"
        for e in events(drive.out)
    ]
    assert "\n".join(told) == SNAPSHOT
    assert events(drive.out)[0]["response"]["id"] == "resp_0"
    assert events(drive.out)[-1]["response"]["id"] == "resp_0"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_pass_or_are_told(data, places):
    splicer = StreamSplicer()
    cuts_at = [0, *sorted(p for p in places if p < len(data)), len(data)]
    out = b"".join(splicer.feed(data[a:b]) for a, b in itertools.pairwise(cuts_at))
    out += splicer.end() + splicer.finish()
    assert out == data

"""Rounds of Chat streams joined into one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.chat_answer import read_stream
from headroom.core.hidden import encode_answer
from headroom.providers.openai_chat.splice_stream import StreamSplicer
from headroom.providers.openai_chat.stream import StreamReader
from headroom.providers.rounds import MAX_ROUNDS
from scripted import (
    TOOL,
    ChatDrive,
    call,
    chat_sse,
    completion,
    cuts,
    retrieval,
    text,
)

BODY = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "go on"}],
    "stream": True,
}
WORDS = st.text('ab \u2028é"\\{}:,0\n', min_size=1, max_size=40)
DONE = b"data: [DONE]\n\n"


@st.composite
def answers(draw):
    """Rounds that end with retrievals, then one that does not."""
    number = iter(range(1000))
    rounds = []
    for _ in range(draw(st.integers(0, MAX_ROUNDS))):
        words = [text(draw(WORDS))] if draw(st.booleans()) else []
        calls = draw(st.integers(1, 3))
        rounds.append(words + [retrieval(next(number)) for _ in range(calls)])
    last = [text(draw(WORDS))] if draw(st.booleans()) else []
    calls = [call(next(number), c="ls") for _ in range(draw(st.integers(0, 3)))]
    if calls and draw(st.booleans()):
        calls.insert(draw(st.integers(0, len(calls))), retrieval(next(number)))
    rounds.append(last + calls or [text("done")])
    return rounds


def visible(rounds):
    """What the client is to see: one text, and its own calls."""
    words = "".join(b["text"] for r in rounds for b in r if b["type"] == "text")
    calls = [b for r in rounds for b in r if b.get("name", TOOL) != TOOL]
    return ([text(words)] if words else []) + calls


def chunks(data):
    """The chunks of a stream as values, ``[DONE]`` aside."""
    frames = [f.partition(b"data: ")[2] for f in data.split(b"\n\n") if b"data:" in f]
    return [json.loads(frame) for frame in frames if frame != b"[DONE]"]


def chunk(delta=None, reason=None, **more):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": reason}
    data = {"id": "chatcmpl-0", "choices": [choice], **more}
    return b"data: %b\n\n" % json.dumps(data).encode()


def entry(index, name=None, arguments="", call_id=None, **more):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    found = {"function": function, **more}
    found |= {} if index is None else {"index": index}
    return {"tool_calls": [found | ({"id": call_id} if call_id else {})]}


@settings(max_examples=300, deadline=None)
@given(answers(), cuts())
def test_the_client_gets_one_well_formed_message_of_all_it_may_see(rounds, cut):
    drive = ChatDrive(rounds, BODY, cut=cut)
    assert read_stream(drive.out) == (visible(rounds), "")
    assert drive.out.count(DONE) == 1
    assert drive.out.endswith(DONE)
    assert TOOL not in drive.out.decode()
    found = chunks(drive.out)
    assert {c["id"] for c in found} == {"chatcmpl-0"}
    deltas = [c["choices"][0]["delta"] for c in found if c["choices"]]
    assert sum("role" in delta for delta in deltas) == 1
    reasons = [c["choices"][0]["finish_reason"] for c in found if c["choices"]]
    has_calls = any(b["type"] == "tool_use" for b in visible(rounds))
    assert [r for r in reasons if r] == ["tool_calls" if has_calls else "stop"]
    indexes = [e["index"] for d in deltas for e in d.get("tool_calls", []) if "id" in e]
    assert indexes == list(range(len(indexes)))
    figures = [c["usage"] for c in found if c.get("usage")]
    assert [f["completion_tokens"] for f in figures] == [10 * len(rounds)]
    assert figures[0]["total_tokens"] == 107 + 10 * len(rounds)
    assert drive.splicer.usage["output_tokens"] == 10 * len(rounds)
    assert drive.splicer.usage["cache_read_input_tokens"] == 7 * len(rounds)


@settings(max_examples=200, deadline=None)
@given(answers(), cuts())
def test_how_the_stream_is_cut_into_chunks_changes_nothing(rounds, cut):
    assert ChatDrive(rounds, BODY, cut=cut).out == ChatDrive(rounds, BODY).out


@settings(max_examples=200, deadline=None)
@given(answers())
def test_continuations_repeat_what_the_model_said(rounds):
    drive = ChatDrive(rounds, BODY)
    sent = json.loads(drive.bodies[-1])["messages"]
    assert drive.bodies[-1].startswith(drive.bodies[0].partition(b"]")[0])
    position = 1
    for blocks in rounds[: len(drive.bodies) - 1]:
        said = sent[position]
        assert (said["content"] or "") == "".join(b.get("text", "") for b in blocks)
        wanted = [b["id"] for b in blocks if b["type"] == "tool_use"]
        assert [c["id"] for c in said["tool_calls"]] == wanted
        results = sent[position + 1 : position + 1 + len(wanted)]
        assert [m["tool_call_id"] for m in results] == wanted
        position += 1 + len(wanted)
    assert position == len(sent)


def test_a_stream_that_hides_nothing_passes_byte_for_byte_as_it_comes():
    data = b": hello\n\n" + chat_sse(completion([text("a"), call(1, c="ls")]))
    splicer = StreamSplicer()
    out = b"".join(splicer.feed(data[i : i + 7]) for i in range(0, len(data), 7))
    assert out == data
    assert splicer.end() + splicer.finish() == b""
    assert splicer.hidden is None


def test_events_before_the_first_hidden_call_leave_at_once_and_unchanged():
    data = chat_sse(completion([text("a" * 100), call(1, c="ls"), retrieval(2)]))
    splicer = StreamSplicer()
    frames = [frame + b"\n\n" for frame in data.split(b"\n\n")[:-1]]
    first = next(i for i, frame in enumerate(frames) if TOOL.encode() in frame)
    for frame in frames[:first]:
        assert splicer.feed(frame) == frame
    assert b"".join(map(splicer.feed, frames[first:])) == b""
    assert splicer.feed(b": still here\n\n") == b": still here\n\n"


def test_after_three_rounds_calls_are_told_that_it_is_enough_then_left_out():
    drive = ChatDrive([[text(f"r{n} "), retrieval(n)] for n in range(9)], BODY)
    assert len(drive.looked_up) == MAX_ROUNDS
    assert len(drive.bodies) == MAX_ROUNDS + 2
    last = json.loads(drive.bodies[-1])["messages"][-1]
    assert "not available" in last["content"]
    blocks, problem = read_stream(drive.out)
    assert not problem
    words = "".join(f"r{n} " for n in range(MAX_ROUNDS + 2))
    assert blocks == [text(words)]
    reasons = [
        c["choices"][0]["finish_reason"] for c in chunks(drive.out) if c["choices"]
    ]
    assert reasons[-1] == "stop"


def test_calls_beside_the_clients_own_are_answered_for_later():
    drive = ChatDrive([[text("a"), retrieval(1), call(2, c="ls")]], BODY)
    assert len(drive.bodies) == 1
    assert [c.id for c in drive.looked_up] == ["toolu_1"]
    assert read_stream(drive.out)[0] == [text("a"), call(2, c="ls")]
    assert b"answer to toolu_1" in drive.note


def test_a_call_cut_off_by_the_token_limit_is_left_out():
    answer = completion([text("a"), retrieval(1)], finish_reason="length")
    drive = ChatDrive([answer], BODY)
    assert read_stream(drive.out) == ([text("a")], "")
    assert not drive.note
    assert not drive.looked_up
    assert chunks(drive.out)[-2]["choices"][0]["finish_reason"] == "length"


def test_an_error_in_a_continuation_ends_the_stream_as_an_error():
    splicer = StreamSplicer()
    splicer.feed(chat_sse(completion([text("a"), retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    out = splicer.fail(b'{"error":\n{"message":"overloaded"}}')
    assert out == b'data: {"error":{"message":"overloaded"}}\n\n'
    assert splicer.finish() == b""
    assert splicer.hidden is None
    assert splicer.is_broken


def test_an_error_chunk_in_a_continuation_passes_and_nothing_follows_it():
    splicer = StreamSplicer()
    splicer.feed(chat_sse(completion([retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    assert splicer.feed(chunk({"content": "b"}) + error + DONE).endswith(error)
    assert splicer.end() + splicer.finish() == b""
    assert splicer.is_broken


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_continuation_that_breaks_off_is_never_ended_as_complete(cut):
    splicer = StreamSplicer()
    splicer.feed(chat_sse(completion([text("a"), retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    pieces = [chunk({"role": "assistant"}), chunk({"content": "b"}), chunk()]
    out = splicer.feed(b"".join(pieces[:cut])) + splicer.end() + splicer.finish()
    assert b"broke its answer off" in out
    assert b"[DONE]" not in out


def test_a_server_without_an_end_mark_is_understood():
    data = chat_sse(completion([text("a"), retrieval(1)])).removesuffix(DONE)
    last = chat_sse(completion([text("b")])).removesuffix(DONE)
    drive = ChatDrive([data, last], BODY)
    assert read_stream(drive.out + DONE) == ([text("ab")], "")
    assert drive.out.count(b'"finish_reason":"stop"') == 1


def test_calls_that_share_an_index_are_told_apart_by_their_ids():
    shared = (
        chunk(entry(0, TOOL, '{"hash":"a"}', "r1"))
        + chunk(entry(0, "ls", "{}", "c1"))
        + chunk(entry(0, "cat", "{}", "c2"))
        + chunk(reason="tool_calls")
        + DONE
    )
    drive = ChatDrive([shared], BODY)
    entries = [
        e
        for c in chunks(drive.out)
        for e in c["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert [(e["index"], e["id"]) for e in entries] == [(0, "c1"), (1, "c2")]
    assert [c.id for c in drive.looked_up] == ["r1"]


def test_calls_without_an_index_get_one():
    data = (
        chunk(entry(None, "ls", "{}", "c1"))
        + chunk(entry(None, TOOL, "{}", "r1"))
        + chunk(entry(None, "cat", "{}", "c2"))
        + chunk(reason="stop")
        + DONE
    )
    out = ChatDrive([data], BODY).out
    assert out.startswith(chunk(entry(None, "ls", "{}", "c1")))
    last = chunks(out)[1]["choices"][0]["delta"]["tool_calls"]
    assert [(e["index"], e["id"]) for e in last] == [(1, "c2")]


def test_a_call_whose_name_comes_late_waits_for_it():
    def begun(index, call_id):
        return {"tool_calls": [{"index": index, "id": call_id, "type": "function"}]}

    data = (
        chunk(begun(0, "r1"))
        + chunk(begun(1, "c1"))
        + chunk(entry(0, TOOL, "{"))
        + chunk(entry(1, "ls", "{"))
        + chunk(entry(0, arguments="}"))
        + chunk(entry(1, arguments="}"))
        + chunk(reason="tool_calls")
        + DONE
    )
    drive = ChatDrive([data], BODY)
    assert [c.id for c in drive.looked_up] == ["r1"]
    assert TOOL.encode() not in drive.out
    reader = StreamReader()
    reader.feed(drive.out)
    [found] = reader.close().choices[0].tool_calls
    assert (found.index, found.id, found.name, found.arguments) == (0, "c1", "ls", "{}")


def test_a_call_that_never_gets_a_name_is_the_clients():
    nameless = {"tool_calls": [{"index": 0, "id": "c1", "type": "other"}]}
    last = b'data: {"id":"x","choices":[{"index":0,"finish_reason":"tool_calls"}]}\n\n'
    out = ChatDrive([chunk(nameless) + last + DONE], BODY).out
    deltas = [c["choices"][0].get("delta") for c in chunks(out)]
    assert deltas == [nameless, None]


def test_half_a_surrogate_pair_in_an_id_is_nothing_to_remember_by():
    odd = chunk(entry(0, TOOL, "{}", "r1")) + chunk(entry(1, "ls", "{}", "c\ud83d"))
    drive = ChatDrive([odd + chunk(reason="tool_calls") + DONE], BODY)
    assert b"r1" in drive.note


def test_words_and_the_end_in_one_chunk_are_told_apart():
    first = chunk(entry(0, TOOL, "{}", "r1"), content=None)
    both = {"content": "well", **entry(0, TOOL, "{}", "r1")}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    data = chunk(both, "tool_calls", usage=usage) + DONE
    last = chunk({"content": " done"}, "stop", usage=usage) + DONE
    out = ChatDrive([data, last], BODY).out
    assert first
    blocks, _ = read_stream(out)
    assert blocks == [text("well done")]
    assert out.count(b'"finish_reason": "stop"') == 1
    assert out.count(b'"completion_tokens": 4') == 1
    assert chunks(out)[-1]["usage"]["total_tokens"] == 5


def test_seals_and_thoughts_of_other_makers_are_sent_back():
    seal = {"google": {"thought_signature": "s=="}}
    details = [
        {"type": "reasoning.text", "index": 0, "text": "hm"},
        {"type": "reasoning.text", "index": 0, "text": "m", "signature": "x"},
    ]
    data = (
        chunk({"reasoning_content": "think "})
        + chunk({"reasoning_content": "more", "reasoning_details": details[:1]})
        + chunk({"reasoning_details": details[1:]})
        + chunk(entry(0, TOOL, "{}", "r1", extra_content=seal))
        + chunk(reason="tool_calls")
        + DONE
    )
    drive = ChatDrive([data, [text("b")]], BODY)
    said = json.loads(drive.bodies[1])["messages"][1]
    assert said["reasoning_content"] == "think more"
    assert said["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "hmm", "signature": "x"}
    ]
    assert said["tool_calls"][0]["extra_content"] == seal


def test_arguments_that_are_no_json_are_sent_back_empty():
    data = chunk(entry(0, TOOL, "{bro", "r1")) + chunk(reason="tool_calls") + DONE
    drive = ChatDrive([data, [text("b")]], BODY)
    said = json.loads(drive.bodies[1])["messages"][1]
    assert said["tool_calls"][0]["function"]["arguments"] == "{}"


def test_an_event_without_end_is_not_kept():
    splicer = StreamSplicer(max_event_bytes=1000)
    start = b'data: {"x":"' + b"a" * 900
    assert splicer.feed(start) == b""
    assert splicer.feed(b"b" * 200) == start + b"b" * 200
    assert splicer.feed(b"c") == b"c"
    assert splicer.hidden is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([DONE, b"data: ", b"\n\n"])))
def test_what_is_no_stream_passes_byte_for_byte(pieces):
    splicer = StreamSplicer()
    out = b"".join(map(splicer.feed, pieces)) + splicer.end() + splicer.finish()
    assert out == b"".join(pieces)


NAMES = (
    "id", "index", "delta", "choices", "tool_calls", "function", "name", "content",
    "finish_reason", "usage", "error", "role",
)  # fmt: skip
FRAGMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(FRAGMENTS, max_size=4), answers())
def test_chunks_of_any_shape_never_raise(odd, rounds):
    noise = b"".join(b"data: %b\n\n" % json.dumps(o).encode() for o in odd)
    made = [noise + chat_sse(completion(blocks)) for blocks in rounds]
    drive = ChatDrive(made, BODY)
    assert drive.out
    encoded = drive.splicer.hidden
    assert encoded is None or encode_answer(encoded)

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.client import read_stream
from headroom.providers.anthropic.splice_stream import StreamSplicer
from headroom.providers.rounds import MAX_ROUNDS
from scripted import (
    TOOL,
    Drive,
    call,
    cuts,
    events,
    message,
    retrieval,
    sse,
    text,
    thinking,
)

BODY = {
    "model": "claude-x",
    "messages": [{"role": "user", "content": "go on"}],
    "stream": True,
}
WORDS = st.text('ab \u2028é"\\{}:,0', min_size=1, max_size=40)
VISIBLE = st.one_of(WORDS.map(text), WORDS.map(thinking))


@st.composite
def answers(draw):
    """Rounds that end with retrievals, then one that does not."""
    number = iter(range(1000))
    rounds = []
    for _ in range(draw(st.integers(0, MAX_ROUNDS))):
        calls = draw(st.integers(1, 3))
        blocks = draw(st.lists(VISIBLE, max_size=3))
        blocks += [retrieval(next(number)) for _ in range(calls)]
        rounds.append(draw(st.permutations(blocks)))
    last = draw(st.lists(VISIBLE, max_size=3))
    last += [call(next(number), c="ls") for _ in range(draw(st.integers(0, 2)))]
    if any(block["type"] == "tool_use" for block in last) and draw(st.booleans()):
        last.insert(draw(st.integers(0, len(last))), retrieval(next(number)))
    rounds.append(last or [text("done")])
    return rounds


def visible(rounds):
    return [b for blocks in rounds for b in blocks if b.get("name") != TOOL]


@settings(max_examples=300, deadline=None)
@given(answers(), cuts())
def test_the_client_gets_one_well_formed_message_of_all_visible_blocks(rounds, cut):
    drive = Drive(rounds, BODY, cut=cut)
    blocks, problem = read_stream(drive.out)
    assert not problem
    assert blocks == visible(rounds)
    kinds = [event["type"] for event in events(drive.out)]
    assert kinds.count("message_start") == kinds.count("message_delta") == 1
    assert kinds[-1] == "message_stop"
    starts = [
        e["index"] for e in events(drive.out) if e["type"] == "content_block_start"
    ]
    assert starts == list(range(len(blocks)))
    assert TOOL not in drive.out.decode()
    ending = next(e for e in events(drive.out) if e["type"] == "message_delta")
    assert ending["usage"]["output_tokens"] == 10 * len(rounds)
    assert drive.splicer.usage["output_tokens"] == 10 * len(rounds)
    assert drive.splicer.usage["cache_read_input_tokens"] == 7 * len(rounds)


@settings(max_examples=200, deadline=None)
@given(answers(), cuts())
def test_how_the_stream_is_cut_into_chunks_changes_nothing(rounds, cut):
    assert Drive(rounds, BODY, cut=cut).out == Drive(rounds, BODY).out


@settings(max_examples=200, deadline=None)
@given(answers())
def test_continuations_repeat_what_the_model_said_block_by_block(rounds):
    drive = Drive(rounds, BODY)
    for number, body in enumerate(drive.bodies):
        sent = json.loads(body)["messages"]
        assert body.startswith(json.dumps(BODY).encode().partition(b"]")[0])
        assert len(sent) == 1 + 2 * number
        for back, blocks in enumerate(rounds[:number]):
            assistant, user = sent[1 + 2 * back : 3 + 2 * back]
            assert assistant["content"] == [b for b in blocks if not is_blank(b)]
            wanted = [b["id"] for b in blocks if b["type"] == "tool_use"]
            assert [b["tool_use_id"] for b in user["content"]] == wanted


def is_blank(block):
    return block["type"] == "text" and not block["text"].strip()


def test_a_stream_that_hides_nothing_passes_byte_for_byte_as_it_comes():
    data = b": hello\n\n" + sse(message([thinking("hm"), text("a"), call(1, c="ls")]))
    splicer = StreamSplicer()
    out = b"".join(splicer.feed(data[i : i + 7]) for i in range(0, len(data), 7))
    assert out + splicer.end() + splicer.finish() == data
    assert splicer.hidden is None


def test_every_event_leaves_with_the_chunk_that_completes_it():
    data = sse(message([text("a" * 100), retrieval(1), text("b" * 100)]))
    splicer = StreamSplicer()
    frames = [frame + b"\n\n" for frame in data.split(b"\n\n")[:-1]]
    for frame in frames:
        event = events(frame)[0]
        held = event["type"] in {"message_delta", "message_stop"}
        held = held or event.get("index") == 1
        out = splicer.feed(frame)
        assert bool(out) is not held
        if not held and event.get("index") != 2:
            assert out == frame


def test_several_retrievals_at_once_are_answered_together():
    rounds = [[text("a"), retrieval(1), text("b"), retrieval(2)], [text("c")]]
    drive = Drive(rounds, BODY)
    assert [c.id for c in drive.looked_up] == ["toolu_1", "toolu_2"]
    user = json.loads(drive.bodies[1])["messages"][2]
    assert [b["tool_use_id"] for b in user["content"]] == ["toolu_1", "toolu_2"]


def test_after_three_rounds_calls_are_told_that_it_is_enough_then_left_out():
    rounds = [[text(f"r{n}"), retrieval(n)] for n in range(9)]
    drive = Drive(rounds, BODY)
    assert len(drive.looked_up) == MAX_ROUNDS
    assert len(drive.bodies) == MAX_ROUNDS + 2
    last = json.loads(drive.bodies[-1])["messages"][-1]
    assert "not available" in last["content"][0]["content"]
    blocks, problem = read_stream(drive.out)
    assert not problem
    assert [b["text"] for b in blocks] == [f"r{n}" for n in range(MAX_ROUNDS + 2)]
    ending = next(e for e in events(drive.out) if e["type"] == "message_delta")
    assert ending["delta"]["stop_reason"] == "end_turn"


def test_calls_beside_the_clients_own_are_answered_for_later():
    drive = Drive([[text("a"), retrieval(1), call(2, c="ls")]], BODY)
    assert len(drive.bodies) == 1
    assert [c.id for c in drive.looked_up] == ["toolu_1"]
    assert read_stream(drive.out)[0] == [text("a"), call(2, c="ls")]
    assert b"answer to toolu_1" in drive.note
    ending = next(e for e in events(drive.out) if e["type"] == "message_delta")
    assert ending["delta"]["stop_reason"] == "tool_use"


def test_a_call_cut_off_by_the_token_limit_is_left_out():
    answer = message([text("a"), retrieval(1)], stop_reason="max_tokens")
    drive = Drive([answer], BODY)
    assert read_stream(drive.out) == ([text("a")], "")
    assert not drive.note
    assert not drive.looked_up
    ending = next(e for e in events(drive.out) if e["type"] == "message_delta")
    assert ending["delta"]["stop_reason"] == "max_tokens"


def test_arguments_that_are_no_json_are_sent_back_empty():
    data = sse(message([retrieval(1), text("b")]))
    data = data.replace(b'\\"}"}}', b'"}}', 1)
    splicer = StreamSplicer()
    splicer.feed(data)
    splicer.end()
    assert splicer.is_waiting
    splicer.answer(["no"])
    body = splicer.next_body(json.dumps(BODY).encode())
    assert json.loads(body)["messages"][1]["content"][0]["input"] == {}


@pytest.mark.parametrize("keeps", [0.3, 0.6, 0.9])
def test_a_first_answer_that_breaks_off_is_not_ended(keeps):
    data = sse(message([text("a" * 200), text("b" * 300)]))
    splicer = StreamSplicer()
    part = data[: int(len(data) * keeps)]
    out = splicer.feed(part) + splicer.end() + splicer.finish()
    assert out == part
    assert splicer.is_broken
    assert not splicer.is_waiting


@pytest.mark.parametrize("keeps", [0.0, 0.3, 0.6, 0.95])
def test_a_continuation_that_breaks_off_ends_with_an_error(keeps):
    splicer = StreamSplicer()
    splicer.feed(sse(message([text("a"), retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    data = sse(message([text("b" * 300)]))
    out = splicer.feed(data[: int(len(data) * keeps)]) + splicer.end()
    assert events(out)[-1]["type"] == "error"
    assert b"message_stop" not in out + splicer.finish()
    assert splicer.hidden is None


def test_an_error_event_in_a_continuation_passes_and_nothing_follows():
    error = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
    )
    splicer = StreamSplicer()
    splicer.feed(sse(message([text("a"), retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    out = splicer.feed(error) + splicer.end() + splicer.finish()
    assert out == error
    assert splicer.is_broken


def test_events_longer_than_can_be_held_pass_while_nothing_is_hidden():
    data = sse(message([text("a")])) + b'data: {"x":"' + b"y" * 900 + b'"}\n\n'
    for size in (1, 100, 5000):
        splicer = StreamSplicer(max_event_bytes=600)
        out = b"".join(
            splicer.feed(data[i : i + size]) for i in range(0, len(data), size)
        )
        assert out + splicer.end() + splicer.finish() == data


def test_half_a_surrogate_pair_is_renumbered_like_any_other_text():
    raw = (
        b"event: content_block_start\ndata: "
        b'{"type":"content_block_start","index":0,"content_block":'
        b'{"type":"text","text":""}}\n\n'
        b"event: content_block_delta\ndata: "
        b'{"type":"content_block_delta","index":1,"delta":'
        b'{"type":"text_delta","text":"\\ud83d \\"index\\":9"}}\n\n'
    )
    splicer = StreamSplicer()
    splicer.feed(sse(message([text("x"), retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    out = splicer.feed(raw.replace(b'"index":1', b'"index":0'))
    assert b'"index":1,"delta"' in out
    assert b'\\"index\\":9' in out


def test_pings_and_unknown_events_pass_in_every_round():
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    odd = b'event: odd\ndata: {"type": "odd", "n": [1]}\n\n'
    splicer = StreamSplicer()
    out = splicer.feed(ping + sse(message([text("a"), retrieval(1)])) + odd)
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    more = splicer.feed(odd + sse(message([text("b")])) + ping)
    assert out.startswith(ping)
    assert out.endswith(odd)
    assert more.startswith(odd)
    assert more.endswith(ping)


def test_comments_pass_at_once_in_every_round():
    keep_alive = b": PROCESSING\n\n"
    splicer = StreamSplicer()
    assert splicer.feed(keep_alive) == keep_alive
    splicer.feed(sse(message([text("a"), retrieval(1)]))[:-1])
    assert splicer.feed(b"\n" + keep_alive) == keep_alive
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    assert splicer.feed(keep_alive) == keep_alive


def test_lines_may_end_with_lone_carriage_returns():
    first = sse(message([text("a"), retrieval(1)])).replace(b"\n", b"\r")
    splicer = StreamSplicer()
    out = splicer.feed(first) + splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    out += splicer.feed(sse(message([text("b")])).replace(b"\n", b"\r"))
    out += splicer.end() + splicer.finish()
    blocks, problem = read_stream(out.replace(b"\r\n", b"\r").replace(b"\r", b"\n"))
    assert (blocks, problem) == ([text("a"), text("b")], "")


PIECES = st.sampled_from(
    [
        b"data: ", b"event: x\n", b"\n\n", b"\r", b": c\n", b"{", b"}", b"\xff",
        b"null",
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"x"}}\n\n',
        b'data: {"type":"content_block_delta","index":-1,"index":2}\n\n',
        b'data: {"type":"message_delta","usage":[],"delta":1}\n\n',
        b'data: {"type":"message_start","message":3}\n\n',
        sse(message([text("a")])),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(PIECES, max_size=12))
def test_whatever_the_provider_sends_nothing_fails_or_is_lost(first, second):
    splicer = StreamSplicer()
    out = b"".join(map(splicer.feed, first))
    assert out + splicer.end() + splicer.finish() == b"".join(first)
    splicer = StreamSplicer()
    splicer.feed(sse(message([text("a"), retrieval(1)])))
    splicer.end()
    splicer.answer(["found"])
    splicer.next_body(json.dumps(BODY).encode())
    out = b"".join(map(splicer.feed, second)) + splicer.end() + splicer.finish()
    assert splicer.is_broken or b"message_stop" in out

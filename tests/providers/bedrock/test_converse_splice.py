"""Rounds of Converse joined into one answer: objects and frames."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clouds import converse_frames, exception, frame
from headroom.core.wire.event_stream import FrameReader
from headroom.errors import StreamError
from headroom.providers.bedrock.converse import BedrockConverse
from scripted import call, retrieval, text, thinking
from scripted_converse import ConverseDrive, answer, events_of, read

POINT = {"cachePoint": {"type": "default"}}
REQUEST = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}
ROUNDS = {
    "nothing hidden": [[text("a b"), call(1)]],
    "one retrieval": [[thinking("hm"), text("a b"), retrieval(2)], [text("c")]],
    "beside a call": [[retrieval(1), text("a"), call(2, c="ls")]],
    "several rounds": [
        [retrieval(1)],
        [text("b"), retrieval(2), retrieval(3)],
        [text("c"), call(4)],
    ],
}
SEEN = {
    "nothing hidden": "a b/Bash",
    "one retrieval": "hm/a b/c",
    "beside a call": "a/Bash",
    "several rounds": "b/c/Bash",
}


def drive(rounds, *, is_stream=True, **more):
    return ConverseDrive(rounds, REQUEST, is_stream=is_stream, **more)


def said(block):
    if "text" in block:
        return block["text"]
    if "toolUse" in block:
        return block["toolUse"]["name"]
    return block["reasoningContent"]["reasoningText"]["text"]


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("name", ROUNDS)
def test_the_client_gets_one_answer_without_hidden_calls(name, is_stream):
    made = drive(ROUNDS[name], is_stream=is_stream)
    whole = read(made.out, is_stream=is_stream)
    content = whole["output"]["message"]["content"]
    assert "/".join(map(said, content)) == SEEN[name]
    rounds = len(ROUNDS[name])
    assert whole["usage"]["outputTokens"] == 10 * rounds
    assert whole["usage"]["totalTokens"] == 107 + 10 * rounds
    assert len(made.bodies) == rounds
    assert bool(made.note) == (name != "nothing hidden")
    ends = "tool_use" if "toolUse" in content[-1] else "end_turn"
    assert whole["stopReason"] == ends


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_model_goes_on_behind_what_it_said(is_stream):
    made = drive(ROUNDS["one retrieval"], is_stream=is_stream)
    assistant, user = json.loads(made.bodies[1])["messages"][1:]
    thought = {"reasoningText": {"text": "hm", "signature": "sig/hm=="}}
    use = {"toolUseId": "toolu_2", "name": "headroom_retrieve"}
    assert assistant == {
        "role": "assistant",
        "content": [
            {"reasoningContent": thought},
            {"text": "a b"},
            {"toolUse": {**use, "input": {"hash": "a" * 24}}},
        ],
    }
    (result,) = user["content"]
    assert result["toolResult"]["toolUseId"] == "toolu_2"
    assert result["toolResult"]["content"][0]["text"].startswith("answer to toolu_2")


@pytest.mark.parametrize("name", ROUNDS)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_any_chunks_give_the_same_bytes(name, sizes):
    def cut(data):
        found, at, turn = [], 0, 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            found.append(data[at : at + size])
            at, turn = at + size, turn + 1
        return found

    assert drive(ROUNDS[name], cut=cut).out == drive(ROUNDS[name]).out


@pytest.mark.parametrize("is_stream", [True, False])
def test_what_hides_nothing_keeps_every_byte(is_stream):
    whole = answer([text("é"), call(1)])
    data = b"".join(converse_frames(whole)) if is_stream else json.dumps(whole).encode()
    assert drive([data], is_stream=is_stream).out == data


def test_frames_that_were_not_changed_keep_their_bytes_and_others_have_right_sums():
    first = converse_frames(answer([text("a b"), retrieval(1)]))
    second = converse_frames(answer([text("c")]))
    made = drive([b"".join(first), b"".join(second)])
    raws = [found.raw for found in FrameReader(checks_crc=True).feed(made.out)]
    assert raws[:4] == first[:4]
    assert raws[-2] == second[-2]
    assert [name for name, _ in events_of(made.out)][-2:] == ["messageStop", "metadata"]


def test_cache_points_are_set_behind_results_where_the_client_sets_them():
    body = json.loads(json.dumps(REQUEST))
    body["messages"][0]["content"].append(POINT)
    made = ConverseDrive(ROUNDS["one retrieval"], body)
    assert json.loads(made.bodies[1])["messages"][-1]["content"][-1] == POINT
    body["system"] = [POINT, POINT, POINT]
    made = ConverseDrive(ROUNDS["one retrieval"], body)
    assert POINT not in json.loads(made.bodies[1])["messages"][-1]["content"]


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_call_that_was_cut_off_is_left_out(is_stream):
    whole = answer([text("a"), retrieval(1)], stop_reason="max_tokens")
    made = drive([whole], is_stream=is_stream)
    found = read(made.out, is_stream=is_stream)
    assert found["output"]["message"]["content"] == [{"text": "a"}]
    assert found["stopReason"] == "max_tokens"
    assert len(made.bodies) == 1


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_model_that_goes_in_circles_is_ended(is_stream):
    made = drive([[text("a"), retrieval(n)] for n in range(9)], is_stream=is_stream)
    found = read(made.out, is_stream=is_stream)
    assert found["stopReason"] == "end_turn"
    texts = found["output"]["message"]["content"]
    assert texts == [{"text": "a"}] * len(made.bodies)
    assert len(made.looked_up) == 3


def test_an_exception_passes_as_it_came_and_nothing_follows():
    failed = exception("throttlingException", "Slow down")
    stream = b"".join([*converse_frames(answer([text("a")]))[:3], failed])
    made = drive([stream])
    assert made.out == stream
    assert made.splicer.is_broken
    assert not made.note


def test_a_stream_that_is_cut_or_damaged_never_ends_as_complete():
    frames = converse_frames(answer([text("a b"), retrieval(1)]))
    damaged = frames[5][:-1] + bytes([frames[5][-1] ^ 1])
    for stream in (
        b"".join(frames[:6]),
        b"".join(frames[:-2])[:-7],
        b"".join([*frames[:5], damaged, *frames[6:]]),
    ):
        made = drive([stream])
        names = [name for name, _ in frames_in(made.out)]
        assert "messageStop" not in names
        assert made.splicer.is_broken
        assert not made.splicer.is_waiting
        assert not made.note


def frames_in(data):
    return [
        (found.text(":event-type") or "exception", found.payload)
        for found in FrameReader().feed(data)
    ]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"no"}}', "no"),
        (b'{"__type":"ServiceUnavailableException","message":"gone"}', "gone"),
    ],
)
def test_a_failure_of_the_continuation_is_an_exception_frame(error, words):
    splicer = BedrockConverse().splicer(is_stream=True)
    splicer.feed(b"".join(converse_frames(answer([text("a"), retrieval(1)]))))
    splicer.end()
    splicer.answer(["x"])
    splicer.next_body(json.dumps(REQUEST).encode())
    (found,) = FrameReader().feed(splicer.fail(error))
    assert found.text(":message-type") == "exception"
    assert json.loads(found.payload) == {"message": words}


def test_citations_are_sent_back_beside_their_text():
    frames = converse_frames(answer([text("a b"), retrieval(1)]))
    cited = {"delta": {"citation": {"title": "T"}}, "contentBlockIndex": 0}
    frames.insert(3, frame("contentBlockDelta", cited))
    made = drive([b"".join(frames), [text("c")]])
    content = json.loads(made.bodies[1])["messages"][1]["content"]
    expected = {"content": [{"text": "a b"}], "citations": [{"title": "T"}]}
    assert content[0] == {"citationsContent": expected}
    assert b'"title": "T"' in made.out


SEARCH = {
    "toolUse": {
        "toolUseId": "srv_1",
        "name": "nova_grounding",
        "type": "server_tool_use",
        "input": {"q": "x"},
    }
}
FOUND = {
    "toolResult": {
        "toolUseId": "srv_1",
        "type": "nova_grounding_result",
        "status": "success",
        "content": [{"text": "one"}, {"json": {"two": [2.50]}}],
    }
}
IMAGE = {"image": {"format": "png", "source": {"bytes": "QUJDREVG"}}}
HOLOGRAM = {"hologram": {"of": "a cat", "depth": {"mm": 1.50}}}


def block_frames(index, start, *deltas):
    """The events of a block, as they come in a stream."""
    place = {"contentBlockIndex": index}
    return [
        frame("contentBlockStart", {"start": start, **place}),
        *(frame("contentBlockDelta", {"delta": delta, **place}) for delta in deltas),
        frame("contentBlockStop", place),
    ]


def with_other_kinds():
    """A stream of blocks of all kinds, with a retrieval behind them."""
    use = {k: v for k, v in SEARCH["toolUse"].items() if k != "input"}
    result = {k: v for k, v in FOUND["toolResult"].items() if k != "content"}
    own = {"toolUseId": "toolu_9", "name": "headroom_retrieve"}
    one, two = FOUND["toolResult"]["content"]
    return [
        frame("messageStart", {"role": "assistant"}),
        *block_frames(0, {"toolUse": use}, {"toolUse": {"input": '{"q": "x"}'}}),
        *block_frames(
            1, {"toolResult": result}, {"toolResult": [one]}, {"toolResult": [two]}
        ),
        *block_frames(
            2,
            {"image": {"format": "png"}},
            {"image": {"source": {"bytes": "QUJD"}}},
            {"image": {"source": {"bytes": "REVG"}}},
        ),
        *block_frames(
            3,
            {"hologram": {"of": "a "}},
            {"hologram": {"of": "cat", "depth": {}}},
            {"hologram": {"depth": {"mm": 1.50}}},
        ),
        *block_frames(4, {"toolUse": own}, {"toolUse": {"input": '{"hash": "h"}'}}),
        frame("messageStop", {"stopReason": "tool_use"}),
        frame("metadata", {"usage": {"outputTokens": 10, "totalTokens": 117}}),
    ]


def test_blocks_of_other_kinds_reach_the_client_as_they_came_and_the_model_whole():
    frames = with_other_kinds()
    made = drive([b"".join(frames), [text("c")]])
    assert made.out.startswith(b"".join(frames[:16]))
    assert b"headroom_retrieve" not in made.out
    content = json.loads(made.bodies[1])["messages"][1]["content"]
    assert content[:4] == [SEARCH, FOUND, IMAGE, HOLOGRAM]
    assert content[4]["toolUse"]["name"] == "headroom_retrieve"
    answered = json.loads(made.bodies[1])["messages"][2]["content"]
    assert [block["toolResult"]["toolUseId"] for block in answered] == ["toolu_9"]
    assert events_of(made.out)[-2] == ("messageStop", {"stopReason": "end_turn"})


def test_blocks_of_other_kinds_of_a_whole_answer_go_back_as_they_came():
    whole = answer([retrieval(1)])
    shown = [SEARCH, FOUND, IMAGE, HOLOGRAM]
    content = whole["output"]["message"]["content"]
    content[:0] = shown
    made = drive([whole, [text("c")]], is_stream=False)
    sent = json.loads(made.bodies[1])["messages"][1]["content"]
    assert sent == content
    seen = read(made.out, is_stream=False)["output"]["message"]["content"]
    assert seen == [*shown, {"text": "c"}]


@pytest.mark.parametrize(
    ("kind", "value"), [("hologram", {}), ("image", {"format": 1}), ("other", "a")]
)
def test_a_block_of_two_kinds_cannot_be_sent_back_and_that_is_told(kind, value):
    frames = converse_frames(answer([text("a b"), retrieval(1)]))
    new = {"delta": {kind: value}, "contentBlockIndex": 0}
    frames.insert(3, frame("contentBlockDelta", new))
    splicer = BedrockConverse().splicer(is_stream=True)
    assert kind.encode() in splicer.feed(b"".join(frames))
    splicer.end()
    splicer.answer(["x"])
    with pytest.raises(StreamError, match="unknown kind"):
        splicer.next_body(json.dumps(REQUEST).encode())


def test_input_that_is_no_json_asks_for_nothing():
    frames = converse_frames(answer([text("a b"), retrieval(1)]))
    bad = {"delta": {"toolUse": {"input": "{"}}, "contentBlockIndex": 1}
    frames.insert(-3, frame("contentBlockDelta", bad))
    made = drive([b"".join(frames), [text("c")]])
    use = json.loads(made.bodies[1])["messages"][1]["content"][1]["toolUse"]
    assert use["input"] == {}


def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer():
    half = json.dumps(answer([text("a\ud83c"), retrieval(1)])).encode()
    made = drive([half, answer([text("b\ud83c")])], is_stream=False)
    content = json.loads(made.out)["output"]["message"]["content"]
    assert content == [{"text": "a\ud83c"}, {"text": "b\ud83c"}]


@given(st.lists(st.binary(max_size=80), max_size=4), st.data())
def test_any_bytes_are_spliced_to_an_end(noise, data):
    frames = converse_frames(answer([text("a b"), retrieval(1)]))
    for piece in noise:
        frames.insert(data.draw(st.integers(0, len(frames))), piece)
    made = drive([b"".join(frames), [text("c")]])
    assert made.splicer.is_broken or made.out

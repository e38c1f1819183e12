"""What a client of Gemini gets when the proxy answers retrievals inside the answer."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.hidden import choose
from headroom.core.splice import splice
from headroom.providers.gemini.request import Gemini
from headroom.providers.rounds import MAX_ROUNDS
from scripted import TOOL, cuts
from scripted_gemini import (
    FORMS,
    GeminiDrive,
    call,
    chunk,
    events,
    framed,
    is_hidden,
    parts_of,
    retrieval,
    text,
    thought,
)

PROVIDER = Gemini()
BODY = {"contents": [{"role": "user", "parts": [{"text": "go on"}]}], "tools": []}
WORDS = st.text('ab \u2028é"\\{}[]:,0', min_size=1, max_size=30).filter(str.strip)
VISIBLE = st.one_of(WORDS.map(text), WORDS.map(thought))


@st.composite
def answers(draw):
    """Rounds that end with retrievals, then one that does not."""
    number = iter(range(1000))
    rounds = []
    for _ in range(draw(st.integers(0, MAX_ROUNDS))):
        parts = draw(st.lists(VISIBLE, max_size=2))
        for first in range(draw(st.integers(1, 2))):
            parts.append(retrieval(next(number), is_signed=first == 0))
        rounds.append(parts)
    last = draw(st.lists(VISIBLE, max_size=3))
    calls = [call(next(number)) for _ in range(draw(st.integers(0, 2)))]
    if calls and draw(st.booleans()):
        calls.insert(draw(st.integers(0, len(calls))), retrieval(next(number)))
    for position, part in enumerate(calls):
        if position:
            part.pop("thoughtSignature")
    rounds.append([*last, *(calls or [text("done")])])
    return rounds


def joined(parts, **more):
    return parts_of([chunk(parts, 0)], **more)


def bare(parts):
    """Parts without signatures, which the first visible call may have been lent."""
    return [
        {k: v for k, v in part.items() if k != "thoughtSignature"} for part in parts
    ]


@settings(max_examples=300, deadline=None)
@given(answers(), cuts(), st.sampled_from(FORMS), st.booleans())
def test_the_client_reads_one_answer_without_hidden_calls(rounds, cut, form, apart):
    drive = GeminiDrive(rounds, BODY, form, ends_apart=apart, cut=cut)
    found = drive.told()
    visible = [part for parts in rounds for part in parts if not is_hidden(part)]
    assert bare(parts_of(found)) == bare(joined(visible))
    assert not drive.splicer.is_broken
    assert TOOL.encode() not in drive.out
    reasons = [e["candidates"][0].get("finishReason") for e in found]
    assert reasons == [None] * (len(found) - 1) + ["STOP"]
    assert {event["responseId"] for event in found} == {"resp_0"}
    usage = found[-1]["usageMetadata"]
    assert usage["candidatesTokenCount"] == 10 * len(rounds)
    assert usage["thoughtsTokenCount"] == 3 * len(rounds)
    assert usage["promptTokenCount"] == 100 * len(rounds)
    assert usage["totalTokenCount"] == 113 * len(rounds)
    assert drive.splicer.usage["output_tokens"] == 13 * len(rounds)
    assert drive.splicer.usage["cache_read_input_tokens"] == 40 * len(rounds)


@settings(max_examples=200, deadline=None)
@given(st.lists(VISIBLE, min_size=1, max_size=4), cuts(), st.sampled_from(FORMS))
def test_an_answer_that_hides_nothing_is_the_providers_bytes(parts, cut, form):
    plain = GeminiDrive([parts], BODY, form)
    again = GeminiDrive([plain.data(parts, 0, is_stream=form == "sse")], BODY, form)
    assert GeminiDrive([parts], BODY, form, cut=cut).out == plain.out == again.out
    assert plain.out == plain.data(parts, 0, is_stream=form == "sse")
    assert plain.note == b""


@settings(max_examples=300, deadline=None)
@given(answers(), st.sampled_from(FORMS), st.booleans(), st.booleans(), st.booleans())
def test_the_provider_sees_again_what_it_said(rounds, form, apart, joins, keeps):
    """What is put back into the client's message is the conversation as it was."""
    drive = GeminiDrive(rounds, BODY, form, ends_apart=apart)
    parts = parts_of(drive.told(), joins=joins, keeps_thoughts=keeps)
    results = [
        {"functionResponse": {"name": "shell", "response": {"output": "out"}}}
        for part in parts
        if "functionCall" in part
    ]
    contents = [
        *BODY["contents"],
        {"role": "model", "parts": parts},
        {"role": "user", "parts": results or [{"text": "and now?"}]},
    ]
    view = PROVIDER.parse(json.dumps({**BODY, "contents": contents}).encode())
    if not drive.note:
        assert not any(is_hidden(part) for parts in rounds for part in parts)
        return
    _, placement = choose([drive.note], PROVIDER.anchors(view, 1), has_next=True)
    assert placement is not None
    sent = json.loads(splice(view.body, PROVIDER.hidden_edits(view, 1, placement)))
    said = json.loads(drive.bodies[-1])["contents"]
    known = merged(sent["contents"], joins=True)
    assert known[: len(said)] == merged(said, joins=True)
    assert calls_of(known) == [
        part["functionCall"]
        for parts in rounds
        for part in parts
        if part.get("functionCall")
    ]
    signed = [p for c in known for p in c["parts"] if "thoughtSignature" in p]
    assert signed == [p for parts in rounds for p in parts if "thoughtSignature" in p]
    for one, other in itertools.pairwise(known):
        wanted = [
            p["functionCall"]["name"] for p in one["parts"] if "functionCall" in p
        ]
        given_ = [
            p["functionResponse"]["name"]
            for p in other["parts"]
            if "functionResponse" in p
        ]
        assert sorted(wanted) == sorted(given_)


def merged(contents, *, joins):
    return [{**c, "parts": joined(c["parts"], joins=joins)} for c in contents]


def calls_of(contents):
    parts = [part for content in contents for part in content["parts"]]
    return [part["functionCall"] for part in parts if "functionCall" in part]


def test_a_client_that_keeps_events_apart_finds_no_certain_place():
    drive = GeminiDrive([[retrieval(1)], [text("words"), call(2)]], BODY)
    parts = parts_of(drive.told(), joins=False)
    contents = [{"role": "model", "parts": [part]} for part in parts]
    view = PROVIDER.parse(json.dumps({"contents": contents}).encode())
    found = choose([drive.note], PROVIDER.anchors(view, 0), has_next=True)
    assert found == (b"", None)


@pytest.mark.parametrize("form", FORMS)
def test_the_first_visible_call_is_lent_the_hidden_ones_signature(form):
    first = [retrieval(1), call(2, is_signed=False), call(3, is_signed=False)]
    drive = GeminiDrive([first], BODY, form)
    one, other = parts_of(drive.told())
    assert one["thoughtSignature"] == "sig1"
    assert "thoughtSignature" not in other


@pytest.mark.parametrize("args", [{"n": 1.0}, {"n": 1}])
def test_arguments_are_known_again_however_they_are_written(args):
    drive = GeminiDrive([[retrieval(0)], [call(1, is_signed=False)]], BODY)
    part = {"functionCall": {"id": "made up", "args": args, "name": "shell"}}
    contents = [{"role": "model", "parts": [part]}]
    view = PROVIDER.parse(json.dumps({"contents": contents}).encode())
    assert choose([drive.note], PROVIDER.anchors(view, 0), has_next=True)[1]


def test_other_arguments_are_another_answer():
    drive = GeminiDrive([[retrieval(0)], [call(1, is_signed=False)]], BODY)
    contents = [{"role": "model", "parts": [call(2, is_signed=False)]}]
    view = PROVIDER.parse(json.dumps({"contents": contents}).encode())
    assert choose([drive.note], PROVIDER.anchors(view, 0), has_next=True)[1] is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY"])
def test_a_call_in_an_answer_that_was_cut_off_is_left_out(form, reason):
    parts = [text("words"), retrieval(1)]
    if form == "whole":
        data = json.dumps(chunk(parts, 0, reason=reason, output=10)).encode()
    else:
        data = framed(events(parts, 0, reason=reason), form)
    drive = GeminiDrive([data], BODY, form)
    found = drive.told()
    assert parts_of(found) == [text("words")]
    assert found[-1]["candidates"][0]["finishReason"] == reason
    assert drive.note == b""


@pytest.mark.parametrize("form", FORMS)
def test_a_model_that_never_stops_asking_is_stopped(form):
    rounds = [[retrieval(n)] for n in range(MAX_ROUNDS + 3)]
    drive = GeminiDrive(rounds, BODY, form)
    assert len(drive.bodies) == MAX_ROUNDS + 2
    assert len(drive.looked_up) == MAX_ROUNDS
    assert drive.told()[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("form", FORMS)
def test_an_error_of_a_later_round_is_told_in_the_apis_shape(form):
    drive = GeminiDrive([[text("words"), retrieval(1)]], BODY, form)
    error = b'{\n "error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}\n}'
    told = b"".join(drive.pieces[:-1]) + drive.splicer.fail(error)
    told += drive.splicer.finish()
    if form == "whole":
        assert told == error
    else:
        assert json.loads(error) == told_last(told, form)
    assert drive.splicer.is_broken
    assert drive.splicer.hidden is None


def told_last(data, form):
    if form == "array":
        return json.loads(data)[-1]
    frames = [frame for frame in data.split(b"\r\n\r\n") if frame]
    return json.loads(frames[-1].removeprefix(b"data: "))


@pytest.mark.parametrize("form", ["sse", "array"])
def test_a_later_round_that_breaks_off_ends_with_an_error(form):
    whole = framed(events([text("more words"), call(2)], 1), form)
    drive = GeminiDrive([[retrieval(1)], whole[: len(whole) // 2]], BODY, form)
    assert drive.splicer.is_broken
    assert told_last(drive.out, form)["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("form", ["sse", "array"])
def test_an_error_inside_the_stream_passes_and_ends_it(form):
    error = {"error": {"code": 500, "message": "x", "status": "INTERNAL"}}
    data = framed([chunk([text("a")], 0), error], form)
    assert GeminiDrive([data], BODY, form).out == data
    later = GeminiDrive([[retrieval(1)], data], BODY, form)
    assert told_last(later.out, form) == error
    assert later.splicer.is_broken


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from(FORMS))
def test_any_bytes_pass_as_they_came(chunks, form):
    drive = GeminiDrive([b"".join(chunks)], BODY, form, cut=lambda _: chunks)
    if not drive.splicer.is_waiting:
        assert drive.out == b"".join(chunks)


CODE = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}


@pytest.mark.parametrize(
    ("echoed", "is_placed"),
    [(CODE, True), ({"executableCode": {"code": "print(2)"}}, False)],
)
def test_parts_of_other_kinds_keep_their_side_of_a_hidden_call(echoed, is_placed):
    drive = GeminiDrive([[CODE, retrieval(0)], [text("done")]], BODY)
    contents = [
        *BODY["contents"],
        {"role": "model", "parts": [echoed, text("done")]},
        {"role": "user", "parts": [text("go on")]},
    ]
    view = PROVIDER.parse(json.dumps({"contents": contents}).encode())
    _, placement = choose([drive.note], PROVIDER.anchors(view, 1), has_next=True)
    assert (placement is not None) is is_placed
    if placement is not None:
        sent = json.loads(splice(view.body, PROVIDER.hidden_edits(view, 1, placement)))
        first = sent["contents"][1]["parts"]
        assert first == [CODE, retrieval(0)]

"""The law of hidden exchanges: what comes back is what was said."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.client import read_stream
from headroom.core.hidden import Place, Placement, choose
from headroom.core.splice import splice
from headroom.errors import CompressionError, MalformedBodyError
from headroom.providers.anthropic import replay
from scripted import PROVIDER, TOOL, Drive, call, retrieval, text, thinking

MARK = {"type": "ephemeral"}
WORDS = st.text("abé \n", min_size=1, max_size=12).filter(str.strip)


def body(*messages, **members):
    return {"model": "claude-x", "messages": list(messages), **members}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def put_back(request, note, *, indent=None, index=1):
    """The messages as the provider gets them when the client resends the answer."""
    raw = (
        request
        if isinstance(request, bytes)
        else json.dumps(request, indent=indent).encode()
    )
    view = PROVIDER.parse(raw)
    has_next = index + 1 < len(view.messages)
    _, placement = choose([note], PROVIDER.anchors(view, index), has_next=has_next)
    if placement is None:
        return json.loads(raw)["messages"]
    edits = PROVIDER.hidden_edits(view, index, placement)
    return json.loads(splice(raw, edits))["messages"]


def unmarked(messages):
    return json.loads(json.dumps(messages), object_hook=_bare)


def _bare(value):
    return {key: value[key] for key in value if key != "cache_control"}


@st.composite
def answers(draw):
    number = iter(range(1000))
    visible = st.one_of(
        WORDS.map(text),
        st.integers(0, 10**6).map(lambda n: thinking(f"thought {n}")),
    )
    rounds = []
    for _ in range(draw(st.integers(0, 3))):
        blocks = draw(st.lists(visible, max_size=3, unique_by=str))
        blocks += [retrieval(next(number)) for _ in range(draw(st.integers(1, 2)))]
        rounds.append(draw(st.permutations(blocks)))
    last = draw(st.lists(visible, max_size=2, unique_by=str))
    last += [call(next(number), c="ls") for _ in range(draw(st.integers(0, 2)))]
    last = last or [text("done")]
    if any(block["type"] == "tool_use" for block in last):
        for _ in range(draw(st.integers(0, 2))):
            last.insert(draw(st.integers(0, len(last))), retrieval(next(number)))
    return [*rounds, last]


@settings(max_examples=500, deadline=None)
@given(answers(), st.booleans(), st.sampled_from([None, 1]), st.data())
def test_the_next_request_repeats_the_exchange_as_the_model_knows_it(
    rounds, is_stream, indent, data
):
    question = body(user([text("go on")]))
    drive = Drive(rounds, question, is_stream=is_stream)
    if is_stream:
        echo, problem = read_stream(drive.out)
        assert not problem
    else:
        echo = json.loads(drive.out)["content"]
    results = [
        {"type": "tool_result", "tool_use_id": b["id"], "content": "ok"}
        for b in echo
        if b["type"] == "tool_use"
    ]
    marked = data.draw(st.integers(-1, len(echo) - 1))
    resent = json.loads(json.dumps(echo))
    if marked >= 0:
        resent[marked]["cache_control"] = MARK
    after = user(results or "and now?")
    request = body(user([text("go on")]), assistant(resent), after)
    got = (
        put_back(request, drive.note, indent=indent)
        if drive.note
        else request["messages"]
    )
    known = json.loads(drive.bodies[-1])["messages"]
    final = list(rounds[len(drive.bodies) - 1])
    texts = [b["text"] for b in echo if b["type"] == "text"]
    squeezed = ["".join(t.split()) for t in texts]
    if len(set(squeezed)) == len(squeezed):
        hidden = [b["id"] for b in final if b.get("name") == TOOL]
        assert unmarked(got[: len(known) + 1]) == [*known, assistant(final)]
        answered = (
            [b["tool_use_id"] for b in got[-1]["content"][: len(hidden)]]
            if hidden
            else []
        )
        assert answered == hidden
        rest = got[-1]["content"][len(hidden) :] if hidden else got[-1]["content"]
        assert rest == after["content"]
    if marked >= 0:
        blocks = [b for m in got if m["role"] == "assistant" for b in m["content"]]
        where = [b for b in blocks if "cache_control" in b]
        assert unmarked(where) == [echo[marked]]


def note_of(rounds):
    return Drive(rounds, body(user("x"))).note


def test_a_hidden_exchange_before_everything_stands_before_a_string_too():
    note = note_of([[retrieval(1)], [text("done")]])
    got = put_back(body(user("x"), assistant("done"), user("y")), note)
    assert [m["role"] for m in got] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert got[3] == assistant("done")


def test_members_of_a_message_may_stand_in_any_order():
    note = note_of([[text("a"), retrieval(1)], [text("b"), retrieval(2)], [text("c")]])
    message = {"content": [text("a"), text("b"), text("c")], "role": "assistant"}
    got = put_back(body(user("x"), message, user("y")), note)
    assert [m["role"] for m in got] == ["user", "assistant"] * 3 + ["user"]
    blocks = [b for m in got if m["role"] == "assistant" for b in m["content"]]
    assert [b["type"] for b in blocks] == ["text", "tool_use"] * 2 + ["text"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("and?", [text("and?")]),
        ("", []),
        ([], []),
        ([text("and?")], [text("and?")]),
    ],
)
def test_results_come_first_in_the_next_message_whatever_its_content(content, expected):
    note = note_of([[retrieval(1), call(2)]])
    got = put_back(body(user("x"), assistant([call(2)]), user(content)), note)
    assert got[1]["content"] == [retrieval(1), call(2)]
    assert got[2]["content"][0]["tool_use_id"] == "toolu_1"
    assert got[2]["content"][1:] == expected


def test_a_call_whose_result_has_no_place_is_not_put_back():
    note = note_of([[retrieval(1), call(2)]])
    request = body(user("x"), assistant([call(2)]))
    assert put_back(request, note) == request["messages"]
    placement = Placement((Place(0, "call", b'{"h":1}'),), b'{"r":1}')
    view = PROVIDER.parse(json.dumps(request).encode())
    assert replay.hidden_edits(view, 1, placement) == []


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ([text("a")], Place(5, "call", b"{}")),
        ([text("a")], Place(1, "turn", b"{}")),
        ("a", Place(1, "call", b"{}")),
        ("a", Place(0, "call", b"{}")),
        ([], Place(0, "call", b"{}")),
    ],
)
def test_a_place_that_the_message_does_not_have_is_refused(content, place):
    request = body(user("x"), assistant(content), user("y"))
    view = PROVIDER.parse(json.dumps(request).encode())
    with pytest.raises(CompressionError):
        replay.hidden_edits(view, 1, Placement((place,)))


def test_a_continuation_changes_nothing_before_its_own_messages():
    raw = b'{ "messages" : [ {"role":"user","content":"x"} ] , "n": 1.50 }'
    out = replay.continue_body(raw, b'[{"a":1}]', [b'{"b":2}', b'{"c":3}'])
    assert out == (
        b'{ "messages" : [ {"role":"user","content":"x"} '
        b',{"role":"assistant","content":[{"a":1}]}'
        b',{"role":"user","content":[{"b":2},{"c":3}]}] , "n": 1.50 }'
    )
    with pytest.raises(MalformedBodyError):
        replay.continue_body(b'{"messages":1}', b"[]", [])


def test_thinking_comes_back_byte_for_byte():
    odd = {"type": "thinking", "thinking": '\u2028 é \\ "', "signature": "a/b+c=="}
    drive = Drive([[odd, retrieval(1)], [text("b")]], body(user("x")))
    sent = json.loads(drive.bodies[1])["messages"][1]["content"][0]
    assert sent == odd
    assert list(sent) == list(odd)


def test_results_are_cached_where_the_client_caches_its_newest_message():
    def last(*messages, **members):
        raw = json.dumps(body(*messages, **members)).encode()
        out = replay.continue_body(raw, b"[]", [b'{"b":2}', b'{"c":3}'])
        return json.loads(out)["messages"][-1]["content"]

    plain = [{"b": 2}, {"c": 3}]
    marked = [{"b": 2}, {"c": 3, "cache_control": MARK}]
    newest = user([{**text("x"), "cache_control": MARK}])
    system = [{**text("s"), "cache_control": MARK}]
    assert last(newest) == marked
    assert last(newest, system=system * 2) == marked
    assert last(newest, system=system * 3) == plain
    assert last(user("x"), system=system) == plain
    assert last(newest, assistant("a"), user("b")) == plain

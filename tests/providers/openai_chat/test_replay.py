"""Chat messages that come back and get their hidden exchanges again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.hidden import decode_placement
from headroom.core.plan import find_hidden
from headroom.core.splice import splice
from headroom.providers.openai_chat.replay import TextPlace
from headroom.providers.openai_chat.request import OpenAIChat
from scripted import TOOL, ChatDrive, call, completion, retrieval, text

PROVIDER = OpenAIChat()
QUESTION = {"role": "user", "content": "x"}
BODY = {"model": "gpt-5", "messages": [QUESTION]}


def entry(call_id, arguments="{}"):
    function = {"name": "bash", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def tool(call_id, content="ok"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def put_back(note, *messages):
    """The messages that leave when these come back; ``None``: nothing was certain."""
    body = {"model": "gpt-5", "messages": [QUESTION, *messages]}
    view = PROVIDER.parse(json.dumps(body).encode())
    placed = find_hidden(view, PROVIDER, 1, [note])
    if not placed:
        return None
    edits = PROVIDER.hidden_edits(view, 1, decode_placement(placed))
    return json.loads(splice(view.body, edits))["messages"][1:]


def said(content, *ids):
    message = {"role": "assistant", "content": content}
    return {**message, "tool_calls": [entry(i) for i in ids]} if ids else message


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("content", ["look  done", " look  done\n", "lookdone"])
def test_a_message_is_split_where_the_model_asked(content, is_stream):
    rounds = [[text("look "), retrieval(1), retrieval(2)], [text(" done")]]
    note = ChatDrive(rounds, BODY, is_stream=is_stream).note
    found = put_back(note, said(content), {"role": "user", "content": "y"})
    assert [m["role"] for m in found] == [
        "assistant",
        *["tool"] * 2,
        "assistant",
        "user",
    ]
    assert found[0]["content"].split() == ["look"]
    assert [c["function"]["name"] for c in found[0]["tool_calls"]] == [TOOL, TOOL]
    assert [m["tool_call_id"] for m in found[1:3]] == ["toolu_1", "toolu_2"]
    assert found[3]["content"].split() == ["done"]


def test_text_that_comes_back_as_it_was_is_split_as_it_was():
    rounds = [[text("look \n"), retrieval(1)], [text("\n done"), call(2, c="ls")]]
    drive = ChatDrive(rounds, BODY)
    found = put_back(drive.note, said("look \n\n done", "toolu_2"), tool("toolu_2"))
    assert found[:2] == json.loads(drive.bodies[1])["messages"][1:]
    assert found[2]["content"] == "\n done"


@pytest.mark.parametrize("content", ["", None])
def test_calls_tell_where_a_client_drops_words(content):
    rounds = [[text("look"), retrieval(1)], [call(2, c="ls")]]
    note = ChatDrive(rounds, BODY).note
    found = put_back(note, said(content, "toolu_2"), tool("toolu_2"))
    assert [m["role"] for m in found] == ["assistant", "tool", "assistant", "tool"]
    assert found[2] == said(content, "toolu_2")


def test_calls_tell_the_message_though_later_words_have_changed():
    rounds = [[text("look "), retrieval(1)], [text("<t>hm</t> done"), call(2, c="ls")]]
    note = ChatDrive(rounds, BODY).note
    found = put_back(note, said("look done", "toolu_2"), tool("toolu_2"))
    assert [m["content"] for m in found[:3:2]] == ["look ", "done"]
    assert put_back(note, said("see done", "toolu_2"), tool("toolu_2")) is None
    rounds = [[retrieval(1)], [text("<t>hm</t> done"), call(2, c="ls")]]
    note = ChatDrive(rounds, BODY).note
    found = put_back(note, said("done", "toolu_2"), tool("toolu_2"))
    assert found[2] == said("done", "toolu_2")


def test_parts_become_the_text_they_are():
    note = ChatDrive([[text("look"), retrieval(1)], [text("done")]], BODY).note
    parts = [text("loo"), text("kdone")]
    found = put_back(note, said(parts))
    assert [m["content"] for m in found if m["role"] == "assistant"] == ["look", "done"]


def test_calls_beside_the_clients_own_stand_where_they_stood():
    blocks = [text("a"), retrieval(1), call(2, c="ls"), retrieval(3)]
    note = ChatDrive([blocks], BODY).note
    found = put_back(note, said("a", "toolu_2"), tool("toolu_2"))
    ids = [c["id"] for c in found[0]["tool_calls"]]
    assert ids == ["toolu_1", "toolu_2", "toolu_3"]
    results = [m["tool_call_id"] for m in found[1:]]
    assert results == ["toolu_1", "toolu_3", "toolu_2"]
    assert put_back(note, said("a", "toolu_2")) is None


@pytest.mark.parametrize(
    "message",
    [
        said("another"),
        said("lookdone", "toolu_9"),
        said(""),
        said([{"type": "refusal", "refusal": "no"}]),
        {"role": "assistant"},
    ],
)
def test_nothing_is_put_into_a_message_that_is_not_certainly_the_same(message):
    note = ChatDrive([[text("look"), retrieval(1)], [text("done")]], BODY).note
    assert put_back(note, message, QUESTION) is None


def test_a_model_that_said_nothing_more_leaves_nothing_to_put_back():
    empty = completion([])
    note = ChatDrive([[text("look"), retrieval(1)], empty], BODY).note
    assert not note


def test_thoughts_are_split_where_the_client_sends_them():
    first = completion([text("look"), retrieval(1)])
    first["choices"][0]["message"]["reasoning_content"] = "hm "
    first["choices"][0]["message"]["reasoning_details"] = [{"type": "t", "data": "1"}]
    last = completion([text("done")])
    last["choices"][0]["message"]["reasoning_content"] = "so"
    note = ChatDrive([first, last], BODY, is_stream=False).note
    details = [{"data": "1", "type": "t"}, {"type": "t", "data": "2"}]
    echoed = {"reasoning_content": "hm so", "reasoning_details": details}
    found = put_back(note, {**said("lookdone"), **echoed}, QUESTION)
    assert found[0]["reasoning_content"] == "hm "
    assert found[0]["reasoning_details"] == [{"type": "t", "data": "1"}]
    assert found[2]["reasoning_content"] == "so"
    assert found[2]["reasoning_details"] == details[1:]
    bare = put_back(note, said("lookdone"), QUESTION)
    assert "reasoning_content" not in bare[0]
    odd = put_back(note, {**said("lookdone"), "reasoning_details": ["x"]}, QUESTION)
    assert odd[2]["reasoning_details"] == ["x"]


@given(st.text("ab \n\u3000é", max_size=12), st.text("ab \n\u3000é", max_size=12))
def test_a_place_is_found_whatever_white_space_is_trimmed(before, after):
    place = TextPlace.behind(before)
    whole = before + after
    assert place.find(whole) == len(before)
    for trimmed in (whole.strip(), whole.lstrip(), whole.replace(" ", "")):
        found = place.find(trimmed)
        assert trimmed[:found].split() == trimmed[:found].strip().split()
        assert "".join(trimmed[:found].split()) == "".join(before.split())

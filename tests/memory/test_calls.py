import json

import pytest

from headroom.core.memory_tools import NAMES
from headroom.core.types import ToolCall
from headroom.memory.calls import MAX_ANSWER_CHARS, answer
from headroom.memory.facts import MemoryConfig, Owner
from headroom.memory.store import MemoryStore

ANN = Owner("", "ann")


@pytest.fixture
def store(tmp_path):
    made = MemoryStore(tmp_path / "m", MemoryConfig(max_fact_bytes=500))
    yield made
    made.close()


def ask(store, name, owner=ANN, **arguments):
    return answer(store, owner, ToolCall("c1", name, json.dumps(arguments).encode()))


def test_a_fact_goes_through_all_five_tools(store):
    assert ask(store, "memory_save", content="port is 1").text == "Kept as [1]."
    assert ask(store, "memory_search", query="port").text == "[1] port is 1"
    assert ask(store, "memory_update", id=1, content="port is 2").outcome == "done"
    assert ask(store, "memory_list").text == "[1] port is 2"
    assert ask(store, "memory_delete", id=1).text == "Forgotten: [1]."
    found = ask(store, "memory_search", query="port")
    assert (found.text, found.outcome) == ("[nothing is kept about that]", "not_found")


def test_numbers_may_come_as_strings(store):
    ask(store, "memory_save", content="a")
    assert ask(store, "memory_delete", id="1").outcome == "done"
    assert ask(store, "memory_list", limit="3").outcome == "not_found"


def test_what_is_not_there_is_told(store):
    assert ask(store, "memory_update", id=5, content="x").outcome == "not_found"
    assert ask(store, "memory_delete", id=-1).outcome == "not_found"
    assert ask(store, "memory_delete", id=2**70).outcome in {"not_found", "bad_call"}


def test_what_cannot_be_kept_is_told_why(store):
    told = ask(store, "memory_save", content="x" * 501)
    assert told.outcome == "refused"
    assert "at most 500 bytes" in told.text
    assert ask(store, "memory_save").outcome == "refused"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{", b'{"id":[]}', b"\xff", b"[" * 9999, b'{"id":1.5}'],
)
def test_arguments_that_cannot_be_read_have_an_answer(store, name, data):
    told = answer(store, ANN, ToolCall("c", name, data))
    assert told.text
    assert told.outcome in {"bad_call", "refused", "not_found"}


def test_a_store_that_is_down_is_told_without_its_path(store, tmp_path):
    (tmp_path / "m").write_text("no folder")
    told = ask(store, "memory_save", content="x")
    assert told.outcome == "unavailable"
    assert str(tmp_path) not in told.text


def test_long_lists_are_cut_and_say_so(store):
    for number in range(60):
        ask(store, "memory_save", content=f"{number} " + "w" * 400)
    told = ask(store, "memory_list", limit=100)
    assert len(told.text) < MAX_ANSWER_CHARS + 100
    assert told.text.endswith("more: ask for fewer]")


def test_one_users_calls_never_reach_another(store):
    ask(store, "memory_save", content="heron")
    bob = Owner("", "bob")
    assert ask(store, "memory_search", bob, query="heron").outcome == "not_found"
    assert ask(store, "memory_delete", bob, id=1).outcome == "not_found"
    assert store.count(ANN) == 1

import json

import pytest

from headroom.errors import LimitExceededError
from headroom.memory.facts import Owner
from headroom.memory.store import MemoryStore
from headroom.memory.transfer import export, load

ANN, BOB = Owner("", "ann"), Owner("team", "bob")


def test_an_export_read_again_is_the_same_memory(tmp_path):
    one, other = MemoryStore(tmp_path / "one"), MemoryStore(tmp_path / "other")
    for number in range(1200):
        one.put(ANN, f"fact {number}")
    one.delete(ANN, 7)
    one.put(BOB, 'quotes " and\nlines')
    lines = list(export(one, one.owners()))
    assert load(other, lines, now=5) == 1200
    assert list(other.all(ANN)) == list(one.all(ANN))
    assert list(export(other, other.owners())) == lines
    assert load(other, lines, now=5) == 1200
    assert other.count(ANN) == 1199
    one.close()
    other.close()


def test_a_line_needs_its_words_alone(tmp_path):
    store = MemoryStore(tmp_path)
    assert load(store, [b'{"content":"x"}', b"\n"], now=5, owner=ANN) == 1
    (fact,) = store.newest(ANN)
    assert (fact.created, fact.updated) == (5, 5)
    store.close()


@pytest.mark.parametrize("line", [b"nonsense", b'{"content":1}', b"\xff"])
def test_a_line_that_cannot_be_read_is_named(tmp_path, line):
    store = MemoryStore(tmp_path)
    with pytest.raises(LimitExceededError, match="line 2"):
        load(store, [b'{"content":"x"}', line], now=5)
    store.close()


def test_an_export_is_one_object_a_line(tmp_path):
    store = MemoryStore(tmp_path)
    store.put(ANN, "é\n")
    (line,) = export(store, [ANN])
    assert line.endswith(b"\n")
    assert json.loads(line)["content"] == "é"
    store.close()

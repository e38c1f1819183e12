import pytest

from headroom.ccr.ledger import Ledger
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.hidden import NOTE_SLOTS, note_keys
from headroom.errors import StoreUnavailableError
from headroom.proxy.hidden_notes import HiddenNotes

KEY = b"k" * 16


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def ledger(store):
    made = Ledger(store)
    yield made
    made.close()


async def test_all_answers_to_one_request_are_kept(ledger):
    notes = HiddenNotes(ledger)
    for number in range(NOTE_SLOTS):
        assert await notes.remember(KEY, b"note %d" % number)
    found = await HiddenNotes(ledger).recall(note_keys("", KEY))
    assert sorted(found.values()) == sorted(b"note %d" % n for n in range(NOTE_SLOTS))
    assert not await notes.remember(KEY, b"one too many")
    assert notes.lost == 1


async def test_the_same_answer_is_kept_once(ledger):
    notes = HiddenNotes(ledger)
    for _ in range(3):
        assert await notes.remember(KEY, b"note")
    assert len(await notes.recall(note_keys("", KEY))) == 1


async def test_tenants_do_not_see_each_others_notes(ledger):
    await HiddenNotes(ledger, namespace="a").remember(KEY, b"note")
    other = HiddenNotes(ledger, namespace="b")
    assert await other.recall(note_keys("b", KEY)) == {}


async def test_a_store_that_is_down_leaves_what_is_in_memory(
    ledger, store, monkeypatch
):
    notes = HiddenNotes(ledger)
    await notes.remember(KEY, b"note")

    def down(*_):
        raise StoreUnavailableError("switched off by the test")

    for name in ("recall", "remember", "check"):
        monkeypatch.setattr(store, name, down)
    keys = note_keys("", KEY)
    assert await notes.recall(keys) == {keys[0]: b"note"}
    assert await HiddenNotes(ledger).recall(keys) == {}
    assert await HiddenNotes(ledger).remember(b"other", b"kept until it is back")


async def test_nothing_is_asked_where_nothing_can_be_hidden(ledger, store, monkeypatch):
    monkeypatch.setattr(store, "recall", None)
    assert await HiddenNotes(ledger).recall([]) == {}

"""Threads and their texts: in memory, on another worker, without a store."""

import pytest

from headroom.ccr.ledger import Ledger
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.digest import content_digest
from headroom.core.threads import Standing, Thread
from headroom.errors import StoreUnavailableError
from headroom.proxy.threads import Threads

TEXT = "line\n" * 100
DIGEST = content_digest(TEXT)
THREAD = Thread(
    b"k" * 16, results_total=1, standing=(Standing("1", DIGEST, "exec", DIGEST, 500),)
)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def ledger(store):
    made = Ledger(store)
    yield made
    made.close()


def settled(ledger):
    """Everything that was kept has been tried to be written."""
    ledger.remember({b"last": b""}).result(10)


async def test_what_was_kept_is_found_at_once_and_by_others_soon(ledger):
    threads = Threads(ledger)
    threads.keep("resp_1", THREAD, {DIGEST: TEXT})
    assert await threads.recall("resp_1") == THREAD
    assert threads.has_text(DIGEST)
    settled(ledger)
    other = Threads(ledger)
    assert await other.recall("resp_1") == THREAD
    assert not other.has_text(DIGEST)
    gone = content_digest("gone")
    assert await other.texts([DIGEST, gone]) == {DIGEST: TEXT}
    assert await threads.texts([DIGEST, gone]) == {DIGEST: TEXT}


async def test_tenants_do_not_see_each_others_threads_or_texts(ledger):
    Threads(ledger, namespace="a").keep("resp_1", THREAD, {DIGEST: TEXT})
    settled(ledger)
    other = Threads(ledger, namespace="b")
    assert await other.recall("resp_1") is None
    assert await other.texts([DIGEST]) == {}


async def test_without_an_answer_nothing_is_looked_up(ledger):
    assert await Threads(ledger).recall("") is None
    assert await Threads(ledger).texts([]) == {}


async def test_a_store_that_is_down_leaves_what_is_in_memory(
    ledger, store, monkeypatch
):
    def down(*_):
        raise StoreUnavailableError("switched off by the test")

    for name in ("recall", "remember", "get", "check"):
        monkeypatch.setattr(store, name, down)
    threads = Threads(ledger)
    threads.keep("resp_1", THREAD, {DIGEST: TEXT})
    settled(ledger)
    assert await threads.recall("resp_1") == THREAD
    assert await threads.texts([DIGEST]) == {DIGEST: TEXT}
    other = Threads(ledger)
    # Notes wait for the store; texts would take the room of decisions.
    assert await other.recall("resp_1") == THREAD
    assert await other.texts([DIGEST]) == {}
    assert await Threads(ledger).recall("resp_2") is None

"""Memory in front, group commit behind, and what happens when the store is down."""

import os
import signal
import threading
import time

import pytest

from headroom.ccr.contract import OPEN_S, TOUCH_S, StoreConfig
from headroom.ccr.ledger import Ledger
from headroom.ccr.stores.memory import MemoryStore
from headroom.ccr.stores.sqlite import SCHEMA, SqliteStore
from headroom.core.digest import chain_key, content_digest
from headroom.core.plan import BLOCK_LINEAGE
from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision, SlotEdit
from headroom.errors import (
    DamagedRecordError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from headroom.storage.sqlite_file import SqliteFile
from store_backends import Clock

OWN, OTHER = b"own lineage", b"other lineage"


def decision(replacement="short", *, text="text", lossy=False):
    edit = SlotEdit("0", content_digest(text), replacement, "made_up", "1", lossy)
    return Decision((edit,))


def name(key, lineage=OWN):
    return LedgerKey(chain_key(key.encode()), lineage)


class WatchedStore(MemoryStore):
    """Counts calls, and fails or waits when told to."""

    def __init__(self, *args):
        super().__init__(*args)
        self.loads = []
        self.saves = []
        self.tries = 0
        self.is_quick = False
        self.gate = threading.Event()
        self.gate.set()
        self.failure = None

    def scoped(self, namespace):
        scope = WatchedStore(StoreConfig(namespace=namespace), self._shelf)
        scope.failure = self.failure
        return scope

    def load(self, keys):
        self.loads.append(list(keys))
        self._fail()
        return super().load(keys)

    def save(self, records, originals):
        records = list(records)
        self.saves.append(records)
        self.gate.wait(10)
        self._fail()
        return super().save(records, originals)

    def try_save(self, records, originals):
        self.tries += 1
        self._fail()
        return super().save(records, originals) if self.is_quick else None

    def get(self, digest):
        self._fail()
        return super().get(digest)

    def recall(self, keys):
        self._fail()
        return super().recall(keys)

    def remember(self, notes):
        self._fail()
        return super().remember(notes)

    def check(self):
        self._fail()

    def _fail(self):
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def store():
    return WatchedStore()


@pytest.fixture
def ledger(store):
    made = Ledger(store, first_retry_s=0.02)
    yield made
    store.failure = None
    store.gate.set()
    made.close()


def go_down(store):
    store.failure = StoreUnavailableError("switched off by the test")


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_what_was_saved_is_answered_from_memory(ledger, store):
    assert ledger.save([(name("a"), decision())], {}).winners == {}
    found = ledger.lookup([name("a").key], OWN)
    assert [r.decision for r in found.records] == [decision()]
    assert found.is_complete
    assert store.loads == []


def test_unknown_keys_are_asked_for_again_each_time(ledger, store):
    for _ in range(2):
        assert ledger.lookup([name("a").key], OWN).records == []
    store.save([(name("a"), decision())], {})
    assert len(ledger.lookup([name("a").key], OWN).records) == 1
    assert len(store.loads) == 3


def test_only_unknown_keys_reach_the_store_and_in_one_call(ledger, store):
    ledger.save([(name("a"), decision())], {})
    ledger.lookup([name("a").key, name("b").key, name("c").key], OWN)
    assert store.loads == [[name("b").key, name("c").key]]


def test_another_lineage_asks_the_store_for_all_there_are(ledger, store):
    store.save([(name("a", OTHER), decision("first"))], {})
    ledger.save([(name("a"), decision("second"))], {})
    found = ledger.lookup([name("a").key], b"third lineage")
    assert [r.lineage for r in found.records] == [OTHER, OWN]
    assert len(store.loads) == 1
    again = ledger.lookup([name("a").key], OTHER)
    assert len(again.records) == 2
    assert len(store.loads) == 1


def test_block_records_are_enough_for_every_lineage(ledger, store):
    ledger.save([(name("a", BLOCK_LINEAGE), decision())], {})
    assert len(ledger.lookup([name("a").key], OWN).records) == 1
    assert store.loads == []


def test_the_winner_of_another_worker_is_told_and_remembered(ledger, store):
    store.save([(name("a"), decision("theirs"))], {})
    saved = ledger.save([(name("a"), decision("mine"))], {})
    assert saved.winners == {name("a"): decision("theirs")}
    found = ledger.lookup([name("a").key], OWN)
    assert [r.decision for r in found.records] == [decision("theirs")]


def test_saves_that_come_together_share_a_transaction(ledger, store):
    store.gate.clear()
    first = ledger.submit([(name("first"), decision())], {})
    wait_until(lambda: store.saves)
    rest = [
        ledger.submit([(name(f"k{i % 10}"), decision(f"by {i}"))], {})
        for i in range(30)
    ]
    store.gate.set()
    assert first.result().is_durable
    won = [future.result().winners for future in rest]
    assert len(store.saves) == 2
    assert [bool(w) for w in won] == [i >= 10 for i in range(30)]
    assert won[25] == {name("k5"): decision("by 5")}


def test_a_save_is_made_at_once_where_nothing_has_to_be_waited_for(ledger, store):
    store.is_quick = True
    future = ledger.submit([(name("a"), decision("mine"))], {})
    assert future.done()
    again = ledger.submit([(name("a"), decision("other"))], {})
    assert again.done()
    assert again.result().winners == {name("a"): decision("mine")}
    assert (store.tries, store.saves) == (2, [])


def test_large_originals_are_left_to_the_writer(ledger, store):
    store.is_quick = True
    text = "x" * 300_000
    assert ledger.save([], {content_digest(text): text}).is_durable
    assert (store.tries, len(store.saves)) == (0, 1)


def test_the_records_of_a_long_conversation_are_left_to_the_writer(ledger, store):
    store.is_quick = True
    records = [(name(f"message {n}"), decision()) for n in range(600)]
    assert ledger.save(records, {}).is_durable
    assert (store.tries, len(store.saves)) == (0, 1)
    assert ledger.save(records[:100], {}).is_durable
    assert (store.tries, len(store.saves)) == (1, 1)


def test_a_caller_that_gives_up_does_not_stop_the_writer(ledger, store):
    store.gate.clear()
    future = ledger.submit([(name("a"), decision())], {})
    assert not future.cancel()
    store.gate.set()
    assert ledger.save([(name("b"), decision())], {}).is_durable


def test_a_save_of_nothing_is_done_at_once(ledger, store):
    store.is_quick = True
    assert ledger.save([], {}).is_durable
    assert (store.tries, store.saves) == (0, [])


def test_what_cannot_be_encoded_fails_for_its_caller_alone(ledger):
    with pytest.raises(UnicodeEncodeError):
        ledger.submit([(name("a"), decision("\ud800"))], {})
    assert ledger.save([(name("b"), decision())], {}).is_durable


def test_originals_are_kept_by_namespace(ledger):
    digest = content_digest("secret")
    ledger.save([], {digest: "secret"}, namespace="one")
    assert ledger.get(digest, namespace="one") == "secret"
    with pytest.raises(OriginalNotFoundError):
        ledger.get(digest)


def test_notes_come_back(ledger):
    ledger.remember({b"k": b"v"}).result()
    assert ledger.recall([b"k", b"l"]) == {b"k": b"v"}


def test_a_store_that_is_down_leaves_what_memory_knows(ledger, store):
    ledger.save([(name("a"), decision())], {})
    go_down(store)
    known = ledger.lookup([name("a").key], OWN)
    assert known.is_complete
    partly = ledger.lookup([name("a").key, name("b").key], OWN)
    assert [r.key for r in partly.records] == [name("a").key]
    assert not partly.is_complete
    assert "switched off" in partly.error
    assert ledger.health()["status"] == "degraded"


def test_decisions_made_while_the_store_is_down_reach_it_when_it_is_back(ledger, store):
    go_down(store)
    saved = ledger.save([(name("a"), decision())], {})
    assert (saved.is_durable, saved.winners) == (False, {})
    assert "switched off" in saved.error
    again = ledger.save([(name("a"), decision("other"))], {})
    assert again.winners == {name("a"): decision()}
    assert ledger.lookup([name("a").key], OWN).is_complete
    assert ledger.health()["pending"] == 1
    store.failure = None
    wait_until(lambda: ledger.health()["status"] == "ok")
    assert [r.decision for r in store.load([name("a").key])] == [decision()]
    assert ledger.health()["pending"] == 0


def test_a_decision_that_waits_is_not_forgotten_over_what_others_wrote(ledger, store):
    """Another lineage's record under the same key is read before ours is written."""
    MemoryStore.save(store, [(name("a", OTHER), decision("theirs"))], {})
    ledger.lookup([name("a").key], OTHER)
    go_down(store)
    ledger.save([(name("a"), decision("mine"))], {})
    assert [r.lineage for r in ledger.lookup([name("a").key], OWN).records] == [
        OTHER,
        OWN,
    ]
    learned = MemoryStore.load(store, [name("a").key])
    ledger._recent.learn(learned, 0.0)
    found = ledger.lookup([name("a").key], OWN)
    assert found.is_complete
    assert found.records[-1].decision == decision("mine")


def test_after_an_outage_all_workers_hold_to_who_wrote_first(ledger, store):
    go_down(store)
    ledger.save([(name("a"), decision("mine"))], {})
    store.failure = None
    MemoryStore.save(store, [(name("a"), decision("theirs"))], {})
    wait_until(lambda: ledger.health()["status"] == "ok")
    (record,) = ledger.lookup([name("a").key], OWN).records
    assert record.decision == decision("theirs")


def test_a_read_failure_heals_without_any_traffic(ledger, store):
    go_down(store)
    ledger.lookup([name("a").key], OWN)
    assert ledger.health()["status"] == "degraded"
    store.failure = None
    wait_until(lambda: ledger.health()["status"] == "ok")


def test_a_store_that_failed_is_left_alone_for_a_while(store):
    clock = Clock(100.0)
    ledger = Ledger(store, clock=clock)
    go_down(store)
    for _ in range(5):
        assert not ledger.lookup([name("a").key], OWN).is_complete
    assert len(store.loads) == 1
    clock.advance(2)
    ledger.lookup([name("a").key], OWN)
    assert len(store.loads) >= 2
    store.failure = None
    ledger.close()


def test_fresh_originals_are_stored_before_anything_leaves_or_not_at_all(ledger, store):
    go_down(store)
    digest = content_digest("text")
    with pytest.raises(StoreUnavailableError, match="switched off"):
        ledger.save([(name("a"), decision(lossy=True))], {digest: "text"})
    assert ledger.lookup([name("a").key], OWN).records == []
    assert ledger.health()["pending"] == 0


def test_originals_that_were_sent_before_may_wait(ledger, store):
    go_down(store)
    digest = content_digest("text")
    saved = ledger.save(
        [(name("a"), decision(lossy=True))], {digest: "text"}, may_wait=True
    )
    assert not saved.is_durable
    assert ledger.get(digest) == "text"
    with pytest.raises(StoreUnavailableError):
        ledger.get("0" * 24)
    store.failure = None
    wait_until(lambda: ledger.health()["status"] == "ok")
    assert store.get(digest) == "text"


def test_notes_wait_for_the_store_too(ledger, store):
    go_down(store)
    assert not ledger.remember({b"k": b"v"}, namespace="t").result().is_durable
    assert ledger.recall([b"k"], namespace="t") == {b"k": b"v"}
    with pytest.raises(StoreUnavailableError):
        ledger.recall([b"other"])
    store.failure = None
    wait_until(lambda: ledger.health()["status"] == "ok")
    assert store.scoped("t").recall([b"k"]) == {b"k": b"v"}


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(store):
    ledger = Ledger(store, capacity_bytes=5_000, first_retry_s=30)
    go_down(store)
    for i in range(50):
        ledger.save([(name(str(i)), decision("x" * 100))], {})
    health = ledger.health()
    assert 0 < health["pending"] < 20
    assert health["pending"] + health["dropped"] == 50
    store.failure = None
    ledger.close()


def test_closing_writes_what_waits(store):
    ledger = Ledger(store, first_retry_s=30)
    go_down(store)
    ledger.save([(name("a"), decision())], {})
    store.failure = None
    ledger.close()
    assert store.saves[-1] == [(name("a"), decision())]
    with pytest.raises(StoreUnavailableError):
        ledger.save([(name("b"), decision())], {})


def test_a_damaged_record_is_no_outage(ledger, store):
    store.failure = DamagedRecordError("a flipped bit")
    found = ledger.lookup([name("a").key], OWN)
    assert not found.is_complete
    assert ledger.health()["status"] == "ok"


def test_a_damaged_record_hides_no_other(store):
    keys = [name(str(i)).key for i in range(9)]
    store.save([(name(str(i)), decision(str(i))) for i in range(9)], {})
    load = store.load

    def damaged(asked):
        if keys[5] in asked:
            raise DamagedRecordError("a flipped bit")
        return load(asked)

    store.load = damaged
    found = Ledger(store).lookup(keys, OWN)
    assert [record.key for record in found.records] == keys[:5] + keys[6:]
    assert (found.is_complete, found.error) == (False, "a flipped bit")


def test_what_comes_while_the_writer_dies_is_not_left_waiting(
    ledger, store, monkeypatch
):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    gate, save = threading.Event(), store.save

    def die(records, originals):
        gate.wait(10)
        store.save = save
        raise ZeroDivisionError

    store.save = die
    first = ledger.submit([(name("a"), decision())], {})
    second = ledger.submit([(name("b"), decision())], {"d" * 24: "x" * 9_000_000})
    third = ledger.submit([(name("c"), decision())], {})
    gate.set()
    with pytest.raises(StoreUnavailableError, match="the writer has stopped"):
        first.result(5)
    outcomes = [future.exception(5) for future in (second, third)]
    assert None in outcomes
    assert ledger.save([(name("e"), decision())], {}).is_durable


def test_a_process_that_was_forked_off_closes_its_ledger(ledger):
    ledger.save([(name("a"), decision())], {"d" * 24: "x" * 9_000_000})
    forked = os.fork()
    if not forked:
        signal.alarm(10)
        ledger.close(keeps_store=True)
        os._exit(7)
    _, status = os.waitpid(forked, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_memory_is_bounded_by_bytes_and_by_entries(store):
    ledger = Ledger(store, capacity_bytes=100_000, capacity_entries=50)
    for i in range(120):
        ledger.save([(name(str(i)), decision("x" * 10))], {})
    assert ledger.health()["recent_entries"] == 50
    for i in range(120):
        ledger.save([(name(f"big {i}"), decision("x" * 10_000))], {})
    assert ledger.health()["recent_bytes"] <= 100_000
    newest = ledger.lookup([name("big 119").key], OWN)
    oldest = ledger.lookup([name("0").key], OWN)
    assert len(newest.records) == len(oldest.records) == 1
    assert store.loads == [[name("0").key]]
    ledger.close()


@pytest.mark.parametrize("namespace", ["", "team"])
def test_a_conversation_answered_from_memory_stays_in_the_store(tmp_path, namespace):
    """Its records and the originals they need are in use, though never read there."""
    clock = Clock()
    config = StoreConfig(max_bytes=200_000, clock=clock)
    ledger = Ledger(
        SqliteStore(SqliteFile(tmp_path / "db", SCHEMA), config), clock=clock
    )
    digest = content_digest("needed " * 1000)
    ledger.save(
        [(name("open"), decision(lossy=True, text="needed " * 1000))],
        {digest: "needed " * 1000},
        namespace=namespace,
    )
    for i in range(40):
        clock.advance(TOUCH_S)
        found = ledger.lookup([name("open").key], OWN, namespace=namespace)
        assert len(found.records) == 1
        filler = f"{i} " * 5000
        ledger.save([], {content_digest(filler): filler})
        # The writer is done with what was queued before: time flies only in this test.
        ledger.remember({b"%d" % i: b""}).result()
    clock.advance(OPEN_S / 2)
    ledger.lookup([name("open").key], OWN, namespace=namespace)
    ledger.close()
    store = SqliteStore(SqliteFile(tmp_path / "db", SCHEMA), config)
    while store.purge():
        pass
    assert store.scoped(namespace).get(digest) == "needed " * 1000
    assert len(store.load([name("open").key])) == 1
    with pytest.raises(OriginalNotFoundError):
        store.get(content_digest("0 " * 5000))


def test_workers_with_ledgers_of_their_own_agree(tmp_path):
    stores = [SqliteStore(SqliteFile(tmp_path / "db", SCHEMA)) for _ in range(4)]
    ledgers = [Ledger(store) for store in stores]
    forwarded = [{} for _ in ledgers]
    barrier = threading.Barrier(len(ledgers))

    def work(number):
        barrier.wait()
        for i in range(100):
            mine = decision(f"by {number}")
            saved = ledgers[number].save([(name(str(i)), mine)], {})
            forwarded[number][i] = saved.winners.get(name(str(i)), mine)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in ledgers:
        ledger.close()
    assert all(one == forwarded[0] for one in forwarded)
    assert len(forwarded[0]) == 100

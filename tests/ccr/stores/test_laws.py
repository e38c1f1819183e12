"""What every store must do, whatever keeps its data."""

import hashlib
import threading

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headroom.ccr.contract import OPEN_S, TOUCH_S
from headroom.ccr.stores import open_store
from headroom.core.digest import chain_key, content_digest
from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision, SlotEdit
from headroom.errors import (
    ConfigError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from store_backends import KINDS, make_backend

DAY_S = 86_400.0


def edit(text, replacement, *, lossy=False):
    return SlotEdit(
        address="0",
        digest=content_digest(text),
        replacement=replacement,
        strategy="made_up",
        recipe="1",
        is_lossy=lossy,
    )


def key(name, lineage="own"):
    return LedgerKey(chain_key(name.encode()), chain_key(lineage.encode()))


def flat(records):
    return [(r.key, r.lineage, r.decision) for r in records]


LEFT = Decision()
SHORT = Decision((edit("a long text", "short"),))


def test_what_was_saved_is_loaded(store):
    assert store.save([(key("a"), SHORT), (key("b"), LEFT)], {}) == {}
    loaded = store.load([key("a").key, key("b").key, key("c").key])
    assert flat(loaded) == [(*_name("a"), SHORT), (*_name("b"), LEFT)]


def _name(name, lineage="own"):
    made = key(name, lineage)
    return made.key, made.lineage


def test_the_first_decision_wins_and_the_second_learns_of_it(store):
    store.save([(key("a"), SHORT)], {})
    assert store.save([(key("a"), LEFT), (key("b"), LEFT)], {}) == {key("a"): SHORT}
    assert flat(store.load([key("a").key])) == [(*_name("a"), SHORT)]


def test_within_one_batch_the_first_decision_wins_too(store):
    assert store.save([(key("a"), SHORT), (key("a"), LEFT)], {}) == {key("a"): SHORT}
    assert flat(store.load([key("a").key])) == [(*_name("a"), SHORT)]


def test_lineages_of_one_key_come_oldest_first(store):
    lineages = ["m", "z", "a", "k"]
    for lineage in lineages:
        store.save([(key("a", lineage), SHORT)], {})
    loaded = store.load([key("a").key])
    assert [r.lineage for r in loaded] == [chain_key(x.encode()) for x in lineages]


def test_loading_a_key_twice_gives_its_records_once(store):
    store.save([(key("a"), SHORT)], {})
    assert len(store.load([key("a").key] * 3)) == 1
    assert store.load([]) == []


def test_many_keys_are_loaded_at_once(store):
    names = [key(str(i)) for i in range(1500)]
    store.save([(name, LEFT) for name in names], {})
    assert {r.key for r in store.load([n.key for n in names])} == {n.key for n in names}


@pytest.mark.parametrize(
    "text", ["", "plain", "ü€𝄞\0\r\n", "lone \ud800", "x" * 300_000]
)
def test_originals_come_back_as_they_were(store, text):
    digest = content_digest(text)
    store.save([], {digest: text})
    assert store.get(digest) == text


@pytest.mark.parametrize(
    "digest", ["0" * 24, "", "0" * 12, "A" * 24, "0" * 25, "../" * 8, "é" * 24]
)
def test_a_hash_under_which_nothing_is_kept_is_not_found(store, digest):
    with pytest.raises(OriginalNotFoundError):
        store.get(digest)


def test_an_original_is_out_of_reach_of_other_namespaces(backend):
    one = backend.open(namespace="one")
    digest = content_digest("secret")
    one.save([], {digest: "secret"})
    for namespace in ("", "two", "one/x", "{one}", "on"):
        with pytest.raises(OriginalNotFoundError):
            one.scoped(namespace).get(digest)
    assert one.scoped("two").scoped("one").get(digest) == "secret"


def test_a_namespace_cannot_spell_the_key_of_another(store):
    digest = content_digest("secret")
    store.scoped("x/y").save([], {digest: "secret"})
    with pytest.raises(OriginalNotFoundError):
        store.scoped("x").get(f"y/{digest}")


def test_notes_are_kept_once(store):
    assert store.remember({b"k1": b"v1", b"k2": b""}) == {}
    assert store.remember({b"k1": b"other", b"k3": b"v3"}) == {b"k1": b"v1"}
    assert store.recall([b"k1", b"k2", b"k3", b"k4"]) == {
        b"k1": b"v1",
        b"k2": b"",
        b"k3": b"v3",
    }


def test_a_note_is_no_record_and_no_original(store):
    name = key("a")
    store.remember({name.key: b"note"})
    assert store.load([name.key]) == []
    store.save([(name, SHORT)], {})
    assert store.recall([name.key]) == {name.key: b"note"}


def test_what_is_kept_outlives_its_opener_unless_it_is_memory(backend):
    if not backend.survives:
        backend.open().save([(key("a"), SHORT)], {})
        assert backend.open().load([key("a").key]) == []
        return
    first = backend.open()
    first.save([(key("a"), SHORT)], {content_digest("t"): "t"})
    first.remember({b"n": b"v"})
    backend.close()
    second = backend.open()
    assert flat(second.load([key("a").key])) == [(*_name("a"), SHORT)]
    assert second.get(content_digest("t")) == "t"
    assert second.recall([b"n"]) == {b"n": b"v"}


def test_a_closed_store_says_so_or_reconnects(backend):
    store = backend.open()
    store.close()
    store.close()
    if backend.kind == "redis":
        store.check()
        return
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.load([b"k"])


def test_stores_tell_what_they_are(backend):
    stats = backend.open().stats()
    assert stats.kind == backend.kind
    assert stats.used_bytes >= 0


def test_threads_agree_on_one_winner(store):
    barrier = threading.Barrier(8)
    seen = []

    def race(number):
        mine = Decision((edit("text", f"by {number}"),))
        barrier.wait()
        winners = store.save([(key("a"), mine)], {})
        seen.append(winners.get(key("a"), mine))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (record,) = store.load([key("a").key])
    assert seen == [record.decision] * 8


def test_ten_thousand_originals_come_back_byte_for_byte(backend):
    store = backend.open()
    texts = [f"{i} " * (20 + i % 97) for i in range(10_000)]
    digests = [content_digest(text) for text in texts]
    for start in range(0, len(texts), 500):
        part = slice(start, start + 500)
        store.save([], dict(zip(digests[part], texts[part], strict=True)))
    if backend.survives:
        backend.close()
        store = backend.open()
    wanted = [hashlib.sha256(text.encode()).digest() for text in texts]
    got = [hashlib.sha256(store.get(d).encode()).digest() for d in digests]
    assert got == wanted


def purge_all(store):
    while store.purge():
        pass


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_what_expires_goes_though_it_came_after_what_is_still_used(kind, tmp_path):
    backend = make_backend(kind, tmp_path, None)
    store = backend.open(retention_s=DAY_S)
    store.save([(key("used"), SHORT), (key("unused"), SHORT)], {})
    for _ in range(4):
        backend.clock.advance(DAY_S / 2)
        store.load([key("used").key])
    purge_all(store)
    loaded = store.load([key("used").key, key("unused").key])
    assert flat(loaded) == [(*_name("used"), SHORT)]
    backend.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_above_the_cap_what_is_used_stays_and_the_rest_makes_room(kind, tmp_path):
    backend = make_backend(kind, tmp_path, None)
    store = backend.open(max_bytes=500_000)
    texts = [f"{i} ".ljust(20_000, "x") for i in range(60)]
    used = content_digest(texts[0])
    for text in texts:
        store.save([], {content_digest(text): text})
        backend.clock.advance(OPEN_S)
        assert store.get(used) == texts[0]
    purge_all(store)
    assert store.stats().used_bytes <= 500_000
    assert store.get(used) == texts[0]
    assert store.get(content_digest(texts[-1])) == texts[-1]
    with pytest.raises(OriginalNotFoundError):
        store.get(content_digest(texts[1]))
    backend.close()


@pytest.mark.parametrize(
    "url", ["", "memory", "mysql://x", "sqlite://host/x", "sqlite://", "sqlite:///"]
)
def test_an_url_that_names_no_store_is_an_error_at_start_up(url):
    with pytest.raises(ConfigError):
        open_store(url)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_record_that_wins_again_is_used_again(kind, tmp_path):
    backend = make_backend(kind, tmp_path, None)
    store = backend.open(retention_s=10 * DAY_S)
    name, decision = key("m", "one"), Decision((edit("t", "t", lossy=False),))
    store.save([(name, decision)], {})
    backend.clock.advance(12 * DAY_S)
    for _ in range(2):
        winners = store.save([(name, decision)], {})
    while store.purge():
        pass
    assert winners[name] == decision
    assert [r.decision for r in store.load([name.key])] == [decision]
    backend.close()


LINEAGES = st.sampled_from(["one", "two", "three"])
NAMES = st.sampled_from([f"m{i}" for i in range(6)])
TEXTS = st.one_of(st.sampled_from(["alpha", "beta"]), st.text(max_size=30))


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of calls, against a dictionary.

    What has not been used for longer than the retention may be gone, and is after
    purging; what was used within it never is.
    """

    backend = None
    retention_s = 10 * DAY_S

    @initialize()
    def start(self):
        self.backend = type(self).make()
        self.store = self.backend.open(retention_s=self.retention_s)
        self.values = {}
        self.used = {}

    def now(self):
        return self.backend.clock.now

    def may_be_gone(self, name):
        return self.now() - self.used[name] > self.retention_s

    def forget(self, name):
        del self.values[name]
        del self.used[name]

    def use(self, name):
        self.used[name] = self.now()

    @rule(
        batch=st.lists(
            st.tuples(NAMES, LINEAGES, TEXTS), max_size=4, unique_by=lambda e: e[:2]
        ),
        texts=st.lists(TEXTS, max_size=2),
    )
    def save(self, batch, texts):
        records = [
            (key(name, lineage), Decision((edit(text, text[:3], lossy=bool(text)),)))
            for name, lineage, text in batch
        ]
        originals = {content_digest(text): text for text in texts}
        winners = self.store.save(records, originals)
        for digest, text in originals.items():
            self.values[digest] = text
            self.use(digest)
        for name, decision in records:
            if name in self.values and name not in winners:
                assert self.may_be_gone(name), "a record is lost"
                self.forget(name)
            if name in winners:
                assert winners[name] == self.values[name]
            self.values.setdefault(name, decision)
            self.use(name)
        assert set(winners) <= {name for name, _ in records}

    @rule(names=st.lists(NAMES, min_size=1, max_size=6, unique=True))
    def load(self, names):
        loaded = {
            LedgerKey(r.key, r.lineage): r.decision
            for r in self.store.load([key(name).key for name in names])
        }
        keys = {key(name).key for name in names}
        for name in [n for n in self.values if isinstance(n, LedgerKey)]:
            if name.key not in keys:
                continue
            if name not in loaded:
                assert self.may_be_gone(name), "a record is lost"
                self.forget(name)
                continue
            assert loaded.pop(name) == self.values[name]
            self.use(name)
            for one in self.values[name].edits:
                if one.digest in self.used and not self.may_be_gone(one.digest):
                    self.use(one.digest)
        assert not loaded

    @rule(text=TEXTS)
    def get(self, text):
        digest = content_digest(text)
        try:
            found = self.store.get(digest)
        except OriginalNotFoundError:
            if digest in self.values:
                assert self.may_be_gone(digest), "an original is lost"
                self.forget(digest)
        else:
            assert found == text == self.values[digest]
            self.use(digest)

    @precondition(lambda self: self.backend and self.backend.has_moving_clock)
    @rule(seconds=st.sampled_from([1.0, TOUCH_S + 1, OPEN_S + 1, DAY_S, 6 * DAY_S]))
    def wait(self, seconds):
        self.backend.clock.advance(seconds)

    @precondition(lambda self: self.backend and self.backend.has_moving_clock)
    @rule()
    def purge(self):
        while self.store.purge():
            pass
        for name in list(self.used):
            if self.now() - self.used[name] > self.retention_s + 2 * TOUCH_S:
                self.forget(name)

    @precondition(lambda self: self.backend and self.backend.survives)
    @rule()
    def reopen(self):
        self.backend.close()
        self.store = self.backend.open(retention_s=self.retention_s)

    @invariant()
    def is_well(self):
        if self.backend is not None:
            self.store.check()

    def teardown(self):
        if self.backend is not None:
            self.backend.close()


@pytest.mark.parametrize("kind", KINDS)
def test_any_sequence_of_calls_behaves_like_a_dictionary(kind, tmp_path, request):
    server = request.getfixturevalue("redis_server") if kind == "redis" else None
    played = []

    def make():
        played.append(make_backend(kind, tmp_path, server))
        return played[-1]

    class Machine(StoreMachine):
        """Over one kind of store."""

    Machine.make = staticmethod(make)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert played

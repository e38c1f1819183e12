"""The ledger as the shell uses it: memory in front of a store, group commit behind.

Between the proxy's stages and a store. Lookups are answered from memory where that is
sound, and from the store for the rest. Saves of concurrent requests are written by one
thread in one transaction; each caller holds a future that is done when its batch is
durable.

What always holds: put-if-absent, so the caller forwards what ``Saved.winners`` says; a
store that is down never fails a request that needs nothing from it: what is known in
memory is still answered, decisions are kept in memory and written when the store is
back (CACHE_SAFETY rule 6), and ``health`` says so.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

import msgspec
from msgspec import Struct

from headroom.ccr.contract import ManagedStore
from headroom.ccr.encoding import encode_decision
from headroom.ccr.pending import Pending
from headroom.ccr.recent import RecentRecords
from headroom.core.protocols import LedgerKey, Record
from headroom.core.types import Decision, JsonValue
from headroom.errors import DamagedRecordError, StoreUnavailableError

DEFAULT_CAPACITY_BYTES = 64 * 1024 * 1024
DEFAULT_CAPACITY_ENTRIES = 100_000

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 15.0
"""How long a store that failed is left alone: doubled from the first to the last."""

_AT_ONCE_BYTES = 256 * 1024
"""Batches with larger originals are left to the writer: copying them takes a while."""

_AT_ONCE_RECORDS = 500
"""So are those with more records, of long conversations that began elsewhere."""

_AT_ONCE_BYTES_PER_SAVE = 20 * 1024
_MAINTAIN_EVERY_SAVES = 200
_MAINTAIN_EVERY_S = 60.0
"""Upkeep after saves made at once: a save without originals logs about 20 KB."""

_GROUP_JOBS = 64
_GROUP_BYTES = 8 * 1024 * 1024
"""At most so much goes into one transaction: more would make the first one wait."""


class Lookup(Struct, frozen=True):
    """What the ledger knows under some keys.

    Attributes:
        records: all records found; in every lineage for keys that were looked up in the
            store, else at least that of the lineage asked for.
        is_complete: the store answered, or was not needed; else a key without a record
            may have one, and decisions are made again (rule 6).
        error: why it is not complete.
    """

    records: list[Record]
    is_complete: bool = True
    error: str = ""


class Known(Struct, frozen=True):
    """What the ledger tells of a whole request.

    Attributes:
        records: of its messages and blocks.
        notes: about what the client did not see, by their keys.
        is_complete: all of it could be read.
    """

    records: list[Record]
    notes: Mapping[bytes, bytes]
    is_complete: bool


class Saved(Struct, frozen=True):
    """What became of a batch.

    Attributes:
        winners: decisions that were there already; they are what is forwarded.
        is_durable: the store has the batch; else memory has it, and the store gets it
            when it is back.
        error: why it is not durable.
    """

    winners: dict[LedgerKey, Decision]
    is_durable: bool = True
    error: str = ""


def _running() -> Future[Saved]:
    """A future that its holder cannot cancel: the batch is written all the same."""
    future: Future[Saved] = Future()
    future.set_running_or_notify_cancel()
    return future


class _Job(Struct):
    """One caller's batch on its way to the writer."""

    future: Future[Saved] = msgspec.field(default_factory=_running)
    namespace: str = ""
    records: list[tuple[LedgerKey, Decision]] = []
    originals: dict[str, str] = {}
    notes: dict[bytes, bytes] = {}
    touched: list[bytes] = []
    may_wait: bool = False
    is_upkeep: bool = False


def _has_work(job: _Job) -> bool:
    """Whether it has anything for the store; else it only wakes the writer."""
    return bool(
        job.records or job.originals or job.notes or job.touched or job.is_upkeep
    )


class Ledger:
    """Records, originals and notes of all namespaces, over one store; thread-safe."""

    def __init__(
        self,
        store: ManagedStore,
        *,
        capacity_bytes: int = DEFAULT_CAPACITY_BYTES,
        capacity_entries: int = DEFAULT_CAPACITY_ENTRIES,
        first_retry_s: float = FIRST_RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._first_retry_s = first_retry_s
        self._recent = RecentRecords(
            capacity_bytes=capacity_bytes, capacity_entries=capacity_entries
        )
        self._pending = Pending(capacity_bytes)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self._is_closed = False
        self._error = ""
        self._retry_s = 0.0
        self._down_until = 0.0
        self._is_committing = False
        self._saved_at_once = 0
        self._upkeep_at = clock()
        self._hits = 0
        self._misses = 0

    @property
    def is_remote(self) -> bool:
        """Calls that reach the store wait for a network."""
        return self._store.is_remote

    def peek(
        self, keys: Sequence[bytes], lineage: bytes, *, namespace: str = ""
    ) -> tuple[list[Record], list[bytes]]:
        """What memory knows, and the keys that only the store can answer; never waits.

        Args:
            keys: chain keys or block keys.
            lineage: the request's.
            namespace: the tenant's.
        """
        records, missing, stale = self._recent.find(keys, lineage, self._clock())
        if stale:
            self._send(_Job(namespace=namespace, touched=stale))
        self._hits += len(keys) - len(missing)
        self._misses += len(missing)
        return records, missing

    def lookup(
        self, keys: Sequence[bytes], lineage: bytes, *, namespace: str = ""
    ) -> Lookup:
        """All that is known under ``keys``, from memory and from the store.

        Args:
            keys: chain keys or block keys.
            lineage: the request's.
            namespace: the tenant's.
        """
        records, missing = self.peek(keys, lineage, namespace=namespace)
        if not missing:
            return Lookup(records)
        try:
            self._check_up()
            loaded, damage = _intact(self._scoped(namespace), missing)
        except StoreUnavailableError as error:
            self._note_failure(error)
            return Lookup(records, is_complete=False, error=str(error))
        self._recent.learn(loaded, self._clock())
        found = {record.key for record in loaded} if damage else set(missing)
        known = [record for record in records if record.key not in found]
        return Lookup(known + loaded, is_complete=not damage, error=damage)

    def submit(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
        *,
        namespace: str = "",
        may_wait: bool = False,
    ) -> Future[Saved]:
        """Write a batch: at once where that is quick, else together with others'.

        On return the future is done already if the store took the batch at once.

        Args:
            records: put-if-absent.
            originals: by content digest.
            namespace: whose originals they are.
            may_wait: if the store is down, originals too may be written later: they
                were sent before, and the request repeats what was forwarded then.

        Returns:
            A future of what became of it; it fails with ``StoreUnavailableError`` only
            if there are originals which may not wait, and then nothing is remembered.
        """
        batch = list(records)
        for _, decision in batch:
            # What cannot be encoded fails here, alone, not with others in one group.
            encode_decision(decision)
        job = _Job(
            namespace=namespace,
            records=batch,
            originals=dict(originals),
            may_wait=may_wait,
        )
        if not _has_work(job):
            # A transaction without anything in it would still keep others waiting.
            job.future.set_result(Saved({}))
        elif not self._save_at_once(job):
            self._send(job)
        return job.future

    def save(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
        *,
        namespace: str = "",
        may_wait: bool = False,
    ) -> Saved:
        """``submit`` and wait.

        Raises:
            StoreUnavailableError: originals that may not wait could not be stored.
        """
        future = self.submit(records, originals, namespace=namespace, may_wait=may_wait)
        return future.result()

    def get(self, digest: str, *, namespace: str = "") -> str:
        """The original kept under ``digest``; see ``Store.get`` for what it raises."""
        text = self._pending.original(namespace, digest)
        if text is not None:
            return text
        try:
            self._check_up()
            return self._scoped(namespace).get(digest)
        except StoreUnavailableError as error:
            self._note_failure(error)
            raise

    def remember(
        self,
        notes: Mapping[bytes, bytes],
        *,
        originals: Mapping[str, str] | None = None,
        namespace: str = "",
    ) -> Future[Saved]:
        """Keep small values, put-if-absent; written later if the store is down.

        Args:
            notes: the values.
            originals: texts that they name, by content digest; not kept if the store
                is down.
            namespace: the tenant's.
        """
        job = _Job(
            namespace=namespace,
            notes=dict(notes),
            originals=dict(originals or {}),
            may_wait=True,
        )
        self._send(job)
        return job.future

    def recall(
        self, keys: Sequence[bytes], *, namespace: str = ""
    ) -> dict[bytes, bytes]:
        """Values kept by ``remember``.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        found = self._pending.notes(namespace, keys)
        missing = [key for key in keys if key not in found]
        if missing:
            try:
                self._check_up()
                found |= self._scoped(namespace).recall(missing)
            except StoreUnavailableError as error:
                self._note_failure(error)
                raise
        return found

    def health(self) -> dict[str, JsonValue]:
        """Whether the store works, and what waits for it; never touches the store."""
        with self._lock:
            error = self._error
        return {
            "status": "degraded" if error else "ok",
            "error": error,
            "pending": len(self._pending),
            "dropped": self._pending.dropped,
            "recent_entries": len(self._recent),
            "recent_bytes": self._recent.used_bytes,
            "hits": self._hits,
            "misses": self._misses,
        }

    def close(self, *, keeps_store: bool = False) -> None:
        """Write what waits, stop the writer and, unless told otherwise, the store."""
        with self._lock:
            self._is_closed = True
            self._jobs.put(None)
        while (writer := self._writer) is not None:
            writer.join()
            if self._writer is writer:
                # It ended without a word: in a process that was forked off, there is
                # no other thread than the caller's.
                break
        if not keeps_store:
            self._store.close()

    def _save_at_once(self, job: _Job) -> bool:
        """Write a batch in the caller's thread if nothing has to be waited for."""
        if self._error or self._is_closed or self._is_committing:
            # Whoever overtook the writer again and again would keep it waiting.
            return False
        size = sum(map(len, job.originals.values()))
        if size > _AT_ONCE_BYTES or len(job.records) > _AT_ONCE_RECORDS:
            return False
        try:
            winners = self._scoped(job.namespace).try_save(job.records, job.originals)
        except StoreUnavailableError:
            # The writer meets the same trouble, and knows what to do about it.
            return False
        if winners is None:
            return False
        self._settle(job, winners)
        self._saved_at_once += 1 + size // _AT_ONCE_BYTES_PER_SAVE
        now = self._clock()
        is_time = not 0 <= now - self._upkeep_at < _MAINTAIN_EVERY_S
        if is_time or self._saved_at_once >= _MAINTAIN_EVERY_SAVES:
            self._saved_at_once, self._upkeep_at = 0, now
            self._send(_Job(is_upkeep=True))
        return True

    def _settle(self, job: _Job, winners: Mapping[LedgerKey, Decision]) -> None:
        lost = {
            name: winners[name]
            for name, decision in job.records
            if name in winners and winners[name] is not decision
        }
        settled = [(name, lost.get(name, d)) for name, d in job.records]
        self._recent.add(settled, self._clock())
        job.future.set_result(Saved(lost))

    def _send(self, job: _Job) -> None:
        with self._lock:
            if self._is_closed:
                job.future.set_exception(StoreUnavailableError("the ledger is closed"))
                return
            if self._writer is None or not self._writer.is_alive():
                self._begin_writer()
            self._jobs.put(job)

    def _write(self) -> None:
        """The writer's life; whatever ends it, what comes next is not left waiting."""
        try:
            self._write_on()
        finally:
            with self._lock:
                self._writer = None
                if not self._jobs.empty():
                    self._begin_writer()

    def _begin_writer(self) -> None:
        self._writer = threading.Thread(
            target=self._write, name="headroom-ledger", daemon=True
        )
        self._writer.start()

    def _write_on(self) -> None:
        """Gather what came in, commit it, heal what failed, until told to end."""
        is_last = False
        while not is_last:
            wait_s = (
                max(0.01, self._down_until - self._clock()) if self._error else None
            )
            group: list[_Job] = []
            size = 0
            try:
                job = self._jobs.get(timeout=wait_s)
                while job is not None:
                    group.append(job)
                    size += sum(map(len, job.originals.values()))
                    if len(group) >= _GROUP_JOBS or size >= _GROUP_BYTES:
                        break
                    job = self._jobs.get_nowait()
                is_last = job is None
            except Empty:
                pass
            try:
                self._heal(is_forced=is_last)
                self._commit(group)
            finally:
                self._is_committing = False
                stopped = StoreUnavailableError("the writer has stopped")
                for one in group:
                    if not one.future.done():
                        one.future.set_exception(stopped)

    def _commit(self, group: list[_Job]) -> None:
        for namespace in dict.fromkeys(job.namespace for job in group):
            mine = [job for job in group if job.namespace == namespace]
            if not any(map(_has_work, mine)):
                for job in mine:
                    job.future.set_result(Saved({}))
                continue
            self._is_committing = True
            try:
                self._check_up()
                winners = self._write_all(namespace, mine)
            except StoreUnavailableError as error:
                self._note_failure(error)
                for job in mine:
                    self._keep(job, error)
                continue
            self._note_success()
            for job in mine:
                self._settle(job, winners)
        self._is_committing = False
        if any(job.is_upkeep for job in group):
            try:
                self._check_up()
                self._store.maintain()
            except StoreUnavailableError as error:
                self._note_failure(error)

    def _write_all(
        self, namespace: str, jobs: Sequence[_Job]
    ) -> dict[LedgerKey, Decision]:
        """One transaction for the batches of several callers of one namespace."""
        store = self._scoped(namespace)
        records = [record for job in jobs for record in job.records]
        originals = {d: text for job in jobs for d, text in job.originals.items()}
        touched = [key for job in jobs for key in job.touched]
        notes: dict[bytes, bytes] = {}
        for job in jobs:
            for key, value in job.notes.items():
                notes.setdefault(key, value)
        if notes:
            store.remember(notes)
        if touched:
            # Read only to be marked as used; what is damaged shows when it is needed.
            with suppress(DamagedRecordError):
                store.load(touched)
        return store.save(records, originals) if records or originals else {}

    def _keep(self, job: _Job, error: StoreUnavailableError) -> None:
        """Remember a batch that the store did not take, as far as that is sound."""
        if job.originals and not job.may_wait:
            job.future.set_exception(error)
            return
        winners: dict[LedgerKey, Decision] = {}
        fresh: list[tuple[LedgerKey, Decision]] = []
        for name, decision in job.records:
            known = self._recent.decision(name)
            if known is None:
                fresh.append((name, decision))
            elif known is not decision:
                winners[name] = known
        self._recent.add(fresh, self._clock())
        # Texts beside notes can be missed; they would take the room of decisions.
        originals = job.originals if job.records else {}
        self._pending.keep(job.namespace, fresh, originals, job.notes)
        job.future.set_result(Saved(winners, is_durable=False, error=str(error)))

    def _heal(self, *, is_forced: bool) -> None:
        """Try the store again when it is due, and write what waits for it."""
        if not self._error or (not is_forced and self._clock() < self._down_until):
            return
        try:
            self._store.check()
            for batch in self._pending.batches():
                store = self._scoped(batch.namespace)
                winners = store.save(batch.records, batch.originals)
                if batch.notes:
                    store.remember(batch.notes)
                # Whoever wrote first while this process was alone is what holds.
                self._recent.add(winners.items(), self._clock())
                self._pending.done(batch)
        except StoreUnavailableError as error:
            self._note_failure(error, is_probe=True)
        else:
            self._note_success()

    def _check_up(self) -> None:
        if self._error and self._clock() < self._down_until:
            raise StoreUnavailableError(self._error)

    def _note_failure(
        self, error: StoreUnavailableError, *, is_probe: bool = False
    ) -> None:
        with self._lock:
            is_fresh = not self._error
            if is_fresh or is_probe or self._clock() >= self._down_until:
                self._retry_s = min(
                    LAST_RETRY_S, max(self._first_retry_s, 2 * self._retry_s)
                )
                self._down_until = self._clock() + self._retry_s
            self._error = str(error)
        if is_fresh:
            # Wakes the writer, which then looks after the store until it is back.
            self._send(_Job())

    def _note_success(self) -> None:
        with self._lock:
            if not len(self._pending):
                self._error = ""
                self._retry_s = 0.0

    def _scoped(self, namespace: str) -> ManagedStore:
        return self._store.scoped(namespace) if namespace else self._store


def _intact(store: ManagedStore, keys: Sequence[bytes]) -> tuple[list[Record], str]:
    """The records under some keys, and what is wrong with those that are damaged.

    One that cannot be read as it was written hides no other.

    Raises:
        StoreUnavailableError: the store cannot be read.
    """
    try:
        return store.load(keys), ""
    except DamagedRecordError as error:
        if len(keys) == 1:
            return [], str(error)
    middle = len(keys) // 2
    first, damage = _intact(store, keys[:middle])
    second, more = _intact(store, keys[middle:])
    return first + second, damage or more

"""Drives one ``Rewrite`` over a ledger: what is read when, and what if it cannot be.

Between who has a request (the proxy's stage, a ``Session``) and the core that decides.
Written once, as coroutines, for those who wait and those who must not: a ``Place`` says
where work is done and where the store is waited for. In ``HERE`` nothing is ever
awaited, so that ``at_once`` runs the same coroutine to its end like any function.

What always holds: the store is read and waited for by the place alone; what is written
is written before the body is handed back. Where nothing new is decided, reading and
writing may each fail alone: memory knows what the last request left (CACHE_SAFETY rule
6).
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from headroom.ccr.ledger import Known, Ledger
from headroom.core.attempts import attempted
from headroom.core.pipeline import compress_block
from headroom.core.plan import BLOCK_LINEAGE, Chain, make_chain
from headroom.core.protocols import LedgerKey, Provider, Record
from headroom.core.repeats import SourceMemo
from headroom.core.rewrite import Batch, Rewrite
from headroom.core.threads import NOTHING, Thread
from headroom.core.types import BlockOutcome, BlockTask, Decision, Policy, RequestView
from headroom.errors import OriginalNotFoundError, StoreUnavailableError
from headroom.inference.tokens import can_count, counter_for
from headroom.learning.recommendations import SKIP

_T = TypeVar("_T")

REFER_AT_ONCE_CHARS = 4_000
"""Comparing shorter blocks with earlier results is short work in bodies of any size."""

Guard: TypeAlias = Callable[[], AbstractContextManager[object, bool]]
"""Around what may fail alone: it notes any error and goes on behind."""


class Place(Protocol):
    """Where a request is worked on."""

    async def work(
        self, size_bytes: int, work: Callable[[], _T], *, is_apart: bool = False
    ) -> _T:
        """Do work of the processor's.

        Args:
            size_bytes: of what is worked on.
            work: what to do.
            is_apart: it may take so long that planning must not wait for it.
        """
        ...

    async def wait(self, work: Callable[[], _T]) -> _T:
        """Do what waits for a store or a file."""
        ...

    async def result(self, future: Future[_T]) -> _T:
        """What others are about to have done."""
        ...

    async def pause(self) -> None:
        """Let other requests go on; between pieces of short work, which add up."""
        ...

    async def compress(
        self, tasks: Sequence[BlockTask], policy: Policy
    ) -> Sequence[BlockOutcome]:
        """Outcomes of the tasks, in their order."""
        ...


class Notes(Protocol):
    """What clients did not see of their answers; what cannot be read is missing."""

    async def recall(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The notes under any of the keys."""
        ...

    def peek(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The notes that are in memory."""
        ...


class Threads(Protocol):
    """Where conversations go on that the provider keeps; see ``core.threads``."""

    async def recall(self, answer_id: str) -> Thread | None:
        """What is known behind an answer, an empty id being none."""
        ...

    async def texts(self, digests: Sequence[str]) -> Mapping[str, str]:
        """The texts that a thread names, as far as they can be found."""
        ...


class Request(Struct):
    """One request on its way.

    Attributes:
        guard: notes what fails alone.
        revise: changes what was planned before anything is compressed.
        is_lossless: nothing may be left out of what is new, whatever the policy says.
        known: what was read when the ledger could be.
    """

    view: RequestView
    provider: Provider
    policy: Policy
    auth_mode: str
    guard: Guard
    revise: Callable[[Rewrite], Awaitable[None]] | None = None
    is_lossless: bool = False
    known: Known | None = None


class Rewritten(Struct, frozen=True):
    """What became of a request.

    Attributes:
        rewrite: all about it.
        body: what it says to forward.
        originals: content digest → original, of what was left out for the first time.
        store_failures: how often the store failed it.
    """

    rewrite: Rewrite
    body: bytes
    originals: dict[str, str]
    store_failures: int


class Driver:
    """Drives the requests of one tenant.

    Args:
        ledger: of all tenants.
        place: where everything is done.
        notes: of the tenant.
        threads: of the tenant.
        memo: of sources, kept from request to request.
        namespace: the tenant's.
    """

    def __init__(
        self,
        ledger: Ledger,
        place: Place,
        notes: Notes,
        threads: Threads,
        memo: SourceMemo,
        *,
        namespace: str = "",
    ) -> None:
        self._ledger = ledger
        self._place = place
        self._notes = notes
        self._threads = threads
        self._memo = memo
        self._namespace = namespace

    async def rewrite(self, request: Request) -> Rewritten:
        """Have all of it decided and written that the request is to leave as."""
        try:
            return await self._rewrite(request)
        except StoreUnavailableError:
            # Nothing may be left out that is not stored; the rest is as it would be.
            request.is_lossless = True
        done = await self._rewrite(request)
        failures = done.store_failures + 1
        return msgspec.structs.replace(done, store_failures=failures)

    def remembered(
        self, view: RequestView, auth_mode: str
    ) -> tuple[Chain, list[Record]]:
        """A request's chain, and what memory knows under its keys; never waits."""
        chain = make_chain(view, namespace=self._namespace, auth_mode=auth_mode)
        return chain, self._peek(chain.keys, chain.lineage)

    def result_named(self, rewrite: Rewrite, name: str) -> str:
        """The text of a result that the model names; waits for the store.

        Args:
            rewrite: of the request that the model answers, after ``rewrite``.
            name: see ``repeats.Source``.

        Raises:
            OriginalNotFoundError: none that is known is called so.
            StoreError: as for ``Ledger.get``.
        """
        # What is sent again in full needs no store, which may be down or have lost it.
        text = rewrite.text_of(name, self._memo)
        if text is not None:
            return text
        digest = rewrite.digest_of(name)
        if digest is None:
            raise OriginalNotFoundError(f"no result is known as #{name}")
        return self._ledger.get(digest, namespace=self._namespace)

    async def _rewrite(self, request: Request) -> Rewritten:
        place, size = self._place, len(request.view.body)
        rewrite = await self._begin(request)
        known = await self._known(request, rewrite)
        await place.work(
            size,
            lambda: rewrite.plan(
                known.records, notes=known.notes, is_complete=known.is_complete
            ),
        )
        await self._compress(request, rewrite)
        batch = rewrite.settle()
        winners, is_durable = await self._save(
            request, rewrite, batch, is_late=not known.is_complete
        )
        if rewrite.is_contradicted(winners):
            # Their records are known by now, so that this happens once.
            return await self._rewrite(request)
        body = await place.work(size, lambda: rewrite.finish(winners))
        failures = int(not is_durable) + int(not known.is_complete)
        return Rewritten(rewrite, body, batch.originals, failures)

    async def _begin(self, request: Request) -> Rewrite:
        """The rewrite of a request, with what is known of what it goes on from."""
        view = request.view
        thread = await self._threads.recall(view.continues)
        if thread == NOTHING:
            view, thread = msgspec.structs.replace(view, continues=""), None
        return await self._place.work(
            len(view.body),
            lambda: Rewrite(
                view,
                request.provider,
                request.policy,
                namespace=self._namespace,
                auth_mode=request.auth_mode,
                thread=thread,
            ),
        )

    async def _known(self, request: Request, rewrite: Rewrite) -> Known:
        """What the ledger tells; memory alone where reading it must not fail again."""
        if request.policy.is_deciding:
            records, is_complete = await self._records(rewrite)
            notes = await self._notes.recall(rewrite.hidden_keys(records))
            known = Known(records, notes, is_complete)
            if request.is_lossless and request.known and not is_complete:
                # A moment ago it could be read: what is missing there is not known.
                return request.known
            request.known = known if is_complete else None
            return known
        found: tuple[list[Record], bool] | None = None
        with request.guard():
            found = await self._records(rewrite)
        records, is_complete = found or (
            self._peek(rewrite.keys, rewrite.chain.lineage), False
        )  # fmt: skip
        keys = rewrite.hidden_keys(records)
        notes = self._notes.peek(keys)
        with request.guard():
            notes = await self._notes.recall(keys)
        return Known(records, notes, is_complete)

    async def _records(self, rewrite: Rewrite) -> tuple[list[Record], bool]:
        """What the ledger knows; from memory alone wherever that is sound."""
        lineage = rewrite.chain.lineage
        records, is_complete = self._peek(rewrite.keys, lineage), True
        if rewrite.needs_store(records):
            records, is_complete = await self._lookup(rewrite.keys, lineage)
        orphans = await self._place.work(
            len(rewrite.view.body), lambda: rewrite.orphan_keys(records)
        )
        if orphans and is_complete:
            more, is_complete = await self._lookup(orphans, BLOCK_LINEAGE)
            records = records + more
        return records, is_complete

    def _peek(self, keys: Sequence[bytes], lineage: bytes) -> list[Record]:
        return self._ledger.peek(keys, lineage, namespace=self._namespace)[0]

    async def _lookup(
        self, keys: Sequence[bytes], lineage: bytes
    ) -> tuple[list[Record], bool]:
        found = await self._place.wait(
            lambda: self._ledger.lookup(keys, lineage, namespace=self._namespace)
        )
        return found.records, found.is_complete

    async def _compress(self, request: Request, rewrite: Rewrite) -> None:
        """Work out what becomes of what is seen for the first time."""
        place, memo, size = self._place, self._memo, len(rewrite.view.body)
        if request.is_lossless:
            rewrite.only_lossless()
        if request.revise is not None:
            await request.revise(rewrite)
        if missing := rewrite.missing_texts(memo):
            texts = await self._threads.texts(missing)
            chars = sum(map(len, texts.values()))
            await place.work(chars, lambda: rewrite.give(texts, memo), is_apart=True)
        for number, tasks in enumerate(rewrite.groups()):
            if number:
                await place.pause()
            count = counter_for(rewrite.view.model)
            if not can_count(rewrite.view.model):
                # A failure shows again with each block, where it fails alone.
                await place.wait(partial(attempted, partial(count, "")))
            longest = max(len(task.text) for task in tasks)
            heavy = size if longest > REFER_AT_ONCE_CHARS else 0
            rest = await place.work(
                heavy,
                partial(rewrite.refer, tasks, memo, count),
                is_apart=True,
            )
            rest = [i for i in rest if tasks[i].expects != SKIP]
            outcomes = await place.compress([tasks[i] for i in rest], rewrite.policy)
            made = dict(zip(rest, outcomes, strict=True))
            await place.work(heavy, partial(rewrite.add, made), is_apart=True)
            while again := rewrite.too_short():
                outcomes = await place.compress(list(again.values()), rewrite.policy)
                rewrite.instead(dict(zip(again, outcomes, strict=True)))

    async def _save(
        self, request: Request, rewrite: Rewrite, batch: Batch, *, is_late: bool
    ) -> tuple[Mapping[LedgerKey, Decision], bool]:
        """Write before anything leaves; what others had decided, and if it is kept."""
        if not (batch.records or batch.originals):
            return {}, True
        if request.policy.is_deciding or rewrite.is_beginning:
            # What a conversation begins with has to be known from then on.
            return await self._write(batch, is_late=is_late)
        with request.guard():
            return await self._write(batch, is_late=is_late)
        # Messages that are left need no record as soon as they have been answered.
        return {}, False

    async def _write(
        self, batch: Batch, *, is_late: bool
    ) -> tuple[Mapping[LedgerKey, Decision], bool]:
        future = self._ledger.submit(
            batch.records,
            batch.originals,
            namespace=self._namespace,
            may_wait=is_late,
        )
        is_done = future.done()
        saved = future.result() if is_done else await self._place.result(future)
        return saved.winners, saved.is_durable


def compress_tasks(tasks: Sequence[BlockTask], policy: Policy) -> list[BlockOutcome]:
    """Compress blocks one after the other; a pure function of its arguments."""
    return [compress_block(task, policy, counter_for(task.model)) for task in tasks]


class _Here:
    """The caller's own thread, which waits for everything."""

    async def work(
        self,
        size_bytes: int,  # noqa: ARG002 - the shape of a place
        work: Callable[[], _T],
        *,
        is_apart: bool = False,  # noqa: ARG002
    ) -> _T:
        return work()

    async def wait(self, work: Callable[[], _T]) -> _T:
        return work()

    async def result(self, future: Future[_T]) -> _T:
        return future.result()

    async def pause(self) -> None:
        return

    async def compress(
        self, tasks: Sequence[BlockTask], policy: Policy
    ) -> list[BlockOutcome]:
        return compress_tasks(tasks, policy)


HERE: Place = _Here()


def at_once(work: Coroutine[Any, Any, _T]) -> _T:  # whatever a loop would pass
    """What a coroutine comes to that awaits nothing but what ``HERE`` does."""
    try:
        work.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    work.close()
    raise RuntimeError("expected work that needs no event loop, found some that waits")

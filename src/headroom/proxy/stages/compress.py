"""The compressing stage: drives one ``Rewrite`` and does what it returns.

Gathers what the core needs (the ledger's records, the outcomes of blocks), stores what
the core says before anything leaves, and puts the body to forward on the exchange. It
holds no decisions. Work is done where it disturbs least: short parses on the loop, long
ones in a thread, compression wherever ``Compute`` puts it.

What always holds: whatever goes wrong here, the exchange still has a body to forward.
Where deciding about what is new fails, what was sent before is repeated and the rest
left (CACHE_SAFETY rule 6); only if that fails too does the body leave as it came, and
messages that had left otherwise are counted. Failures show in the report, the metrics
and ``health``.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Struct

from headroom.ccr.ledger import Known, Ledger
from headroom.core.own_tools import definitions
from headroom.core.plan import BLOCK_LINEAGE, make_chain
from headroom.core.protocols import LedgerKey, Provider, Record
from headroom.core.repeats import SourceMemo
from headroom.core.rewrite import Batch, Rewrite
from headroom.core.threads import NOTHING
from headroom.core.trail import change_of, trail_of
from headroom.core.types import Decision, JsonValue, Policy, RequestView
from headroom.errors import (
    MalformedBodyError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from headroom.inference.model_table import ModelTable
from headroom.inference.tokens import counter_for
from headroom.learning.recommendations import Recommendations
from headroom.providers import PROVIDERS
from headroom.providers.models import family_of
from headroom.proxy.compute import Compute
from headroom.proxy.current import Current
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.hidden_notes import HiddenNotes
from headroom.proxy.learner import Learner, is_skipped
from headroom.proxy.memories import Memories, make_memories
from headroom.proxy.prefix_watch import PrefixWatch
from headroom.proxy.telling import (
    describe,
    log_stabilised,
    session_id,
    tell_lost_tags,
)
from headroom.proxy.threads import Threads

log = logging.getLogger("headroom.proxy")

_T = TypeVar("_T")

ON_LOOP_BYTES = 24_000
"""A body up to this size is parsed and planned in well under a millisecond."""

REFER_ON_LOOP_BYTES = 4_000
"""Longer blocks are compared with earlier results in a thread."""

WATCHED_MESSAGES = 50_000
"""Messages whose forwarded form is remembered, to notice a change."""

MAX_TYPES = 100
"""Types of unknown items that are reported; who sends more makes them up."""

MAX_MODELS = 1000
MAX_MODEL_CHARS = 128
"""Unknown models that are reported, and the longest name that is one."""


class _Request(Struct):
    """One request on its way through the stage.

    Attributes:
        is_lossless: nothing may be left out of what is new, whatever the policy says.
        known: what was read when the ledger could be.
    """

    exchange: Exchange
    provider: Provider
    view: RequestView
    policy: Policy
    is_lossless: bool = False
    known: Known | None = None


class Guidance(Struct, frozen=True):
    """What a request is planned by, beside the ledger.

    Attributes:
        current: what the settings allow, and what each kind of credential leaves of it.
        models: what is known of models.
        learner: what was learned from earlier runs.
        memories: facts kept across conversations; ``None``: as the settings say.
    """

    current: Current
    models: ModelTable = ModelTable()
    learner: Learner = Learner(Recommendations(), None)
    memories: Memories | None = None


class CompressStage:
    """Compresses at first sight, repeats for ever after; one per server process."""

    name = "compress"

    def __init__(
        self,
        ledger: Ledger,
        guidance: Guidance,
        *,
        notes: HiddenNotes | None = None,
        namespace: str = "",
    ) -> None:
        self._current = guidance.current
        self._learner = guidance.learner
        self._memories = guidance.memories or make_memories(guidance.current)
        self._models = guidance.models
        self._reported_models: set[str] = set()
        self._ledger = ledger
        self._conversations = Threads(ledger, namespace=namespace)
        self._reported_types: set[str] = set()
        self._notes = notes or HiddenNotes(ledger, namespace=namespace)
        self._namespace = namespace
        self._compute = Compute()
        self._memo = SourceMemo()
        self._watch = PrefixWatch(WATCHED_MESSAGES)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="headroom-plan")
        # Apart, so that a huge result never keeps other requests from being read.
        self._referrers = ThreadPoolExecutor(1, thread_name_prefix="headroom-refer")

    async def on_request(self, exchange: Exchange) -> None:
        """Compress what is new in the request, repeat what was sent before."""
        self._compute.warm()
        provider = PROVIDERS[exchange.route.provider]
        view = await self._read(exchange, provider)
        if view is None:
            return
        with Guard(exchange, self.name) as deciding:
            await self._decide(exchange, provider, view)
        if deciding.has_failed:
            await self._repeat(exchange, provider, view)

    async def _read(self, exchange: Exchange, provider: Provider) -> RequestView | None:
        """The body as its provider reads it; ``None`` if nothing is done with it."""
        body, path = exchange.received_body, exchange.route.path
        try:
            view = await self._run(len(body), provider.parse, body, path)
        except MalformedBodyError as error:
            exchange.pass_through(error.reason)
            return None
        if not exchange.answers_retrievals:
            view = msgspec.structs.replace(view, may_add_tool=False)
        if exchange.user_id:
            view = msgspec.structs.replace(view, user=exchange.user_id)
        exchange.model = view.model
        self._report(exchange, view)
        if view.conversation:
            # Others may add to it, and what stands before cannot be known.
            exchange.pass_through("conversation_state")
            return None
        is_blank = not (view.messages or view.tool_names or view.continues)
        if not view.messages and (is_blank or not view.is_threaded):
            exchange.decision, exchange.reason = "no_change", "no_messages"
            if view.is_threaded and view.is_prewarm:
                # It only prepares what comes: a conversation that begins behind it.
                exchange.on_reply = lambda reply: self._conversations.keep(
                    reply.id, NOTHING, {}
                )
            return None
        return view

    async def _decide(
        self, exchange: Exchange, provider: Provider, view: RequestView
    ) -> None:
        """Forward the request as it is to be."""
        await self._report_model(exchange, view.model)
        request = _Request(exchange, provider, view, self._policy(exchange, view))
        try:
            await self._rewrite(request)
        except StoreUnavailableError:
            # Nothing may be left out that is not stored; the rest is as it would be.
            request.is_lossless = True
            await self._rewrite(request)
            exchange.store_failures += 1

    async def _repeat(
        self, exchange: Exchange, provider: Provider, view: RequestView
    ) -> None:
        """Forward what was sent before as it was; what is new, as it came.

        If that fails too, the body leaves as it came.
        """
        exchange.memory = {}
        with Guard(exchange, self.name) as repeating:
            policy = msgspec.structs.replace(
                self._policy(exchange, view), is_deciding=False
            )
            await self._rewrite(_Request(exchange, provider, view, policy))
            exchange.reason = "failed_open"
        if repeating.has_failed:
            exchange.pass_through("failed_open")
            exchange.prefix_breaks = self._breaks_of_original(exchange, view)

    def _breaks_of_original(self, exchange: Exchange, view: RequestView) -> int:
        """How many messages left otherwise before than they stand in the body."""
        chain = make_chain(
            view, namespace=self._namespace, auth_mode=exchange.auth_mode
        )
        records, _ = self._ledger.peek(
            chain.keys, chain.lineage, namespace=self._namespace
        )
        return self._watch.breaks(chain, [b""] * len(chain.keys), records)

    def _policy(self, exchange: Exchange, view: RequestView) -> Policy:
        """What the settings and the credential allow for a request."""
        allowed, base = self._current[exchange.auth_mode], self._current.policy
        policy = msgspec.structs.replace(
            base if allowed.compresses else _leaving(base),
            cache_minimum_tokens=self._models.rules(
                view.model, view.api
            ).minimum_tokens,
            allow_lossy=base.allow_lossy
            and allowed.compresses
            and allowed.allows_lossy,
            stabilisers=base.stabilisers if allowed.stabilises else (),
            asks_by_number=exchange.answers_retrievals,
        )
        policy = self._memories.policy(policy, allowed)
        return policy if exchange.narrow is None else exchange.narrow(policy)

    def _report(self, exchange: Exchange, view: RequestView) -> None:
        """Log what is worth knowing of a request; unknown types once each."""
        request = {"request_id": exchange.request_id}
        for warning in view.warnings:
            log.warning(warning, extra=request)
        for kind in view.unknown_types:
            if kind in self._reported_types or len(self._reported_types) >= MAX_TYPES:
                continue
            self._reported_types.add(kind)
            extra = {**request, "item_type": kind[:80]}
            log.warning("unknown_responses_item_type", extra=extra)
        if view.conversation:
            exchange.conversation = view.conversation[:80]
            extra = {**request, "conversation_id": exchange.conversation}
            log.warning("conversation_id_present", extra=extra)

    async def _report_model(self, exchange: Exchange, model: str) -> None:
        """Log a model that no table lists, once; careful defaults hold for it."""
        reported = self._reported_models
        if family_of(model) != "other" or model in reported or not model:
            return
        if len(reported) >= MAX_MODELS or len(model) > MAX_MODEL_CHARS:
            return
        reported.add(model)
        # The first look into the data package takes a fraction of a second.
        row = await asyncio.to_thread(self._models.row, model)
        if not row.is_known:
            extra = {"request_id": exchange.request_id, "model": model}
            log.warning("model_unknown", extra=extra)

    def on_response(
        self,
        exchange: Exchange,  # noqa: ARG002 - the shape of a stage
        chunks: AsyncIterator[bytes],  # noqa: ARG002
    ) -> AsyncIterator[bytes] | None:
        """Responses pass as they are."""
        return None

    async def on_end(self, exchange: Exchange) -> None:
        """Count what was asked back."""
        self._learner.observe_retrievals(exchange)

    async def start(self) -> None:
        """Workers are started on first need."""

    async def close(self) -> None:
        """Stop the workers."""
        self._compute.close()
        await asyncio.to_thread(self._learner.close)
        await asyncio.to_thread(self._memories.close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._referrers.shutdown(wait=False, cancel_futures=True)

    def health(self) -> dict[str, JsonValue]:
        """The ledger's health, and how often the compressing process failed."""
        found = self._ledger.health()
        return {
            "ok": found["status"] == "ok",
            **found,
            "compute_failures": self._compute.failures,
            "memory": self._memories.health(),
        }

    async def _rewrite(self, request: _Request) -> None:
        exchange, size = request.exchange, len(request.view.body)
        rewrite = await self._begin(request)
        known = await self._known(request, rewrite)
        await self._run(
            size,
            lambda: rewrite.plan(
                known.records, notes=known.notes, is_complete=known.is_complete
            ),
        )
        await self._compress(request, rewrite)
        winners, error = await self._save(
            request, rewrite, is_late=not known.is_complete
        )
        if rewrite.is_contradicted(winners):
            # Their records are known by now, so that this happens once.
            await self._rewrite(request)
            return
        forwarded = await self._run(size, rewrite.finish, winners)
        await self._forward(exchange, rewrite, forwarded)
        exchange.store_failures = int(bool(error)) + int(not known.is_complete)
        with Guard(exchange, self.name):
            # Whatever cannot be told, the request leaves as its records say.
            await self._tell(request, rewrite, forwarded)

    async def _known(self, request: _Request, rewrite: Rewrite) -> Known:
        """What the ledger tells; memory alone where reading it must not fail again."""
        exchange, size = request.exchange, len(request.view.body)
        if request.policy.is_deciding:
            records, is_complete = await self._records(rewrite, size)
            notes = await self._notes.recall(rewrite.hidden_keys(records))
            known = Known(records, notes, is_complete)
            if request.is_lossless and request.known and not is_complete:
                # A moment ago it could be read: what is missing there is not known.
                return request.known
            request.known = known if is_complete else None
            return known
        records, _ = self._ledger.peek(
            rewrite.keys, rewrite.chain.lineage, namespace=self._namespace
        )
        is_complete = False
        with Guard(exchange, self.name):
            records, is_complete = await self._records(rewrite, size)
        keys = rewrite.hidden_keys(records)
        notes = self._notes.peek(keys)
        with Guard(exchange, self.name):
            notes = await self._notes.recall(keys)
        return Known(records, notes, is_complete)

    async def _compress(self, request: _Request, rewrite: Rewrite) -> None:
        """Work out what becomes of what is seen for the first time."""
        exchange, mode, size = (
            request.exchange, request.exchange.auth_mode, len(rewrite.view.body)
        )  # fmt: skip
        if request.is_lossless:
            rewrite.only_lossless()
        # What cannot be recorded now could not be repeated by another worker.
        if rewrite.question and self._ledger.health()["status"] == "ok":
            recall = self._memories.search_and_format_context
            rewrite.append(await recall(exchange, rewrite.question))
        await self._run(
            size, rewrite.revise, lambda task: self._learner.advised(task, mode)
        )
        await self._read_kept(rewrite)
        for tasks in rewrite.groups():
            count = counter_for(rewrite.view.model)
            longest = max(len(task.text) for task in tasks)
            heavy = size if longest > REFER_ON_LOOP_BYTES else 0
            rest = await self._run(
                heavy, rewrite.refer, tasks, self._memo, count, threads=self._referrers
            )
            rest = [i for i in rest if not is_skipped(tasks[i])]
            outcomes = await self._compute.run([tasks[i] for i in rest], rewrite.policy)
            found = dict(zip(rest, outcomes, strict=True))
            await self._run(heavy, rewrite.add, found, threads=self._referrers)

    async def _forward(
        self, exchange: Exchange, rewrite: Rewrite, forwarded: bytes
    ) -> None:
        """Put the body on the exchange, and what its answer will need."""
        own_tools = rewrite.own_tools
        for reason in rewrite.reasons:
            exchange.replace_body(forwarded, reason)
        exchange.view, exchange.own_tools = rewrite.view, own_tools
        if own_tools:
            exchange.result_named = partial(self._result_named, rewrite)
        exchange.chain_key = rewrite.keys[-1] if rewrite.keys else rewrite.chain.end
        if not rewrite.view.is_threaded:
            return
        texts: dict[str, str] = {}
        exchange.on_reply = lambda reply: self._conversations.keep(
            reply.id, rewrite.thread_after(reply, exchange.hidden_results), texts
        )
        with Guard(exchange, self.name):
            texts |= await self._run(
                len(rewrite.view.body),
                rewrite.note_results,
                self._memo,
                self._conversations.has_text,
            )

    def _result_named(self, rewrite: Rewrite, name: str) -> str:
        """The text of a result that the model names as references do.

        Raises:
            OriginalNotFoundError: none that is known is called so.
            StoreError: as for ``Ledger.get``.
        """
        digest = rewrite.numbered.get(name)
        if digest is not None:
            return self._ledger.get(digest, namespace=self._namespace)
        text = rewrite.text_of(name, self._memo)
        if text is None:
            raise OriginalNotFoundError(f"no result is known as #{name}")
        return text

    async def _tell(
        self, request: _Request, rewrite: Rewrite, forwarded: bytes
    ) -> None:
        """Put on the exchange and into the log what was done."""
        exchange, view = request.exchange, rewrite.view
        for failed in rewrite.failures:
            exchange.fail(self.name, failed.error)
        log_stabilised(exchange, rewrite.reasons)
        changes = [change_of(rewrite.decisions[n]) for n in range(len(rewrite.keys))]
        exchange.prefix_breaks = self._watch.breaks(
            rewrite.chain, changes, rewrite.records, rewrite.lost
        )
        exchange.trail = trail_of(view, changes, rewrite.front)
        exchange.session_id = exchange.session_id or session_id(view, rewrite)
        self._report_memory(exchange, rewrite)
        describe(exchange, rewrite, forwarded)
        tell_lost_tags(exchange)
        await self._run(
            len(view.body),
            self._learner.observe,
            rewrite.results(),
            exchange.auth_mode,
        )

    async def _begin(self, request: _Request) -> Rewrite:
        """The rewrite of a request, with what is known of what it goes on from."""
        view = request.view
        thread = await self._conversations.recall(view.continues)
        if thread == NOTHING:
            view, thread = msgspec.structs.replace(view, continues=""), None
        return await self._run(
            len(view.body),
            lambda: Rewrite(
                view,
                request.provider,
                request.policy,
                namespace=self._namespace,
                auth_mode=request.exchange.auth_mode,
                thread=thread,
            ),
        )

    def _report_memory(self, exchange: Exchange, rewrite: Rewrite) -> None:
        tools = rewrite.more_tools
        self._memories.report(
            exchange,
            tools,
            is_first=rewrite.is_first,
            size=len(definitions(rewrite.view.api, tools)),
        )

    async def _read_kept(self, rewrite: Rewrite) -> None:
        """Read what the provider keeps, as far as it may be referred to."""
        if missing := rewrite.missing_texts(self._memo):
            texts = await self._conversations.texts(missing)
            chars = sum(map(len, texts.values()))
            await self._run(
                chars, rewrite.give, texts, self._memo, threads=self._referrers
            )

    async def _records(
        self, rewrite: Rewrite, size_bytes: int
    ) -> tuple[list[Record], bool]:
        """What the ledger knows; from memory alone wherever that is sound."""
        lineage = rewrite.chain.lineage
        records, _ = self._ledger.peek(rewrite.keys, lineage, namespace=self._namespace)
        is_complete = True
        if rewrite.needs_store(records):
            records, is_complete = await self._lookup(rewrite.keys, lineage)
        orphans = await self._run(size_bytes, rewrite.orphan_keys, records)
        if orphans and is_complete:
            more, is_complete = await self._lookup(orphans, BLOCK_LINEAGE)
            records = records + more
        return records, is_complete

    async def _lookup(
        self, keys: Sequence[bytes], lineage: bytes
    ) -> tuple[list[Record], bool]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads,
            lambda: self._ledger.lookup(keys, lineage, namespace=self._namespace),
        )
        return found.records, found.is_complete

    async def _save(
        self, request: _Request, rewrite: Rewrite, *, is_late: bool
    ) -> tuple[Mapping[LedgerKey, Decision], str]:
        """Write before anything leaves; returns the winners and what went wrong."""
        batch = rewrite.settle()
        if not batch.records:
            return {}, ""
        if request.policy.is_deciding or rewrite.is_beginning:
            # What a conversation begins with has to be known from then on.
            return await self._write(batch, is_late=is_late)
        with Guard(request.exchange, self.name):
            return await self._write(batch, is_late=is_late)
        # Messages that are left need no record as soon as they have been answered.
        return {}, "not written"

    async def _write(
        self, batch: Batch, *, is_late: bool
    ) -> tuple[Mapping[LedgerKey, Decision], str]:
        future = self._ledger.submit(
            batch.records,
            batch.originals,
            namespace=self._namespace,
            may_wait=is_late,
        )
        saved = future.result() if future.done() else await asyncio.wrap_future(future)
        return saved.winners, saved.error

    async def _run(
        self,
        size_bytes: int,
        work: Callable[..., _T],
        *arguments: object,
        threads: ThreadPoolExecutor | None = None,
    ) -> _T:
        """Do short work here, long work in a thread."""
        if size_bytes <= ON_LOOP_BYTES:
            return work(*arguments)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or self._threads, work, *arguments)


def _leaving(policy: Policy) -> Policy:
    """The policy under which nothing new is changed, and what was sent is repeated."""
    return msgspec.structs.replace(
        policy, min_lossless_bytes=sys.maxsize, may_refer=False
    )

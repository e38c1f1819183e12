"""The compressing stage: has each request's ``Rewrite`` driven, and tells of it.

Says what settings, credential, memory and learning allow, lets a ``Driver`` gather what
the core needs and store what it says before anything leaves, and puts the body to
forward on the exchange. It holds no decisions.

What always holds: whatever goes wrong here, the exchange still has a body to forward.
Where deciding about what is new fails, what was sent before is repeated and the rest
left (CACHE_SAFETY rule 6); only if that fails too does the body leave as it came, and
messages that had left otherwise are counted. Failures show in the report, the metrics
and ``health``.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from functools import partial

import msgspec
from msgspec import Struct

from headroom.ccr.ledger import Ledger
from headroom.core.own_tools import definitions
from headroom.core.protocols import Provider
from headroom.core.repeats import SourceMemo
from headroom.core.rewrite import Rewrite
from headroom.core.threads import NOTHING
from headroom.core.trail import change_of, trail_of
from headroom.core.types import JsonValue, Policy, RequestView
from headroom.driving import Driver, Request
from headroom.errors import MalformedBodyError
from headroom.inference.model_table import ModelTable
from headroom.learning.recommendations import Recommendations
from headroom.providers import PROVIDERS
from headroom.proxy.current import Current
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.hidden_notes import HiddenNotes
from headroom.proxy.learner import Learner
from headroom.proxy.memories import Memories, make_memories
from headroom.proxy.prefix_watch import PrefixWatch
from headroom.proxy.telling import (
    describe,
    log_stabilised,
    session_id,
    tell_lost_tags,
)
from headroom.proxy.threads import Threads
from headroom.proxy.unknown_models import UnknownModels
from headroom.proxy.workplace import Workplace

log = logging.getLogger("headroom.proxy")

WATCHED_MESSAGES = 50_000
"""Messages whose forwarded form is remembered, to notice a change."""

MAX_TYPES = 100
"""Types of unknown items that are reported; who sends more makes them up."""


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
        self._unknown_models = UnknownModels(guidance.models)
        self._ledger = ledger
        self._conversations = Threads(ledger, namespace=namespace)
        self._reported_types: set[str] = set()
        self._notes = notes or HiddenNotes(ledger, namespace=namespace)
        self._namespace = namespace
        self._place = Workplace()
        self._memo = SourceMemo()
        self._watch = PrefixWatch(WATCHED_MESSAGES)
        self._driver = Driver(
            ledger,
            self._place,
            self._notes,
            self._conversations,
            self._memo,
            namespace=namespace,
        )

    async def on_request(self, exchange: Exchange) -> None:
        """Compress what is new in the request, repeat what was sent before."""
        self._place.warm()
        provider = PROVIDERS[exchange.route.provider]
        view = await self._read(exchange, provider)
        if view is None:
            return
        with Guard(exchange, self.name) as deciding:
            await self._unknown_models.report(view.model, exchange.request_id)
            await self._rewrite(exchange, provider, view, self._policy(exchange, view))
        if deciding.has_failed:
            await self._repeat(exchange, provider, view)

    async def _read(self, exchange: Exchange, provider: Provider) -> RequestView | None:
        """The body as its provider reads it; ``None`` if nothing is done with it."""
        body, path = exchange.received_body, exchange.route.path
        try:
            view = await self._place.work(
                len(body), partial(provider.parse, body, path)
            )
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
            await self._rewrite(exchange, provider, view, policy)
            exchange.reason = "failed_open"
        if repeating.has_failed:
            exchange.pass_through("failed_open")
            exchange.prefix_breaks = self._breaks_of_original(exchange, view)

    def _breaks_of_original(self, exchange: Exchange, view: RequestView) -> int:
        """How many messages left otherwise before than they stand in the body."""
        chain, records = self._driver.remembered(view, exchange.auth_mode)
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
        self._place.close()
        await asyncio.to_thread(self._learner.close)
        await asyncio.to_thread(self._memories.close)

    def health(self) -> dict[str, JsonValue]:
        """The ledger's health, and how often the compressing process failed."""
        found = self._ledger.health()
        return {
            "ok": found["status"] == "ok",
            **found,
            "compute_failures": self._place.failures,
            "memory": self._memories.health(),
        }

    async def _rewrite(
        self,
        exchange: Exchange,
        provider: Provider,
        view: RequestView,
        policy: Policy,
    ) -> None:
        done = await self._driver.rewrite(
            Request(
                view,
                provider,
                policy,
                exchange.auth_mode,
                guard=partial(Guard, exchange, self.name),
                revise=partial(self._revise, exchange),
            )
        )
        exchange.store_failures = done.store_failures
        await self._forward(exchange, done.rewrite, done.body)
        with Guard(exchange, self.name):
            # Whatever cannot be told, the request leaves as its records say.
            await self._tell(exchange, done.rewrite, done.body)

    async def _revise(self, exchange: Exchange, rewrite: Rewrite) -> None:
        """Bring in what is remembered and what was learned."""
        # What cannot be recorded now could not be repeated by another worker.
        if rewrite.question and self._ledger.health()["status"] == "ok":
            recall = self._memories.search_and_format_context
            rewrite.append(await recall(exchange, rewrite.question))
        mode = exchange.auth_mode
        await self._place.work(
            len(rewrite.view.body),
            lambda: rewrite.revise(lambda task: self._learner.advised(task, mode)),
        )

    async def _forward(
        self, exchange: Exchange, rewrite: Rewrite, forwarded: bytes
    ) -> None:
        """Put the body on the exchange, and what its answer will need."""
        own_tools = rewrite.own_tools
        for reason in rewrite.reasons:
            exchange.replace_body(forwarded, reason)
        exchange.view, exchange.own_tools = rewrite.view, own_tools
        if own_tools:
            exchange.result_named = partial(self._driver.result_named, rewrite)
        exchange.chain_key = rewrite.keys[-1] if rewrite.keys else rewrite.chain.end
        if not rewrite.view.is_threaded:
            return
        texts: dict[str, str] = {}
        exchange.on_reply = lambda reply: self._conversations.keep(
            reply.id, rewrite.thread_after(reply, exchange.hidden_results), texts
        )
        with Guard(exchange, self.name):
            has_text = self._conversations.has_text
            texts |= await self._place.work(
                len(rewrite.view.body),
                lambda: rewrite.note_results(self._memo, has_text),
            )

    async def _tell(
        self, exchange: Exchange, rewrite: Rewrite, forwarded: bytes
    ) -> None:
        """Put on the exchange and into the log what was done."""
        view = rewrite.view
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
        await self._place.work(
            len(view.body),
            lambda: self._learner.observe(rewrite.results(), exchange.auth_mode),
        )

    def _report_memory(self, exchange: Exchange, rewrite: Rewrite) -> None:
        tools = rewrite.more_tools
        self._memories.report(
            exchange,
            tools,
            is_first=rewrite.is_first,
            size=len(definitions(rewrite.view.api, tools)),
        )


def _leaving(policy: Policy) -> Policy:
    """The policy under which nothing new is changed, and what was sent is repeated."""
    return msgspec.structs.replace(
        policy, min_lossless_bytes=sys.maxsize, may_refer=False
    )

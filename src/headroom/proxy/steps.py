"""The stages of an exchange, run in order and counted; the same over every transport.

What always holds: a stage that fails changes nothing, and its failure is counted.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TypeVar

from headroom.proxy import answer_figures, headers, record
from headroom.proxy.decisions import DecisionLog
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.metrics import Metrics
from headroom.proxy.stages import Stage
from headroom.settings import Settings

Kind = TypeVar("Kind")


class Steps:
    """All stages; one per server process.

    Attributes:
        decisions: where the records of finished exchanges are kept.
    """

    def __init__(
        self, settings: Settings, stages: Sequence[Stage], metrics: Metrics
    ) -> None:
        self._stages = tuple(stages)
        self._metrics = metrics
        self._mode = settings.proxy.compression_mode
        self._is_on = settings.proxy.compression
        self._max_read_bytes = settings.compression_max_body_bytes
        self._reported_events: set[str] = set()
        self.decisions = DecisionLog(
            Path(settings.data_dir), settings.watch.decisions_max_bytes
        )

    def stage(self, kind: type[Kind]) -> Kind | None:
        """The stage of a type; ``None`` if there is none."""
        return next((stage for stage in self._stages if isinstance(stage, kind)), None)

    def reason_to_pass(self, exchange: Exchange, size_bytes: int | None) -> str | None:
        """Why a body is not read; ``None`` if it is.

        Args:
            exchange: headers and route of what it belongs to.
            size_bytes: its length, if that is known.
        """
        if not exchange.route.provider:
            return "not_intercepted"
        if not self._is_on:
            return "switched_off"
        if self._mode == "off":
            return "mode_off"
        if not self._stages:
            return "no_stage"
        if headers.is_bypass(exchange.headers):
            return "bypass_header"
        if size_bytes is not None and size_bytes > self._max_read_bytes:
            return "body_over_compression_cap"
        return None

    async def on_request(self, exchange: Exchange) -> None:
        """Let every stage look at a request whose body was set."""
        exchange.pass_through("no_stage")
        for stage in self._stages:
            before = exchange.failures
            with Guard(exchange, stage.name):
                await stage.on_request(exchange)
            if exchange.failures > before:
                self._metrics.stage_failure(stage.name)
        self._count(exchange)

    def on_response(
        self, exchange: Exchange, chunks: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes] | None:
        """The chunks as the stages change them, or ``None`` if none does."""
        answer_figures.began(exchange, self._metrics)
        is_changed = False
        for stage in self._stages:
            with Guard(exchange, stage.name):
                changed = stage.on_response(exchange, chunks)
                if changed is not None:
                    chunks, is_changed = changed, True
        return chunks if is_changed else None

    async def on_end(self, exchange: Exchange) -> None:
        """The client has its answer, and what was billed for it is known."""
        if exchange.usage:
            self._metrics.usage(exchange.usage)
        answer_figures.ended(exchange, self._metrics)
        record.unknown_events(exchange, self._reported_events)
        for stage in self._stages:
            with Guard(exchange, stage.name):
                await stage.on_end(exchange)

    def count_retrievals(self, exchange: Exchange) -> None:
        """Figures of what the model asked back, and of its memory."""
        for tool, outcome in exchange.memory_calls:
            self._metrics.memory_call(tool, outcome)
        if exchange.memory_calls:
            exchange.fields["memory_calls"] = len(exchange.memory_calls)
        found = exchange.retrievals
        for retrieval in found:
            self._metrics.retrieval(retrieval.outcome, retrieval.tokens)
            if retrieval.is_store_failure:
                self._metrics.store_failure()
        if found:
            exchange.fields["retrievals"] = len(found)
            exchange.fields["retrieved_tokens"] = sum(r.tokens for r in found)
            exchange.fields["retrieved"] = [
                {"hash": r.digest, "outcome": r.outcome, "tokens": r.tokens}
                for r in found
            ]

    def _count(self, exchange: Exchange) -> None:
        """Figures of what the stages did, and the alarm for what they must not."""
        if exchange.manifest is not None:
            self._metrics.manifest(exchange.manifest)
            answer_figures.compressed(exchange, self._metrics)
        if exchange.memory:
            self._metrics.memory_injection(str(exchange.memory["decision"]))
        if exchange.prefix_breaks:
            self._metrics.prefix_breaks(exchange.prefix_breaks)
            record.prefix_broken(exchange)
        if exchange.conversation:
            self._metrics.conversation()
        if exchange.store_failures:
            self._metrics.store_failure()
        if not exchange.is_mutated and exchange.outgoing_body != exchange.received_body:
            record.passthrough_modified(exchange)
            self._metrics.passthrough_modified(exchange.route.label)

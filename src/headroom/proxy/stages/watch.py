"""The stage that watches: what changes in front, what drifts, what was not cached.

Read-only. It speaks up where a session costs more than it has to, and names the piece
that is to blame:

* volatile content in the system prompt or the tools, once for each such front;
* drift: a session whose system prompt, tools or first messages differ from those of its
  last request;
* a gap: fewer tokens were read from the cache than the last request had left in it.
  Where the session's own prefix changed, the first piece that differs is named; where
  it did not, the provider let go of it (it may, at any time).

Figures are of this process; what is remembered is bounded and holds digests only.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from headroom.core.digest import chain_key
from headroom.core.trail import Trail, drift, first_difference
from headroom.core.types import JsonValue, RequestView
from headroom.core.volatile import scan
from headroom.providers.models import cache_rules, family_of
from headroom.proxy.exchange import Exchange
from headroom.proxy.metrics import Metrics

log = logging.getLogger("headroom.proxy")

MAX_SESSIONS = 1000
MAX_FRONTS = 1000
_UNFINISHED = frozenset({"", "unread", "errored", "truncated"})
_ON_LOOP_BYTES = 16_000
"""Longer fronts are looked through in a thread."""
_TOLERANCE = 0.02
"""Reads this much shorter than expected are rounding: caches grow in steps."""


class _Session(Struct):
    trail: Trail
    cached_tokens: int = 0
    at_s: float = 0.0


class WatchStage:
    """Notices what costs; one per server process.

    Args:
        metrics: where incidents are counted.
        clock: seconds; monotonic.
        max_sessions: sessions remembered; the least recently used is forgotten.
    """

    name = "watch"

    def __init__(
        self,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        max_sessions: int = MAX_SESSIONS,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[tuple[str, str, str, bool], _Session] = (
            OrderedDict()
        )
        self._fronts: OrderedDict[bytes, None] = OrderedDict()
        self._gaps = 0

    async def start(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""

    async def on_request(self, exchange: Exchange) -> None:
        """Look for volatile content, and compare with the session's last request."""
        view, trail = exchange.view, exchange.trail
        if view is None or trail is None:
            return
        await self._look_for_volatile(exchange, view, trail)
        session = self._sessions.get(_key(exchange))
        if session is None:
            log.debug("cache_drift_first_request", extra=_fields(exchange))
            return
        changed = drift(session.trail, trail)
        if changed:
            self._metrics.drift(exchange.route.provider, family_of(exchange.model))
            log.warning(
                "cache_drift_observed",
                extra={**_fields(exchange), "drift_dims": list(changed)},
            )

    def on_response(
        self,
        exchange: Exchange,  # noqa: ARG002 - the shape of a stage
        chunks: AsyncIterator[bytes],  # noqa: ARG002
    ) -> AsyncIterator[bytes] | None:
        """Responses pass as they are."""
        return None

    async def on_end(self, exchange: Exchange) -> None:
        """Compare what was read from the cache with what was left in it."""
        trail, usage = exchange.trail, exchange.usage
        if trail is None or not exchange.session_id:
            return
        key, now_s = _key(exchange), self._clock()
        before = self._sessions.get(key)
        read = usage.get("cache_read_input_tokens", 0)
        is_read = usage and exchange.answer_status not in _UNFINISHED
        if before is not None and is_read:
            self._compare(exchange, before, trail, read, now_s)
        if exchange.response_status != 200 or not usage:
            return
        cached = read + usage.get("cache_creation_input_tokens", 0)
        self._sessions[key] = _Session(trail, cached, now_s)
        self._sessions.move_to_end(key)
        while len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)

    def health(self) -> dict[str, JsonValue]:
        """How often the cache had less than expected."""
        return {"ok": True, "cache_gaps": self._gaps}

    async def _look_for_volatile(
        self, exchange: Exchange, view: RequestView, trail: Trail
    ) -> None:
        front = chain_key(trail.tools, trail.system, *trail.messages[:1])
        if front in self._fronts:
            return
        self._fronts[front] = None
        while len(self._fronts) > MAX_FRONTS:
            self._fronts.popitem(last=False)
        size = sum(span.end - span.start for span in view.text_before)
        is_long = size > _ON_LOOP_BYTES
        found = await asyncio.to_thread(scan, view) if is_long else scan(view)
        for finding in found:
            self._metrics.volatile(finding.kind)
            log.warning(
                "volatile_content_detected",
                extra={
                    **_fields(exchange),
                    "kind": finding.kind,
                    "location": finding.where,
                    "sample": finding.sample[:12],
                },
            )

    def _compare(
        self,
        exchange: Exchange,
        before: _Session,
        trail: Trail,
        read: int,
        now_s: float,
    ) -> None:
        rules = cache_rules(exchange.model, exchange.route.provider)
        expected = before.cached_tokens
        if now_s - before.at_s > rules.ttl_s or read >= expected * (1 - _TOLERANCE):
            return
        found = first_difference(before.trail, trail)
        if found is None and len(trail.messages) < len(before.trail.messages):
            return  # gone back on purpose
        cause = "provider" if found is None else "client"
        if found is not None and found.is_ours:
            cause = "headroom"
        self._gaps += 1
        self._metrics.cache_gap(cause)
        gap: dict[str, JsonValue] = {
            "expected_read_tokens": expected,
            "billed_read_tokens": read,
            "first_difference": "none" if found is None else found.place,
            "cause": cause,
        }
        level = logging.INFO if found is None else logging.WARNING
        exchange.fields["cache_gap"] = gap
        log.log(level, "cache_gap", extra={**_fields(exchange), **gap})


def _key(exchange: Exchange) -> tuple[str, str, str, bool]:
    """Side requests, for a title say, have another model or no tools."""
    has_tools = exchange.trail is not None and bool(exchange.trail.tools)
    return exchange.route.provider, exchange.session_id, exchange.model, has_tools


def _fields(exchange: Exchange) -> dict[str, JsonValue]:
    return {
        "request_id": exchange.request_id,
        "provider": exchange.route.provider,
        "session_id": exchange.session_id,
    }

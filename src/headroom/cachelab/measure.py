"""What a comparison comes to: bills, prefix breaks, added latency.

A *prefix break*: a request repeats, as the client wrote it, everything an earlier
request of its conversation had in the provider's cache, and what reached the provider
does not repeat it, or was not read back from the cache although it still lived there.
The direct side tells what the client repeated (and what a client breaks itself is no
break); the provider's records tell what arrived. A *rewrite* is the same for everything
that was sent, cached or not: without markers nothing is cached, and the law still says
that what was sent once is sent the same way again. Pure.
"""

import itertools
from collections.abc import Sequence
from statistics import median

from msgspec import Struct

from headroom.cachelab.cache import Usage
from headroom.cachelab.lab import Record


class Exchange(Struct, frozen=True):
    """One turn on one side: what the client saw and what the provider recorded.

    Attributes:
        records: the provider's, in order; more than one if the proxy asked again.
        latency_ms: from the request's first byte to the answer's last, without the
            provider's own work.
        error: why the client got no good answer; empty if it did.
        is_answer_changed: the answer that came is not the one the model gave.
    """

    records: tuple[Record, ...]
    latency_ms: float
    error: str = ""
    is_answer_changed: bool = False


class SideTotals(Struct, frozen=True):
    """One side of one conversation, or of all."""

    requests: int = 0
    usage: Usage = Usage()
    cost: float = 0.0
    tool_cost: float = 0.0
    retrieval_cost: float = 0.0
    retrievals: int = 0
    thinking_dropped: int = 0
    answers_changed: int = 0
    errors: tuple[str, ...] = ()

    def __add__(self, other: "SideTotals") -> "SideTotals":
        return SideTotals(
            self.requests + other.requests,
            self.usage + other.usage,
            self.cost + other.cost,
            self.tool_cost + other.tool_cost,
            self.retrieval_cost + other.retrieval_cost,
            self.retrievals + other.retrievals,
            self.thinking_dropped + other.thinking_dropped,
            self.answers_changed + other.answers_changed,
            self.errors + other.errors,
        )


class Break(Struct, frozen=True):
    """Where a request stopped repeating what had been sent before.

    Attributes:
        turn: of the request, from 0.
        where: the first unit that differs, or ``not read back``.
        lost_tokens: what was in the cache and had to be billed again.
    """

    turn: int
    where: str
    lost_tokens: int


class Result(Struct, frozen=True):
    """One conversation, directly and, if there is one, through the target.

    Attributes:
        client_breaks: turns whose history the client itself had rewritten.
        added_ms: latency added per turn: through the target minus directly.
    """

    name: str
    turns: int
    direct: SideTotals
    target: SideTotals | None = None
    breaks: tuple[Break, ...] = ()
    rewrites: int = 0
    client_breaks: int = 0
    added_ms: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The target's bill in units of the direct one."""
        if self.target is None or not self.direct.cost:
            return 1.0
        return self.target.cost / self.direct.cost

    @property
    def tool_price(self) -> float:
        """The part of ``ratio`` that the retrieval tool costs, its calls included."""
        if self.target is None or not self.direct.cost:
            return 0.0
        return self.target.retrieval_cost / self.direct.cost


def result(name: str, direct: Sequence[Exchange], target: Sequence[Exchange]) -> Result:
    """Compare the two sides of one conversation; ``target`` may be empty."""
    if not target:
        return Result(name, len(direct), totals(direct))
    breaks, client_breaks = _breaks(direct, target)
    return Result(
        name=name,
        turns=len(direct),
        direct=totals(direct),
        target=totals(target),
        breaks=tuple(breaks),
        rewrites=_rewrites(direct, target),
        client_breaks=client_breaks,
        added_ms=tuple(
            t.latency_ms - d.latency_ms
            for d, t in zip(direct, target, strict=True)
            if not (d.error or t.error)
        ),
    )


def total(results: Sequence[Result]) -> Result:
    """All conversations as one; breaks and latencies are collected."""
    target: SideTotals | None = None
    direct = SideTotals()
    for one in results:
        direct += one.direct
        if one.target is not None:
            target = (target or SideTotals()) + one.target
    return Result(
        name="all",
        turns=sum(r.turns for r in results),
        direct=direct,
        target=target,
        breaks=tuple(b for r in results for b in r.breaks),
        rewrites=sum(r.rewrites for r in results),
        client_breaks=sum(r.client_breaks for r in results),
        added_ms=tuple(ms for r in results for ms in r.added_ms),
    )


def totals(exchanges: Sequence[Exchange]) -> SideTotals:
    """What one side was billed, and what went wrong on it."""
    found = SideTotals()
    for turn, exchange in enumerate(exchanges):
        error = (f"turn {turn + 1}: {exchange.error}",) if exchange.error else ()
        changed = int(exchange.is_answer_changed)
        found += SideTotals(requests=1, errors=error, answers_changed=changed)
        for record in exchange.records:
            found += SideTotals(
                usage=record.usage,
                cost=record.cost,
                tool_cost=record.tool_cost,
                retrieval_cost=record.retrieval_cost,
                retrievals=record.retrievals,
                thinking_dropped=record.thinking_dropped,
            )
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed; 0 of none."""
    if not values:
        return 0.0
    if share == 0.5:
        return median(values)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _breaks(
    direct: Sequence[Exchange], target: Sequence[Exchange]
) -> tuple[list[Break], int]:
    breaks: list[Break] = []
    client_breaks = 0
    for turn in range(len(direct)):
        breaks += _within(turn, target[turn])
        before, had_cached = _cached_before(direct, turn)
        if before is None:
            client_breaks += had_cached
            continue
        now = _first(target[turn])
        earlier = _earlier(direct, target, before, turn)
        if now is None or earlier is None:
            continue
        here, there = _sent(direct, turn), _sent(direct, before)
        if len(here.units) < len(there.units) and _ends_inside(now, earlier):
            # A turn sent again: caches keep whole steps, and one of these may hold more
            # of what came behind it than it did directly.
            continue
        is_alive = here.usage.read >= there.cached_tokens
        found = _break_between(turn, earlier, now, is_alive=is_alive)
        breaks += [found] if found else []
    return breaks, client_breaks


def _within(turn: int, exchange: Exchange) -> list[Break]:
    """Breaks between the rounds of one turn, where a proxy asks the model again."""
    good = [r for r in exchange.records if r.bill]
    pairs = itertools.pairwise(good)
    found = [_break_between(turn, a, b, is_alive=True) for a, b in pairs]
    return [one for one in found if one]


def _break_between(
    turn: int, earlier: Record, now: Record, *, is_alive: bool
) -> Break | None:
    if earlier.bill is None or earlier.model != now.model:
        return None
    end = earlier.bill.cached_end
    lost = max(0, earlier.cached_tokens - now.usage.read)
    if not _repeats(now, earlier, end):
        return Break(turn, _first_difference(earlier, now), lost)
    if is_alive and lost:
        return Break(turn, "not read back", lost)
    return None


def _cached_before(direct: Sequence[Exchange], turn: int) -> tuple[int | None, bool]:
    """The earlier turn whose cached prefix this turn repeats, the longest, latest one.

    Also whether any earlier turn had something cached for this model.
    """
    now = _first(direct[turn])
    best, best_tokens, had_cached = None, 0, False
    for number in range(turn):
        earlier = _first(direct[number])
        if now is None or earlier is None or earlier.bill is None:
            continue
        if earlier.model != now.model or not earlier.cached_tokens:
            continue
        had_cached = True
        is_longer = earlier.cached_tokens >= best_tokens
        if is_longer and _repeats(now, earlier, earlier.bill.cached_end):
            best, best_tokens = number, earlier.cached_tokens
    return best, had_cached


def _rewrites(direct: Sequence[Exchange], target: Sequence[Exchange]) -> int:
    """Turns that do not repeat all that the turn they go on from had sent."""
    found = 0
    for turn in range(len(direct)):
        now = _first(direct[turn])
        arrived = _first(target[turn])
        if now is None or arrived is None:
            continue
        best, best_units = None, 0
        for number in range(turn):
            earlier = _first(direct[number])
            if earlier is None or earlier.model != now.model:
                continue
            size = len(earlier.units)
            if size >= best_units and _repeats(now, earlier, size):
                best, best_units = number, size
        if best is None:
            continue
        sent = _earlier(direct, target, best, turn)
        found += sent is not None and not _repeats(arrived, sent, len(sent.units))
    return found


def _earlier(
    direct: Sequence[Exchange], target: Sequence[Exchange], before: int, turn: int
) -> Record | None:
    """What the target had sent last for the earlier turn, hidden rounds included.

    A turn that is sent again ends before those rounds, so its first request counts.
    """
    is_again = len(_sent(direct, before).units) == len(_sent(direct, turn).units)
    good = [record for record in target[before].records if record.bill]
    if not good:
        return None
    return good[0] if is_again else good[-1]


def _sent(side: Sequence[Exchange], turn: int) -> Record:
    record = _first(side[turn])
    assert record is not None
    return record


def _first(exchange: Exchange) -> Record | None:
    return next((record for record in exchange.records if record.bill), None)


def _repeats(now: Record, earlier: Record, end: int) -> bool:
    if end > len(now.units):
        return False
    return end == 0 or now.units[end - 1].key == earlier.units[end - 1].key


def _ends_inside(now: Record, earlier: Record) -> bool:
    """Whether a request is the beginning of what an earlier one had cached."""
    end = len(now.units)
    assert earlier.bill is not None
    return end < earlier.bill.cached_end and _repeats(now, earlier, end)


def _first_difference(earlier: Record, now: Record) -> str:
    for before, after in zip(earlier.units, now.units, strict=False):
        if before.content != after.content:
            return before.path
        if before.key != after.key and before.section == "messages":
            return f"{before.path} or the settings before the messages"
    return "the end of the request"

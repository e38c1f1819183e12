"""How much callers and models may use: rates per minute, and budgets.

Requests are counted when they come. Tokens are estimated when a request comes and
counted when the provider has said what it billed; who has used more than their share
waits until it has been made up for. Pure: clock readings are arguments.
"""

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.broker.models_file import Limits, Period

Kind: TypeAlias = Literal[
    "requests_per_minute", "tokens_per_minute", "budget_tokens", "budget_usd"
]

_MINUTE_S = 60.0
_DAY_S = 24 * 3600
_ROUNDING = 1e-6


class Refusal(Struct, frozen=True, gc=False):
    """Why a request is not served.

    Attributes:
        kind: the limit's name.
        owner: whose it is, in words.
        wait_s: after which it would be; 0: nobody can tell.
    """

    kind: Kind
    owner: str
    wait_s: float


class Spent(Struct, frozen=True, gc=False):
    """What was used in one period; written to disk."""

    period: str
    tokens: int = 0
    usd: float = 0.0


class _Bucket:
    """Fills evenly up to a minute's worth; may be overdrawn by what came later."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._capacity = self._level = float(per_minute)
        self._seen = now

    def wait_s(self, now: float, least: float) -> float:
        """How long until so much is in it."""
        rate = self._capacity / _MINUTE_S
        self._level = min(self._capacity, self._level + (now - self._seen) * rate)
        self._seen = now
        missing = min(least, self._capacity) - self._level
        return missing / rate if missing > _ROUNDING else 0.0

    def take(self, amount: float) -> None:
        """Take out, below nothing if need be."""
        self._level -= amount


class Meter:
    """What one caller or model has used.

    Attributes:
        limits: what holds.
        spent: in the running period.
        is_dirty: it changed since it was last written.
    """

    def __init__(self, owner: str, limits: Limits, now: float, wall: float) -> None:
        self.owner = owner
        self.limits = limits
        self.spent = Spent(_period(limits.budget_period, wall))
        self.is_dirty = False
        self._requests = self._tokens = None
        if limits.requests_per_minute is not None:
            self._requests = _Bucket(limits.requests_per_minute, now)
        if limits.tokens_per_minute is not None:
            self._tokens = _Bucket(limits.tokens_per_minute, now)

    def refusal(self, now: float, wall: float) -> Refusal | None:
        """Why the next request is not served; ``None`` if it is.

        Args:
            now: of a clock that never goes back, in seconds.
            wall: seconds since the epoch.
        """
        limits = self.limits
        if self._requests is not None and (wait := self._requests.wait_s(now, 1)) > 0:
            return Refusal("requests_per_minute", self.owner, wait)
        if self._tokens is not None and (wait := self._tokens.wait_s(now, 1)) > 0:
            return Refusal("tokens_per_minute", self.owner, wait)
        self._turn(wall)
        kind: Kind
        if limits.budget_tokens is not None and (
            self.spent.tokens >= limits.budget_tokens
        ):
            kind = "budget_tokens"
        elif limits.budget_usd is not None and self.spent.usd >= limits.budget_usd:
            kind = "budget_usd"
        else:
            return None
        return Refusal(kind, self.owner, _until_next(limits.budget_period, wall))

    def begin(self, estimate: int) -> None:
        """A request was admitted that will use about so many tokens."""
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(estimate)

    def settle(self, estimate: int, tokens: int, usd: float, wall: float) -> None:
        """It used so many, and cost so much."""
        if self._tokens is not None:
            self._tokens.take(tokens - estimate)
        if tokens or usd:
            self._turn(wall)
            spent = self.spent
            self.spent = Spent(spent.period, spent.tokens + tokens, spent.usd + usd)
            self.is_dirty = True

    def resume(self, spent: Spent) -> None:
        """Go on from what was written, if it is of the same period."""
        if spent.period == self.spent.period:
            self.spent = spent

    def _turn(self, wall: float) -> None:
        period = _period(self.limits.budget_period, wall)
        if period != self.spent.period:
            self.spent = Spent(period)
            self.is_dirty = True


class Meters:
    """Of all callers and models; what was used stays when limits change.

    Attributes:
        all: by owner.
    """

    def __init__(self) -> None:
        self.all: dict[str, Meter] = {}
        self._written: dict[str, Spent] = {}

    def of(self, owner: str, limits: Limits, now: float, wall: float) -> Meter:
        """The meter of one owner under its present limits."""
        meter = self.all.get(owner)
        if meter is None or (meter.limits is not limits and meter.limits != limits):
            made = Meter(owner, limits, now, wall)
            made.is_dirty = meter is not None and meter.is_dirty
            before = self._written.get(owner) if meter is None else meter.spent
            if before is not None:
                made.resume(before)
            self.all[owner] = meter = made
        return meter

    def current(self, meter: Meter) -> Meter:
        """What counts for a meter's owner now: limits may have changed meanwhile."""
        return self.all.get(meter.owner, meter)

    def resume(self, written: dict[str, Spent]) -> None:
        """Take over what an earlier run wrote."""
        self._written = written

    def take_changes(self) -> dict[str, Spent] | None:
        """What is to be written; ``None``: nothing changed since the last call."""
        changed = [meter for meter in self.all.values() if meter.is_dirty]
        if not changed:
            return None
        for meter in changed:
            meter.is_dirty = False
        self._written |= {name: meter.spent for name, meter in self.all.items()}
        return self._written


def admit(
    meters: Sequence[Meter], estimate: int, now: float, wall: float
) -> Refusal | None:
    """Count a request on all meters, or on none and say why."""
    for meter in meters:
        if (refusal := meter.refusal(now, wall)) is not None:
            return refusal
    for meter in meters:
        meter.begin(estimate)
    return None


def _period(period: Period, wall: float) -> str:
    return "total" if period == "total" else _name_of(period, int(wall // _DAY_S))


@lru_cache(maxsize=8)
def _name_of(period: Period, days: int) -> str:
    """The name of the period that a day is in; days since the epoch."""
    day = dt.datetime.fromtimestamp(days * _DAY_S, dt.UTC).date().isoformat()
    return day if period == "day" else day[:7]


def _until_next(period: Period, wall: float) -> float:
    now = dt.datetime.fromtimestamp(wall, dt.UTC)
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return (start + dt.timedelta(days=1) - now).total_seconds()
    if period == "month":
        later = start.replace(day=28) + dt.timedelta(days=4)
        return (later.replace(day=1) - now).total_seconds()
    return 0.0

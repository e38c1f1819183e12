"""The prefix cache and the bill, by the provider's published rules.

* An entry is written at each breakpoint whose prefix has at least the model's minimum
  of tokens: the whole prefix up to there, for one organisation and model.
* A request reads the longest live entry found by walking back from each of its
  breakpoints, at most 20 blocks, the breakpoint's own block being the first.
* Reading an entry starts its lifetime (5 minutes or 1 hour) again.
* With A the end of what was read, B the last 1-hour breakpoint behind it (else A) and
  C the last breakpoint: up to A is read, A to B written for 1 hour, B to C written for
  5 minutes, and what follows C is not cached.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
Pure: the caller brings the clock's reading. Everything is in tokens; prices come from
the model table.
"""

from msgspec import Struct

from headroom.cachelab.prefix import Unit
from headroom.providers.models import CacheRules

LOOK_BACK_BLOCKS = 20


class Usage(Struct, frozen=True, gc=False):
    """Input tokens of one or more requests by what they are billed as."""

    uncached: int = 0
    write_5m: int = 0
    write_1h: int = 0
    read: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.uncached + other.uncached,
            self.write_5m + other.write_5m,
            self.write_1h + other.write_1h,
            self.read + other.read,
        )

    @property
    def total(self) -> int:
        """All input tokens, whatever they cost."""
        return self.uncached + self.write_5m + self.write_1h + self.read


class Bill(Struct, frozen=True, gc=False):
    """Where a request's prefix was read, written and left uncached.

    Attributes:
        read_end: units before it were read from the cache.
        long_end: units from ``read_end`` to it were written for one hour.
        cached_end: units from there to it were written for five minutes; the rest is
            not cached. Everything before it is in the cache when the request is done.
        read_part: the share of unit ``read_end`` that was read too, where a cache ends
            inside a unit.
    """

    usage: Usage
    read_end: int
    long_end: int
    cached_end: int
    read_part: float = 0.0

    def rate(self, number: int, rules: CacheRules) -> float:
        """The price of a token of unit ``number``, in base input tokens."""
        if number < self.read_end:
            return rules.read
        if number < self.long_end:
            return rules.write_1h
        rate = rules.write if number < self.cached_end else 1.0
        if number == self.read_end:
            rate += self.read_part * (rules.read - rate)
        return rate


class _Entry(Struct, gc=False):
    expires_s: float
    ttl_s: int


class PromptCache:
    """The cache of one provider: every organisation's and model's entries."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, bytes], _Entry] = {}

    def bill(
        self, scope: str, units: list[Unit], rules: CacheRules, now_s: float
    ) -> Bill:
        """Look a request up, refresh and write its entries, and say what it costs.

        Args:
            scope: the organisation and model; entries of different scopes never meet.
            units: the request, from ``lay_out``.
            rules: the model's row of the price table.
            now_s: the clock's reading.
        """
        marked = [(n, ttl_of(u, rules)) for n, u in enumerate(units) if u.marker]
        read_end = max(
            (self._find(scope, units, n, now_s) for n, _ in marked), default=0
        )
        sums = [0]
        for unit in units:
            sums.append(sums[-1] + unit.tokens)
        lasting = [(n, t) for n, t in marked if sums[n + 1] >= rules.minimum_tokens]
        long_end = max(
            (n + 1 for n, ttl_s in lasting if ttl_s > rules.ttl_s), default=read_end
        )
        long_end = max(long_end, read_end)
        cached_end = max((n + 1 for n, _ in lasting), default=long_end)
        cached_end = max(cached_end, long_end)
        for number, ttl_s in lasting:
            self._write(scope, units[number].key, ttl_s, now_s)
        usage = Usage(
            uncached=sums[-1] - sums[cached_end],
            write_5m=sums[cached_end] - sums[long_end],
            write_1h=sums[long_end] - sums[read_end],
            read=sums[read_end],
        )
        return Bill(usage, read_end, long_end, cached_end)

    def _find(self, scope: str, units: list[Unit], start: int, now_s: float) -> int:
        """The end of the longest live prefix that a breakpoint at ``start`` finds."""
        first = units[start].block - LOOK_BACK_BLOCKS + 1
        number = start
        while number >= 0 and units[number].block >= first:
            entry = self._entries.get((scope, units[number].key))
            if entry is not None and entry.expires_s > now_s:
                entry.expires_s = now_s + entry.ttl_s
                return number + 1
            number -= 1
        return 0

    def _write(self, scope: str, key: bytes, ttl_s: int, now_s: float) -> None:
        entry = self._entries.get((scope, key))
        if entry is not None and entry.expires_s > now_s:
            ttl_s = max(ttl_s, entry.ttl_s)
        self._entries[scope, key] = _Entry(now_s + ttl_s, ttl_s)


def ttl_of(unit: Unit, rules: CacheRules) -> int:
    """How long an entry that ends at this unit lives, in seconds."""
    is_long = isinstance(unit.marker, dict) and unit.marker.get("ttl") == "1h"
    return rules.ttl_1h_s if is_long else rules.ttl_s


def cost(usage: Usage, rules: CacheRules) -> float:
    """The bill, in base-input-token units."""
    return (
        usage.uncached
        + usage.write_5m * rules.write
        + usage.write_1h * rules.write_1h
        + usage.read * rules.read
    )

"""The automatic prefix cache and the bill, by the provider's published rules.

* Every prompt of at least the minimum is kept, in steps of the model's row (128 tokens,
  or exactly where newer models place a breakpoint at the end of the prompt).
* A request reads the longest live prefix it shares with any earlier one, rounded down
  to a step, if that is at least the minimum.
* Reading starts an entry's lifetime again. What is kept beyond what was read counts as
  written; older models bill that as any other token.

Requests with different ``prompt_cache_key`` are taken to reach different machines.
Sources: https://platform.openai.com/docs/guides/prompt-caching and
https://developers.openai.com/api/docs/guides/prompt-caching
Pure: the caller brings the clock's reading. Text within a unit is not compared: a unit
is shared as a whole or not at all.
"""

from bisect import bisect_left, bisect_right

from headroom.cachelab.cache import Bill, Usage
from headroom.cachelab.prefix import Unit
from headroom.providers.models import CacheRules


class AutomaticCache:
    """The cache of one provider: every organisation's and model's prefixes."""

    def __init__(self) -> None:
        self._expires_s: dict[tuple[str, bytes], float] = {}

    def bill(
        self,
        scope: str,
        units: list[Unit],
        rules: CacheRules,
        now_s: float,
        *,
        is_explicit: bool = False,
    ) -> Bill:
        """Look a request up, keep its prefixes, and say what it costs.

        Args:
            scope: the organisation, cache key and model; prefixes of different scopes
                never meet.
            units: the request, from ``lay_out``.
            rules: the model's row of the price table.
            now_s: the clock's reading.
            is_explicit: only what stands before the client's last breakpoint is kept
                and looked up.
        """
        sums = [0]
        for unit in units:
            sums.append(sums[-1] + unit.tokens)
        marked = [number for number, unit in enumerate(units) if unit.marker]
        eligible = units[: marked[-1] + 1 if marked else 0] if is_explicit else units
        read = _kept(sums[self._match(scope, eligible, now_s)], rules)
        kept = max(read, _kept(sums[len(eligible)], rules))
        for unit in eligible:
            self._expires_s[scope, unit.key] = now_s + rules.ttl_s
        read_end = bisect_right(sums, read) - 1
        inside = read - sums[read_end]
        return Bill(
            Usage(uncached=sums[-1] - kept, write_5m=kept - read, read=read),
            read_end,
            read_end,
            bisect_left(sums, kept),
            inside / units[read_end].tokens if inside else 0.0,
        )

    def _match(self, scope: str, units: list[Unit], now_s: float) -> int:
        """How many units the longest live prefix has."""
        for number in range(len(units) - 1, -1, -1):
            if self._expires_s.get((scope, units[number].key), now_s) > now_s:
                return number + 1
        return 0


def _kept(tokens: int, rules: CacheRules) -> int:
    """How much of a prefix of so many tokens the cache holds."""
    if tokens < rules.minimum_tokens:
        return 0
    return tokens - tokens % rules.step_tokens

"""Figures of answers: what their heads and ends tell beside what was billed.

Names and buckets are those that dashboards of such proxies know (SPEC P55 to P59).
"""

from headroom.proxy.exchange import Exchange
from headroom.proxy.metrics import (
    CACHE_HIT_RATE,
    COMPRESSION_RATIO,
    RATE_LIMITS,
    Metrics,
)

_RESPONSES = "openai_responses"
_STATUSES = frozenset({"completed", "incomplete", "failed", "cancelled", "in_progress"})
_CLEAN = frozenset({"message_stop", "done", "completed", "incomplete"})
_TIERS = frozenset(
    {"auto", "default", "flex", "on_demand", "priority", "scale"}
)  # https://platform.openai.com/docs/guides/flex-processing and their kin
_READ = "cache_read_input_tokens"
_INPUT = ("input_tokens", _READ, "cache_creation_input_tokens")
_MAX_DIGITS = 15

_REMAINING: dict[bytes, str] = {
    b"anthropic-ratelimit-requests-remaining": "requests",
    b"anthropic-ratelimit-tokens-remaining": "tokens",
    b"anthropic-ratelimit-input-tokens-remaining": "input_tokens",
    b"anthropic-ratelimit-output-tokens-remaining": "output_tokens",
    b"x-ratelimit-remaining-requests": "requests",
    b"x-ratelimit-remaining-tokens": "tokens",
}
"""Headers that tell what is left of a limit, by what it limits
(https://docs.anthropic.com/en/api/rate-limits,
https://platform.openai.com/docs/guides/rate-limits)."""


def began(exchange: Exchange, metrics: Metrics) -> None:
    """The head of an answer is known: what is left of the account's limits."""
    for name, value in exchange.response_headers:
        kind = _REMAINING.get(name)
        if kind is not None and value.isdigit() and len(value) <= _MAX_DIGITS:
            metrics.set_gauge(RATE_LIMITS[kind], exchange.route.api, int(value))


def ended(exchange: Exchange, metrics: Metrics) -> None:
    """The answer was read to its end."""
    status, tier = exchange.answer_status, str(exchange.fields.get("service_tier", ""))
    if exchange.route.provider == _RESPONSES and status in _STATUSES:
        metrics.count("proxy_response_status_count", status)
    if tier:
        metrics.count("proxy_service_tier_count", tier if tier in _TIERS else "other")
    total = sum(exchange.usage.get(name, 0) for name in _INPUT)
    if status in _CLEAN and total:
        share = exchange.usage.get(_READ, 0) / total
        metrics.observe(CACHE_HIT_RATE, exchange.route.api, value=share)


def compressed(exchange: Exchange, metrics: Metrics) -> None:
    """A request was looked at: how much shorter each of its new blocks has become."""
    for entry in exchange.manifest.entries if exchange.manifest is not None else ():
        outcome = entry.outcome
        is_new = outcome.action == "compressed" and not entry.is_reapplied
        if is_new and outcome.original_tokens:
            ratio = outcome.compressed_tokens / outcome.original_tokens
            strategy, kind = outcome.strategy, outcome.kind
            metrics.observe(COMPRESSION_RATIO, strategy, kind, value=ratio)

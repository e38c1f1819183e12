"""What is said about an exchange: log records and response headers.

One ``compression_decision`` record per request, with everything that decides about the
cache; ``outbound_headers`` and ``outbound_request`` at debug level. Values are counts,
words out of bounded sets, and identifiers.
"""

import logging
from typing import Any

from msgspec import Struct

from headroom.core.types import BlockOutcome, Manifest
from headroom.proxy import headers
from headroom.proxy.decisions import DecisionLog
from headroom.proxy.exchange import Exchange, log
from headroom.proxy.routes import Headers

_MAX_BLOCKS = 100
"""Of one request, in a record that is kept."""
_MAX_TYPES = 100
"""Of events that are reported."""


class Figures(Struct, frozen=True, gc=False):
    """Sizes and times of one exchange.

    Attributes:
        added_ms: from the last byte of the request to its forwarding.
        stages_ms: the part of it that the stages took.
        first_byte_ms: from the start to the head of the provider's answer.
    """

    body_bytes_in: int
    body_bytes_out: int
    response_bytes: int
    added_ms: float
    stages_ms: float
    first_byte_ms: float
    total_ms: float


def write(
    exchange: Exchange,
    figures: Figures,
    mode: str,
    kept: DecisionLog | None = None,
) -> None:
    """Log the decision record of a finished exchange; keep it with its blocks.

    Args:
        exchange: what is finished.
        figures: its sizes and times.
        mode: of compression.
        kept: where records are kept, if they are.
    """
    level = logging.INFO if exchange.route.provider else logging.DEBUG
    is_kept = kept is not None and bool(exchange.route.provider)
    is_logged = log.isEnabledFor(level)
    if not is_kept and not is_logged:
        return
    fields = _fields(exchange, figures, mode)
    if is_logged:
        log.log(level, "compression_decision", extra=fields)
    if kept is not None and is_kept:
        kept.add({**fields, **_block_fields(exchange.manifest)})


def _fields(exchange: Exchange, figures: Figures, mode: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": exchange.route.label,
        "status": exchange.response_status,
        "compression_mode": mode,
        "decision": exchange.decision,
        "reason": exchange.reason,
        "auth_mode": exchange.auth_mode,
        "body_bytes": figures.body_bytes_in,
        "body_bytes_in": figures.body_bytes_in,
        "body_bytes_out": figures.body_bytes_out,
        "bytes_freed": max(0, figures.body_bytes_in - figures.body_bytes_out),
        "body_mutated": exchange.is_mutated,
        "mutation_reasons": list(exchange.mutation_reasons),
        "response_bytes": figures.response_bytes,
        "added_ms": round(figures.added_ms, 3),
        "stages_ms": round(figures.stages_ms, 3),
        "first_byte_ms": round(figures.first_byte_ms, 3),
        "total_ms": round(figures.total_ms, 3),
    }
    if exchange.manifest is not None:
        fields.update(_manifest_fields(exchange.manifest))
        before, after = exchange.tokens()
        fields.update(
            tokens_before=before, tokens_after=after, tokens_saved=before - after
        )
    if exchange.prefix_breaks:
        fields["prefix_breaks"] = exchange.prefix_breaks
    if exchange.store_failures:
        fields["store_failures"] = exchange.store_failures
    if exchange.answer_status:
        fields["answer"] = exchange.answer_status
    upstream_id = headers.upstream_request_id(exchange.response_headers)
    if upstream_id is not None:
        fields["upstream_request_id"] = upstream_id.decode("latin-1")
    fields.update(exchange.usage)
    fields.update(exchange.fields)
    return fields


def _block_fields(manifest: Manifest | None) -> dict[str, Any]:
    """What happened to each block, those first that were looked at just now."""
    if manifest is None:
        return {}
    entries = sorted(manifest.entries, key=lambda entry: entry.is_reapplied)
    blocks = []
    for entry in entries[:_MAX_BLOCKS]:
        outcome = entry.outcome
        found = {
            "message": entry.message_index,
            "block": entry.block_index,
            "type": entry.block_type,
            "action": outcome.action,
            "kind": outcome.kind,
            "strategy": outcome.strategy,
            "reason": _without_text(outcome),
            "tokens_before": outcome.original_tokens,
            "tokens_after": outcome.compressed_tokens,
            "is_lossy": outcome.is_lossy,
            "is_reapplied": entry.is_reapplied,
        }
        blocks.append({name: value for name, value in found.items() if value != ""})
    return {"blocks": blocks, "blocks_left_out": len(entries) - len(blocks)}


def _without_text(outcome: BlockOutcome) -> str:
    """Why; of an error its type alone, since errors quote what they fail on."""
    if outcome.action != "compressor_error":
        return outcome.reason
    return outcome.reason.partition(":")[0]


def outbound(exchange: Exchange, figures: Figures) -> None:
    """Log what leaves for the provider."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    common = {
        "request_id": exchange.request_id,
        "forwarder": exchange.route.api,
        "path": exchange.route.label,
    }
    stripped = exchange.fields.get("stripped_count", 0)
    log.debug("outbound_headers", extra={**common, "stripped_count": stripped})
    log.debug(
        "outbound_request",
        extra={
            **common,
            "method": exchange.method,
            "body_bytes": figures.body_bytes_out,
            "body_mutated": exchange.is_mutated,
            "mutation_reasons": list(exchange.mutation_reasons),
            "source": "spliced" if exchange.is_mutated else "passthrough",
        },
    )


def prefix_broken(exchange: Exchange) -> None:
    """Log the alarm: messages leave otherwise than they left before."""
    log.error(
        "prefix_broken",
        extra={
            "request_id": exchange.request_id,
            "session_id": exchange.session_id,
            "messages": exchange.prefix_breaks,
            "reason": exchange.reason,
        },
    )


def unknown_events(exchange: Exchange, reported: set[str]) -> None:
    """Log events of a stream that this version has not heard of, each once.

    Args:
        exchange: whose answer was read.
        reported: what was logged before; added to.
    """
    found = exchange.fields.get("unknown_events")
    for event_type in found if isinstance(found, dict) else ():
        if event_type not in reported and len(reported) < _MAX_TYPES:
            reported.add(event_type)
            extra = {"request_id": exchange.request_id, "event_type": event_type}
            log.warning("sse_unknown_event", extra=extra)


def passthrough_modified(exchange: Exchange) -> None:
    """Log the alarm: a body changed and no stage said so; the original is forwarded."""
    log.error(
        "passthrough_bytes_modified",
        extra={
            "request_id": exchange.request_id,
            "path": exchange.route.label,
            "body_bytes_in": len(exchange.received_body),
            "body_bytes_out": len(exchange.outgoing_body),
        },
    )


def response_headers(exchange: Exchange) -> Headers:
    """What Headroom adds to a response."""
    added: Headers = [(b"x-request-id", exchange.request_id.encode("ascii"))]
    upstream_id = headers.upstream_request_id(exchange.response_headers)
    if upstream_id is not None:
        added.append((b"headroom-upstream-request-id", upstream_id))
    if exchange.has_failed:
        added.append((b"x-headroom-compression-failed", b"true"))
    if exchange.retrievals:
        # Known in time for answers that are no streams.
        billed = ", ".join(f"{name}={n}" for name, n in exchange.billed.items())
        added += [
            (b"x-headroom-retrievals", b"%d" % len(exchange.retrievals)),
            (b"x-headroom-billed", billed.encode("ascii")),
        ]
    if exchange.manifest is None:
        return added
    before, after = exchange.tokens()
    saved = before - after
    percent = 100 * saved / before if before else 0.0
    added += [
        (b"x-headroom-tokens-before", b"%d" % before),
        (b"x-headroom-tokens-after", b"%d" % after),
        (b"x-headroom-tokens-saved", b"%d" % saved),
        (b"x-headroom-savings-percent", b"%.1f" % percent),
    ]
    strategies = exchange.manifest.transforms_applied()
    if strategies:
        added.append((b"x-headroom-transforms", ",".join(strategies).encode("ascii")))
    return added


def _manifest_fields(manifest: Manifest) -> dict[str, Any]:
    compressed = [e for e in manifest.entries if e.outcome.action == "compressed"]
    return {
        "frozen_message_count": manifest.messages_below_frozen_floor,
        "messages_total": manifest.messages_total,
        "live_zone_blocks": sum(not e.is_reapplied for e in manifest.entries),
        "reapplied_blocks": sum(e.is_reapplied for e in compressed),
        "live_zone_strategies": list(manifest.transforms_applied()),
        "live_zone_block_original_bytes": sum(
            e.outcome.original_bytes for e in compressed
        ),
        "live_zone_block_compressed_bytes": sum(
            e.outcome.compressed_bytes for e in compressed
        ),
    }

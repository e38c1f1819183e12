"""What is told of a request that was rewritten: in its record, its metrics, the log.

Between the compressing stage, which knows the rewrite, and whoever reads the exchange
later. What always holds: counts, hashes and names only, never what anybody said.
"""

import logging

from headroom.core.rewrite import Rewrite
from headroom.core.stabilise import BREAKPOINTS, CACHE_KEY, SCHEMA_SORT, TOOL_SORT
from headroom.core.types import RequestView
from headroom.proxy.exchange import Exchange

log = logging.getLogger("headroom.proxy")

_APPLIED = {
    TOOL_SORT: "e1_applied",
    SCHEMA_SORT: "e2_applied",
    BREAKPOINTS: "e3_applied",
    CACHE_KEY: "e4_applied",
}


def log_stabilised(exchange: Exchange, reasons: tuple[str, ...]) -> None:
    """One record for each stabiliser that changed this request (SPEC B.9)."""
    if log.isEnabledFor(logging.DEBUG):
        for reason in reasons:
            if reason in _APPLIED:
                log.debug(_APPLIED[reason], extra={"request_id": exchange.request_id})


def session_id(view: RequestView, rewrite: Rewrite) -> str:
    """The same for all requests that begin with the same user message (SPEC D8)."""
    for message, key in zip(view.messages, rewrite.keys, strict=True):
        if message.role == "user":
            return key.hex()
    return ""


def describe(exchange: Exchange, rewrite: Rewrite, forwarded: bytes) -> None:
    """Put the decision on the exchange: for its log record and the metrics (R117)."""
    manifest = rewrite.manifest
    compressed = [e for e in manifest.entries if e.outcome.action == "compressed"]
    fresh = [e.outcome for e in compressed if not e.is_reapplied]
    exchange.manifest = manifest
    exchange.decision = "compressed" if compressed else "no_change"
    if fresh:
        exchange.reason = "live_zone_blocks_rewritten"
    else:
        exchange.reason = "prefix_reapplied" if compressed else "no_block_compressed"
    exchange.left_out = tuple(
        dict.fromkeys(
            edit.digest
            for decision in rewrite.decisions.values()
            for edit in decision.edits
            if edit.is_lossy
        )
    )
    received = len(exchange.received_body)
    exchange.fields |= {
        "frozen_message_count": manifest.messages_below_frozen_floor,
        "messages_total": manifest.messages_total,
        "live_zone_blocks": sum(not e.is_reapplied for e in manifest.entries),
        "body_bytes_in": received,
        "body_bytes_out": len(forwarded),
        "bytes_freed": received - len(forwarded),
        "live_zone_strategies": list(dict.fromkeys(o.strategy for o in fresh)),
        "live_zone_block_original_bytes": sum(o.original_bytes for o in fresh),
        "live_zone_block_compressed_bytes": sum(o.compressed_bytes for o in fresh),
        "stabilisers": list(rewrite.made_plan.stabilisers),
        "is_recomputed": rewrite.made_plan.is_recomputing,
    }


def tell_lost_tags(exchange: Exchange) -> None:
    """Log each tag of a harness that a lossy form went without (SPEC R170)."""
    for entry in exchange.manifest.entries if exchange.manifest is not None else ():
        for lost in entry.outcome.lost_tags:
            log.error(
                "tag_protector_placeholder_lost",
                extra={
                    "request_id": exchange.request_id,
                    "tag_preview": lost.tag_preview,
                    "compressed_length": lost.compressed_length,
                    "action": "discarded_wrap",
                },
            )

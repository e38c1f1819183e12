"""What is said about an exchange: its record and its headers."""

import logging

import msgspec

from headroom.core.types import BlockOutcome, Manifest, ManifestEntry
from headroom.proxy.decisions import NAME, DecisionLog, newest_first
from headroom.proxy.exchange import Exchange
from headroom.proxy.record import Figures, write
from headroom.proxy.routes import Route
from loopback import EditStage, answer, client, post, provider, proxy


def entry(action, *, is_reapplied=False, **fields):
    outcome = BlockOutcome(action, **fields)
    return ManifestEntry(1, 0, "tool_result", outcome, is_reapplied=is_reapplied)


MANIFEST = Manifest(
    messages_total=3,
    messages_below_frozen_floor=1,
    latest_user_message_index=2,
    entries=(
        entry(
            "compressed",
            kind="log",
            strategy="log",
            original_bytes=1000,
            compressed_bytes=200,
            original_tokens=300,
            compressed_tokens=60,
        ),
        entry(
            "compressed",
            is_reapplied=True,
            kind="diff",
            strategy="diff",
            original_bytes=100,
            compressed_bytes=50,
            original_tokens=30,
            compressed_tokens=15,
        ),
        entry("rejected_not_smaller", kind="json", strategy="json_table"),
        entry("excluded", reason="hot_zone_block_type"),
    ),
)


async def compress(exchange):
    exchange.manifest = MANIFEST
    exchange.decision, exchange.reason = "compressed", "live_zone_blocks_rewritten"
    exchange.auth_mode = "payg"
    exchange.prefix_breaks = 1
    exchange.store_failures = 1
    exchange.replace_body(b"{}", "compression")


async def exchanged(caplog, *, level=logging.INFO, headers=()):
    async def respond(request, writer):
        await answer(writer, b"{}", headers=[b"request-id: req_9"])

    caplog.set_level(level, "headroom.proxy")
    async with (
        provider(respond) as up,
        proxy(up.url, stages=[EditStage(compress)]) as px,
        client(px) as c,
    ):
        await c.send(post(b'{"a": 1}', headers=headers))
        _, found, _ = await c.response()
        samples = {
            name: px.count(f"{name}_total", **labels)
            for name, labels in (
                ("headroom_prefix_breaks", {}),
                ("headroom_store_failures", {}),
                ("headroom_tokens_before", {"state": "first"}),
                ("headroom_tokens_after", {"state": "reapplied"}),
                (
                    "proxy_compression_rejected_by_token_check",
                    {"strategy": "json_table"},
                ),
                (
                    "headroom_blocks",
                    {"action": "compressed", "strategy": "log", "kind": "log"},
                ),
            )
        }
        added = px.count("headroom_added_seconds_count", route="/v1/messages")
    return found, samples, added


async def test_one_record_tells_the_whole_decision(caplog):
    await exchanged(caplog)
    records = [r for r in caplog.records if r.getMessage() == "compression_decision"]
    assert len(records) == 1
    found = vars(records[0])
    expected = {
        "decision": "compressed",
        "reason": "live_zone_blocks_rewritten",
        "auth_mode": "payg",
        "compression_mode": "live_zone",
        "path": "/v1/messages",
        "method": "POST",
        "status": 200,
        "body_bytes": 8,
        "body_bytes_in": 8,
        "body_bytes_out": 2,
        "bytes_freed": 6,
        "body_mutated": True,
        "mutation_reasons": ["compression"],
        "frozen_message_count": 1,
        "messages_total": 3,
        "live_zone_blocks": 3,
        "reapplied_blocks": 1,
        "live_zone_strategies": ["log", "diff"],
        "live_zone_block_original_bytes": 1100,
        "live_zone_block_compressed_bytes": 250,
        "tokens_before": 330,
        "tokens_after": 75,
        "tokens_saved": 255,
        "prefix_breaks": 1,
        "store_failures": 1,
        "upstream_request_id": "req_9",
        "stripped_count": 0,
    }
    assert {name: found.get(name) for name in expected} == expected


async def test_the_client_is_told_what_was_saved(caplog):
    headers, _, _ = await exchanged(caplog)
    assert headers[b"x-headroom-tokens-before"] == b"330"
    assert headers[b"x-headroom-tokens-after"] == b"75"
    assert headers[b"x-headroom-tokens-saved"] == b"255"
    assert headers[b"x-headroom-savings-percent"] == b"77.3"
    assert headers[b"x-headroom-transforms"] == b"log,diff"
    assert b"x-headroom-compression-failed" not in headers


async def test_metrics_count_what_the_manifest_says(caplog):
    _, samples, added = await exchanged(caplog)
    assert samples == {
        "headroom_prefix_breaks": 1,
        "headroom_store_failures": 1,
        "headroom_tokens_before": 300,
        "headroom_tokens_after": 15,
        "proxy_compression_rejected_by_token_check": 1,
        "headroom_blocks": 1,
    }
    assert added == 1


async def test_what_leaves_is_told_at_debug_level(caplog):
    headers = [b"x-headroom-stack: s", b"x-headroom-user-id: u"]
    await exchanged(caplog, level=logging.DEBUG, headers=headers)
    found = {record.getMessage(): vars(record) for record in caplog.records}
    assert found["outbound_headers"]["stripped_count"] == 2
    request = found["outbound_request"]
    assert request["forwarder"] == "anthropic"
    assert request["source"] == "spliced"
    assert (request["body_bytes"], request["body_mutated"]) == (2, True)


def test_what_a_failed_compressor_quoted_is_not_kept(tmp_path):
    exchange = Exchange("id", "POST", b"/v1/messages", [], Route("anthropic", "x", "y"))
    failed = entry("compressor_error", reason="ValueError: bad literal: 'the secret'")
    exchange.manifest = msgspec.structs.replace(MANIFEST, entries=(failed,))
    kept = DecisionLog(tmp_path, 1_000_000)
    write(exchange, Figures(0, 0, 0, 0.0, 0.0, 0.0, 0.0), "on", kept)
    kept.close()
    (record,) = newest_first(tmp_path)
    assert record["blocks"][0]["reason"] == "ValueError"
    assert "secret" not in (tmp_path / NAME).read_text()

"""Figures of answers, through the running proxy."""

import asyncio
import json
import logging

import pytest

from headroom.core.types import BlockOutcome, Manifest, ManifestEntry
from headroom.proxy import answer_figures
from headroom.proxy.exchange import Exchange
from headroom.proxy.metrics import Metrics
from headroom.proxy.routes import Route
from loopback import answer, client, post, provider, proxy

MESSAGES = b'{"model":"claude-x","messages":[{"role":"user","content":"hi"}]}'
RESPONSES = b'{"model":"gpt-5.5","input":"hi","store":false}'


def value(metrics, line):
    rows = (row.rpartition(" ") for row in metrics.render().decode().splitlines())
    return next((float(number) for name, _, number in rows if name == line), None)


async def figures(body, told, names, *, path=b"/v1/messages", headers=()):
    """What these metrics say after one answer."""

    async def respond(_request, writer):
        await answer(writer, json.dumps(told).encode(), headers=headers)

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(body, path=path))
        status, _, _ = await c.response()
        assert status == 200
        await asyncio.sleep(0.05)
        return [px.count(name, **labels) for name, labels in names]


def message(**usage):
    return {"type": "message", "content": [], "usage": usage}


async def test_cache_hit_rate_emitted_per_session():
    name = "proxy_cache_hit_rate_per_session"
    labels = {"provider": "anthropic"}
    names = [(f"{name}_count", labels), (f"{name}_sum", labels)]
    usage = {"input_tokens": 10, "cache_read_input_tokens": 80}
    told = message(**usage, cache_creation_input_tokens=10, output_tokens=5)
    assert await figures(MESSAGES, told, names) == [1, 0.8]
    assert await figures(MESSAGES, message(output_tokens=5), names) == [0, 0]


async def test_an_answer_that_failed_says_nothing_of_the_cache():
    labels = {"provider": "openai"}
    names = [("proxy_cache_hit_rate_per_session_count", labels)]
    told = {"id": "r", "output": [], "usage": {"input_tokens": 90, "output_tokens": 0}}
    for status, count in (("completed", 1), ("failed", 0)):
        body = {**told, "status": status}
        found = await figures(RESPONSES, body, names, path=b"/v1/responses")
        assert found == [count]


def entry(strategy, before, after, *, action="compressed", is_reapplied=False):
    outcome = BlockOutcome(
        action=action,
        kind="log",
        strategy=strategy,
        original_tokens=before,
        compressed_tokens=after,
    )
    return ManifestEntry(0, 0, "tool_result", outcome, is_reapplied=is_reapplied)


def test_compression_ratio_per_strategy_does_not_replicate_aggregate():
    metrics = Metrics()
    exchange = Exchange("i", "POST", b"/", [], Route("anthropic", "m", "anthropic"))
    entries = (
        entry("log", 100, 10),
        entry("json_table", 1000, 800),
        entry("json_table", 100, 1, is_reapplied=True),
        entry("diff", 100, 200, action="rejected_not_smaller"),
    )
    exchange.manifest = Manifest(1, 0, 0, entries)
    answer_figures.compressed(exchange, metrics)
    name = "proxy_compression_ratio_by_strategy"
    for strategy, ratio in (("log", 0.1), ("json_table", 0.8)):
        labels = f'{{content_type="log",strategy="{strategy}"}}'
        assert value(metrics, f"{name}_sum{labels}") == ratio
        assert value(metrics, f"{name}_count{labels}") == 1
    assert b'strategy="diff"' not in metrics.render()


@pytest.mark.parametrize(
    ("told", "counted"),
    [("flex", "flex"), ("priority", "priority"), ("galactic", "other")],
)
@pytest.mark.parametrize("path", [b"/v1/responses", b"/v1/chat/completions"])
async def test_service_tier_unknown_bucketed_to_other(told, counted, path):
    whole = {"id": "r", "status": "completed", "output": [], "choices": []}
    names = [("proxy_service_tier_count_total", {"tier": counted})]
    body = RESPONSES if path == b"/v1/responses" else MESSAGES
    found = await figures(body, {**whole, "service_tier": told}, names, path=path)
    assert found == [1]


async def test_words_that_cannot_be_written_cost_neither_answer_nor_record(caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    told = {"id": "r", "status": "incomplete", "output": [], "service_tier": "\ud800x"}
    told["incomplete_details"] = {"reason": "\udc00"}
    names = [
        ("proxy_service_tier_count_total", {"tier": "other"}),
        ("headroom_requests_in_flight", {}),
    ]
    found = await figures(RESPONSES, told, names, path=b"/v1/responses")
    assert found == [1, 0]
    (record,) = (r for r in caplog.records if getattr(r, "answer", "") == "incomplete")
    assert (record.service_tier, record.incomplete_reason) == ("\\ud800x", "\\udc00")


async def test_incomplete_status_logged_with_reason(caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    told = {"id": "r", "status": "incomplete", "output": []}
    told["incomplete_details"] = {"reason": "max_output_tokens"}
    names = [
        ("proxy_response_status_count_total", {"status": "incomplete"}),
        ("proxy_response_status_count_total", {"status": "completed"}),
    ]
    found = await figures(RESPONSES, told, names, path=b"/v1/responses")
    assert found == [1, 0]
    (record,) = (r for r in caplog.records if getattr(r, "answer", "") == "incomplete")
    assert record.incomplete_reason == "max_output_tokens"


CHAT = b'{"model":"gpt-x","messages":[{"role":"user","content":"hi"}]}'
REFUSALS = {
    "a chat": (CHAT, {"choices": [{"message": {"refusal": "No."}}]}),
    "a response": (
        RESPONSES,
        {
            "status": "completed",
            "output": [
                {
                    "type": "message",
                    "content": [{"type": "refusal", "refusal": "No."}],
                }
            ],
        },
    ),
    "a message": (
        MESSAGES,
        {"type": "message", "content": [], "stop_reason": "refusal"},
    ),
}
PATHS = {
    CHAT: b"/v1/chat/completions",
    RESPONSES: b"/v1/responses",
    MESSAGES: b"/v1/messages",
}


@pytest.mark.parametrize("api", REFUSALS)
async def test_the_record_says_that_the_model_declined(api, caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    body, told = REFUSALS[api]
    await figures(body, told, [], path=PATHS[body])
    await figures(body, message(output_tokens=1), [], path=PATHS[body])
    records = [r for r in caplog.records if r.message == "compression_decision"]
    assert [getattr(r, "is_refusal", False) for r in records] == [True, False]


async def test_unknown_events_pass_and_are_reported_once_each(caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    names = ("message_start", "weather", "weather", "ping", "message_stop")
    stream = b"".join(
        b'event: %b\ndata: {"type":"%b"}\n\n' % (name, name)
        for name in map(str.encode, names)
    )

    async def respond(_request, writer):
        await answer(writer, stream, headers=[b"content-type: text/event-stream"])

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        for _ in range(2):
            await c.send(post(MESSAGES))
            assert (await c.response())[2] == stream
        await asyncio.sleep(0.05)
    warned = [r for r in caplog.records if r.message == "sse_unknown_event"]
    assert [r.event_type for r in warned] == ["weather"]
    records = [r for r in caplog.records if r.message == "compression_decision"]
    assert [r.unknown_events for r in records] == [{"weather": 2}] * 2


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (b"anthropic-ratelimit-requests-remaining", "requests"),
        (b"Anthropic-RateLimit-Input-Tokens-Remaining", "input_tokens"),
        (b"anthropic-ratelimit-output-tokens-remaining", "output_tokens"),
        (b"x-ratelimit-remaining-tokens", "tokens"),
    ],
)
async def test_rate_limit_snapshot_emits_gauges(header, kind):
    name = f"proxy_rate_limit_remaining_{kind}"
    names = [(name, {"provider": "anthropic"})]
    for told, expected in ((b"41", 41), (b"-1", 0), (b"many", 0), (b"9" * 40, 0)):
        found = await figures(
            MESSAGES, message(), names, headers=[header + b": " + told]
        )
        assert found == [expected]

"""What the proxy notices, on real requests against a billing provider."""

import json
import logging

import pytest

from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.server import make_app, serving
from loopback import client, post, proxy

LONG = "".join(f"{n}. Look at worker {n} before you restart it.\n" for n in range(300))
SYSTEM = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
KEY = b"x-api-key: sk-ant-api03-a"
VERSION = b"anthropic-version: 2023-06-01"


def request(*words, system=SYSTEM, tools=("Bash",)):
    messages = [
        {"role": "assistant" if n % 2 else "user", "content": word}
        for n, word in enumerate(words)
    ]
    if messages:
        block = {
            "type": "text",
            "text": words[-1],
            "cache_control": {"type": "ephemeral"},
        }
        messages[-1]["content"] = [block]
    listed = [{"name": name, "input_schema": {"type": "object"}} for name in tools]
    body = {"model": "claude-opus-5", "max_tokens": 9, "messages": messages}
    return {**body, "system": system, "tools": listed}


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.DEBUG, logger="headroom.proxy")
    return lambda event: [r for r in caplog.records if r.getMessage() == event]


async def run(*bodies, forget_before=None, **settings):
    """Send requests one after the other; the proxy that served them."""
    lab = Lab(TokenCounter())
    async with (
        serving(make_app(lab)) as url,
        proxy(url, **settings) as px,
        client(px) as c,
    ):
        for number, body in enumerate(bodies):
            if number == forget_before:
                lab._cache._entries.clear()
            await c.send(post(json.dumps(body).encode(), headers=(KEY, VERSION)))
            status, _, _ = await c.response()
            assert status == 200
        return px


async def test_a_conversation_that_goes_on_is_no_incident(records):
    px = await run(
        request("a"), request("a", "b", "c"), request("a", "b", "c", "d", "e")
    )
    assert not records("cache_gap")
    assert not records("cache_drift_observed")
    assert len(records("cache_drift_first_request")) == 1
    assert px.count("headroom_cache_gaps_total", cause="client") == 0


async def test_a_changed_system_prompt_is_drift_and_named_as_the_gap(records):
    other = [{**SYSTEM[0], "text": "Changed. " + LONG}]
    px = await run(request("a"), request("a", "b", "c", system=other))
    (drifted,) = records("cache_drift_observed")
    assert drifted.drift_dims == ["system"]
    (gap,) = records("cache_gap")
    assert gap.first_difference == "system"
    assert gap.cause == "client"
    assert gap.billed_read_tokens < gap.expected_read_tokens
    labels = {"provider": "anthropic", "model": "claude"}
    assert px.count("prefix_drift_detected_total", **labels) == 1
    assert px.count("headroom_cache_gaps_total", cause="client") == 1


async def test_a_message_that_the_client_edits_is_named(records):
    first = request(LONG, "b", "c", "d", "e")
    await run(first, request(LONG, "b", "C", "d", "e", "f", "g"))
    (gap,) = records("cache_gap")
    assert gap.first_difference == "messages[2]"


async def test_a_cache_that_lets_go_is_the_providers_doing(records):
    px = await run(request("a"), request("a", "b", "c"), forget_before=1)
    (gap,) = records("cache_gap")
    assert (gap.first_difference, gap.cause) == ("none", "provider")
    assert gap.levelname == "INFO"
    assert px.count("headroom_cache_gaps_total", cause="provider") == 1


async def test_going_back_is_no_incident(records):
    long = request("a", LONG, "c", LONG, "e")
    await run(long, request("a"))
    assert not records("cache_gap")


async def test_what_changes_in_front_is_told_once(records):
    token = "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4"
    system = [{"type": "text", "text": f"It is 2026-11-21T10:15:00Z. {token}"}]
    bodies = [request("a", system=system), request("a", "b", "c", system=system)]
    px = await run(*bodies)
    found = records("volatile_content_detected")
    assert [r.kind for r in found] == ["iso8601_timestamp", "jwt"]
    assert found[0].location == "system[0].text"
    assert all(token not in str(vars(r)) for r in records("volatile_content_detected"))
    assert px.count("headroom_volatile_content_total", kind="jwt") == 1


async def test_watching_can_be_switched_off(records):
    other = [{**SYSTEM[0], "text": "Changed. " + LONG}]
    await run(request("a"), request("a", "b", "c", system=other), WATCH_ENABLED="false")
    assert not records("cache_gap")
    assert not records("cache_drift_observed")

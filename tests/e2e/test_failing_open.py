"""Failing open: what has left compressed leaves so again, whatever fails beside it.

Whole conversations in front of a provider that bills like the real one, through a proxy
in which something raises in mid-conversation.
"""

from pathlib import Path

import pytest

import faults
from headroom.cachelab.conversations import Sending, load
from headroom.cachelab.replay import Options, bench
from headroom.proxy import compute
from loopback import proxy

pytestmark = pytest.mark.e2e

WAYS = [
    ("messages", "claude-opus-5-5", False),
    ("chat", "gpt-5", False),
    ("responses", "gpt-5", False),
    ("responses", "gpt-5", True),
    ("gemini", "gemini-2.5-pro", False),
]


@pytest.fixture(autouse=True)
def _all_in_this_process(monkeypatch):
    monkeypatch.setattr(compute, "THREAD_BYTES", 10**9)


async def replay(api, model, *, uses_sockets):
    """What a conversation with retrievals comes to."""
    options = Options(
        sending=Sending(model=model, thinks=api == "messages"),
        retrieve_every=2,
        is_strict_thinking=True,
        uses_sockets=uses_sockets,
    )
    running = []

    async def target(url):
        px = proxy(url)
        running.append(px)
        return (await px.__aenter__()).url, None

    try:
        async with bench(options, target=target) as lab:
            (result,) = await lab.run(load([Path("demo")], api))
    finally:
        for px in running:
            await px.__aexit__(None, None, None)
    return result


def cases(places, ways):
    """Places and ways; over a socket the provider keeps what is noted for others."""
    notes = {"finding what is hidden", "reading notes"}
    return [
        pytest.param(place, *way, id=f"{place}-{way[0]}{'-socket' * way[2]}")
        for place in places
        for way in ways
        if not (way[2] and place in notes)
    ]


def troubles(result):
    """Errors, thinking that was dropped, prefix breaks, rewrites."""
    target = result.target
    found = (list(target.errors), target.thinking_dropped)
    return (*found, list(result.breaks), result.rewrites)


@pytest.mark.parametrize(
    ("place", "api", "model", "uses_sockets"), cases(faults.PLACES, WAYS)
)
async def test_what_fails_now_and_then_breaks_no_prefix(
    place, api, model, uses_sockets, monkeypatch
):
    found = faults.Faults(faults.every(2))
    faults.PLACES[place](monkeypatch, found)
    result = await replay(api, model, uses_sockets=uses_sockets)
    assert found.raised
    assert troubles(result) == ([], 0, [], 0)


@pytest.mark.parametrize(
    ("place", "api", "model", "uses_sockets"),
    cases(faults.FOR_GOOD, [WAYS[0], WAYS[3]]),
)
async def test_what_fails_from_some_request_on_breaks_no_prefix(
    place, api, model, uses_sockets, monkeypatch
):
    found = faults.Faults(faults.since(3))
    faults.PLACES[place](monkeypatch, found)
    result = await replay(api, model, uses_sockets=uses_sockets)
    assert found.raised
    assert troubles(result) == ([], 0, [], 0)

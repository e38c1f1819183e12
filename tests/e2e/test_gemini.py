"""Whole Gemini conversations through a proxy that is killed and restarted midway.

The provider bills like the real one and refuses steps that are not signed; what it had
cached must be read back every time, retrievals included.
"""

import contextlib
import json
import random

import pytest

from headroom.cachelab import gemini
from headroom.cachelab.conversations import Conversation, Sending, Turn
from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.launcher import headroom
from headroom.cachelab.replay import Options, bench
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from loopback import client, post, proxy

pytestmark = pytest.mark.e2e


def log(turn):
    """Much output, of which little matters: what a lossy form leaves out."""
    rng = random.Random(turn)
    lines = [
        f"2026-03-0{1 + turn % 9}T12:{i // 60 % 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(400)
    ]
    lines[rng.randrange(400)] = f"2026-03-01T12:00:00Z ERROR job {turn} failed: disk\n"
    return "".join(lines)


def conversation(name, turns):
    """A conversation with one, two or three parallel calls per turn, without ids."""
    contents = [{"role": "user", "parts": [{"text": f"Why is {name} slow?"}]}]
    for turn in range(turns):
        blocks = [
            {"type": "tool_use", "name": "shell", "input": {"n": f"{name} {turn} {i}"}}
            for i in range(1 + turn % 3)
        ]
        if turn % 2:
            blocks.insert(0, {"type": "text", "text": f"Looking at part {turn}."})
        contents.append({"role": "model", "parts": gemini.parts_of(blocks)})
        results = [
            {"functionResponse": {"name": "shell", "response": {"output": log(i)}}}
            for i, block in enumerate(blocks, 10 * turn)
            if block["type"] == "tool_use"
        ]
        contents.append({"role": "user", "parts": results})
    contents.append({"role": "model", "parts": [{"text": "It is the disk."}]})
    return Conversation(
        name=name,
        model="gemini-2.5-pro",
        system={"parts": [{"text": "You are careful. " * 1500}]},
        tools=[{"functionDeclarations": [{"name": "shell"}]}],
        messages=contents,
        turns=tuple(Turn(end) for end in gemini.turn_ends(contents)),
        api="gemini",
    )


@pytest.mark.parametrize(
    ("is_stream", "model", "retrieve_every"),
    [
        (True, "gemini-2.5-pro", 0),
        (False, "gemini-3.1-pro-preview", 0),
        (True, "gemini-3.1-pro-preview", 2),
        (False, "gemini-2.5-pro", 2),
    ],
)
async def test_gemini_conversations_are_shorter_and_break_no_prefix(
    is_stream, model, retrieve_every
):
    options = Options(
        sending=Sending(model=model, is_stream=is_stream),
        resends=True,
        is_reconnecting=True,
        retrieve_every=retrieve_every,
    )
    async with contextlib.AsyncExitStack() as stack:

        async def target(url):
            own = stack.enter_context(headroom(url, ["--workers", "2"]))
            await own.ready()
            return own.url, own.restart

        async with bench(options, target=target) as lab:
            results = await lab.run(
                [conversation("the api", 9), conversation("the queue", 5)]
            )
            records = lab.target.lab.records
    for result in results:
        assert result.target.errors == ()
        assert result.breaks == ()
        assert result.rewrites == 0
        assert result.target.answers_changed == 0
        assert result.ratio < (0.9 if retrieve_every else 0.6)
    assert bool(sum(record.retrievals for record in records)) is bool(retrieve_every)


async def test_an_array_is_streamed_with_its_retrievals_answered():
    lab = Lab(TokenCounter(), script=Script(retrieve_every=1), keeps_requests=True)
    found = conversation("array", 3)
    lab.script.register("x", found.answers())
    path = b"/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent"
    async with (
        serving(make_app(lab)) as url,
        proxy(url) as px,
        client(px) as connection,
    ):
        for turn in found.turns:
            body = {"contents": found.messages[: turn.end], "tools": found.tools}
            sent = json.dumps(body).encode()
            headers = [b"x-goog-api-key: sk-cachelab-x"]
            await connection.send(post(sent, path=path, headers=headers))
            status, _, data = await connection.response()
            events = json.loads(data)
            parts = [
                part
                for event in events
                for part in event["candidates"][0]["content"]["parts"]
            ]
            said = gemini.blocks_of(found.messages[turn.end]["parts"])
            assert (status, gemini.blocks_of(parts)) == (200, said)
    assert not [record.error for record in lab.records if record.error]
    assert sum(record.retrievals for record in lab.records) >= 3

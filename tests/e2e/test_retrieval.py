"""Whole conversations with retrievals, in front of a provider that bills like the real.

The proxy is a process of its own, killed and restarted in the middle; the provider
refuses thinking that does not stand where it was made.
"""

import contextlib
import random

import pytest

from headroom.cachelab import chat
from headroom.cachelab.conversations import Conversation, Sending, Turn
from headroom.cachelab.launcher import headroom
from headroom.cachelab.replay import Options, bench
from headroom.cachelab.script import Script, turn_of

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


def conversation(name, turns, api):
    messages = [{"role": "user", "content": f"Find out why {name} is slow."}]
    for turn in range(turns):
        use = {
            "type": "tool_use",
            "id": f"toolu_{name}_{turn:04d}",
            "name": "Bash",
            "input": {"command": f"kubectl logs api-{turn}"},
        }
        words = {"type": "text", "text": f"Looking at part {turn} of {name}."}
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": log(turn)}
        messages.append({"role": "assistant", "content": [words, use]})
        messages.append({"role": "user", "content": [result]})
    messages.append({"role": "assistant", "content": "It is the disk."})
    shape = {
        "system": "You are careful. " * 400,
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": messages,
    }
    if api == "chat":
        shape = {"system": "", **chat.from_messages(shape)}
    return Conversation(
        name=name,
        model="claude-opus-5-5",
        turns=tuple(Turn(end) for end in chat.turn_ends(shape["messages"])),
        api=api,
        **shape,
    )


class MixedScript(Script):
    """Asks back beside its next step on every other turn, else before it."""

    def answer(self, conversation, request):
        blocks = super().answer(conversation, request)
        turn = turn_of(request)
        due = self._answers[conversation]
        calls = [b for b in blocks if b.get("name") == "headroom_retrieve"]
        next_step = due[turn] if turn < len(due) else []
        if turn % 2 and calls and any(b["type"] == "tool_use" for b in next_step):
            return [*blocks, *next_step]
        return blocks


@pytest.mark.parametrize(
    ("api", "is_stream", "model", "thinks"),
    [
        ("messages", True, "claude-opus-5-5", True),
        ("messages", False, "claude-opus-5-5", True),
        ("messages", True, "claude-sonnet-4-5", False),
        ("chat", True, "gpt-5", False),
        ("chat", False, "gpt-5.6", False),
    ],
)
async def test_retrievals_break_no_prefix_and_no_thinking(
    api, is_stream, model, thinks
):
    options = Options(
        sending=Sending(model=model, is_stream=is_stream, thinks=thinks),
        resends=True,
        is_reconnecting=True,
        retrieve_every=1,
        is_strict_thinking=True,
    )
    async with contextlib.AsyncExitStack() as stack:

        async def target(url):
            proxy = stack.enter_context(headroom(url, ["--workers", "2"]))
            await proxy.ready()
            return proxy.url, proxy.restart

        async with bench(options, target=target) as lab:
            for side in (lab.direct, lab.target):
                side.lab.script = MixedScript(retrieve_every=1, thinks=thinks)
            results = await lab.run(
                [conversation("the api", 12, api), conversation("the queue", 5, api)]
            )
            records = lab.target.lab.records
    assert sum(record.retrievals for record in records) >= 10
    for result in results:
        assert result.target.errors == ()
        assert result.target.thinking_dropped == 0
        assert result.breaks == ()
        assert result.rewrites == 0
    assert not [record.error for record in records if record.error]

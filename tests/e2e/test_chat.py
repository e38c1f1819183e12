"""Whole Chat conversations through a proxy that is killed and restarted in the middle.

The provider bills like the real one; what it had cached must be read back every time.
"""

import contextlib

import pytest

from headroom.cachelab import chat
from headroom.cachelab.conversations import Conversation, Sending, Turn
from headroom.cachelab.launcher import headroom
from headroom.cachelab.replay import Options, bench
from scripted import noisy_log

pytestmark = pytest.mark.e2e


def conversation(name, turns, *, as_parts):
    """A conversation with one, two or three parallel calls per turn."""
    messages = [
        {"role": "system", "content": "You are careful. " * 400},
        {"role": "user", "content": f"Find out why {name} is slow."},
    ]
    for turn in range(turns):
        calls = []
        for number in range(1 + turn % 3):
            function = {"name": "bash", "arguments": f'{{"command": "logs {number}"}}'}
            call_id = f"call_{name}_{turn}_{number}"
            calls.append({"id": call_id, "type": "function", "function": function})
        words = None if turn % 2 else f"Looking at part {turn}."
        messages.append({"role": "assistant", "content": words, "tool_calls": calls})
        for number, call in enumerate(calls):
            text = noisy_log(10 * turn + number)
            content = [{"type": "text", "text": text}] if as_parts else text
            messages.append(
                {"role": "tool", "tool_call_id": call["id"], "content": content}
            )
    messages.append({"role": "assistant", "content": "It is the disk."})
    function = {"name": "bash", "parameters": {"type": "object"}}
    return Conversation(
        name=name,
        model="gpt-5",
        system="",
        tools=[{"type": "function", "function": function}],
        messages=messages,
        turns=tuple(Turn(end) for end in chat.turn_ends(messages)),
        api="chat",
    )


@pytest.mark.parametrize(
    ("is_stream", "model"), [(True, "gpt-5"), (False, "gpt-5.6"), (True, "glm-4.6")]
)
async def test_chat_conversations_are_shorter_and_break_no_prefix(is_stream, model):
    options = Options(
        sending=Sending(model=model, is_stream=is_stream),
        resends=True,
        is_reconnecting=True,
    )
    async with contextlib.AsyncExitStack() as stack:

        async def target(url):
            proxy = stack.enter_context(headroom(url, ["--workers", "2"]))
            await proxy.ready()
            return proxy.url, proxy.restart

        async with bench(options, target=target) as lab:
            results = await lab.run(
                [
                    conversation("the api", 9, as_parts=False),
                    conversation("the queue", 5, as_parts=True),
                ]
            )
    for result in results:
        assert result.target.errors == ()
        assert result.breaks == ()
        assert result.rewrites == 0
        assert result.target.answers_changed == 0
        assert result.ratio < 0.85

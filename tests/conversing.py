"""Conversations with retrievals, taken through the proxy's core for any API.

A ``Provider`` of an API answers rounds of blocks and complains about a past that has
changed; a ``Client`` resends what it knows. ``converse`` takes both through generated
steps: questions, retries that keep either answer, rewinds, forks, other workers.
"""

import json

from hypothesis import strategies as st

from fakes import DictStore, forward
from headroom.core.hidden import decode_placement, note_keys
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from headroom.providers import PROVIDERS
from scripted import TOOL, Drive, call, retrieval, text

LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(60))


class Provider:
    """Remembers prefixes, complains about what does not fit.

    Attributes:
        api: whose requests they are.
        drive: what takes an answer through its rounds.
    """

    api: str
    drive: type

    def __init__(self):
        self.sent = {}
        self.signed = {}
        self.thoughts = 0
        self.calls = 0

    def receive(self, rewrite, forwarded):
        """A request of the client's: each of its messages left as it left before."""
        view = PROVIDERS[self.api].parse(forwarded)
        position = in_front = 0
        for index, key in enumerate(rewrite.keys):
            hidden = rewrite.decisions[index].hidden
            size = 1 + in_front
            in_front = 0
            if hidden:
                before, in_front = self.inserted(decode_placement(hidden))
                size += before
            group = view.messages[position : position + size]
            position += size
            value = [message.canonical for message in group]
            before = self.sent.setdefault(key, value)
            assert before == value, "a prefix that was sent has changed"
        assert position == len(view.messages)
        self.check(forwarded)

    def inserted(self, placement):
        """How many messages a placement puts before its own, and the next one."""
        raise NotImplementedError

    def check(self, body):
        """Raise if the model's past is another one than it was."""
        raise NotImplementedError

    def sign(self, body, blocks):
        """Bind what is answered to what stands before it."""
        raise NotImplementedError

    def think(self):
        self.thoughts += 1
        words = f"thought {self.thoughts}"
        return {"type": "thinking", "thinking": words, "signature": words}

    def say(self, found):
        return text(f"words {self.calls} {len(found)}")

    def blocks(self, shape):
        """The blocks of one round; ``shape`` says which, by letters."""
        found = []
        for letter in shape:
            self.calls += letter in "rc"
            found.append(
                {
                    "t": self.think,
                    "x": lambda: self.say(found),
                    "r": lambda: retrieval(self.calls),
                    "c": lambda: call(self.calls, c="ls"),
                }[letter]()
            )
        return found


class Memory:
    """No memory; what others say of one."""

    def policy(self, policy):
        """What the settings allow in the request that comes."""
        return policy

    def remembered(self, question):
        """What is appended to a question."""
        return ""

    def called(self, own):
        """Which of the tools offered the model calls where it calls a hidden one."""
        return TOOL


class Client:
    """Resends all it knows, which is not all that was said.

    Attributes:
        memory: what the proxy keeps of its user.
    """

    memory = Memory()

    def __init__(self):
        self.messages = [{"role": "user", "content": "please help"}]

    def body(self, markers):
        """The next request."""
        raise NotImplementedError

    def take(self, blocks, output):
        """Take an answer, and run its calls."""
        raise NotImplementedError

    def read(self, out, *, is_stream):
        """The blocks of a response."""
        raise NotImplementedError

    def forget(self):
        """Edit the history; there is no need to."""

    def rewind(self, position):
        users = [i for i, m in enumerate(self.messages) if m["role"] == "user"]
        del self.messages[users[position % len(users)] + 1 :]


def ask(client, provider, store, shapes, *, markers, memo, is_stream):
    """One request with all its rounds; returns what the client saw."""
    policy = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
    body = client.body(markers)
    policy = client.memory.policy(policy)
    forwarded, rewrite = forward(
        body,
        store,
        policy=policy,
        memo=memo,
        api=provider.api,
        remembered=client.memory.remembered,
    )
    provider.receive(rewrite, forwarded)
    assert TOOL.encode() in forwarded
    rounds = [provider.blocks(shape) for shape in shapes]
    name = client.memory.called(rewrite.own_tools)
    if name != TOOL:
        rounds = json.loads(json.dumps(rounds).replace(TOOL, name))
    Drive.own = rewrite.own_tools
    drive = provider.drive(rounds, forwarded, is_stream=is_stream)
    for sent, blocks in zip(drive.bodies, rounds, strict=False):
        provider.check(sent)
        provider.sign(sent, blocks)
    if drive.note:
        for key in note_keys("", rewrite.keys[-1]):
            if store.remember({key: drive.note}).get(key, drive.note) == drive.note:
                break
    return client.read(drive.out, is_stream=is_stream), drive


def step_lists(hiding, ending):
    """Lists of steps whose answers have rounds of these shapes."""
    shapes = st.builds(
        lambda first, end: [*first, end],
        st.lists(st.sampled_from(hiding), max_size=5),
        st.sampled_from(ending),
    )
    return st.lists(
        st.one_of(
            st.tuples(st.just("ask"), shapes),
            st.tuples(st.just("ask"), shapes),
            st.tuples(st.just("retry"), shapes, shapes, st.booleans()),
            st.tuples(st.just("rewind"), st.integers(0, 20)),
            st.tuples(st.just("fork"), st.integers(0, 20)),
            st.tuples(st.just("forget")),
        ),
        min_size=2,
        max_size=7,  # fewer requests than answers kept for one of them
    )


def converse(steps, data, provider, client):
    """Take a conversation through its steps; how many requests the provider checked.

    A prefix that leaves otherwise than before raises where the provider receives it.
    """
    store = DictStore()
    memo = SourceMemo(max_chars=5_000)
    asked = 1
    for number, step in enumerate(steps):
        way = {
            "markers": data.draw(st.sampled_from([0, 1, 2])),
            "memo": data.draw(st.sampled_from([memo, None])),
            "is_stream": data.draw(st.booleans()),
        }
        output = f"run {number}\n{LONG}" if data.draw(st.booleans()) else "ok"
        match step:
            case ("ask", shapes):
                blocks, _ = ask(client, provider, store, shapes, **way)
                client.take(blocks, output)
                asked += 1
            case ("retry", one, other, keeps_first):
                first, _ = ask(client, provider, store, one, **way)
                second, _ = ask(client, provider, store, other, **way)
                client.take(first if keeps_first else second, output)
                asked += 2
            case ("rewind", position):
                client.rewind(position)
            case ("fork", position):
                client.rewind(position)
                if client.messages[-1]["content"] == "go on":
                    client.messages[-1]["content"] = f"instead, {number}"
            case ("forget",):
                client.forget()
    ask(client, provider, store, ["x"], markers=1, memo=None, is_stream=True)
    return asked

"""The broker's event loop does short work itself, and never waits for a store."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from brokering import answer_chat, ask, broker, models_file
from headroom.ccr.contract import StoreConfig
from headroom.ccr.stores.memory import MemoryStore
from headroom.errors import StoreUnavailableError
from headroom.proxy.workplace import ON_LOOP_BYTES
from loopback import provider

WAITING = ["load", "save", "get", "remember", "recall", "check", "maintain"]
"""What an event loop must not call; ``try_save`` is made for it."""

SYSTEM = "".join(
    f"{n}. Look at worker {n} before you restart it, and tell team {n % 7}.\n"
    for n in range(130)
)
LINES = "".join(
    f"[INFO] 2026-03-02T12:00:{n:02}Z server=web-{n % 8} status=ok latency_ms={n}\n"
    for n in range(24)
)


def conversation(name, steps):
    """The messages of a conversation of 9 KB and more; texts are below 2 KB."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"case {name} of many\n{LINES}"},
    ]
    for step in range(steps):
        said = {"role": "assistant", "content": f"Send part {step}."}
        messages += [said, {"role": "user", "content": f"part {step}\n{LINES}"}]
    return messages


def encoded(messages):
    return json.dumps({"model": "fast", "messages": messages}).encode()


class Watched(MemoryStore):
    """A store that notes by which threads it is called where that may take long.

    Attributes:
        callers: names of the methods and idents of the threads.
        hold: called first.
    """

    def __init__(self):
        super().__init__(StoreConfig())
        self.callers = []
        self.hold = lambda name: None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in WAITING:
            return found

        def called(*args, **options):
            self.callers.append((name, threading.get_ident()))
            self.hold(name)
            return found(*args, **options)

        return called

    def scoped(self, namespace):
        return self

    def try_save(self, records, originals):
        self.hold("try_save")
        return super().save(records, originals)


@pytest.fixture
def store(monkeypatch):
    """What the broker opens as its store."""
    made = Watched()
    monkeypatch.setattr("headroom.broker.app.open_settings_store", lambda _: made)
    return made


@pytest.fixture
async def served(tmp_path, store):
    """A broker that compresses, and what its backend got."""
    async with provider(answer_chat) as up:
        file = models_file(up.url, compression_enabled=True)
        async with broker(file, tmp_path) as px:
            yield px, up


async def say(served, messages):
    """What the backend got of a conversation."""
    px, up = served
    body = encoded(messages)
    assert len(body) < ON_LOOP_BYTES
    assert (await ask(px, body))[0] == 200
    return json.loads(up.requests[-1].body)["messages"]


class Gate:
    """Keeps threads waiting until it is opened."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._open = threading.Event()
        self.reached = asyncio.Event()

    def hold(self):
        self._loop.call_soon_threadsafe(self.reached.set)
        # Were it the loop that waits here, the test would go on, and fail.
        self._open.wait(5)

    def open(self):
        self._open.set()


async def test_short_requests_need_no_thread(served, monkeypatch):
    await say(served, conversation("first", 0))
    submitted = []
    submit = ThreadPoolExecutor.submit

    def noted(self, work, *args, **options):
        submitted.append(work)
        return submit(self, work, *args, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", noted)
    for messages in (conversation("first", 0), conversation("second", 0)):
        sent = await say(served, messages)
        assert sent[0] == messages[0]
        assert len(sent[1]["content"]) < len(messages[1]["content"])
    assert submitted == []


async def test_the_loop_never_calls_what_waits_for_the_store(
    served, store, monkeypatch
):
    # Like a store on another machine.
    monkeypatch.setattr(store, "try_save", lambda *_: None)
    before = await say(served, conversation("known", 0))
    sent = await say(served, conversation("known", 1))
    await say(served, conversation("from elsewhere", 3))
    assert sent[: len(before)] == before
    assert {name for name, _ in store.callers} >= {"load", "save"}
    assert threading.get_ident() not in {thread for _, thread in store.callers}


async def test_a_slow_store_keeps_nobody_waiting_who_needs_nothing_from_it(
    served, store
):
    await say(served, conversation("warm", 0))
    gate = Gate()
    store.hold = lambda name: gate.hold() if name == "load" else None
    slow = asyncio.create_task(ask(served[0], encoded(conversation("unknown", 3))))
    await gate.reached.wait()
    sent = await say(served, conversation("beside", 0))
    assert not slow.done()
    assert len(sent[1]["content"]) < len(LINES)
    gate.open()
    assert (await slow)[0] == 200


async def test_a_store_that_opens_slowly_keeps_nobody_waiting_beside(
    served, monkeypatch
):
    px, up = served
    gate = Gate()
    made = Watched()

    def opens(_):
        gate.hold()
        return made

    monkeypatch.setattr("headroom.broker.app.open_settings_store", opens)
    slow = asyncio.create_task(ask(px, encoded(conversation("first", 0))))
    await gate.reached.wait()
    body = encoded(conversation("bypassed", 0))
    assert (await ask(px, body, headers=[b"x-headroom-bypass: true"]))[0] == 200
    assert (slow.done(), len(up.requests)) == (False, 1)
    gate.open()
    assert (await slow)[0] == 200


async def test_requests_do_not_queue_for_a_store_that_does_not_open(
    served, monkeypatch
):
    px, up = served
    tries = []

    def opens(_):
        tries.append(time.monotonic())
        time.sleep(0.1)
        raise StoreUnavailableError("down")

    monkeypatch.setattr("headroom.broker.app.open_settings_store", opens)
    asked = [conversation(f"number {n}", 0) for n in range(12)]
    answers = await asyncio.gather(*(ask(px, encoded(one)) for one in asked))
    assert [status for status, *_ in answers] == [200] * 12
    sent = [json.loads(request.body)["messages"] for request in up.requests]
    assert sorted(sent, key=str) == sorted(asked, key=str)
    assert len(tries) == 1


async def test_a_broken_store_costs_no_request_and_no_prefix(served, store):
    before = await say(served, conversation("known", 1))

    def fails(name):
        raise StoreUnavailableError(name)

    store.hold = fails
    sent = await say(served, conversation("known", 2))
    assert sent[: len(before)] == before
    assert len(await say(served, conversation("from elsewhere", 3))) == 8
    assert threading.get_ident() not in {thread for _, thread in store.callers}


async def test_many_conversations_side_by_side_keep_their_prefixes(served):
    turns = [
        await asyncio.gather(*(sent_of(served, name, steps) for name in range(12)))
        for steps in range(3)
    ]
    for earlier, later in pairwise(turns):
        for before, after in zip(earlier, later, strict=True):
            assert after[: len(before)] == before


async def sent_of(served, name, steps):
    """What the backend got of one of several conversations at a time."""
    px, up = served
    messages = conversation(name, steps)
    assert (await ask(px, encoded(messages)))[0] == 200
    bodies = [json.loads(request.body)["messages"] for request in up.requests]
    mine = f"case {name} "
    (found,) = (b for b in bodies if len(b) == len(messages) and mine in str(b[1]))
    return found

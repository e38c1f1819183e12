"""The driver's coroutines are functions where nothing is awaited."""

import asyncio
import json
from concurrent.futures import Future
from itertools import pairwise

import pytest

import headroom
from headroom import driving
from headroom.driving import HERE, at_once
from headroom.proxy.workplace import Workplace
from scripted import noisy_log


async def doubled(number):
    return await HERE.work(10**9, lambda: 2 * number, is_apart=True)


def test_what_never_waits_is_run_like_a_function():
    assert at_once(doubled(21)) == 42


async def test_it_is_so_inside_a_running_loop_too():
    assert at_once(doubled(21)) == 42


def test_here_everything_is_waited_for_at_once():
    future = Future()
    future.set_result("written")
    assert at_once(HERE.result(future)) == "written"
    assert at_once(HERE.wait(lambda: "read")) == "read"


def test_errors_come_out_as_they_are():
    async def fails():
        return await HERE.wait(lambda: {}["missing"])

    with pytest.raises(KeyError, match="missing"):
        at_once(fails())


async def test_what_waits_for_a_loop_is_no_work_for_here():
    cleaned = []

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="needs no event loop"):
        at_once(waits())
    assert cleaned == [True]


class Listed:
    """The caller's place, with a list of what was done in which way."""

    def __init__(self):
        self.done = []

    async def work(self, size_bytes, work, *, is_apart=False):
        self.done.append("work apart" if is_apart else "work")
        return await HERE.work(size_bytes, work)

    async def wait(self, work):
        self.done.append("wait")
        return await HERE.wait(work)

    async def result(self, future):
        self.done.append("result")
        return await HERE.result(future)

    async def pause(self):
        await HERE.pause()

    async def compress(self, tasks, policy):
        self.done.append("compress")
        return await HERE.compress(tasks, policy)


def started():
    system = "".join(f"{n}. Look at worker {n} first.\n" for n in range(300))
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": noisy_log(1)},
    ]


def encoded(messages):
    return json.dumps({"model": "gpt-5", "messages": messages}).encode()


async def said(session, messages, place=None):
    """What was done where, and the body that leaves."""
    place = place or Listed()
    body = encoded(messages)
    forwarded = await session.aforward("openai_chat", body, place=place)
    return getattr(place, "done", None), forwarded.body


async def test_a_vocabulary_that_is_not_loaded_is_waited_for(monkeypatch):
    with headroom.Session() as session:
        monkeypatch.setattr(driving, "can_count", lambda _model: False)
        done, _ = await said(session, started())
        assert done.index("wait") < done.index("work apart") < done.index("compress")
    with headroom.Session() as session:
        monkeypatch.setattr(driving, "can_count", lambda _model: True)
        done, _ = await said(session, started())
        assert (done.count("wait"), done.count("compress")) == (0, 1)


async def test_what_memory_knows_is_not_waited_for_and_leaves_as_it_did():
    with headroom.Session() as session:
        _, before = await said(session, started())
        done, again = await said(session, started())
    assert again == before
    assert {"wait", "result", "compress"}.isdisjoint(done)


async def test_where_counting_fails_the_request_leaves_all_the_same(monkeypatch):
    def broken(_text):
        raise OSError("no vocabulary")

    monkeypatch.setattr(driving, "can_count", lambda _model: False)
    monkeypatch.setattr(driving, "counter_for", lambda _model: broken)
    with headroom.Session() as session:
        _, body = await said(session, started())
    assert json.loads(body)["messages"] == started()


class Counted(Workplace):
    """A server's place that notes how many turns others had before each message."""

    def __init__(self, turns):
        super().__init__()
        self.turns = turns
        self.before = []

    async def compress(self, tasks, policy):
        self.before.append(len(self.turns))
        return await HERE.compress(tasks, policy)


async def test_others_go_on_between_the_messages_of_one_request():
    asked = [
        {"role": "user", "content": f"case {n}\n" + noisy_log(n, lines=20)}
        for n in range(40)
    ]
    turns = []
    place = Counted(turns)

    async def others():
        while not work.done():
            turns.append(None)
            await asyncio.sleep(0)

    with headroom.Session() as session:
        work = asyncio.create_task(said(session, started()[:1] + asked, place))
        await others()
        await work
    place.close()
    assert len(place.before) == len(asked)
    assert all(one < other for one, other in pairwise(place.before))


class Gone(Listed):
    """A place that takes no work any more."""

    async def work(self, size_bytes, work, *, is_apart=False):
        raise RuntimeError("cannot schedule new futures after shutdown")


async def test_where_no_work_is_taken_any_more_the_request_leaves_as_it_came(caplog):
    body = encoded(started())
    with headroom.Session() as session:
        found = await session.aforward("openai_chat", body, place=Gone())
    assert (found.body, found.reason) == (body, "compression_error")
    (told,) = [one for one in caplog.records if one.msg == "prefix_broken"]
    assert told.messages == -1

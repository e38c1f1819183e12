"""Failing open: the bytes forwarded last time; what is told of it, and counted."""

import asyncio
import json
import logging
import sqlite3

import msgspec
import pytest

import faults
import gateways
import loopback
from headroom import driving
from headroom.ccr.encoding import decode_decision, encode_decision
from headroom.core import accepting, pipeline
from headroom.errors import StoreUnavailableError
from headroom.memory.facts import Owner
from headroom.memory.store import MemoryStore
from headroom.proxy import compute
from headroom.proxy.memories import Memories
from headroom.proxy.stages import compress
from scripted import TOOL, call, noisy_log

KEY = b"x-api-key: sk-ant-api03-test"
BREAKS = "headroom_prefix_breaks_total"
FAILURES = "headroom_stage_failures_total"
TOOLS = [
    {"name": name, "input_schema": {"type": "object"}} for name in ("read_log", "Bash")
]
MARKED = {"cache_control": {"type": "ephemeral"}}
SYSTEM = [{"type": "text", "text": "Be careful.", **MARKED}]
QUESTION = {"role": "user", "content": "Why is worker 7 slow? " * 900}


def step(number, results=1):
    """What a step of an agent adds: parallel calls, and what they return."""
    ids = range(10 * number, 10 * number + results)
    outs = [
        {"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": noisy_log(i)}
        for i in ids
    ]
    return [
        {"role": "assistant", "content": [call(i, "read_log", part=i) for i in ids]},
        {"role": "user", "content": outs},
    ]


class Talk:
    """A conversation through proxies, and what the provider got of it."""

    def __init__(self, provider):
        self.provider = provider
        self.messages = [QUESTION]

    @property
    def body(self):
        """The next request."""
        request = {"model": "claude-sonnet-4-5", "max_tokens": 9, "system": SYSTEM}
        more = {"tools": TOOLS, "messages": self.messages}
        return json.dumps({**request, **more}).encode()

    async def send(self, px):
        """Send it; what was forwarded, and the answer's headers."""
        async with loopback.client(px) as client:
            await client.send(loopback.post(self.body, headers=[KEY]))
            status, headers, _ = await client.response()
        assert status == 200
        return self.provider.requests[-1].body, headers

    async def begin(self, px, steps=2):
        """Some steps, each forwarded; the last body."""
        await self.send(px)
        for number in range(steps):
            self.messages += step(number)
            sent, _ = await self.send(px)
        return sent


@pytest.fixture
async def talk(monkeypatch):
    monkeypatch.setattr(compute, "THREAD_BYTES", 10**9)
    async with loopback.provider() as provider:
        yield Talk(provider)


def messages_of(body):
    return json.loads(body)["messages"]


def results_of(body):
    """The texts of the last message."""
    return [block["content"] for block in messages_of(body)[-1]["content"]]


def fail_on(monkeypatch, text, error=ZeroDivisionError):
    """Compressors raise on one text."""

    def faulty(one):
        def compress(given, context):
            if text.startswith(given[:1000]):
                raise error("words of a user")
            return one.compress(given, context)

        return msgspec.structs.replace(one, compress=compress)

    found = tuple(map(faulty, pipeline.COMPRESSORS))
    monkeypatch.setattr(pipeline, "COMPRESSORS", found)


def fail_always(monkeypatch, owner, name):
    """From now on a function raises."""
    found = faults.Faults(faults.since(1))
    monkeypatch.setattr(owner, name, found.around(getattr(owner, name)))
    return found


def told(caplog, name):
    return [record for record in caplog.records if record.message == name]


@pytest.mark.parametrize("error", [ZeroDivisionError, RecursionError, MemoryError])
async def test_a_block_whose_compressor_raises_stays_and_no_other_does(
    talk, monkeypatch, error
):
    async with loopback.proxy(talk.provider.url) as px:
        before = await talk.begin(px)
        talk.messages += step(5, results=3)
        with monkeypatch.context() as patch:
            fail_on(patch, noisy_log(51), error)
            sent, _ = await talk.send(px)
        again, _ = await talk.send(px)
        assert px.count(BREAKS) == 0
    first, second, third = results_of(sent)
    assert second == noisy_log(51)
    assert len(first) < len(noisy_log(50))
    assert len(third) < len(noisy_log(52))
    assert again == sent
    assert messages_of(sent)[:-2] == messages_of(before)


async def test_what_fails_while_deciding_leaves_what_is_new_and_repeats_the_rest(
    talk, monkeypatch, caplog
):
    async with loopback.proxy(talk.provider.url) as px:
        before = await talk.begin(px)
        talk.messages += step(5)
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            found = faults.Faults(faults.every(2))
            found.check()
            patch.setattr(accepting, "accept", found.around(accepting.accept))
            sent, headers = await talk.send(px)
        talk.messages += step(6)
        after, _ = await talk.send(px)
        assert px.count(FAILURES, stage="compress") == 1
        assert px.count(BREAKS) == 0
    assert found.raised == 1
    assert messages_of(sent)[:-2] == messages_of(before)
    assert results_of(sent) == [noisy_log(50)]
    assert TOOL.encode() in sent
    # For ever after, too; and what comes then is compressed again.
    assert messages_of(after)[: len(talk.messages) - 2] == messages_of(sent)
    assert len(results_of(after)[0]) < len(noisy_log(60))
    assert headers[b"x-headroom-compression-failed"] == b"true"
    (record,) = told(caplog, "compression_error")
    assert (record.stage, record.error) == ("compress", "ZeroDivisionError")
    assert "check" in record.place
    assert "words of a user" not in str(vars(record))
    assert told(caplog, "prefix_broken") == []


async def test_where_nothing_can_be_repeated_the_original_leaves_and_is_counted(
    talk, monkeypatch, caplog
):
    async with loopback.proxy(talk.provider.url) as px:
        await talk.begin(px)
        talk.messages += step(5)
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            fail_always(patch, accepting, "accept")
            sent, headers = await talk.send(px)
        assert sent == talk.body
        # Two results had left shortened.
        assert px.count(BREAKS) == 2
        assert px.count(FAILURES, stage="compress") == 1
    assert headers[b"x-headroom-compression-failed"] == b"true"
    (record,) = told(caplog, "prefix_broken")
    assert (record.messages, record.reason) == (2, "failed_open")
    assert record.levelno == logging.ERROR


async def test_a_conversation_that_had_no_edits_is_not_counted(talk, monkeypatch):
    async with loopback.proxy(talk.provider.url) as px:
        fail_always(monkeypatch, accepting, "accept")
        sent = await talk.begin(px)
        assert sent == talk.body
        assert px.count(BREAKS) == 0


async def test_what_another_worker_sent_is_counted_by_its_records(
    talk, monkeypatch, tmp_path
):
    store = f"sqlite://{tmp_path}/ledger.db"
    async with loopback.proxy(talk.provider.url, STORE=store) as px:
        await talk.begin(px)
    async with loopback.proxy(talk.provider.url, STORE=store) as px:
        fail_always(monkeypatch, accepting, "accept")
        sent, _ = await talk.send(px)
        assert sent == talk.body
        assert px.count(BREAKS) == 2


@pytest.mark.parametrize("name", ["describe", "trail_of", "session_id"])
async def test_what_cannot_be_told_changes_nothing_that_leaves(talk, monkeypatch, name):
    async with loopback.proxy(talk.provider.url) as px:
        before = await talk.begin(px)
        found = fail_always(monkeypatch, compress, name)
        again, _ = await talk.send(px)
        assert px.count(FAILURES, stage="compress") == 1
    assert found.raised == 1
    assert again == before != talk.body


def edit_records(path, change):
    """Rewrite the records of a ledger whose decisions have edits."""
    with sqlite3.connect(path) as db:
        for row, value in db.execute("SELECT id, value FROM entries").fetchall():
            decision = None if value is None else decode_decision(value)
            if decision is not None and decision.edits:
                db.execute(
                    "UPDATE entries SET value = ? WHERE id = ?", (change(decision), row)
                )
                return


async def test_a_record_that_does_not_fit_costs_its_own_message_alone(
    talk, tmp_path, caplog
):
    path = tmp_path / "ledger.db"
    async with loopback.proxy(talk.provider.url, STORE=f"sqlite://{path}") as px:
        before = await talk.begin(px)

    def misplaced(decision):
        edits = tuple(msgspec.structs.replace(e, address="7") for e in decision.edits)
        return encode_decision(msgspec.structs.replace(decision, edits=edits))

    edit_records(path, misplaced)
    async with loopback.proxy(talk.provider.url, STORE=f"sqlite://{path}") as px:
        with caplog.at_level(logging.ERROR):
            sent, _ = await talk.send(px)
            again, _ = await talk.send(px)
        assert px.count(BREAKS) == 1
    changed = [
        n
        for n, pair in enumerate(
            zip(messages_of(before), messages_of(sent), strict=True)
        )
        if pair[0] != pair[1]
    ]
    assert len(changed) == 1
    assert messages_of(sent)[changed[0]] == talk.messages[changed[0]]
    assert again == sent
    assert len(told(caplog, "prefix_broken")) == 1


async def test_a_damaged_record_is_made_again_and_the_others_are_repeated(
    talk, tmp_path
):
    path = tmp_path / "ledger.db"
    settings = {"STORE": f"sqlite://{path}"}
    async with loopback.proxy(talk.provider.url, **settings) as px:
        before = await talk.begin(px, steps=4)
    edit_records(path, lambda decision: encode_decision(decision)[:-1] + b"?")
    for _ in range(2):
        async with loopback.proxy(talk.provider.url, **settings) as px:
            assert (await talk.send(px))[0] == before
            assert px.count(BREAKS) == 0


async def test_what_is_made_again_and_fails_is_counted(talk, tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    settings = {"STORE": f"sqlite://{path}"}
    async with loopback.proxy(talk.provider.url, **settings) as px:
        before = await talk.begin(px)
    edit_records(path, lambda decision: encode_decision(decision)[:-1] + b"?")
    for text in (noisy_log(0), noisy_log(10)):
        fail_on(monkeypatch, text)
    async with loopback.proxy(talk.provider.url, **settings) as px:
        sent, _ = await talk.send(px)
        assert px.count(BREAKS) == 1
    assert len(before) < len(sent) < len(talk.body)


async def test_memory_that_was_appended_stays_where_something_fails(
    talk, tmp_path, monkeypatch
):
    folder = tmp_path / "memory"
    store = MemoryStore(folder)
    store.put(Owner("", ""), "Worker 7 is slow when its disk is full.")
    store.close()
    settings = {"MEMORY_DIR": folder, "MEMORY_MODE": "auto_tail"}
    async with loopback.proxy(talk.provider.url, **settings) as px:
        before = await talk.begin(px)
        assert b"<headroom_memory>" in before
        assert b"memory_save" in before
        talk.messages += step(5)
        talk.messages += [
            {"role": "assistant", "content": "It waits."},
            {"role": "user", "content": "Is worker 7 slow?"},
        ]
        found = fail_always(monkeypatch, Memories, "search_and_format_context")
        sent, _ = await talk.send(px)
        assert px.count(BREAKS) == 0
    assert found.raised == 1
    assert messages_of(sent)[: len(messages_of(before))] == messages_of(before)
    assert messages_of(sent)[-1] == talk.messages[-1]
    assert json.loads(sent)["tools"] == json.loads(before)["tools"]


async def test_tools_stay_in_order_where_something_fails(talk, monkeypatch):
    async with loopback.proxy(talk.provider.url, STABILISE_TOOL_SORT="enabled") as px:
        before = await talk.begin(px)
        monkeypatch.setattr(driving, "counter_for", None)
        talk.messages += step(5)
        sent, _ = await talk.send(px)
    names = [tool["name"] for tool in json.loads(before)["tools"]]
    assert names == ["Bash", "read_log", TOOL]
    assert json.loads(sent)["tools"] == json.loads(before)["tools"]
    assert results_of(sent) == [noisy_log(50)]


async def test_gateways_get_what_they_got_before(monkeypatch):
    async with loopback.proxy(gateways.NOWHERE) as px:

        async def compressed(messages):
            data = json.dumps({"messages": messages, "model": "gpt-5"}).encode()
            request = loopback.post(data, path=b"/v1/compress")
            status, found = await gateways.call(px, request)
            assert status == 200
            return found["messages"]

        history = [gateways.SYSTEM, gateways.QUESTION, *gateways.chat_step(1)]
        before = await compressed(history)
        assert before != history
        history += gateways.chat_step(2)
        with monkeypatch.context() as patch:
            patch.setattr(driving, "counter_for", None)
            sent = await compressed(history)
        assert sent == [*before, *history[-2:]]
        assert await compressed(history) == sent
        assert px.count(BREAKS) == 0


@pytest.mark.parametrize("place", ["_known", "_compress", "_save", "_forward"])
@pytest.mark.parametrize("is_behind", [False, True])
async def test_whoever_is_cancelled_anywhere_sends_the_same_later(
    talk, monkeypatch, place, is_behind
):
    async with loopback.proxy(talk.provider.url) as px:
        before = await talk.begin(px)
        talk.messages += step(5)
        stage = px.app.stages[0]
        owner = stage if place == "_forward" else stage._driver
        reached = asyncio.Event()
        real = getattr(owner, place)

        async def hang(*args, **options):
            found = await real(*args, **options) if is_behind else None
            reached.set()
            await asyncio.sleep(60)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(owner, place, hang)
            task = asyncio.create_task(talk.send(px))
            await asyncio.wait_for(reached.wait(), 10)
            for one in asyncio.all_tasks():
                if "RequestResponseCycle" in repr(one) or one is task:
                    one.cancel()
            await asyncio.gather(task, return_exceptions=True)
        sent, _ = await talk.send(px)
        again, _ = await talk.send(px)
        assert px.count(BREAKS) == 0
    assert messages_of(sent)[:-2] == messages_of(before)
    assert len(results_of(sent)[0]) < len(noisy_log(50))
    assert again == sent


async def test_a_ledger_that_goes_down_between_reading_and_writing_changes_nothing_old(
    talk, monkeypatch
):
    """What was sent by another way has no records: it stays as it came."""
    async with loopback.proxy(talk.provider.url) as px:
        before = await talk.begin(px, steps=1)
        talk.messages += [*step(1), *step(2), *step(3)]
        store = px.app.stages[0]._ledger._store

        def down(*_, **__):
            raise StoreUnavailableError("down")

        def goes_down(*_, **__):
            for name in ("load", "save", "try_save", "check"):
                monkeypatch.setattr(store, name, down)
            down()

        for name in ("try_save", "save"):
            monkeypatch.setattr(store, name, goes_down)
        sent, _ = await talk.send(px)
        again, _ = await talk.send(px)
        assert px.app.stages[0].health()["status"] == "degraded"
        assert px.count(BREAKS) == 0
    assert messages_of(sent)[:3] == messages_of(before)
    assert messages_of(sent)[3:-1] == talk.messages[3:-1]
    assert len(results_of(sent)[0]) < len(noisy_log(30))
    assert b"<<ccr:" not in json.dumps(results_of(sent)).encode()
    assert again == sent

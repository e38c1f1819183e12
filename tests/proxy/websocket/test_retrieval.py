"""Retrievals answered inside the answers of a WebSocket."""

import asyncio
import contextlib
import json
import re
import sqlite3

import websockets

from headroom.proxy.steps import Steps
from loopback import proxy
from scripted import noisy_log
from sockets import dial, socket_provider

PATH = "/v1/responses"
KEY = {"authorization": "Bearer sk-abc"}
TOOLS = [{"type": "function", "name": "exec_command", "parameters": {}}]
SYSTEM = {"type": "message", "role": "developer", "content": "Be careful. " * 600}
GIVEN = {"type": "additional_tools", "role": "developer", "tools": TOOLS}
GO = {"type": "message", "role": "user", "content": "go"}
MARKER = re.compile(r"<<ccr:([0-9a-f]{24})")
ORIGINAL = b"\0original"
NAME = re.compile(r"\[repeats (#\d+)")
FILE = "\n".join(
    f"def function_{n}(value): return value * {n * 7919 % 1013} + {n * 31 % 97}"
    for n in range(60)
)


def call(name, number, arguments="{}"):
    call_id = f"call_{name}_{number}"
    item = {"type": "function_call", "id": f"fc_{call_id}", "status": "completed"}
    return {**item, "call_id": call_id, "name": name, "arguments": arguments}


def result(number):
    kind = {"type": "function_call_output", "call_id": f"call_exec_command_{number}"}
    return {**kind, "output": noisy_log(number)}


def answered(item):
    """A result of the client's: those that the proxy brings are told by their call."""
    call_id = item.get("call_id", "")
    return "output" in item and call_id.startswith("call_headroom_retrieve")


class Model:
    """Asks for what was left out of each result, then for its own tool."""

    def __init__(self, *, fails=False, asks=MARKER):
        self.asked = []
        self.asks = asks
        self.sockets = []
        self.fails = fails
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, provider, socket):
        self.sockets.append(socket)
        async for message in socket:
            event = json.loads(message)
            self.asked.append(event)
            is_behind = any(map(answered, event["input"]))
            if is_behind:
                await self.may_go_on.wait()
            if is_behind and self.fails:
                error = {"code": "rate_limit_exceeded", "message": "too much"}
                told = {"type": "error", "status": 429, "error": error}
                await socket.send(json.dumps(told))
                continue
            await self.answer(socket, event, is_behind=is_behind)

    async def answer(self, socket, event, *, is_behind):
        number = len(self.asked)
        if event.get("generate") is False:
            nothing = {"id": f"resp_{number}", "status": "completed", "output": []}
            await socket.send(
                json.dumps({"type": "response.completed", "response": nothing})
            )
            return
        found = self.asks.search(json.dumps(event["input"]))
        if found and not is_behind:
            arguments = json.dumps({"hash": found[1]})
            said = call("headroom_retrieve", number, arguments)
        else:
            said = call("exec_command", number)
        usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        response = {"id": f"resp_{number}", "status": "in_progress", "output": []}
        ended = {**response, "status": "completed", "output": [said], "usage": usage}
        place = {"output_index": 0}
        events = [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", **place, "item": said},
            {"type": "response.output_item.done", **place, "item": said},
            {"type": "response.completed", "response": ended},
        ]
        for position, one in enumerate(events):
            await socket.send(json.dumps({**one, "sequence_number": position}))


@contextlib.asynccontextmanager
async def running(*, store="memory://", **options):
    model = Model(**options)
    async with socket_provider(model) as up, proxy(up.url, STORE=store) as px:
        yield model, up, px


async def ask(socket, items, previous="", tools=TOOLS, **members):
    event = {"type": "response.create", "model": "gpt-5.5", "input": items}
    event |= {"tools": tools, "store": False} if tools else {"store": False}
    event |= members
    if previous:
        event["previous_response_id"] = previous
    await socket.send(json.dumps(event))
    events = []
    async with asyncio.timeout(10):
        while True:
            events.append(json.loads(await socket.recv()))
            if events[-1]["type"] in {"response.completed", "error"}:
                return events


def last_id(events):
    return events[-1]["response"]["id"]


async def converse(px, turns=3):
    """What the client has seen, and its history."""
    history, seen = [SYSTEM, GO], []
    async with dial(px, PATH, additional_headers=KEY) as ws:
        events = await ask(ws, history)
        for _ in range(turns):
            seen.append(events)
            output = events[-1]["response"]["output"]
            number = int(output[-1]["call_id"].rpartition("_")[2])
            fresh = [result(number)]
            history += [*output, *fresh]
            events = await ask(ws, fresh, previous=last_id(events))
    return [*seen, events], history


async def test_the_model_gets_what_it_asks_for_and_the_client_sees_nothing_of_it():
    async with running() as (model, _, px):
        seen, _ = await converse(px)
        found = px.count("headroom_retrievals_total", outcome="found")
    assert found == 3
    assert "headroom_retrieve" not in json.dumps(seen)
    for events in seen:
        assert [e["sequence_number"] for e in events] == list(range(len(events)))
        assert events[0]["type"] == "response.created"
    behind = [e for e in model.asked if any(map(answered, e["input"]))]
    assert len(behind) == 3
    for event in behind:
        number = model.asked.index(event)
        assert len(event["input"]) == 1
        assert event["previous_response_id"] == f"resp_{number}"
        original = noisy_log(int(model.asked[number - 1]["input"][0]["call_id"][-1]))
        assert original[:2000] in event["input"][0]["output"]


async def test_the_conversation_goes_on_from_the_last_answer_behind_it():
    async with running() as (model, _, px):
        seen, _ = await converse(px)
    ids = [last_id(events) for events in seen]
    asked = [e for e in model.asked if not any(map(answered, e["input"]))]
    assert [e.get("previous_response_id", "") for e in asked] == ["", *ids[:-1]]
    assert seen[-1][-1]["response"]["usage"]["output_tokens"] == 20


async def test_after_a_reconnect_what_the_client_never_saw_is_put_back():
    async with running() as (model, _, px):
        _, history = await converse(px)
        whole = []
        for event in model.asked:
            number = model.asked.index(event) + 1
            name = (
                "headroom_retrieve"
                if not any(map(answered, event["input"]))
                and MARKER.search(json.dumps(event["input"]))
                else "exec_command"
            )
            whole += [*event["input"], f"call_{name}_{number}"]
        before = len(model.asked)
        async with dial(px, PATH, additional_headers=KEY) as ws:
            await ask(ws, history)
        again = model.asked[before]["input"]
        assert px.count("headroom_prefix_breaks_total") == 0
    told = [i["call_id"] if i.get("type") == "function_call" else i for i in again]
    assert told == whole[: len(told)]
    assert sum(map(answered, again)) == 2


async def test_tools_that_are_given_once_among_the_items_are_joined_by_ours():
    async with running() as (model, _, px):
        async with dial(px, PATH, additional_headers=KEY) as ws:
            seen = [await ask(ws, [], tools=None, generate=False)]
            history, fresh = [], [GIVEN, SYSTEM, GO]
            for _ in range(3):
                history += fresh
                previous = last_id(seen[-1])
                seen.append(await ask(ws, fresh, previous, tools=None))
                output = seen[-1][-1]["response"]["output"]
                history += output
                fresh = [result(int(output[-1]["call_id"].rpartition("_")[2]))]
        before = len(model.asked)
        async with dial(px, PATH, additional_headers=KEY) as ws:
            seen.append(await ask(ws, history, tools=None))
        found = px.count("headroom_retrievals_total", outcome="found")
        assert px.count("headroom_prefix_breaks_total") == 0
    first, again = model.asked[1]["input"], model.asked[before]["input"]
    names = [tool["name"] for tool in first[0]["tools"]]
    assert names == ["exec_command", "headroom_retrieve"]
    assert again[: len(first)] == first
    assert found == 2
    assert "headroom_retrieve" not in json.dumps(seen)
    assert not any("tools" in event for event in model.asked)


async def test_a_provider_that_does_not_go_on_is_told_as_an_error():
    async with running(fails=True) as (_, _, px):
        async with dial(px, PATH, additional_headers=KEY) as ws:
            first = await ask(ws, [SYSTEM, GO])
            events = await ask(ws, [result(1)], previous=last_id(first))
            assert events[-1]["type"] == "error"
            assert "too much" in json.dumps(events[-1])
            await ask(ws, [SYSTEM, GO])
        assert px.count("headroom_requests_in_flight") == 0


async def test_a_client_that_leaves_between_two_rounds_takes_all_of_it_along():
    async with running() as (model, up, px):
        model.may_go_on.clear()
        async with dial(px, PATH, additional_headers=KEY) as ws:
            first = await ask(ws, [SYSTEM, GO])
            with contextlib.suppress(TimeoutError, websockets.ConnectionClosed):
                async with asyncio.timeout(0.5):
                    await ask(ws, [result(1)], previous=last_id(first))
            ws.transport.abort()
            await asyncio.sleep(0.1)
            model.may_go_on.set()
            await up.has_ended()
        await asyncio.sleep(0.1)
        assert px.count("headroom_requests_in_flight") == 0
        assert px.count("headroom_websockets_open") == 0


async def test_a_request_sent_too_early_waits_until_the_answer_is_joined():
    async with running() as (model, _, px):
        model.may_go_on.clear()
        async with dial(px, PATH, additional_headers=KEY) as ws:
            first = await ask(ws, [SYSTEM, GO])
            event = {"type": "response.create", "model": "gpt-5.5", "tools": TOOLS}
            event["store"] = False
            behind = {"input": [result(1)], "previous_response_id": last_id(first)}
            await ws.send(json.dumps(event | behind))
            await ws.send(json.dumps(event | {"input": [SYSTEM, GO]}))
            await asyncio.sleep(0.3)
            assert len(model.asked) == 3
            model.may_go_on.set()
            ends = []
            async with asyncio.timeout(10):
                while len(ends) < 2:
                    found = json.loads(await ws.recv())
                    if found["type"] == "response.completed":
                        ends.append(found["response"]["id"])
    assert ends == ["resp_3", "resp_4"]


async def test_what_a_provider_says_between_two_answers_belongs_to_neither(monkeypatch):
    is_read, may_leave = asyncio.Event(), asyncio.Event()
    on_request = Steps.on_request

    async def slow(steps, exchange):
        is_read.set()
        await may_leave.wait()
        await on_request(steps, exchange)

    async with running() as (model, _, px):
        async with dial(px, PATH, additional_headers=KEY) as ws:
            first = await ask(ws, [SYSTEM, GO])
            monkeypatch.setattr(Steps, "on_request", slow)
            asking = asyncio.create_task(ask(ws, [result(1)], previous=last_id(first)))
            async with asyncio.timeout(10):
                await is_read.wait()
                await model.sockets[-1].send('{"type":"codex.rate_limits"}')
                await asyncio.sleep(0.1)
                may_leave.set()
                events = await asking
        assert px.count("headroom_retrievals_total", outcome="found") == 1
    assert events[0]["type"] == "codex.rate_limits"
    assert "headroom_retrieve" not in json.dumps(events)


def told(events):
    """The call of the client's that an answer ends with, and a result for it."""
    item = events[-1]["response"]["output"][-1]
    kind = {"type": "function_call_output", "call_id": item["call_id"]}
    return item, {**kind, "output": FILE}


async def test_what_a_reference_names_is_given_by_its_number_in_any_process(tmp_path):
    store = f"sqlite://{tmp_path}/store.db"
    async with running(store=store, asks=NAME) as (model, up, px):
        async with dial(px, PATH, additional_headers=KEY) as ws:
            events = await ask(ws, [SYSTEM, GO])
            for _ in range(2):
                _, fresh = told(events)
                events = await ask(ws, [fresh], previous=last_id(events))
            assert px.count("headroom_retrievals_total", outcome="found") == 1
        async with (
            proxy(up.url, STORE=store) as other,
            dial(other, PATH, additional_headers=KEY) as ws,
        ):
            _, fresh = told(events)
            seen = await ask(ws, [fresh], previous=last_id(events))
            assert other.count("headroom_retrievals_total", outcome="found") == 1
    forms = [i["output"] for e in model.asked for i in e["input"] if "output" in i]
    # The file as it is; what stands for it; what was answered; and the same again.
    assert forms[0] == FILE
    assert forms[1].startswith("[repeats #1 exec_command]\n[#1:1-60]")
    assert forms[2] == FILE
    assert forms[3].startswith("[repeats #1:1-60]")
    assert forms[4] == FILE
    assert not MARKER.search(json.dumps(forms))
    assert "headroom_retrieve" not in json.dumps(seen)


async def test_all_sent_again_is_asked_for_by_number_as_well():
    async with running(asks=NAME) as (model, _, px):
        history = [SYSTEM, GO]
        async with dial(px, PATH, additional_headers=KEY) as ws:
            events = await ask(ws, history)
            call_, fresh = told(events)
            history += [call_, fresh]
            events = await ask(ws, [fresh], previous=last_id(events))
        call_, fresh = told(events)
        async with dial(px, PATH, additional_headers=KEY) as ws:
            await ask(ws, [*history, call_, fresh])
        assert px.count("headroom_retrievals_total", outcome="found") == 1
    *_, whole, answer = model.asked
    assert whole["input"][-1]["output"].startswith("[repeats #1")
    assert answer["input"][-1]["output"] == FILE


async def test_what_stands_in_the_request_is_given_without_any_store(tmp_path):
    path = tmp_path / "store.db"
    async with running(store=f"sqlite://{path}", asks=NAME) as (model, up, px):
        history = [SYSTEM, GO]
        async with dial(px, PATH, additional_headers=KEY) as ws:
            events = await ask(ws, history)
            for _ in range(2):
                call_, fresh = told(events)
                history += [call_, fresh]
                events = await ask(ws, [fresh], previous=last_id(events))
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            gone = db.execute("DELETE FROM entries WHERE lineage = ?", (ORIGINAL,))
            assert gone.rowcount > 0
        async with (
            proxy(up.url, STORE=f"sqlite://{path}") as other,
            dial(other, PATH, additional_headers=KEY) as ws,
        ):
            await ask(ws, history)
            assert other.count("headroom_retrievals_total", outcome="found") == 1
    *_, whole, answer = model.asked
    assert whole["input"][-1]["output"].startswith("[repeats #1")
    assert answer["input"][-1]["output"] == FILE

"""The lab speaks Responses over WebSockets, on both sides."""

import contextlib
import json

import aiohttp
import pytest

from headroom.cachelab import report
from headroom.cachelab.clients import load as load_recordings
from headroom.cachelab.clients import replay as replay_recording
from headroom.cachelab.conversations import load
from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.replay import Options, bench
from headroom.cachelab.server import make_app, serving
from headroom.cachelab.socket_client import SocketClient
from loopback import proxy
from scripted import noisy_log

KEY = "sk-cachelab-case"
SYSTEM = {"type": "message", "role": "developer", "content": "Be careful. " * 600}


def user(text):
    return {"type": "message", "role": "user", "content": text}


def body(items, **members):
    found = {"model": "gpt-5.5", "input": items, "stream": True, "store": False}
    return json.dumps(found | {"prompt_cache_key": "cachelab-case"} | members).encode()


@contextlib.asynccontextmanager
async def running(**options):
    lab = Lab(TokenCounter(), keeps_requests=True)
    async with (
        serving(make_app(lab)) as url,
        SocketClient(url, **options) as client,
    ):
        yield lab, client, url


async def test_a_delta_is_billed_as_the_whole_conversation():
    async with running() as (lab, client, _):
        first = await client.send(body([SYSTEM, user("go")]), KEY)
        said = {"type": "message", "role": "assistant", "content": "Done."}
        second = await client.send(body([SYSTEM, user("go"), said, user("on")]), KEY)
    assert (first.error, second.error) == ("", "")
    prewarm, one, two = lab.records
    assert [len(r.units) for r in (prewarm, one, two)] == [1, 2, 4]
    assert two.usage.read
    assert two.usage.total > one.usage.total


async def test_only_what_is_new_is_sent_behind_an_answer():
    sent = []
    async with running() as (lab, client, _):
        ask = lab.responses
        lab.responses = lambda h, b, c=None: sent.append(json.loads(b)) or ask(h, b, c)
        history = [SYSTEM, user("go")]
        await client.send(body(history), KEY)
        history += [{"role": "assistant", "content": "a"}, user("b"), user("c")]
        await client.send(body(history), KEY)
        history[1] = user("something else")
        await client.send(body(history), KEY)
    prewarm, first, delta, whole = sent
    assert (prewarm["generate"], prewarm["input"]) == (False, [SYSTEM])
    assert first["input"] == [user("go")]
    assert delta["input"] == [user("b"), user("c")]
    assert "previous_response_id" in delta
    assert whole["input"] == history
    assert "previous_response_id" not in whole


async def test_everything_is_sent_again_on_every_new_connection():
    async with running(is_reconnecting=True) as (lab, client, _):
        await client.send(body([SYSTEM, user("go")]), KEY)
        await client.send(body([SYSTEM, user("go"), user("on")]), KEY)
    assert [len(record.units) for record in lab.records] == [1, 2, 3]


async def test_state_is_the_connections_unless_it_is_stored():
    event = {"type": "response.create", "model": "gpt-5.5", "input": "hello"}
    headers = {"authorization": f"Bearer {KEY}"}

    async def ask(socket, **members):
        await socket.send_json(event | members)
        while True:
            found = await socket.receive_json()
            if found["type"] in {"response.completed", "error"}:
                return found

    async with running() as (_, _, url), aiohttp.ClientSession() as session:
        address = f"{url}/v1/responses"
        async with session.ws_connect(address, headers=headers) as one:
            gone = (await ask(one, store=False))["response"]["id"]
            kept = (await ask(one, store=True))["response"]["id"]
            again = await ask(one, store=False, previous_response_id=gone)
            assert again["type"] == "response.completed"
        async with session.ws_connect(address, headers=headers) as two:
            lost = await ask(two, previous_response_id=gone)
            found = await ask(two, previous_response_id=kept)
            await two.send_str("nonsense")
            odd = await two.receive_json()
        assert lost["error"]["code"] == "previous_response_not_found"
        assert lost["status"] == 400
        assert found["type"] == "response.completed"
        assert odd["type"] == "error"


@pytest.mark.parametrize(
    ("members", "kind"),
    [({"generate": False}, "response.completed"), ({}, "error")],
)
async def test_only_what_prepares_a_conversation_may_be_empty(members, kind):
    event = {"type": "response.create", "model": "gpt-5.5", "input": [], **members}
    async with running() as (_, _, url), aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {KEY}"}
        async with session.ws_connect(f"{url}/v1/responses", headers=headers) as one:
            await one.send_json(event)
            found = await one.receive_json()
            while found["type"] not in {"response.completed", "error"}:
                found = await one.receive_json()
    assert found["type"] == kind


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/v1/responses", {}, 401), ("/v1/other", {"authorization": "Bearer x"}, 404)],
)
async def test_handshakes_are_refused_like_requests(path, headers, status):
    async with running() as (_, _, url), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(url + path, headers=headers)
    assert caught.value.status == status


async def through_headroom(options, work):
    async with contextlib.AsyncExitStack() as stack:

        async def target(url):
            px = await stack.enter_async_context(proxy(url))
            return px.url, None

        async with bench(options, target=target) as lab:
            return await work(lab)


@pytest.mark.parametrize(
    "options",
    [
        Options(uses_sockets=True),
        Options(uses_sockets=True, is_reconnecting=True),
        Options(uses_sockets=True, parallel=3),
        Options(uses_sockets=True, resends=True),
        Options(uses_sockets=True, resends=True, retrieve_every=4),
    ],
)
async def test_conversations_over_sockets_break_no_prefix(options):
    from headroom.cachelab.conversations import SHIPPED

    loaded = load([SHIPPED], "responses")
    results = await through_headroom(options, lambda lab: lab.run(loaded))
    assert report.problems(results) == []
    for result in results:
        assert result.rewrites == 0
        assert result.ratio < 0.8


def frame(items, number, **members):
    event = {"type": "response.create", "model": "gpt-5.5", "store": False}
    if number:
        event["previous_response_id"] = f"resp_{number}"
    event |= {"input": items, "stream": True, **members}
    line = {"method": "WS", "path": "/v1/responses", "transport": "ws-message"}
    return json.dumps({"client": "agent", "role": "main", **line, "body": event})


@pytest.mark.parametrize("is_cut", [False, True])
async def test_recorded_messages_are_replayed_as_they_were_sent(tmp_path, is_cut):
    handshake = {"method": "GET", "path": "/v1/responses", "transport": "ws-handshake"}
    handshake["headers"] = [["openai-beta", "x"], ["Sec-WebSocket-Extensions", "y"]]
    lines = [json.dumps(handshake), frame([SYSTEM], 0, generate=False)]
    lines.append(frame([user("go")], 1))
    for number in range(4):
        item = {"type": "function_call_output", "call_id": f"call_{number}"}
        kind = {"type": "custom_tool_call_output"} if number == 2 else {}
        lines.append(frame([{**item, **kind, "output": noisy_log(number)}], number + 2))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    async def work(lab):
        if is_cut:

            async def cut():
                await lab.target.sockets._lines["a"].socket.close()

            lab.target.restart = cut
        return [await replay_recording(lab, one) for one in load_recordings([tmp_path])]

    [one] = await through_headroom(Options(), work)
    assert report.client_problems([one]) == []
    assert (one.skipped, one.result.turns, one.changed) == (0, 6, ())
    assert one.tool_tokens[1] < 0.7 * one.tool_tokens[0]

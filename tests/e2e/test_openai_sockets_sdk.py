"""The official OpenAI SDK's WebSockets, as they come, through the proxy."""

import contextlib
import json

import openai
import pytest

from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from jobs import ANSWERS, log
from loopback import proxy
from sockets import socket_provider

pytestmark = pytest.mark.e2e

MODEL = "gpt-5"
TOOL = {
    "type": "function",
    "name": "read_log",
    "parameters": {"type": "object", "properties": {"part": {"type": "integer"}}},
    "strict": False,
}
START = [
    {"type": "message", "role": "developer", "content": "You are careful. " * 400},
    {"type": "message", "role": "user", "content": "Why are the jobs slow?"},
]


@contextlib.asynccontextmanager
async def provider(**settings):
    """A lab, its proxy, and the SDK's client for it."""
    lab = Lab(TokenCounter(), script=Script(), keeps_requests=True)
    lab.script.register("sdk", ANSWERS)
    async with (
        serving(make_app(lab)) as url,
        proxy(url, **settings) as px,
        openai.AsyncOpenAI(
            api_key="sk-cachelab-sdk", base_url=px.url + "/v1", max_retries=0
        ) as client,
    ):
        yield lab, client, px


async def ask(connection, items, **members):
    """The response to some input, and the types of the events on the way."""
    asked = {"model": MODEL, "input": items, "tools": [TOOL], "store": False}
    await connection.response.create(**asked, **members)
    kinds = []
    async for event in connection:
        kinds.append(event.type)
        if event.type == "response.completed":
            return event.response, kinds
        assert event.type != "error", event
    raise AssertionError("the connection ended before the response did")


def results(response):
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": log(json.loads(item.arguments)["part"]),
        }
        for item in response.output
        if item.type == "function_call"
    ]


async def run_tools(connection, response, history):
    """Answer calls until there are none; everything said goes to ``history``."""
    while found := results(response):
        history += [item.to_dict() for item in response.output] + found
        response, kinds = await ask(connection, found, previous_response_id=response.id)
        assert kinds[0] == "response.created"
    return response


def sent_results(lab):
    items = lab.last_requests["sdk"]["input"]
    return [i["output"] for i in items if i.get("type") == "function_call_output"]


async def test_a_tool_loop_goes_on_by_what_is_new_and_is_compressed():
    async with provider() as (lab, client, px):
        history = list(START)
        async with client.responses.connect() as connection:
            warm, _ = await ask(connection, START[:1], generate=False)
            response, _ = await ask(connection, START[1:], previous_response_id=warm.id)
            response = await run_tools(connection, response, history)
        deltas = sent_results(lab)
        assert response.output_text
        async with client.responses.connect() as connection:
            await ask(connection, history)
        assert px.count("headroom_prefix_breaks_total") == 0
    assert not [record.error for record in lab.records if record.error]
    assert sent_results(lab) == deltas
    originals = [i["output"] for i in history if "output" in i]
    assert len(deltas) == len(originals) > 1
    assert sum(map(len, deltas)) < 0.7 * sum(map(len, originals))


async def test_errors_are_events_and_the_connection_stays_open():
    async with provider() as (_, client, _), client.responses.connect() as connection:
        await connection.response.create(
            model=MODEL, input="hello", previous_response_id="resp_gone", store=False
        )
        event = await connection.recv()
        assert event.type == "error"
        assert event.error.code == "previous_response_not_found"
        response, _ = await ask(connection, START)
    assert response.status == "completed"


async def test_a_refused_handshake_is_an_error_with_the_providers_status():
    async with provider(PROXY_REAPPLY="disabled") as (_, client, _):
        with pytest.raises(Exception, match="426"):
            async with client.responses.connect():
                pass


async def test_the_realtime_api_passes_untouched():
    async def talk(provider, socket):
        await socket.send('{"type":"session.created","event_id":"e1","session":{}}')
        async for message in socket:
            provider.received.append(message)
            await socket.send('{"type":"response.done","event_id":"e2","response":{}}')

    async with (
        socket_provider(talk) as up,
        proxy(up.url) as px,
        openai.AsyncOpenAI(api_key="sk-x", base_url=px.url + "/v1") as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        await connection.session.update(
            session={"type": "realtime", "instructions": "hi"}
        )
        assert (await connection.recv()).type == "response.done"
    assert json.loads(up.received[0])["session"]["instructions"] == "hi"
    assert up.requests[0].path == "/v1/realtime?model=gpt-realtime"
    assert up.requests[0].headers["authorization"] == "Bearer sk-x"

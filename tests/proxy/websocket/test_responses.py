"""What is asked over the Responses API's WebSockets."""

import asyncio
import contextlib
import json

import pytest
import websockets

from loopback import EditStage, client, post, proxy
from loopback import answer as http_answer
from loopback import provider as http_provider
from sockets import dial, socket_provider

PATH = "/v1/responses"
KEY = {"authorization": "Bearer sk-abc"}
TOOLS = [{"type": "function", "name": "exec_command", "parameters": {}}]


def output(seed):
    """A tool's output that compresses."""
    return "\n".join(
        f"2026-01-01 12:{n % 60:02d}:00 INFO worker {seed} processed item {n} in 5 ms"
        for n in range(300)
    )


def system(text="You are an agent. " * 400):
    return {"type": "message", "role": "developer", "content": text}


def user(text):
    return {"type": "message", "role": "user", "content": text}


def call(number):
    return {
        "type": "function_call",
        "call_id": f"call_{number}",
        "name": "exec_command",
        "arguments": f'{{"cmd":"run {number}"}}',
    }


def result(number):
    return {
        "type": "function_call_output",
        "call_id": f"call_{number}",
        "output": output(number),
    }


def create(items, *, previous="", **members):
    """A ``response.create`` as codex writes it."""
    event = {"type": "response.create", "model": "gpt-5.5", "stream": True}
    if previous:
        event["previous_response_id"] = previous
    event |= {"input": items, "tools": TOOLS, "store": False, **members}
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


class Model:
    """Answers every request with a call of its tool, and counts."""

    def __init__(self):
        self.asked = []
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def __call__(self, provider, socket):
        async for message in socket:
            provider.received.append(message)
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                event = json.loads(message)
                if event.get("type") == "response.create":
                    await self._answer(socket, event)

    async def _answer(self, socket, event):
        self.asked.append(event)
        number = len(self.asked)
        lane = {"stream_id": event["stream_id"]} if "stream_id" in event else {}
        if event.get("model") == "wrong":
            error = {"code": "model_not_found", "message": "no such model"}
            found = {"type": "error", "status": 404, "error": error}
            await socket.send(json.dumps(found | lane))
            return
        response = {"id": f"resp_{number}", "object": "response", "output": []}
        said = [] if event.get("generate") is False else [call(number)]
        usage = {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 60},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 105,
        }
        begun = {"type": "response.created", "response": response}
        await socket.send(json.dumps(begun | lane))
        for index, item in enumerate(said):
            done = {"type": "response.output_item.done", "output_index": index}
            await socket.send(json.dumps(done | {"item": item} | lane))
        await self.may_finish.wait()
        ended = response | {"status": "completed", "output": said, "usage": usage}
        final = {"type": "response.completed", "response": ended}
        await socket.send(json.dumps(final | lane))


async def answer(socket):
    """All events of one answer."""
    events = []
    async with asyncio.timeout(10):
        while True:
            events.append(json.loads(await socket.recv()))
            kind = events[-1]["type"]
            if kind in {"response.completed", "response.failed", "error"}:
                return events


async def ask(socket, items, **members):
    """Ask and return the id of the answer."""
    await socket.send(create(items, **members))
    return (await answer(socket))[-1]["response"]["id"]


@contextlib.asynccontextmanager
async def running(**options):
    model = Model()
    async with socket_provider(model) as up, proxy(up.url, **options) as px:
        yield model, up, px


def open_(px, path=PATH, **headers):
    return dial(px, path, additional_headers=KEY | headers)


def sent_items(up):
    return [json.loads(message)["input"] for message in up.received]


async def converse(px, turns, warmed=1):
    """A conversation of deltas; returns its items as the client knows them.

    The first ``warmed`` items are sent to prepare what comes.
    """
    history = [system(), user("go")]
    async with open_(px) as ws:
        previous = await ask(ws, history[:warmed], generate=False)
        fresh = history[warmed:]
        for number in range(2, turns + 2):
            previous = await ask(ws, fresh, previous=previous)
            fresh = [result(number)]
            history += [call(number), result(number)]
        await ask(ws, fresh, previous=previous)
    return history


@pytest.mark.parametrize("path", [PATH, "/proxy/openai/v1/responses", "/responses"])
async def test_a_result_is_compressed_and_the_rest_of_its_message_is_left(path):
    async with running(RETRIEVAL="off") as (_, up, px), open_(px, path) as ws:
        previous = await ask(ws, [system(), user("go")])
        message = create([result(1)], previous=previous)
        await ws.send(message)
        await answer(ws)
    sent = up.received[1]
    before, after = message.split(json.dumps(output(1)))
    assert sent.startswith(before)
    assert sent.endswith(after)
    assert len(sent) < len(message) / 3


@pytest.mark.parametrize("warmed", [0, 1])
async def test_everything_sent_again_after_a_reconnect_leaves_as_it_left(warmed):
    async with running() as (_, up, px):
        history = await converse(px, 4, warmed)
        deltas = [item for items in sent_items(up) for item in items]
        async with open_(px) as ws:
            await ask(ws, history)
        whole = sent_items(up)[-1]
        assert px.count("headroom_prefix_breaks_total") == 0
    forwarded = [item for item in whole if item["type"] != "function_call"]
    assert forwarded == deltas
    assert sum("output" in item for item in deltas) == 4
    assert all(len(i["output"]) < 9_000 for i in deltas if "output" in i)


@pytest.mark.parametrize("warmed", [0, 1])
async def test_what_was_said_before_is_referred_to_however_it_was_begun(warmed):
    lines = [f"def area_{n}(side):\n    return side * {n}\n" for n in range(120)]
    code = {**result(2), "output": "\n".join(lines)}
    async with running() as (_, up, px), open_(px) as ws:
        history = [system(), user("go")]
        previous = await ask(ws, history[:warmed], generate=False)
        previous = await ask(ws, history[warmed:], previous=previous)
        previous = await ask(ws, [code], previous=previous)
        previous = await ask(ws, [user("once more")], previous=previous)
        await ask(ws, [{**code, "call_id": "call_4"}], previous=previous)
    told = sent_items(up)[-1][0]["output"]
    assert told.startswith("[repeats #1")
    assert len(told) < 400


@pytest.mark.parametrize(
    "requests",
    [
        [([], {"generate": False}), ([system(), user("go")], {}), ([result(2)], {})],
        [([], {"prompt": {"id": "pmpt_1"}}), ([result(1)], {}), ([result(2)], {})],
        [([system(), user("go")], {}), ([], {}), ([result(2)], {})],
    ],
    ids=["prewarm", "template", "in the middle"],
)
async def test_requests_without_items_have_the_tools_of_their_conversation(requests):
    """Tools stand in front of all the provider keeps, whatever is sent behind them."""
    previous = ""
    async with running() as (_, up, px), open_(px) as ws:
        for items, members in requests:
            previous = await ask(ws, items, previous=previous, **members)
    sent = [json.loads(message) for message in up.received]
    names = [[tool["name"] for tool in event["tools"]] for event in sent]
    assert names == [["exec_command", "headroom_retrieve"]] * 3
    assert len(sent[-1]["input"][0]["output"]) < 9_000


async def test_a_conversation_goes_on_in_another_process_by_the_answers_id(tmp_path):
    url = f"sqlite://{tmp_path}/store.db"
    async with running(STORE=url) as (model, up, px):
        history = await converse(px, 2)
        first = [item for items in sent_items(up) for item in items]
        async with proxy(up.url, STORE=url) as other, open_(other) as ws:
            previous = f"resp_{len(model.asked)}"
            number = len(model.asked)
            await ask(ws, [result(number)], previous=previous)
            history += [call(number), result(number)]
        delta = sent_items(up)[-1]
        async with proxy(up.url, STORE=url) as third, open_(third) as ws:
            await ask(ws, history)
        whole = [i for i in sent_items(up)[-1] if i["type"] != "function_call"]
    assert whole == first + delta


async def test_full_requests_over_http_find_what_was_sent_over_the_socket():
    import aiohttp.web

    async with running() as (_, up, px):
        history = await converse(px, 3)
        deltas = [item for items in sent_items(up) for item in items]
        bodies = []

        async def take(request):
            bodies.append(await request.json())
            return aiohttp.web.json_response({})

        app = aiohttp.web.Application(client_max_size=2**24)
        app.router.add_post(PATH, take)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        px.app._upstream._bases["openai"] = f"http://127.0.0.1:{port}"
        body = json.loads(create(history)) | {"stream": False}
        del body["type"]
        async with (
            aiohttp.ClientSession() as session,
            session.post(px.url + PATH, json=body, headers=KEY) as response,
        ):
            await response.read()
        await runner.cleanup()
    whole = [item for item in bodies[0]["input"] if item["type"] != "function_call"]
    assert whole == deltas


async def test_what_was_left_out_over_http_is_left_out_over_a_socket():
    """The same bytes, and the same tools: retrievals are answered on both."""
    history = [system(), user("go"), call(1), result(1), call(2), result(2)]

    async def take(request, writer):
        await http_answer(writer, b"{}")

    async with http_provider(take) as http, running() as (_, up, px):
        px.app._upstream._bases["openai"] = http.url
        for end in (2, 4, 6):
            body = json.loads(create(history[:end])) | {"stream": False}
            del body["type"]
            async with client(px) as c:
                head = [b"authorization: Bearer sk-abc"]
                data = json.dumps(body).encode()
                await c.send(post(data, path=PATH.encode(), headers=head))
                await c.response()
        over_http = json.loads(http.requests[-1].body)
        px.app._upstream._bases["openai"] = up.url
        async with open_(px) as ws:
            previous = await ask(ws, history)
            number = int(previous.removeprefix("resp_"))
            await ask(ws, [result(number)], previous=previous)
        assert px.count("headroom_prefix_breaks_total") == 0
    tools = [tool["name"] for tool in over_http["tools"]]
    assert tools == ["exec_command", "headroom_retrieve"]
    assert "headroom_retrieve" in str(over_http["input"])
    for message in up.received:
        assert json.loads(message)["tools"] == over_http["tools"]
    whole, delta = sent_items(up)
    assert whole == over_http["input"]
    assert len(delta[0]["output"]) < 9_000


async def test_a_prewarming_request_is_recorded_and_left_as_it_is():
    """Its items stay; what is decided about tools holds from the first request on."""
    message = create([system(), user(output(1))], generate=False)
    async with running() as (_, up, px), open_(px) as ws:
        await ws.send(message)
        previous = (await answer(ws))[-1]["response"]["id"]
        await ask(ws, [result(2)], previous=previous)
        await ask(ws, [system(), user(output(1)), result(2)])
    sent = [json.loads(message) for message in up.received]
    assert sent[0] == json.loads(message) | {"tools": sent[0]["tools"]}
    assert [len(event["tools"]) for event in sent] == [2, 2, 2]
    assert sent[0]["tools"] == sent[1]["tools"] == sent[2]["tools"]
    delta, whole = sent_items(up)[1:]
    assert len(delta[0]["output"]) < 9_000
    assert whole == [system(), user(output(1)), *delta]


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"response.cancel"}',
        '{"type":"response.steer","input":"and then"}',
        '{"type":"session.update", "x" : 1.0}',
        "{}",
        "[]",
        "null",
        "not json",
        "",
        '{"type":"response.create"',
        '{"type":7}',
        '{"type":"response.create","stream_id":{}}',
        b"\x00\xff",
        create([result(1)]).encode(),
    ],
)
async def test_messages_that_are_no_requests_pass_as_they_are(message):
    async with running() as (_, up, px), open_(px) as ws:
        await ws.send(message)
        await ask(ws, [user("still there")])
    assert up.received[0] == message


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"response.create"}',
        '{"type":"response.create","input":7}',
        '{"type":"response.create","input":[{"type":"message"}],"input":[1]}',
        '{"type":"response.create","input":[[[[]]]]}',
        '{"type":"response.create","input":"\\ud800"}',
        '{"type":"response.create","previous_response_id":"\\ud800","input":"x"}',
    ],
)
async def test_a_request_that_cannot_be_read_passes_as_it_is(message):
    async with running() as (_, up, px), open_(px) as ws:
        await ws.send(message)
        await answer(ws)
        await ask(ws, [user("still there")])
    assert up.received[0] == message


async def test_a_stage_that_fails_costs_the_compression_not_the_request():
    async def fail(exchange):
        raise ZeroDivisionError

    message = create([system(), result(1)])
    async with running(stages=[EditStage(fail)]) as (_, up, px), open_(px) as ws:
        await ws.send(message)
        await answer(ws)
        assert px.count("headroom_stage_failures_total", stage="compress") == 1
    assert up.received == [message]


@pytest.mark.parametrize(
    "options",
    [{"PROXY_COMPRESSION_MODE": "off"}, {"PROXY_COMPRESSION": "false"}],
)
async def test_switched_off_messages_are_not_looked_at(options):
    message = create([system(), result(1)])
    async with running(**options) as (_, up, px), open_(px) as ws:
        await ws.send(message)
        await answer(ws)
    assert up.received == [message]


async def test_a_client_that_asks_for_passthrough_gets_it():
    message = create([system(), result(1)])
    header = {"x-headroom-bypass": "true"}
    async with running() as (_, up, px), open_(px, **header) as ws:
        await ws.send(message)
        await answer(ws)
    assert up.received == [message]


async def test_a_message_over_the_compression_cap_passes_unread():
    message = create([system(), result(1)])
    options = {"PROXY_COMPRESSION_MAX_BODY_BYTES": 1000}
    async with running(**options) as (_, up, px), open_(px) as ws:
        await ws.send(message)
        await answer(ws)
    assert up.received == [message]


async def test_errors_reach_the_client_and_the_conversation_can_go_on():
    async with running() as (_, up, px), open_(px) as ws:
        previous = await ask(ws, [system(), user("go")])
        await ws.send(create([result(1)], previous=previous, model="wrong"))
        failed = await answer(ws)
        await ask(ws, [result(1)], previous=previous)
        assert px.count(
            "headroom_requests_total",
            route=PATH,
            status="404",
            decision="compressed",
        )
    assert failed[-1]["error"]["code"] == "model_not_found"
    assert sent_items(up)[1] == sent_items(up)[2]


async def test_lanes_are_kept_apart():
    async with running() as (model, up, px), open_(px) as ws:
        model.may_finish.clear()
        await ws.send(create([system(), user("a")], stream_id="a"))
        await ws.send(create([system(), user("b")], stream_id="b"))
        model.may_finish.set()
        events = [await answer(ws) for _ in range(2)]
        ids = {e[-1]["stream_id"]: e[-1]["response"]["id"] for e in events}
        for lane in "ab":
            number = int(ids[lane].removeprefix("resp_"))
            await ask(ws, [result(number)], previous=ids[lane], stream_id=lane)
        history = [system(), user("a"), call(1), result(1)]
        await ask(ws, history, stream_id="c")
    items = sent_items(up)
    assert items[-1][-1] == items[2][0]
    assert len(items[2][0]["output"]) < 9_000


async def test_every_request_has_a_record_and_figures_of_its_own(caplog):
    with caplog.at_level("INFO", "headroom.proxy"):
        async with running() as (_, _up, px), open_(px) as ws:
            previous = await ask(ws, [system(), user("go")])
            await ask(ws, [result(1)], previous=previous)
            while px.count("headroom_requests_in_flight"):
                await asyncio.sleep(0.001)
            read = px.count("headroom_usage_tokens_total", **{"class": "cached_tokens"})
            saved = px.count("headroom_tokens_before_total", state="first")
            assert px.count(
                "headroom_requests_total",
                route=PATH,
                status="200",
                decision="compressed",
            )
            assert px.count("headroom_requests_in_flight") == 0
    found = [r for r in caplog.records if r.getMessage() == "compression_decision"]
    handshake, first, second = found
    assert (handshake.method, handshake.status) == ("GET", 101)
    assert (first.method, first.decision) == ("WS", "no_change")
    assert (second.decision, second.status) == ("compressed", 200)
    assert second.tokens_saved > 1000
    assert second.answer == "completed"
    assert saved
    assert read is not None
    assert len({r.request_id for r in found}) == 3


async def test_answers_pass_byte_for_byte():
    odd = [
        '{ "type" : "response.created", "response":{"id":"resp_1"}, "n":1.0e+2 }',
        '{"type":"codex.rate_limits","x":[1,2]}',
        "not json at all",
        '{"type":"response.output_text.delta","delta":"\\u00e9 é"}',
        '{"type":"response.completed",\n"response":{"id":"resp_1","output":[]}}',
    ]

    async def talk(provider, socket):
        await socket.recv()
        for message in odd:
            await socket.send(message)
        await socket.send(b"\x01")

    async with socket_provider(talk) as up, proxy(up.url) as px, open_(px) as ws:
        await ws.send(create([user("go")]))
        assert [await ws.recv() for _ in odd] == odd
        assert await ws.recv() == b"\x01"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "responses_websockets=2026-02-06"),
        ("a=1, b", "a=1,b,responses_websockets=2026-02-06"),
        (
            "Responses_WebSockets=2026-02-06,x",
            "Responses_WebSockets=2026-02-06,x",
        ),
    ],
)
async def test_ws_required_token_is_merged_into_the_beta_header(given, expected):
    header = {} if given is None else {"OpenAI-Beta": given}
    async with running() as (_, up, px), open_(px, **header) as ws:
        await ask(ws, [user("go")])
    assert up.requests[0].headers.get_all("openai-beta") == [expected]


async def test_ws_required_token_is_not_added_to_a_subscriptions_header():
    header = {"openai-beta": "x"}
    async with (
        running() as (_, up, px),
        dial(
            px,
            PATH,
            additional_headers=KEY | header,
            user_agent_header="codex-cli/1.0",
        ) as ws,
    ):
        await ask(ws, [user("go")])
    assert up.requests[0].headers.get_all("openai-beta") == ["x"]


async def test_ws_required_token_is_not_added_elsewhere():
    async with running() as (_, up, px), open_(px, "/v1/realtime"):
        pass
    assert "openai-beta" not in up.requests[0].headers


async def test_while_state_cannot_be_kept_the_client_is_sent_to_http(monkeypatch):
    async with running() as (_, up, px):
        ledger = px.app._source
        with ledger._lock:
            ledger._error = "the store is down"
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with open_(px):
                pass
        async with open_(px, "/v1/realtime"):
            pass  # where nothing is decided no state is needed
        with ledger._lock:
            ledger._error = ""
        async with open_(px) as ws:
            await ask(ws, [user("go")])
    assert caught.value.response.status_code == 426
    assert len(up.requests) == 2


async def test_without_reapplying_the_client_is_sent_to_http():
    async with running(PROXY_REAPPLY="disabled") as (_, up, px):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with open_(px):
                pass
    assert caught.value.response.status_code == 426
    assert not up.requests


async def test_a_server_that_ends_lets_an_answer_finish():
    async with running() as (model, _, px), open_(px) as ws:
        model.may_finish.clear()
        await ws.send(create([user("go")]))
        await ws.recv()
        px.shutdown()
        await asyncio.sleep(0.05)
        model.may_finish.set()
        assert (await answer(ws))[-1]["type"] == "response.completed"
        with pytest.raises(websockets.ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1012


@pytest.mark.parametrize(("leaves", "status"), [("client", "499"), ("provider", "502")])
async def test_a_request_without_an_answer_is_recorded_as_that(leaves, status):
    arrived = asyncio.Event()

    async def talk(provider, socket):
        await socket.recv()
        arrived.set()
        if leaves == "provider":
            socket.transport.abort()

    async with socket_provider(talk) as up, proxy(up.url) as px, open_(px) as ws:
        await ws.send(create([user("go")]))
        await arrived.wait()
        if leaves == "client":
            ws.transport.abort()
        await up.has_ended()
        await asyncio.sleep(0.1)
        assert px.count(
            "headroom_requests_total", route=PATH, status=status, decision="no_change"
        )
        assert px.count("headroom_requests_in_flight") == 0

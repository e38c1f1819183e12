"""The middleware in front of a Starlette application, over real connections."""

import contextlib
import json

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

import headroom
from headroom.cachelab.server import serving
from headroom.errors import ConfigError
from headroom.integrations.asgi import HeadroomMiddleware
from scripted import noisy_log

pytestmark = pytest.mark.e2e

JSON = {"content-type": "application/json"}
PATHS = ["/v1/messages", "/openai/v1/chat/completions", "/v1/responses"]


class Gateway:
    """An application that keeps what it gets and answers in pieces.

    Attributes:
        received: ``(headers, body)`` of each request.
    """

    def __init__(self, **more):
        self.received = []
        self.app = Starlette(
            routes=[Route("/{path:path}", self.take, methods=["POST", "GET"])],
            middleware=[Middleware(HeadroomMiddleware, **more)],
        )

    async def take(self, request: Request):
        body = await request.body()
        # Ports are used again: somebody else's client may still knock.
        if "x-test" in request.headers:
            self.received.append((request.headers, body))

        async def pieces():
            for number in range(3):
                yield b"data: %d\n\n" % number

        return StreamingResponse(pieces(), media_type="text/event-stream")


@contextlib.asynccontextmanager
async def gateway(**more):
    made = Gateway(**more)
    async with (
        serving(made.app) as url,
        httpx2.AsyncClient(base_url=url, headers={"x-test": "1"}, timeout=60) as client,
    ):
        yield made, client


def body_of(path, turns=1):
    items = [{"role": "user", "content": "Why?"}]
    for n in range(turns):
        text, call_id = noisy_log(n), f"call_{n}"
        if path.endswith("messages"):
            use = {"type": "tool_use", "id": call_id, "name": "log", "input": {}}
            result = {"type": "tool_result", "tool_use_id": call_id, "content": text}
            items += [
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [result]},
            ]
        elif path.endswith("responses"):
            call = {"call_id": call_id, "name": "log", "arguments": "{}"}
            items += [
                {"type": "function_call", **call},
                {"type": "function_call_output", "call_id": call_id, "output": text},
            ]
        else:
            function = {"name": "log", "arguments": "{}"}
            call = {"id": call_id, "type": "function", "function": function}
            items += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call_id, "content": text},
            ]
    name = "input" if path.endswith("responses") else "messages"
    before = [{"role": "user", "content": "Be careful. " * 900}]
    return json.dumps({"model": "m", name: before + items, "store": False}).encode()


@pytest.mark.parametrize("path", PATHS)
async def test_the_application_gets_less_and_its_stream_is_untouched(path):
    async with gateway() as (made, client):
        sent = body_of(path)
        answer = await client.post(path, content=sent, headers=JSON)
    ((headers, body),) = made.received
    assert len(body) < 0.9 * len(sent)
    assert int(headers["content-length"]) == len(body)
    assert answer.content == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("path", PATHS)
async def test_the_prefix_stays_from_request_to_request(path):
    async with gateway(session=headroom.Session(retrieval="elsewhere")) as (
        made,
        client,
    ):
        for turns in range(1, 6):
            await client.post(path, content=body_of(path, turns), headers=JSON)
    name = "input" if path.endswith("responses") else "messages"
    before = []
    for _, body in made.received:
        items = json.loads(body)[name]
        assert items[: len(before)] == before
        before = items


async def test_bodies_in_pieces_are_put_together():
    async with gateway() as (made, client):
        sent = body_of(PATHS[0])

        async def pieces():
            for start in range(0, len(sent), 1000):
                yield sent[start : start + 1000]

        await client.post(PATHS[0], content=pieces(), headers=JSON)
    ((headers, body),) = made.received
    assert len(body) < 0.9 * len(sent)
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        ("/v1/embeddings", JSON, body_of(PATHS[0])),
        (PATHS[0], {"content-type": "text/plain"}, body_of(PATHS[0])),
        (PATHS[0], JSON | {"content-encoding": "zstd"}, body_of(PATHS[0])),
        (PATHS[0], JSON, b"{"),
        (PATHS[0], JSON, b"\xff\x00" * 5000),
        (PATHS[0], JSON, b"[" * 100_000),
        (PATHS[0], JSON, b""),
    ],
)
async def test_everything_else_passes_as_it_came(path, headers, content):
    async with gateway() as (made, client):
        answer = await client.post(path, content=content, headers=headers)
    assert made.received[0][1] == content
    assert answer.status_code == 200


async def test_a_body_that_is_too_long_passes_as_it_came():
    async with gateway(max_body_bytes=5000) as (made, client):
        sent = body_of(PATHS[0])
        await client.post(PATHS[0], content=sent, headers=JSON)
    assert made.received[0][1] == sent


async def test_a_client_that_leaves_while_it_sends_is_told_of():
    told = []

    async def app(scope, receive, send):
        told.extend([await receive(), await receive()])

    events = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    waiting = iter(events)

    async def receive():
        return next(waiting)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": PATHS[0], "headers": headers}
    await HeadroomMiddleware(app)(scope, receive, None)
    assert told == events


async def test_what_is_no_request_reaches_the_application():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        await HeadroomMiddleware(app)({"type": kind}, None, None)
    assert scopes == ["lifespan", "websocket"]


def test_a_session_that_adds_the_retrieval_tool_is_refused():
    with pytest.raises(ConfigError, match="middleware does not answer"):
        HeadroomMiddleware(None, headroom.Session(retrieval="tool"))

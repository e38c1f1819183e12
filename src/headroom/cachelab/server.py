"""cachelab on a socket: a raw ASGI application on uvicorn, on loopback only.

Serves ``/v1/messages``, ``/v1/messages/count_tokens``, ``/v1/chat/completions``,
``/v1/responses``, ``/v1/models`` and Gemini's ``/v1beta/models/…:generateContent`` and
``:streamGenerateContent`` as the providers do, and ``/cachelab/`` for whoever runs the
experiment: ``GET stats`` (usage and errors per conversation), ``POST clock``
with ``{"advance_s": …}``, ``POST reset``.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import msgspec
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from headroom.cachelab.cache import Usage
from headroom.cachelab.client import is_path
from headroom.cachelab.lab import JSON_TYPE, MAX_BODY_BYTES, Lab, Reply, refusal
from headroom.cachelab.prefix import Json
from headroom.cachelab.socket_server import serve_socket
from headroom.errors import ConfigError

Scope: TypeAlias = dict[str, Any]  # as ASGI defines it
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_MODELS = (
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-fable-5-1",
)


def make_app(lab: Lab) -> App:
    """The ASGI application that serves ``lab``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        if scope["type"] == "websocket":
            await serve_socket(lab, scope["path"], headers, receive, send)
            return
        body = await _read(receive)
        if body is None:
            reply = refusal(413, "Request exceeds the maximum size", "req_too_large")
        else:
            path = scope["path"]
            is_gemini = scope["method"] == "POST" and is_path("gemini", path)
            if is_gemini:
                reply = _generate(lab, scope, headers, body)
            else:
                reply = _route(lab, scope["method"], path, headers, body)
        await _send(reply, send)

    return app


def stats(lab: Lab) -> Json:
    """Usage, cost and errors of every conversation since the last reset."""
    found: dict[str, Json] = {}
    for record in lab.records:
        row = found.setdefault(
            record.conversation,
            {"requests": 0, "cost": 0.0, "errors": [], "usage": Usage()},
        )
        row["requests"] += 1
        row["cost"] += record.cost
        row["usage"] += record.usage
        row["errors"] += [record.error] if record.error else []
    return {"clock_s": lab.clock.now(), "conversations": msgspec.to_builtins(found)}


def _route(
    lab: Lab, method: str, path: str, headers: dict[str, str], body: bytes
) -> Reply:
    match method, path:
        case "POST", "/v1/messages":
            return lab.messages(headers, body)
        case "POST", "/v1/messages/count_tokens":
            return lab.count_tokens(headers, body)
        case "POST", path if path.endswith("/chat/completions"):
            return lab.completions(headers, body)
        case "POST", "/v1/responses":
            return lab.responses(headers, body)
        case "GET", "/v1/models":
            return Reply(200, "req_models", _models())
        case _, path if path.startswith("/cachelab/"):
            return _control(lab, method, path.removeprefix("/cachelab/"), body)
    if path.startswith("/v1/messages"):
        return refusal(405, "Method Not Allowed", "req_method")
    return refusal(404, "Not found", "req_not_found")


def _generate(lab: Lab, scope: Scope, headers: dict[str, str], body: bytes) -> Reply:
    name, _, method = scope["path"].rpartition("/")[2].rpartition(":")
    alt = ""
    if method.startswith("stream"):
        is_sse = b"alt=sse" in scope["query_string"].split(b"&")
        alt = "sse" if is_sse else "json"
    return lab.generate(headers, body, model=name, alt=alt)


def _control(lab: Lab, method: str, name: str, body: bytes) -> Reply:
    match method, name:
        case "GET", "stats":
            return Reply(200, "", stats(lab))
        case "POST", "reset":
            lab.reset()
            return Reply(200, "", {})
        case "POST", "clock":
            try:
                seconds = msgspec.json.decode(body, type=dict[str, float])["advance_s"]
            except (msgspec.MsgspecError, KeyError):
                return refusal(400, 'expected {"advance_s": seconds}', "")
            lab.clock.advance(seconds)
            return Reply(200, "", {"clock_s": lab.clock.now()})
    return refusal(404, "Not found", "")


def _models() -> Json:
    rows = [{"type": "model", "id": name, "display_name": name} for name in _MODELS]
    return {
        "data": rows,
        "has_more": False,
        "first_id": _MODELS[0],
        "last_id": _MODELS[-1],
    }


async def _read(receive: Receive) -> bytes | None:
    """The whole body; ``None`` if it is too large, which is read to its end as well."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(pieces)
        piece = message.get("body", b"")
        size += len(piece)
        if size <= MAX_BODY_BYTES:
            pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces) if size <= MAX_BODY_BYTES else None


async def _send(reply: Reply, send: Send) -> None:
    kind = reply.stream_type if reply.is_stream else JSON_TYPE
    headers = [(b"content-type", kind), (reply.id_header, reply.request_id.encode())]
    if reply.is_stream:
        headers.append((b"cache-control", b"no-cache"))
        await _start(send, reply.status, headers)
        for piece in reply.pieces(reply.message):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    body = msgspec.json.encode(reply.message)
    headers.append((b"content-length", str(len(body)).encode()))
    await _start(send, reply.status, headers)
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


class _Socket(WebSocketsSansIOProtocol):
    """A WebSocket that is cut when the lab ends."""

    def shutdown(self) -> None:
        # uvicorn would close once more what is closing already.
        self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn inside a loop that is not its own: signals stay with the owner."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # uvicorn's own loop looks ten times a second whether it is to end.
        await self.stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: App, port: int = 0) -> AsyncIterator[str]:
    """Serve ``app`` on 127.0.0.1 within the running loop; yields its base URL.

    Args:
        app: from ``make_app``, or any other.
        port: where to listen; 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """
    # asyncio switches Nagle's algorithm off only on sockets that say they are TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on 127.0.0.1:{port}: {error}") from error
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
            ws=_Socket,
            ws_max_size=MAX_BODY_BYTES,
            ws_per_message_deflate=False,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.stopping.set()
        await task
        listener.close()

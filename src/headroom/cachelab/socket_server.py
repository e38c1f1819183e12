"""The lab's side of a Responses WebSocket: one request at a time, state by connection.

Each ``response.create`` is answered and billed like the same request over HTTP; what a
request goes on from is known by the connection it was answered on, and elsewhere only
if it was stored. Errors are events, and the connection stays open
(https://developers.openai.com/api/docs/guides/websocket-mode).
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from headroom.cachelab.kept import KeptAnswers
from headroom.cachelab.lab import Lab, Reply
from headroom.cachelab.prefix import Json

Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]  # as ASGI defines it
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

SOCKET_PATH = "/v1/responses"
_CREATE = "response.create"


async def serve_socket(
    lab: Lab, path: str, headers: dict[str, str], receive: Receive, send: Send
) -> None:
    """Serve one connection to its end."""
    await receive()
    if not path.endswith("/responses"):
        await _refuse(send, 404, b"not found")
        return
    if not headers.get("authorization"):
        await _refuse(send, 401, b'{"error":{"message":"no API key"}}')
        return
    await send({"type": "websocket.accept"})
    kept = KeptAnswers()
    while (event := await receive())["type"] == "websocket.receive":
        data = (event.get("text") or "").encode() or event.get("bytes") or b""
        for frame in _frames(_answered(lab, headers, data, kept)):
            await send({"type": "websocket.send", "text": frame.decode()})


def _answered(
    lab: Lab, headers: dict[str, str], data: bytes, kept: KeptAnswers
) -> Reply:
    try:
        kind = msgspec.json.decode(data, type=dict[str, Any]).get("type")
    except msgspec.MsgspecError:
        kind = None
    if kind != _CREATE:
        error: Json = {"type": "invalid_request_error", "message": "unknown event"}
        return Reply(400, "", {"error": error})
    return lab.responses(headers, data, kept)


def _frames(reply: Reply) -> list[bytes]:
    if reply.status == 200:
        return [line.rstrip(b"\n") for line in reply.pieces(reply.message)]
    error = {"type": "error", "status": reply.status, **reply.message}
    return [msgspec.json.encode(error)]


async def _refuse(send: Send, status: int, body: bytes) -> None:
    found: Json = {"type": "websocket.http.response.start", "status": status}
    await send({**found, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "websocket.http.response.body", "body": body})

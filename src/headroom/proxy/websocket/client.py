"""The client's side of a WebSocket as the relay uses it: ASGI's messages, as values."""

from typing import Final

from headroom.proxy.bodies import ClientGoneError
from headroom.proxy.replies import Receive, Send
from headroom.proxy.routes import Headers
from headroom.proxy.websocket.provider import BROKEN, NO_CODE, Closed, Message
from headroom.proxy.websocket.server import DRAIN

RESTARTING: Final = Closed(1012, "the server is restarting")
"""What both sides are told when the server ends (RFC 6455's registry: 1012)."""

_EXTERNAL_CODES = frozenset({*range(1000, 1004), *range(1007, 1015)})
_FIRST_FREE_CODE, _LAST_FREE_CODE = 3000, 4999


class Draining:
    """The server is ending; there is one, ``DRAINING``."""


DRAINING: Final = Draining()


class ClientSocket:
    """One WebSocket of a client, from its handshake on."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def receive(self) -> Message | Closed | Draining:
        """The next message, or how the socket ended."""
        event = await self._receive()
        if event["type"] == "websocket.receive":
            text: str | None = event.get("text")
            data: bytes = event.get("bytes") or b""
            return data if text is None else text
        if event["type"] == DRAIN:
            return DRAINING
        # The server has no reason to tell of where the connection broke.
        is_broken = event.get("reason") is None
        return Closed(
            BROKEN if is_broken else event.get("code", NO_CODE),
            event.get("reason") or "",
        )

    async def begin(self) -> None:
        """Take the handshake; raises nothing, whoever it is."""
        await self._receive()

    async def accept(self, subprotocol: str | None, headers: Headers) -> None:
        """Answer the handshake.

        Raises:
            ClientGoneError: the client has left.
        """
        await self._tell(
            {
                "type": "websocket.accept",
                "subprotocol": subprotocol,
                "headers": headers,
            }
        )

    async def refuse(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the handshake with something else.

        Raises:
            ClientGoneError: the client has left.
        """
        await self._tell(
            {
                "type": "websocket.http.response.start",
                "status": status,
                "headers": headers,
            }
        )
        await self._tell({"type": "websocket.http.response.body", "body": body})

    async def send(self, message: Message) -> None:
        """Send one message; waits while the client does not read.

        Raises:
            ClientGoneError: the client has left.
        """
        name = "text" if isinstance(message, str) else "bytes"
        await self._tell({"type": "websocket.send", name: message})

    async def close(self, how: Closed) -> None:
        """End the socket as the other side ended its own.

        A connection that broke there is broken here: nothing is sent.

        Raises:
            ClientGoneError: the client has left.
        """
        code: int | None = how.code
        if code == NO_CODE:
            code = None
        elif not _is_sendable(how.code):
            return
        await self._tell(
            {"type": "websocket.close", "code": code, "reason": how.reason}
        )

    async def _tell(self, event: dict[str, object]) -> None:
        try:
            await self._send(event)
        except OSError as error:
            raise ClientGoneError("the client has left") from error


def _is_sendable(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455, section 7.4)."""
    return code in _EXTERNAL_CODES or _FIRST_FREE_CODE <= code <= _LAST_FREE_CODE

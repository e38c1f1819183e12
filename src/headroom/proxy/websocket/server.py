"""The client's side of a WebSocket: uvicorn's protocols, made safe for a relay.

Only whole handshakes (RFC 6455, section 4.2.1) become WebSockets; all other upgrades
stay HTTP requests, which the relay refuses whole. What the WebSocket library gets to
read of a handshake is only what it needs, so that its limits on lines and headers are
not the client's; the application sees the head as it came.

A server that ends does not cut sockets: the application gets ``DRAIN`` and closes when
what is under way is done.
"""

import binascii
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.protocol import State

from headroom.proxy.routes import Headers

DRAIN = "headroom.drain"
"""Type of the message by which the application learns that the server is ending."""

_VERSION = b"13"
_KEY_BYTES = 16


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose upgrades are handed on only if they are WebSocket handshakes."""

    def _should_upgrade(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return (
            self._get_upgrade() == b"websocket"
            and self.url.startswith(b"/")
            # On a connection that still owes an answer the two would mix.
            and (cycle is None or cycle.response_complete)
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and is_handshake(self.headers)
        )

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to say: the relay refuses it, and records that."""

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol."""
        self.connections.discard(self)
        protocol = WebSocketProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.app_state,
        )
        protocol.connection_made(self.transport)
        protocol.shake_hands(self.url, self.headers)
        self.transport.set_protocol(protocol)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose end is the application's to decide."""

    def shake_hands(self, url: bytes, headers: Headers) -> None:
        """Begin with a handshake that ``is_handshake``.

        Args:
            url: the request's target as received.
            headers: as received, names in lower case.
        """
        self._url = url
        self._headers = headers
        key = next(value for name, value in headers if name == b"sec-websocket-key")
        self.data_received(
            b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n"
            b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: " + key + b"\r\n\r\n"
        )

    def handle_connect(self, event: Request) -> None:
        """Begin the application's part, with the head as it came."""
        super().handle_connect(event)
        target = httptools.parse_url(self._url)
        raw_path = target.path or b"/"
        offered: list[str] = []
        for name, value in self._headers:
            if name == b"sec-websocket-protocol":
                names = value.decode("latin-1").split(",")
                offered += [name.strip() for name in names]
        self.scope["headers"] = self._headers
        self.scope["raw_path"] = raw_path
        self.scope["path"] = unquote(raw_path.decode("ascii"))
        self.scope["query_string"] = target.query or b""
        self.scope["subprotocols"] = [name for name in offered if name]

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message over; text that is none ends the connection, quietly."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        event: Any = {"type": "websocket.receive"}
        if self.curr_msg_data_type == "text":
            try:
                event["text"] = data.decode()
            except UnicodeDecodeError:
                self._break_off(CloseCode.INVALID_DATA)
                return
        else:
            event["bytes"] = data
        self.queue.put_nowait(event)
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _break_off(self, code: CloseCode) -> None:
        """Send the client away, unless it is leaving already."""
        if self.conn.state is State.OPEN:
            self.conn.send_close(code)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": code, "reason": ""}
        )
        self.close_sent = True
        self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """Send as uvicorn does, and tell a socket that has been closed as that.

        Raises:
            ClientDisconnected: the client is gone, or was sent away for what it sent.
        """
        await self.writable.wait()
        if self.close_sent and not self.initial_response:
            raise ClientDisconnected
        await super().send(message)
        if self.initial_response and self.close_sent:
            # uvicorn forgets that a handshake may be complete by being refused.
            self.handshake_complete = True

    def shutdown(self) -> None:
        """Ask the application to come to an end."""
        if self.handshake_complete and not self.close_sent:
            drain: Any = {"type": DRAIN}  # beside what ASGI defines
            self.queue.put_nowait(drain)
        else:
            super().shutdown()


def is_handshake(headers: Headers) -> bool:
    """Whether the headers of a GET request are those of a WebSocket handshake."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    if b"transfer-encoding" in found or found.get(b"content-length", [b"0"]) != [b"0"]:
        return False
    keys = found.get(b"sec-websocket-key", [])
    if found.get(b"sec-websocket-version") != [_VERSION] or len(keys) != 1:
        return False
    try:
        return len(binascii.a2b_base64(keys[0], strict_mode=True)) == _KEY_BYTES
    except binascii.Error:
        return False

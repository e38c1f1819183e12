"""The provider's side of a WebSocket: aiohttp's client, with what it adds switched off.

No compression, no redirects, no cookies; pings are answered here, each side's own. A
handshake that the provider refuses is told with its whole answer. Close codes are those
of RFC 6455, section 7.4; 1005 stands for a close without one, 1006 for a connection
that broke.
"""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TypeAlias

import aiohttp
from msgspec import Struct

from headroom.proxy.routes import Headers
from headroom.proxy.upstream import Target, failure, session_options
from headroom.settings import UpstreamSettings

Message: TypeAlias = str | bytes

NO_CODE = 1005
BROKEN = 1006
GOING_AWAY = 1001
TOO_BIG = 1009

_SWITCHING = 101
_MAX_ANSWER_BYTES = 1024 * 1024
_CLOSE_TIMEOUT_S = 1.0


class Closed(Struct, frozen=True, gc=False):
    """How a side ended its socket.

    Attributes:
        code: as it was sent, or 1005, or 1006.
        reason: as it was sent.
    """

    code: int
    reason: str = ""


class HandshakeRefusedError(Exception):
    """The provider answered a handshake with something else; not of Headroom's errors.

    Attributes:
        status: of the answer.
        headers: of the answer, as received.
        body: of the answer, whole.
    """

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(f"the provider answered {status}")
        self.status = status
        self.headers = headers
        self.body = body


_answered: ContextVar["_Handshake"] = ContextVar("headroom_handshake_answered")
"""The answer, which aiohttp keeps from whoever opened the socket."""


class _Handshake(aiohttp.ClientResponse):
    """An answer to a handshake: anything but an upgrade is read whole and raised.

    aiohttp would follow redirects with the client's credentials, and forget the body.
    """

    async def start(self, connection: aiohttp.connector.Connection) -> "_Handshake":
        await super().start(connection)
        if self.status != _SWITCHING:
            pieces: list[bytes] = []
            size = 0
            while size < _MAX_ANSWER_BYTES and (piece := await self.content.readany()):
                pieces.append(piece)
                size += len(piece)
            body = b"".join(pieces)
            raise HandshakeRefusedError(self.status, list(self.raw_headers), body)
        _answered.set(self)
        return self


class ProviderSocket:
    """One open WebSocket to a provider.

    Attributes:
        headers: of the provider's answer to the handshake.
        subprotocol: the one it chose, if any.
    """

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse[bool],
        answer: _Handshake,
        send_timeout_s: float,
    ) -> None:
        self._socket = socket
        self._send_timeout_s = send_timeout_s
        self._connection = answer.connection
        self.headers: Headers = list(answer.raw_headers)
        self.subprotocol = socket.protocol

    async def send(self, message: Message) -> None:
        """Send one message; waits while the provider does not read.

        Raises:
            UpstreamUnreachableError: the connection is gone.
            UpstreamTimeoutError: the provider has not read for too long.
        """
        try:
            async with asyncio.timeout(self._send_timeout_s):
                if isinstance(message, str):
                    await self._socket.send_str(message)
                else:
                    await self._socket.send_bytes(message)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise failure(error) from error

    async def receive(self) -> Message | Closed:
        """The next message, or how the socket ended."""
        message = await self._socket.receive()
        if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            data: Message = message.data
            return data
        if message.type is aiohttp.WSMsgType.CLOSE:
            return Closed(message.data or NO_CODE, message.extra or "")
        if getattr(message.data, "code", 0) == TOO_BIG:
            return Closed(TOO_BIG, "the provider's message is too big")
        return Closed(BROKEN)

    async def close(self, how: Closed) -> None:
        """End the socket as the other side ended its own."""
        code = how.code
        if code == NO_CODE:
            code = 1000  # what a close without a code means; aiohttp sends one always
        elif code == BROKEN:
            code = GOING_AWAY
        connection = self._connection
        transport = connection.transport if connection is not None else None
        is_cut = how.code == BROKEN
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=how.reason.encode())
        except TimeoutError:
            is_cut = True
        if is_cut and transport is not None and _is_full(transport):
            # It does not read any more, and would keep what it was sent for ever.
            transport.abort()


def _is_full(transport: asyncio.WriteTransport) -> bool:
    return transport.get_write_buffer_size() > 0


class ProviderSockets:
    """Opens WebSockets; made inside a running loop, closed at the end."""

    def __init__(self, settings: UpstreamSettings, max_message_bytes: int) -> None:
        self._too_many_bytes = max_message_bytes + 1
        self._send_timeout_s = settings.idle_timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, force_close=True),
            response_class=_Handshake,
            **session_options(settings),
        )

    async def open(
        self,
        target: Target,
        headers: list[tuple[str, str]],
        subprotocols: Sequence[str],
    ) -> ProviderSocket:
        """Shake hands with a provider.

        Args:
            target: where to.
            headers: what to send beside the handshake's own.
            subprotocols: as the client offers them.

        Raises:
            HandshakeRefusedError: it answered something else.
            UpstreamTimeoutError: connecting took too long, or no answer came.
            UpstreamUnreachableError: no connection, or no valid handshake.
        """
        try:
            socket = await self._session.ws_connect(
                target.url(),
                headers=headers,
                protocols=subprotocols,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                autoclose=False,
                max_msg_size=self._too_many_bytes,
            )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise failure(error) from error
        return ProviderSocket(socket, _answered.get(), self._send_timeout_s)

    async def close(self) -> None:
        """Close what is still open."""
        await self._session.close()

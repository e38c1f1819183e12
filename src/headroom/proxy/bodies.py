"""Request bodies as they arrive: read whole under a limit, or streamed through.

``receive`` is ASGI's: it hands out pieces, then ``http.disconnect`` when the client
has left. One at a time may wait on it, so whoever streams a body tells when it is done
and someone else may watch for the client leaving.
"""

import asyncio
from collections.abc import AsyncIterator

from headroom.errors import LimitExceededError, RequestError
from headroom.proxy.replies import Receive


class ClientGoneError(RequestError):
    """The client left before its request was complete."""

    code = "client_gone"


class Incoming:
    """The body of one request.

    Attributes:
        size_bytes: how much has been received.
        is_complete: its end has been received.
        error: why streaming it failed; ``None`` if it did not.
    """

    __slots__ = ("_done", "_head", "_max_bytes", "_receive", "error", "is_complete",
                 "size_bytes")  # fmt: skip

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._head: list[bytes] = []
        self._done: asyncio.Event | None = None
        self.size_bytes = 0
        self.is_complete = False
        self.error: RequestError | None = None

    async def begin(self) -> None:
        """Receive the first piece, which for small requests is all of it.

        Raises:
            ClientGoneError: the client left.
            LimitExceededError: it is too long.
        """
        self._head.append(await self._next())

    async def read_until(self, limit_bytes: int) -> bytes | None:
        """The whole body, or ``None`` if it is longer than ``limit_bytes``.

        In that case what was read is kept, and ``stream`` starts with it.

        Raises:
            ClientGoneError: the client left.
            LimitExceededError: it is longer than the limit of all bodies.
        """
        while not self.is_complete:
            if self.size_bytes > limit_bytes:
                return None
            self._head.append(await self._next())
        if self.size_bytes > limit_bytes:
            return None
        return self.whole()

    def whole(self) -> bytes:
        """The body, once it is complete."""
        head = self._head
        return head[0] if len(head) == 1 else b"".join(head)

    def stream(self) -> AsyncIterator[bytes]:
        """The body piece by piece; used once.

        Iterating raises what ``begin`` raises, and keeps it in ``error``: the HTTP
        client that iterates wraps exceptions in its own.
        """
        self._done = asyncio.Event()
        return self._pieces(self._done)

    async def wait_for_disconnect(self) -> None:
        """Return when the client has left.

        Waits for ``stream`` to end first. If that ended early (the provider answered
        without reading on), the rest of the body is received and thrown away.
        """
        if self._done is not None:
            await self._done.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _pieces(self, done: asyncio.Event) -> AsyncIterator[bytes]:
        try:
            for piece in self._head:
                if piece:
                    yield piece
            self._head.clear()
            while not self.is_complete:
                piece = await self._next()
                if piece:
                    yield piece
        except RequestError as error:
            self.error = error
            raise
        finally:
            done.set()

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError("the client left before its request was complete")
        piece: bytes = message.get("body", b"")
        self.size_bytes += len(piece)
        self.is_complete = not message.get("more_body", False)
        if self.size_bytes > self._max_bytes:
            raise LimitExceededError(
                f"the request body is larger than {self._max_bytes} bytes"
            )
        return piece

"""Answers over a socket whose retrievals are answered in the middle of them.

The stages see an answer as a stream of events, whatever carries it. So the messages of
one answer are framed as events for them, and what they give back are messages again.
When the model is to go on, the continuation leaves over the same socket, and what comes
in its lane then is the next round of the same answer.

What always holds: a message is taken only when the one before has been dealt with, so
that nothing piles up behind a client that does not read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from headroom.core.wire.sse import SseFramer
from headroom.proxy.exchange import Exchange
from headroom.proxy.routes import Headers
from headroom.proxy.steps import Steps

_HEADERS: Headers = [(b"content-type", b"text/event-stream")]
_MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Beyond the longest message a provider may send."""

Send = Callable[[bytes], Awaitable[None]]


class Answering:
    """One answer on its way through the stages that change it."""

    def __init__(
        self,
        outs: AsyncIterator[bytes],
        to_client: Send,
        incoming: "Incoming",
    ) -> None:
        self._incoming = incoming
        self._framer = SseFramer(_MAX_EVENT_BYTES)
        self._to_client = to_client
        self._task = asyncio.create_task(self._run(outs))
        self._task.add_done_callback(incoming.release)

    @property
    def is_over(self) -> bool:
        """The client has all of the answer."""
        return self._task.done()

    async def take(self, event: bytes, *, is_end: bool) -> None:
        """Take a message of the provider's; returns when it has been dealt with.

        Args:
            event: its JSON.
            is_end: it ends the round.

        Raises:
            ClientGoneError: the client has left.
        """
        await self._incoming.give(_framed(event))
        if is_end:
            await self._incoming.give(b"")
        if self._task.done():
            self._task.result()

    def cancel(self) -> None:
        """The connection has ended."""
        self._task.cancel()

    async def _run(self, outs: AsyncIterator[bytes]) -> None:
        if not isinstance(outs, AsyncGenerator):
            await self._pass(outs)
            return
        async with aclosing(outs):
            await self._pass(outs)

    async def _pass(self, outs: AsyncIterator[bytes]) -> None:
        async for out in outs:
            for event in self._framer.feed(out):
                await self._to_client(event.data)


class Incoming:
    """The messages of one answer, handed over one by one; also a round's response.

    Attributes:
        status: of a continuation: the socket is open.
        headers: of a continuation.
        is_complete: the round that is read has ended.
    """

    status = 200
    headers = _HEADERS

    def __init__(self) -> None:
        self.is_complete = False
        self._is_released = False
        self._chunk = b""
        self._wanted = asyncio.Event()
        self._given = asyncio.Event()

    async def give(self, chunk: bytes) -> None:
        """Hand a chunk over; empty: the end of a round."""
        await self._wanted.wait()
        if self._is_released:
            return
        self._wanted.clear()
        self._chunk = chunk
        self._given.set()
        await self._wanted.wait()

    def release(self, _: object) -> None:
        """Nobody takes chunks any more."""
        self._is_released = True
        self._wanted.set()

    async def read_some(self) -> bytes:
        """The next chunk of the round."""
        self._wanted.set()
        await self._given.wait()
        self._given.clear()
        self.is_complete = not self._chunk
        return self._chunk

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The chunks of the first round."""
        while chunk := await self.read_some():
            yield chunk

    def close(self) -> None:
        """The socket stays open."""


def begin(
    exchange: Exchange, steps: Steps, to_provider: Send, to_client: Send
) -> Answering | None:
    """An answer that begins; ``None`` if the stages leave it as it is.

    Args:
        exchange: its request's, whose status is known.
        steps: the stages.
        to_provider: sends a message to the provider, in the answer's lane.
        to_client: sends a message of the answer to the client.
    """
    incoming = Incoming()

    async def again(body: bytes) -> Incoming:
        incoming.is_complete = False
        await to_provider(body)
        return incoming

    exchange.response_headers = list(_HEADERS)
    outs = steps.on_response(exchange, incoming.chunks())
    if outs is None:
        return None
    exchange.send_again = again
    return Answering(outs, to_client, incoming)


def _framed(event: bytes) -> bytes:
    """A message as an event; line breaks stand between its members only."""
    lines = event.replace(b"\r", b" ").split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"

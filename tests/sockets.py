"""WebSockets on loopback: a provider that does what the test says, and clients."""

import asyncio
import contextlib

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as listen


class SocketProvider:
    """A provider of WebSockets.

    Attributes:
        requests: the handshakes, as the server library tells them.
        received: messages in order, over all connections.
        closes: close code and reason of every connection that has ended.
    """

    def __init__(self, talk):
        self._talk = talk
        self.requests = []
        self.received = []
        self.closes = []
        self.ended = asyncio.Event()
        self.url = ""

    async def serve(self, socket):
        self.requests.append(socket.request)
        try:
            await self._talk(self, socket)
            await socket.wait_closed()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.closes.append((socket.close_code, socket.close_reason))
            self.ended.set()

    async def has_ended(self):
        await asyncio.wait_for(self.ended.wait(), 10)
        return self.closes[-1]


async def echo(provider, socket):
    """Send every message back."""
    async for message in socket:
        provider.received.append(message)
        await socket.send(message)


@contextlib.asynccontextmanager
async def socket_provider(talk=echo, **options):
    """A running provider; ``options`` are those of ``websockets.serve``."""
    made = SocketProvider(talk)
    options = {"compression": None, "max_size": None} | options
    async with listen(made.serve, "127.0.0.1", 0, **options) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


def dial(target, path="/v1/realtime", **options):
    """A client's connection to a proxy; ``options`` are those of ``connect``."""
    options = {"compression": None, "max_size": None, "proxy": None} | options
    return connect(f"ws://127.0.0.1:{target.port}{path}", **options)


@contextlib.asynccontextmanager
async def raw_provider(answer):
    """A provider that is a function of a connection's reader and writer."""

    async def serve(reader, writer):
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

"""WebSocket frames, right and damaged, into the protocol that serves clients."""

import asyncio

import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from headroom.proxy.websocket.server import WebSocketProtocol

HEADERS = [
    (b"host", b"localhost"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
MAX_BYTES = 4096
_CLOSES = [b"", b"\x03\xe8bye", b"\x0f\xa0", b"\x00", b"\xff\xff"]
_MAX_CONTROL_BYTES = 125


class Transport(asyncio.Transport):
    """Takes what is written, and tells the protocol when it is closed."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.is_closed = False

    def write(self, data):
        """Keep what is sent."""
        if self.is_closed:
            return  # as transports do
        self.written += data

    def is_closing(self):
        """Whether it was closed."""
        return self.is_closed

    def close(self):
        """Close it; the protocol learns that soon."""
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self):
        """Whoever feeds asks the protocol."""

    def resume_reading(self):
        """The same."""

    def get_extra_info(self, name, default=None):  # noqa: ARG002 - the shape
        """Nothing more is known."""
        return default


async def echo(scope, receive, send):  # noqa: ARG001 - the shape of ASGI
    """Send every message back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def some_frames(rng):
    """Bytes of frames, most of them right, some of them damaged."""
    data = bytearray()
    for _ in range(rng.randrange(1, 6)):
        opcode = rng.choice([*Opcode, Opcode.TEXT, Opcode.BINARY])
        payload = rng.randbytes(rng.choice([0, 1, 5, 125, 126, 300, 5000]))
        if opcode is Opcode.TEXT and rng.random() < 0.7:
            payload = payload.hex().encode()
        if opcode is Opcode.CLOSE and rng.random() < 0.7:
            payload = rng.choice(_CLOSES)
        frame = Frame(opcode, payload, fin=rng.random() < 0.8)
        data += frame.serialize(mask=rng.random() < 0.95) if _fits(frame) else payload
    for _ in range(rng.choice([0, 0, 1, 4])):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)


def _fits(frame):
    is_control = frame.opcode >= Opcode.CLOSE
    return not (is_control and (len(frame.data) > _MAX_CONTROL_BYTES or not frame.fin))


class Server:
    """What the connections of one run share."""

    def __init__(self):
        self.config = uvicorn.Config(
            echo,
            ws_max_size=MAX_BYTES,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            log_config=None,
        )
        self.config.load()
        self.state = ServerState()

    async def feed(self, data, rng):
        """One connection that sends this; returns how many bytes were kept at most."""
        protocol = WebSocketProtocol(
            config=self.config, server_state=self.state, app_state={}
        )
        transport = Transport(protocol)
        protocol.connection_made(transport)
        protocol.shake_hands(b"/v1/x", HEADERS)
        await asyncio.sleep(0)
        at = 0
        while at < len(data) and not transport.is_closed:
            size = rng.choice([1, 2, 7, 1000, 10_000])
            protocol.data_received(data[at : at + size])
            at += size
            if rng.random() < 0.3:
                await asyncio.sleep(0)
            if rng.random() < 0.02:
                protocol.shutdown()
        await asyncio.sleep(0)
        kept = sum(map(len, protocol.frames))
        transport.close()
        for _ in range(4):
            await asyncio.sleep(0)
        return kept


class FuzzedSockets:
    """A loop of its own, for callers that have none."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._made())

    async def _made(self):
        return Server()

    def problem(self, rng):
        """What is wrong with one connection; empty: nothing."""
        data = rng.randbytes(200) if rng.random() < 0.2 else some_frames(rng)
        if self._loop.run_until_complete(self._server.feed(data, rng)) > MAX_BYTES:
            return "too much is kept"
        return ""

    def close(self):
        """What is left over: connections, and tasks that do not end."""
        state = self._server.state

        async def rest():
            await asyncio.wait_for(asyncio.gather(*state.tasks), 10)

        self._loop.run_until_complete(rest())
        self._loop.close()
        return "connections are left" if state.connections else ""

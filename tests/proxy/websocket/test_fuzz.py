"""Anything at all on a WebSocket: no crash, no hang, nothing kept without bound."""

import asyncio
import json
import os
import random

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from headroom import settings as settings_module
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.metrics import Metrics
from headroom.proxy.steps import Steps
from headroom.proxy.websocket.responses import Desk, ResponsesTraffic
from headroom.proxy.websocket.server import WebSocketProtocol, is_handshake
from loopback import EditStage

ROUNDS = int(os.environ.get("HEADROOM_FUZZ_ROUNDS", "300"))
HEADERS = [
    (b"host", b"localhost"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
MAX_BYTES = 4096


class Transport(asyncio.Transport):
    """Takes what is written, and tells the protocol when it is closed."""

    def __init__(self, protocol):
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.is_closed = False

    def write(self, data):
        if self.is_closed:
            return  # as transports do
        self.written += data

    def is_closing(self):
        return self.is_closed

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self):
        """Whoever feeds asks the protocol."""

    def resume_reading(self):
        """The same."""

    def get_extra_info(self, name, default=None):
        return default


async def echo(scope, receive, send):
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
            payload = rng.choice(
                [b"", b"\x03\xe8bye", b"\x0f\xa0", b"\x00", b"\xff\xff"]
            )
        frame = Frame(opcode, payload, fin=rng.random() < 0.8)
        data += frame.serialize(mask=rng.random() < 0.95) if _fits(frame) else payload
    for _ in range(rng.choice([0, 0, 1, 4])):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)


def _fits(frame):
    return not (
        frame.opcode >= Opcode.CLOSE and (len(frame.data) > 125 or not frame.fin)
    )


async def feed(data, rng, config, state):
    protocol = WebSocketProtocol(config=config, server_state=state, app_state={})
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
    assert sum(map(len, protocol.frames)) <= MAX_BYTES
    transport.close()
    for _ in range(4):
        await asyncio.sleep(0)


async def test_any_bytes_behind_a_handshake_end_in_peace(caplog):
    config = uvicorn.Config(
        echo,
        ws_max_size=MAX_BYTES,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        log_config=None,
    )
    config.load()
    state = ServerState()
    for seed in range(ROUNDS):
        rng = random.Random(seed)
        data = rng.randbytes(200) if seed % 5 == 0 else some_frames(rng)
        await feed(data, rng, config, state)
    await asyncio.wait_for(asyncio.gather(*state.tasks), 10)
    assert not state.connections
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


@settings(max_examples=ROUNDS)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"content-length", b"transfer-encoding", *(n for n, _ in HEADERS)]
            ),
            st.one_of(st.binary(max_size=30), st.sampled_from([v for _, v in HEADERS])),
        )
    )
)
def test_any_headers_are_a_handshake_or_not(headers):
    assert is_handshake(headers) in {True, False}


class Ends:
    """Both ends of a connection: what was sent to each."""

    def __init__(self):
        self.sent = []

    async def send(self, message):
        self.sent.append(message)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["response.create", "response.completed", "error", "a"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["type", "stream_id", "status", "response", "id", "input", "model"]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(
    ["response.create", "response.created", "response.completed", "error", "x"]
)
MESSAGES = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=20),
    VALUES.map(json.dumps),
    st.tuples(TYPES, VALUES, st.sampled_from([None, "a", "b", 7])).map(
        lambda t: json.dumps({"type": t[0], "response": t[1], "stream_id": t[2]})
    ),
    st.tuples(TYPES, VALUES).map(
        lambda t: json.dumps({"type": t[0], "input": t[1], "status": t[1]})
    ),
)


@pytest.fixture(scope="module")
def desk():
    from headroom.ccr.ledger import Ledger
    from headroom.ccr.stores.memory import MemoryStore
    from headroom.proxy.current import Current
    from headroom.proxy.stages.compress import CompressStage, Guidance

    loaded = settings_module.load({}, {"HOME": "/nonexistent"}).settings
    ledger = Ledger(MemoryStore())
    metrics = Metrics()
    stage = CompressStage(
        ledger, Guidance(Current(settings_module.Settings(retrieval="off")))
    )
    yield Desk(Arrivals(), Steps(loaded, [stage, EditStage()], metrics), metrics, "x")
    asyncio.run(stage.close())
    ledger.close()


@settings(max_examples=ROUNDS)
@given(turns=st.lists(st.tuples(st.booleans(), MESSAGES), max_size=12))
def test_any_messages_pass_in_order_and_none_is_lost(desk, turns):
    async def run():
        client, provider = Ends(), Ends()
        opening = desk.arrivals.exchange("GET", b"/v1/responses", [])
        traffic = ResponsesTraffic(client, provider, opening, desk)
        for is_clients, message in turns:
            if is_clients:
                await traffic.on_client(message)
            else:
                await traffic.on_provider(message)
        traffic.close(is_client_gone=True)
        assert traffic.is_idle
        assert provider.sent == [m for is_clients, m in turns if is_clients]
        assert client.sent == [m for is_clients, m in turns if not is_clients]

    asyncio.run(run())
    assert desk.metrics._in_flight._value.get() == 0

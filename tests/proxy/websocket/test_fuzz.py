"""Anything at all on a WebSocket: no crash, no hang, nothing kept without bound."""

import asyncio
import json
import os
import random

import pytest
from benchmarks.fuzz_sockets import HEADERS, MAX_BYTES, Server, some_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom import settings as settings_module
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.metrics import Metrics
from headroom.proxy.steps import Steps
from headroom.proxy.websocket.responses import Desk, ResponsesTraffic
from headroom.proxy.websocket.server import is_handshake
from loopback import EditStage

ROUNDS = int(os.environ.get("HEADROOM_FUZZ_ROUNDS", "300"))


async def test_any_bytes_behind_a_handshake_end_in_peace(caplog):
    server = Server()
    for seed in range(ROUNDS):
        rng = random.Random(seed)
        data = rng.randbytes(200) if seed % 5 == 0 else some_frames(rng)
        assert await server.feed(data, rng) <= MAX_BYTES
    await asyncio.wait_for(asyncio.gather(*server.state.tasks), 10)
    assert not server.state.connections
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

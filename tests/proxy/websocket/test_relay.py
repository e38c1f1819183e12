"""WebSockets relayed: messages, closes, handshakes, and who may do what."""

import asyncio
import contextlib
import json
import random

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.http11 import Response

from loopback import client, get, proxy
from sockets import dial, echo, raw_provider, socket_provider

RANDOM = random.Random(7)
MESSAGES = [
    "",
    b"",
    "hello",
    b"\x00\xff\xfe",
    "é😀\u2028\u0000 \r\n",
    '{"type":"session.update", "x": 1.0e+2}',
    "x" * 70_000,
    RANDOM.randbytes(300_000),
]


async def closed(socket):
    """Close code and reason that a client got."""
    async with asyncio.timeout(10):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason


@pytest.mark.parametrize("path", ["/v1/realtime?model=m%20x&y", "/any/thing", "/"])
async def test_messages_pass_both_ways_byte_for_byte(path):
    async with socket_provider() as up, proxy(up.url) as px, dial(px, path) as ws:
        for message in MESSAGES:
            await ws.send(message)
        assert [await ws.recv() for _ in MESSAGES] == MESSAGES
    assert up.received == MESSAGES
    assert up.requests[0].path == path


async def test_fragments_arrive_as_one_message():
    async with socket_provider() as up, proxy(up.url) as px, dial(px) as ws:
        await ws.send(["a", "b", "ü"])
        assert await ws.recv() == "abü"


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "bye"), (1013, "später"), (4321, "x" * 123)]
)
async def test_the_clients_close_reaches_the_provider(code, reason):
    async with socket_provider() as up, proxy(up.url) as px, dial(px) as ws:
        await ws.close(code, reason if len(reason.encode()) < 124 else "")
        found = await up.has_ended()
    assert found[0] == code


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1008, "policy"), (1011, "grün"), (4000, "own")]
)
async def test_the_providers_close_reaches_the_client(code, reason):
    async def talk(provider, socket):
        await socket.send("last words")
        await socket.close(code, reason)

    async with socket_provider(talk) as up, proxy(up.url) as px, dial(px) as ws:
        assert await ws.recv() == "last words"
        assert await closed(ws) == (code, reason)


async def test_a_provider_that_breaks_off_is_broken_off_for_the_client():
    async def talk(provider, socket):
        await socket.recv()
        socket.transport.abort()

    async with socket_provider(talk) as up, proxy(up.url) as px, dial(px) as ws:
        await ws.send("go")
        assert (await closed(ws))[0] == 1006


async def test_a_client_that_vanishes_ends_the_providers_socket():
    async with socket_provider() as up, proxy(up.url) as px, dial(px) as ws:
        await ws.send("x")
        await ws.recv()
        ws.transport.abort()
        assert (await up.has_ended())[0] == 1001


async def test_a_client_that_vanishes_while_it_is_sent_to_ends_the_providers_socket():
    async def talk(provider, socket):
        while True:
            await socket.send(bytes(100_000))

    async with socket_provider(talk) as up, proxy(up.url) as px, dial(px) as ws:
        await ws.recv()
        ws.transport.abort()
        assert await up.has_ended()


async def test_subprotocols_are_offered_and_the_choice_is_told():
    async with (
        socket_provider(subprotocols=["b", "c"]) as up,
        proxy(up.url) as px,
        dial(px, subprotocols=["a", "b", "c"]) as ws,
    ):
        assert ws.subprotocol == "b"
    assert up.requests[0].headers["sec-websocket-protocol"].replace(" ", "") == "a,b,c"


SESSION = {"authorization": "Bearer sk-abc", "session-id": "s1"}


async def betas_of(handshakes, **settings):
    """The beta header that the provider gets in each of these handshakes."""
    async with socket_provider() as up, proxy(up.url, **settings) as px:
        for path, sent in handshakes:
            async with dial(px, path, additional_headers=sent) as ws:
                await ws.send("x")
                await ws.recv()
        return [request.headers.get("openai-beta") for request in up.requests]


async def test_beta_words_of_a_named_session_are_in_its_next_handshake():
    """A header to which nothing is added leaves as it came."""
    first = {**SESSION, "openai-beta": "realtime=v1, one"}
    found = await betas_of(
        [
            ("/v1/realtime", first),
            ("/v1/realtime", SESSION),
            ("/v1/realtime", {**SESSION, "openai-beta": "two"}),
            ("/v1/realtime", {**SESSION, "session-id": "s2"}),
            ("/v1/realtime", {**SESSION, "authorization": "Bearer sk-other"}),
            ("/v1/realtime", {"authorization": "Bearer sk-abc"}),
            ("/v1/responses", SESSION),
        ]
    )
    assert found == [
        "realtime=v1, one",
        "realtime=v1,one",
        "two,realtime=v1,one",
        None,
        None,
        None,
        "realtime=v1,one,two,responses_websockets=2026-02-06",
    ]


async def test_beta_words_are_not_kept_where_that_is_switched_off():
    first = {**SESSION, "openai-beta": "one"}
    handshakes = [("/v1/realtime", first), ("/v1/realtime", SESSION)]
    found = await betas_of(handshakes, BETA_HEADER_STICKY="disabled")
    assert found == ["one", None]


async def test_beta_words_of_a_refused_handshake_are_forgotten():
    def refuse(connection, request):
        if "bad" in request.headers.get("openai-beta", ""):
            return Response(400, "No", Headers(), b"")
        return None

    async with socket_provider(process_request=refuse) as up, proxy(up.url) as px:
        with pytest.raises(websockets.InvalidStatus):
            await dial(
                px, "/v1/realtime", additional_headers={**SESSION, "openai-beta": "bad"}
            )
        async with dial(px, "/v1/realtime", additional_headers=SESSION) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
    assert "openai-beta" not in up.requests[-1].headers


async def test_headers_pass_but_internal_ones_and_the_proxys_token_do_not():
    headers = {
        "authorization": "Bearer sk-abc",
        "x-goog-api-key": "not-for-you",
        "openai-beta": "realtime=v1",
        "x-codex-turn-metadata": json.dumps({"a": "x" * 6_000}),
        "x-headroom-token": "secret",
        "X-Headroom-User-Id": "me",
    }
    async with (
        socket_provider() as up,
        proxy(up.url, PROXY_TOKEN="secret") as px,
        dial(
            px, "/v1/embeddings", additional_headers=headers, user_agent_header="ua/1"
        ) as ws,
    ):
        await ws.send("x")
        await ws.recv()
    sent = up.requests[0].headers
    assert sent["authorization"] == "Bearer sk-abc"
    assert sent["openai-beta"] == "realtime=v1"
    assert len(sent["x-codex-turn-metadata"]) > 6_000
    assert sent["user-agent"] == "ua/1"
    assert "x-goog-api-key" not in sent
    assert not [name for name in sent if name.lower().startswith("x-headroom")]
    assert len(sent.get_all("sec-websocket-key")) == 1
    assert "sec-websocket-extensions" not in sent


async def test_what_the_provider_answers_to_the_handshake_reaches_the_client():
    def add(socket, request, response):
        response.headers["x-codex-turn-state"] = "abc"
        response.headers["x-request-id"] = "req_provider"
        return response

    async with (
        socket_provider(process_response=add) as up,
        proxy(up.url) as px,
        dial(px) as ws,
    ):
        found = ws.response.headers
    assert found["x-codex-turn-state"] == "abc"
    assert found["headroom-upstream-request-id"] == "req_provider"
    assert "sec-websocket-extensions" not in found


@pytest.mark.parametrize("status", [401, 404, 426, 429, 503])
async def test_a_handshake_that_the_provider_refuses_is_refused_with_its_answer(status):
    body = b'{"error":{"message":"no"}}'

    def refuse(socket, request):
        found = Headers({"content-type": "application/json", "retry-after": "7"})
        found["location"] = "http://127.0.0.1:1/elsewhere"
        found["content-length"] = str(len(body))
        return Response(status, "Reason", found, body)

    async with socket_provider(process_request=refuse) as up, proxy(up.url) as px:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with dial(px):
                pass
        answer = caught.value.response
        assert px.count(
            "headroom_requests_total",
            route="/v1/*",
            status=str(status),
            decision="passthrough",
        )
    assert (answer.status_code, answer.body) == (status, body)
    assert answer.headers["retry-after"] == "7"


async def test_a_redirect_is_told_and_never_followed():
    def redirect(socket, request):
        found = Headers({"location": "http://127.0.0.1:1/", "content-length": "0"})
        return Response(302, "Found", found, b"")

    async with (
        socket_provider(process_request=redirect) as up,
        proxy(up.url) as px,
        client(px) as c,
    ):
        await c.send(handshake())
        status, found, _ = await c.response()
    assert (status, found[b"location"]) == (302, b"http://127.0.0.1:1/")


async def test_a_head_longer_than_the_library_allows_is_no_reason_to_refuse():
    heads = []

    async def answer(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    raw = raw_provider(answer)
    many = [b"x-many-%d: v" % number for number in range(150)]
    async with raw as url, proxy(url) as px, client(px) as c:
        await c.send(handshake(add=[b"x-long: " + b"v" * 20_000, *many]))
        status, _ = await c.head()
    assert status == 403
    assert b"v" * 20_000 in heads[0]
    assert b"x-many-149: v" in heads[0]


async def test_a_provider_that_cannot_be_reached_is_told_as_502():
    async with proxy("http://127.0.0.1:9") as px:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with dial(px):
                pass
    assert caught.value.response.status_code == 502
    assert json.loads(caught.value.response.body)["error"]["type"] == "server_error"


async def test_a_provider_that_speaks_no_websockets_is_told_as_502():
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
            b"connection: upgrade\r\nsec-websocket-accept: wrong\r\n\r\n"
        )

    raw = raw_provider(answer)
    async with raw as url, proxy(url) as px:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with dial(px):
                pass
    assert caught.value.response.status_code == 502


@pytest.mark.parametrize("given", [{}, {"x-headroom-token": "wrong"}])
async def test_without_the_proxys_token_nothing_is_opened(given):
    async with (
        socket_provider() as up,
        proxy(up.url, PROXY_TOKEN="secret") as px,
    ):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with dial(px, additional_headers=given):
                pass
    assert caught.value.response.status_code == 401
    assert not up.requests


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/retrieve"])
async def test_headrooms_own_endpoints_are_no_websockets(path):
    async with socket_provider() as up, proxy(up.url) as px:
        for origin, status in [(None, 426), ("http://evil.example", 403)]:
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with dial(px, path, origin=origin):
                    pass
            assert caught.value.response.status_code == status
    assert not up.requests


async def test_a_base_url_is_only_taken_from_the_list():
    async with socket_provider() as up, socket_provider() as other:
        given = {"x-headroom-base-url": other.url}
        async with (
            proxy(up.url, BASE_URL_ALLOWLIST="127.0.0.1") as px,
            dial(px, additional_headers=given) as ws,
        ):
            await ws.send("x")
            await ws.recv()
        async with proxy(up.url) as px:
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with dial(px, additional_headers=given):
                    pass
    assert caught.value.response.status_code == 400
    assert (len(other.requests), len(up.requests)) == (1, 0)


async def test_an_openai_key_among_the_subprotocols_goes_to_openai_alone():
    key = "openai-insecure-api-key.sk-secret"
    options = {"subprotocols": ["realtime", key], "open_timeout": 5}
    async with (
        socket_provider(subprotocols=["realtime"]) as up,
        socket_provider(subprotocols=["realtime"]) as foreign,
        proxy(up.url, ANTHROPIC_URL=foreign.url) as px,
    ):
        async with dial(px, "/v1/realtime", **options):
            pass
        async with dial(px, "/elsewhere", **options):
            pass
    assert key in up.requests[0].headers["sec-websocket-protocol"]
    assert key not in foreign.requests[0].headers["sec-websocket-protocol"]


async def test_messages_larger_than_the_limit_close_the_socket_on_both_sides():
    async with (
        socket_provider() as up,
        proxy(up.url, PROXY_MAX_BODY_BYTES=1000) as px,
        dial(px) as ws,
    ):
        await ws.send(b"x" * 1000)
        await ws.recv()
        await ws.send(b"x" * 1001)
        assert (await closed(ws))[0] == 1009
        assert (await up.has_ended())[0] == 1009


async def test_a_providers_message_larger_than_the_limit_closes_the_socket():
    async def talk(provider, socket):
        await socket.send(b"x" * 100_000)

    async with (
        socket_provider(talk) as up,
        proxy(up.url, PROXY_MAX_BODY_BYTES=1000) as px,
        dial(px) as ws,
    ):
        assert (await closed(ws))[0] == 1009
        assert (await up.has_ended())[0] == 1009


async def test_pings_are_answered_on_both_sides_and_idle_sockets_stay_open():
    async def talk(provider, socket):
        await (await socket.ping())
        provider.received.append("pong")
        await echo(provider, socket)

    async with (
        socket_provider(talk) as up,
        proxy(up.url, PROXY_WEBSOCKET_PING_S=0.05, UPSTREAM_IDLE_TIMEOUT_S=0.1) as px,
        dial(px, ping_interval=None) as ws,
    ):
        await (await ws.ping())
        await asyncio.sleep(0.4)
        await ws.send("still here")
        assert await ws.recv() == "still here"
    assert up.received == ["pong", "still here"]


async def test_a_client_that_does_not_read_holds_the_provider_back():
    sent = 0

    async def talk(provider, socket):
        nonlocal sent
        for _ in range(200):
            await socket.send(bytes(1024 * 1024))
            sent += 1

    async with (
        socket_provider(talk) as up,
        proxy(up.url) as px,
        dial(px, max_queue=1) as ws,
    ):
        await asyncio.sleep(0.5)
        held = sent
        assert held < 60
        for _ in range(200):
            await ws.recv()
    assert sent == 200


async def test_a_provider_that_does_not_read_holds_the_client_back():
    done = asyncio.Event()

    async def talk(provider, socket):
        await done.wait()
        socket.transport.abort()

    async with (
        socket_provider(talk, max_queue=1) as up,
        proxy(up.url) as px,
        dial(px) as ws,
    ):
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await ws.send(bytes(1024 * 1024))
                    sent += 1
        assert sent < 60
        ws.transport.abort()
        done.set()


async def test_a_provider_that_never_reads_again_is_given_up():
    done = asyncio.Event()

    async def talk(provider, socket):
        await done.wait()
        async for _ in socket:
            pass

    async with (
        socket_provider(talk, max_queue=1) as up,
        proxy(up.url, UPSTREAM_IDLE_TIMEOUT_S=0.3) as px,
        dial(px) as ws,
    ):
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    await ws.send(bytes(1024 * 1024))
        done.set()
        assert (await up.has_ended())[0] == 1006


async def test_many_sockets_at_once_never_mix():
    async with socket_provider() as up, proxy(up.url) as px:

        async def one(number):
            async with dial(px) as ws:
                for turn in range(20):
                    await ws.send(f"{number}-{turn}")
                    assert await ws.recv() == f"{number}-{turn}"

        await asyncio.gather(*(one(number) for number in range(20)))
        assert px.count("headroom_websockets_open") == 0
    assert len(up.received) == 400


async def test_a_client_that_leaves_during_the_handshake_ends_it():
    arrived = asyncio.Event()
    left = asyncio.Event()

    async def never(reader, writer):
        arrived.set()
        await reader.read()
        left.set()

    raw = raw_provider(never)
    async with raw as url, proxy(url) as px, client(px) as c:
        await c.send(handshake())
        await asyncio.wait_for(arrived.wait(), 5)
        c.leave()
        assert await asyncio.wait_for(left.wait(), 5)


def handshake(*, path=b"/v1/realtime", drop=b"", add=()):
    lines = [
        b"connection: Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    kept = [line for line in lines if not drop or not line.startswith(drop)]
    return get(path, headers=[*kept, *add])


async def test_the_handshake_is_answered_as_the_standard_says():
    async with socket_provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(handshake())
        status, found = await c.head()
    assert status == 101
    answer = dict(found)
    assert answer[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "request_",
    [
        handshake(drop=b"sec-websocket-key"),
        handshake(drop=b"sec-websocket-version"),
        handshake(drop=b"sec-websocket-version", add=[b"sec-websocket-version: 8"]),
        handshake(drop=b"sec-websocket-key", add=[b"sec-websocket-key: short"]),
        handshake(add=[b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]),
        handshake(add=[b"content-length: 5"]),
        handshake().replace(b"GET ", b"POST "),
        handshake(path=b"http://other.example/v1/realtime"),
    ],
)
async def test_half_a_handshake_is_refused_whole(request_):
    async with socket_provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(request_)
        status, found = await c.head()
        rest = await asyncio.wait_for(c.reader.read(), 10)
    assert status == 426
    assert dict(found)[b"connection"] == b"close"
    assert b"HTTP/1.1" not in rest
    assert not up.requests


async def test_a_server_that_ends_says_so_on_both_sides():
    async with socket_provider() as up, proxy(up.url) as px, dial(px) as ws:
        await ws.send("x")
        await ws.recv()
        px.shutdown()
        assert (await closed(ws))[0] == 1012
        assert (await up.has_ended())[0] == 1001


async def test_a_compressing_client_is_answered_without_compression():
    async with (
        socket_provider() as up,
        proxy(up.url) as px,
        connect(f"ws://127.0.0.1:{px.port}/v1/realtime", proxy=None) as ws,
    ):
        await ws.send("abc" * 1000)
        assert await ws.recv() == "abc" * 1000
        assert "sec-websocket-extensions" not in ws.response.headers


async def test_the_record_of_a_connection_holds_counts_and_no_content(caplog):
    with caplog.at_level("INFO", "headroom.proxy"):
        async with socket_provider() as up, proxy(up.url) as px:
            headers = {"authorization": "Bearer sk-secret"}
            async with dial(
                px, "/v1/realtime?key=sk-q", additional_headers=headers
            ) as ws:
                await ws.send("private words")
                await ws.recv()
            await up.has_ended()
            await asyncio.sleep(0.05)
    record = next(r for r in caplog.records if r.getMessage() == "websocket_closed")
    assert (record.messages_in, record.messages_out) == (1, 1)
    assert (record.ended_by, record.close_code) == ("client", 1000)
    for found in caplog.records:
        text = str(vars(found))
        if found.name.startswith("headroom"):
            assert "sk-secret" not in text
            assert "private" not in text
            assert "sk-q" not in text

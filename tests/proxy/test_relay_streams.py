"""Streams, silences and broken connections, on both sides."""

import asyncio
import json
import socket
import time

import pytest

from loopback import (
    OK_BODY,
    EditStage,
    answer,
    client,
    get,
    post,
    provider,
    proxy,
    send_chunk,
    start_chunked,
)

EVENT = b'event: ping\ndata: {"type":"ping"}\n\n'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m",'
    b'"usage":{"input_tokens":11,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


async def wait_for(event, seconds=2.0):
    started = time.perf_counter()
    await asyncio.wait_for(event.wait(), seconds)
    return time.perf_counter() - started


async def test_every_chunk_arrives_when_it_was_sent():
    sent, got = [], []

    async def respond(request, writer):
        await start_chunked(writer)
        for number in range(6):
            await asyncio.sleep(0.05)
            sent.append(time.perf_counter())
            await send_chunk(writer, EVENT + b": %d\n\n" % number)
        writer.write(b"0\r\n\r\n")

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        await c.head()
        chunks = []
        while chunk := await c.chunk():
            got.append(time.perf_counter())
            chunks.append(chunk)
    assert chunks == [EVENT + b": %d\n\n" % number for number in range(6)]
    delays = sorted(b - a for a, b in zip(sent, got, strict=True))
    assert delays[len(delays) // 2] < 0.02


async def test_a_stream_is_read_along():
    async def respond(request, writer):
        await start_chunked(writer)
        whole = START + EVENT + STOP
        for at in range(0, len(whole), 7):
            await send_chunk(writer, whole[at : at + 7])
        writer.write(b"0\r\n\r\n")

    stage = EditStage()
    async with (
        provider(respond) as up,
        proxy(up.url, stages=[stage]) as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        _, _, body = await c.response()
        count = px.count(
            "headroom_usage_tokens_total", **{"class": "cache_read_input_tokens"}
        )
    assert body == START + EVENT + STOP
    assert count == 5
    assert stage.ended[0].usage["input_tokens"] == 11
    assert stage.ended[0].answer_status == "message_stop"


@pytest.mark.parametrize(
    "junk",
    [
        b"data: \xff\xfe\n\n" * 3,
        b"data: " + b"x" * 5000 + b"\n\n",
        b'event: error\ndata: {"type":"error"\n\n',
        b"\x00\x01\x02",
    ],
    ids=["not utf-8", "too long", "not json", "no events"],
)
async def test_what_cannot_be_read_along_passes_all_the_same(junk):
    async def respond(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, START + junk + STOP)
        writer.write(b"0\r\n\r\n")

    async with (
        provider(respond) as up,
        proxy(up.url, SSE_BUFFER_MAX_BYTES=1000) as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        status, _, body = await c.response()
    assert (status, body) == (200, START + junk + STOP)


async def test_a_response_that_is_damaged_where_it_is_encoded_passes():
    async def respond(request, writer):
        headers = [b"content-encoding: gzip"]
        await answer(writer, b"this is not gzip", headers=headers)

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        status, _, body = await c.response()
    assert (status, body) == (200, b"this is not gzip")


async def test_a_client_that_leaves_closes_the_providers_stream_at_once():
    async def respond(request, writer):
        await start_chunked(writer)
        while not request.closed.is_set():
            await send_chunk(writer, EVENT)
            await asyncio.sleep(0.01)

    async with provider(respond) as up, proxy(up.url) as px:
        async with client(px) as c:
            await c.send(post(b"{}"))
            await c.head()
            await c.chunk()
            c.leave()
            assert await wait_for(up.requests[0].closed) < 0.1
        await asyncio.sleep(0.02)
        labels = {"route": "/v1/messages", "status": "200", "decision": "passthrough"}
        assert px.count("headroom_requests_total", **labels) == 1
        assert px.count("headroom_requests_in_flight") == 0


async def test_a_client_that_leaves_before_the_answer_closes_the_request():
    async def respond(request, writer):
        await request.closed.wait()

    async with provider(respond) as up, proxy(up.url) as px:
        async with client(px) as c:
            await c.send(post(b"{}"))
            await up.arrived.wait()
            await asyncio.sleep(0.02)
            c.leave()
            assert await wait_for(up.requests[0].closed) < 0.1
        await asyncio.sleep(0.02)
        labels = {"route": "/v1/messages", "status": "499", "decision": "passthrough"}
        assert px.count("headroom_requests_total", **labels) == 1


@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/files"])
async def test_a_client_that_leaves_during_its_upload_leaves_no_request(path):
    async with provider() as up, proxy(up.url) as px:
        async with client(px) as c:
            await c.send(post(b"x" * 1000, path=path, length=5000))
            await asyncio.sleep(0.05)
            c.leave()
        await asyncio.sleep(0.05)
        assert px.count("headroom_requests_in_flight") == 0
        for request in up.requests:
            await wait_for(request.closed)
            assert not request.is_complete


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_response_that_breaks_off_is_broken_off_for_the_client(is_chunked):
    async def respond(request, writer):
        if is_chunked:
            await start_chunked(writer)
            await send_chunk(writer, EVENT)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + EVENT)
        await asyncio.sleep(0.02)
        writer.transport.abort()
        raise ConnectionResetError

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        status, _ = await c.head()
        assert status == 200
        rest = await asyncio.wait_for(c.reader.read(), 2)
    assert EVENT in rest
    assert not rest.endswith(b"0\r\n\r\n")


async def test_a_provider_that_falls_silent_is_given_up():
    async def respond(request, writer):
        if request.target == b"/v1/messages":
            await start_chunked(writer)
            await send_chunk(writer, EVENT)
        await request.closed.wait()

    env = {"UPSTREAM_IDLE_TIMEOUT_S": 0.2}
    async with provider(respond) as up, proxy(up.url, **env) as px:
        async with client(px) as c:
            await c.send(post(b"{}"))
            await c.head()
            rest = await asyncio.wait_for(c.reader.read(), 2)
            assert EVENT in rest
            assert not rest.endswith(b"0\r\n\r\n")
        async with client(px) as c:
            await c.send(post(b"{}", path=b"/v1/messages/count_tokens"))
            status, _, body = await c.response()
    assert status == 504
    assert json.loads(body)["error"]["type"] == "api_error"


async def test_a_slow_stream_outlives_the_idle_timeout():
    async def respond(request, writer):
        await start_chunked(writer)
        for _ in range(8):
            await asyncio.sleep(0.1)
            await send_chunk(writer, EVENT)
        writer.write(b"0\r\n\r\n")

    env = {"UPSTREAM_IDLE_TIMEOUT_S": 0.4}
    async with provider(respond) as up, proxy(up.url, **env) as px, client(px) as c:
        await c.send(post(b"{}"))
        status, _, body = await c.response()
    assert (status, body) == (200, EVENT * 8)


SHAPES = [
    (
        b"/v1/messages",
        lambda e: (e["type"], e["error"]["type"]),
        ("error", "api_error"),
    ),
    (
        b"/v1/chat/completions",
        lambda e: (e["error"]["type"], e["error"]["code"]),
        ("server_error", "upstream_unreachable"),
    ),
    (
        b"/v1beta/models/g:generateContent",
        lambda e: (e["error"]["code"], e["error"]["status"]),
        (502, "UNAVAILABLE"),
    ),
]


@pytest.mark.parametrize(("path", "shape", "expected"), SHAPES, ids=["a", "o", "g"])
async def test_a_provider_that_cannot_be_reached_gives_an_error_of_its_shape(
    path, shape, expected
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with proxy(url) as px, client(px) as c:
        await c.send(post(b"{}", path=path))
        status, headers, body = await c.response()
        assert px.count("headroom_upstream_errors_total", code="upstream_unreachable")
    assert status == 502
    assert headers[b"content-type"] == b"application/json"
    assert shape(json.loads(body)) == expected


async def test_a_provider_that_does_not_accept_is_a_timeout():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        async with proxy(url, UPSTREAM_CONNECT_TIMEOUT_S=0.2) as px, client(px) as c:
            await c.send(post(b"{}"))
            status, _, _ = await c.response()
        for filler in fillers:
            filler.close()
    assert status == 504


def dies_on_second(*, partial=b""):
    """A provider whose first connection ends with its second request unanswered."""
    seen = []

    async def respond(request, writer):
        seen.append(request)
        if len(seen) == 2:
            writer.write(partial)
            await writer.drain()
            raise ConnectionResetError
        await answer(writer, OK_BODY)

    return respond


@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/files"])
async def test_a_stale_connection_is_tried_once_more(path):
    async with (
        provider(dies_on_second()) as up,
        proxy(up.url) as px,
        client(px) as c,
    ):
        for _ in range(2):
            await c.send(post(b'{"a":1}', path=path))
            status, _, _ = await c.response()
            assert status == 200
    assert [request.body for request in up.requests] == [b'{"a":1}'] * 3
    assert up.connections == 2


async def test_an_answer_that_has_begun_is_never_asked_for_again():
    async with (
        provider(dies_on_second(partial=b"HTTP/1.1 200")) as up,
        proxy(up.url) as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        await c.response()
        await c.send(post(b"{}"))
        status, _, _ = await c.response()
    assert status == 502
    assert len(up.requests) == 2


async def test_a_fresh_connection_that_dies_is_not_tried_again():
    async def respond(request, writer):
        raise ConnectionResetError

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        status, _, _ = await c.response()
    assert status == 502
    assert len(up.requests) == 1


async def test_a_streamed_body_is_not_sent_twice():
    async with (
        provider(dies_on_second()) as up,
        proxy(up.url) as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        await c.response()
        await c.send(post(b"x" * 100, path=b"/v1/files", length=200))
        await asyncio.sleep(0.02)
        await c.send(b"y" * 100)
        status, _, _ = await c.response()
    assert status == 502
    assert len(up.requests) == 2


async def test_an_early_answer_reaches_a_client_that_is_still_uploading():
    async def respond(request, writer):
        headers = [b"connection: close"]
        await answer(writer, b"{}", status=b"401 Unauthorized", headers=headers)
        await asyncio.sleep(0.05)
        raise ConnectionResetError

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        up.reads_body = False
        await c.send(post(b"x" * 100_000, path=b"/v1/files", length=10_000_000))
        status, _, body = await c.response()
        assert (status, body) == (401, b"{}")
        c.leave()
        await asyncio.sleep(0.05)
        assert px.count("headroom_requests_in_flight") == 0


async def test_a_content_length_that_is_too_small_hurts_only_its_own_connection():
    async with provider() as up, proxy(up.url) as px:
        async with client(px) as c:
            await c.send(post(b'{"a":1}', length=3))
            await asyncio.wait_for(c.reader.read(), 2)
        async with client(px) as c:
            await c.send(post(b"{}"))
            status, _, _ = await c.response()
    assert status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        post(b"0\r\n\r\n", length=5, headers=[b"transfer-encoding: chunked"]).replace(
            b"\r\n", b"\r\ncontent-length: 5\r\n", 1
        ),
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        get(b"/v1/models?caf\xc3\xa9"),
        get(b"/caf\xc3\xa9"),
    ],
)
async def test_what_is_no_request_is_refused_and_nothing_hangs(request_bytes):
    async with provider() as up, proxy(up.url) as px:
        async with client(px) as c:
            await c.send(request_bytes)
            status, _ = await c.head()
            assert 400 <= status < 500
        async with client(px) as c:
            await c.send(get(b"/healthz"))
            status, _, _ = await c.response()
    assert status == 200
    assert not up.requests


async def test_a_stage_may_change_the_stream():
    def shout(chunks):
        async def changed():
            async for chunk in chunks:
                yield chunk.upper()
            yield b"!"

        return changed()

    async with (
        provider() as up,
        proxy(up.url, stages=[EditStage(on_response=shout)]) as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        _, headers, body = await c.response()
    assert body == OK_BODY.upper() + b"!"
    assert b"content-length" not in headers


async def test_a_slow_client_holds_the_provider_back_and_memory_down():
    sent = 0

    async def respond(request, writer):
        nonlocal sent
        await start_chunked(writer)
        for _ in range(400):
            await send_chunk(writer, b"x" * 65536)
            sent += 1

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        await c.head()
        await asyncio.sleep(0.5)
        assert sent < 300  # 26 MB in all: what is not read stays with the provider
        c.leave()
        await wait_for(up.requests[0].closed)

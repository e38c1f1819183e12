"""Whom the broker asks, and how long it waits for them."""

import asyncio

import pytest

from brokering import answer_chat, ask, broker, chat, models_file
from loopback import answer, client, provider


async def test_a_long_wait_that_one_backend_asks_for_holds_up_nobody(tmp_path):
    async def busy(request, writer):
        await answer(writer, b"{}", status=b"429 Slow", headers=[b"retry-after: 3600"])

    async with provider(busy) as up:
        file = models_file(up.url, "http://127.0.0.1:1")
        file["retries"] = {"rounds": 1, "wait_s": 0.01, "max_wait_s": 0.05}
        async with broker(file, tmp_path) as px:
            status, _, _ = await asyncio.wait_for(ask(px, chat()), 5)
    assert status == 502
    assert len(up.requests) == 2


async def test_a_client_s_body_that_is_too_long_says_nothing_of_a_backend(tmp_path):
    async with provider(answer_chat) as up:
        file = models_file(up.url, default_backend="b0")
        file["backends"]["b0"] |= {"open_after": 1, "open_s": 60}
        async with (
            broker(file, tmp_path, PROXY_MAX_BODY_BYTES=1000) as px,
            client(px) as c,
        ):
            await c.send(
                b"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                b"content-type: application/octet-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n"
            )
            await asyncio.sleep(0.1)
            await c.send(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n")
            assert (await c.response())[0] == 413
            assert px.app.backends.health(px.registry)["b0"]["circuit"] == "closed"


@pytest.mark.parametrize("path", [b"/v1/fine_tuning/jobs", b"/v1/videos"])
async def test_what_is_made_to_stay_is_asked_for_once(tmp_path, path):
    async def breaks(request, writer):
        writer.transport.abort()

    async with (
        provider(breaks) as up,
        provider(answer_chat) as second,
        broker(models_file(up.url, second.url), tmp_path) as px,
    ):
        assert (await ask(px, chat(), path=path))[0] == 502
    assert len(up.requests) == 1
    assert not second.requests

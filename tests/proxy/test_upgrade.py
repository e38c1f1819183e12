"""Requests that ask for another protocol are refused whole."""

import asyncio

import pytest

from loopback import client, get, post, provider, proxy

SMUGGLED = b"GET /v1/injected HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        [b"connection: Upgrade", b"upgrade: h2c"],
        [
            b"connection: Upgrade, HTTP2-Settings",
            b"upgrade: h2c",
            b"http2-settings: AA",
        ],
        [b"connection: Upgrade", b"Upgrade: WebSocket"],
    ],
)
async def test_what_follows_a_refused_upgrade_is_no_request(headers):
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"", headers=headers, length=len(SMUGGLED)))
        status, found = await c.head()
        await c.send(SMUGGLED)
        rest = await asyncio.wait_for(c.reader.read(), 10)
    assert status == 426
    assert dict(found)[b"connection"] == b"close"
    assert b"HTTP/1.1" not in rest
    assert not up.requests


async def test_a_malformed_origin_is_refused():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(get(b"/health", headers=[b"origin: http://[bad"]))
        status, _, _ = await c.response()
    assert status == 403


async def test_a_websocket_upgrade_is_told_to_use_http():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        upgrade = [b"connection: Upgrade", b"upgrade: websocket"]
        await c.send(get(b"/v1/responses", headers=upgrade))
        status, _ = await c.head()
    assert status == 426
    assert not up.requests

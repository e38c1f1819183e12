"""What leaves for which place at a backend."""

import gzip

import pytest

from brokering import answer_chat, ask, broker, chat, models_file
from loopback import client, get, provider


@pytest.mark.parametrize(
    "path",
    [b"/v1/../admin", b"/v1/%2e%2E/admin", b"/v1/./files", b"/v1/..%5cadmin", b"/.."],
)
async def test_no_path_leads_out_of_a_backend_s_base_url(tmp_path, path):
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, default_backend="b0"), tmp_path) as px,
    ):
        async with client(px) as c:
            await c.send(get(path))
            assert (await c.response())[0] == 400
        assert (await ask(px, chat(), path=path))[0] == 400
    assert not up.requests


async def test_bodies_that_are_not_read_keep_their_encoding(tmp_path):
    body = gzip.compress(b"a file")
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, default_backend="b0"), tmp_path) as px,
        client(px) as c,
    ):
        await c.send(
            b"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            b"content-type: application/octet-stream\r\ncontent-encoding: gzip\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (await c.response())[0] == 200
    assert up.requests[0].body == body
    assert up.requests[0].get(b"content-encoding") == b"gzip"

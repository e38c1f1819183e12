"""What leaves for which place at a backend."""

import gzip

import pytest

from brokering import answer_chat, ask, broker, chat, models_file, write
from loopback import answer, client, get, provider


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


async def test_what_backends_keep_is_told_only_to_the_key_that_got_it(tmp_path):
    async def respond(request, writer):
        usage = b'{"input_tokens":1,"output_tokens":1,"total_tokens":2}'
        said = b'{"id":"resp_1","object":"response","status":"completed","output":[]'
        await answer(writer, said + b',"usage":' + usage + b"}")

    async with provider(respond) as up:
        file = models_file(up.url, default_backend="b0")
        file["keys"] = [
            {"name": "team", "key_env": "TEAM_KEY"},
            {"name": "a", "key_env": "ALPHA"},
        ]
        async with broker(file, tmp_path) as px:
            began = b'{"model":"fast","input":"hi"}'
            more = b'{"model":"fast","input":"go on","previous_response_id":"resp_1"}'
            for key, expected in ((b"sk-team", 200), (b"sk-alpha", 400)):
                headers = [b"x-api-key: " + key]
                if expected == 200:
                    await ask(px, began, path=b"/v1/responses", headers=headers)
                got, _, _ = await ask(px, more, path=b"/v1/responses", headers=headers)
                assert got == expected
                for path in (
                    b"/v1/responses/resp_1",
                    b"/v1/responses/resp_1/input_items",
                ):
                    async with client(px) as c:
                        await c.send(get(path, headers=headers))
                        assert (await c.response())[0] == expected


async def test_a_backend_that_was_taken_out_is_asked_no_more(tmp_path):
    async def respond(request, writer):
        await answer(writer, b'{"id":"resp_1","status":"completed","output":[]}')

    async with provider(respond) as old, provider(respond) as new:
        file = models_file(old.url)
        async with broker(file, tmp_path) as px:
            body = b'{"model":"fast","input":"hi"}'
            await ask(px, body, path=b"/v1/responses")
            write(tmp_path / "models.yml", models_file(new.url, default_backend="b0"))
            await px.app.reloading.reload()
            async with client(px) as c:
                await c.send(get(b"/v1/responses/resp_1"))
                assert (await c.response())[0] == 200
    assert len(old.requests) == len(new.requests) == 1


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-json", b""])
async def test_no_content_type_opens_models_that_are_not_listed(tmp_path, kind):
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, default_backend="b0"), tmp_path) as px,
        client(px) as c,
    ):
        for model, expected in (("hidden", 404), ("fast", 200)):
            body = chat(model=model)
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            if kind:
                head += b"content-type: " + kind + b"\r\n"
            await c.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            assert (await c.response())[0] == expected
        await c.send(
            b"POST /v1/responses/resp_1/cancel HTTP/1.1\r\n"
            b"host: localhost\r\ncontent-length: 0\r\n\r\n"
        )
        assert (await c.response())[0] == 200
    assert len(up.requests) == 2

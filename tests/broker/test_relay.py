"""Requests through the running broker: who is asked, with what, and what comes back."""

import asyncio
import gc
import gzip
import json

import pytest

from brokering import ANSWER_BODY, answer_chat, ask, broker, chat, models_file
from loopback import answer, client, get, post, provider, send_chunk, start_chunked

CHAT = b"/v1/chat/completions"


def failing(status):
    async def respond(request, writer):
        await answer(writer, b'{"error":{"message":"theirs"}}', status=status)

    return respond


async def hang_up(request, writer):
    writer.transport.abort()


async def test_a_model_is_asked_for_under_its_name_at_the_backend(tmp_path):
    body = b'{ "x" : 1.0,"model":"fast","messages":[{"role":"user","content":"hi"}]}'
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url), tmp_path) as px,
    ):
        status, headers, got = await ask(px, body)
    assert (status, got) == (200, ANSWER_BODY)
    assert headers[b"x-headroom-backend"] == b"b0"
    sent = up.requests[0]
    assert sent.body == body.replace(b'"fast"', b'"gpt-4o"')
    assert sent.target == CHAT
    assert sent.get(b"authorization") == b"Bearer sk-backend"


async def test_a_body_with_the_backend_s_own_name_leaves_byte_for_byte(tmp_path):
    file = models_file("URL")
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        file["models"]["gpt-4o"] = file["models"].pop("fast")
        body = b'{"model" :"gpt-4o","n":1,"seed":12345678901234567890,"messages":[ ]}'
        async with broker(file, tmp_path) as px:
            status, _, _ = await ask(px, body)
    assert status == 200
    assert up.requests[0].body == body


async def test_the_client_s_credentials_never_leave(tmp_path):
    file = models_file("URL", keys=[{"name": "team", "key_env": "TEAM_KEY"}])
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            for name in (b"authorization: Bearer ", b"x-api-key: ", b"api-key: "):
                status, _, _ = await ask(px, chat(), headers=[name + b"sk-team"])
                assert status == 200
            path = CHAT + b"?key=sk-team&x=1"
            assert (await ask(px, chat(), path=path))[0] == 200
            for headers in ([], [b"authorization: Bearer sk-other"]):
                status, _, got = await ask(px, chat(), headers=headers)
                assert status == 401
                assert b"invalid_api_key" in got
    for request in up.requests:
        assert b"sk-team" not in b"".join(v for _, v in request.headers)
        assert b"sk-team" not in request.target
        assert request.get(b"authorization") == b"Bearer sk-backend"
    assert up.requests[-1].target == CHAT + b"?x=1"


async def test_attribution_says_who_asked_for_what(tmp_path):
    file = models_file("URL", keys=[{"name": "team", "key_env": "TEAM_KEY"}])
    file["attribution"] = {"X-Title": "example", "X-Who": "{key}/{model}"}
    async with provider(answer_chat) as up:
        file["backends"]["b0"] |= {"base_url": up.url, "headers": {"X-Fixed": "1"}}
        async with broker(file, tmp_path) as px:
            await ask(px, chat(), headers=[b"authorization: Bearer sk-team"])
    sent = up.requests[0]
    assert sent.get(b"x-title") == b"example"
    assert sent.get(b"x-who") == b"team/fast"
    assert sent.get(b"x-fixed") == b"1"


@pytest.mark.parametrize("status", [b"429 Slow", b"500 Oops", b"503 Busy", b"529 Full"])
async def test_a_backend_that_refuses_is_passed_over(tmp_path, status):
    async with (
        provider(failing(status)) as bad,
        provider(answer_chat) as good,
        broker(models_file(bad.url, good.url), tmp_path) as px,
    ):
        got, headers, _ = await ask(px, chat())
        assert px.count("headroom_broker_passed_over_total", backend="b0") == 1
    assert (got, headers[b"x-headroom-backend"]) == (200, b"b1")
    assert len(bad.requests) == 1


async def test_a_backend_that_cannot_be_reached_or_hangs_up_is_passed_over(tmp_path):
    async with (
        provider(hang_up) as bad,
        provider(answer_chat) as good,
        broker(models_file("http://127.0.0.1:1", bad.url, good.url), tmp_path) as px,
    ):
        status, headers, _ = await ask(px, chat())
    assert (status, headers[b"x-headroom-backend"]) == (200, b"b2")


async def test_a_silent_backend_is_passed_over(tmp_path):
    async def silent(request, writer):
        await asyncio.sleep(5)

    async with provider(silent) as bad, provider(answer_chat) as good:
        file = models_file(bad.url, good.url)
        file["backends"]["b0"]["timeout_s"] = 0.1
        async with broker(file, tmp_path) as px:
            status, headers, _ = await ask(px, chat())
    assert (status, headers[b"x-headroom-backend"]) == (200, b"b1")


@pytest.mark.parametrize("status", [b"400 Bad", b"401 No", b"404 None"])
async def test_what_a_backend_says_about_the_request_is_told_as_it_is(tmp_path, status):
    async with (
        provider(failing(status)) as first,
        provider(answer_chat) as second,
        broker(models_file(first.url, second.url), tmp_path) as px,
    ):
        got, _, body = await ask(px, chat())
    assert got == int(status[:3])
    assert body == b'{"error":{"message":"theirs"}}'
    assert not second.requests


async def test_one_backend_is_asked_again_and_its_own_words_are_told_at_last(tmp_path):
    calls = []

    async def twice(request, writer):
        calls.append(1)
        respond = failing(b"503 Busy") if len(calls) < 2 else answer_chat
        await respond(request, writer)

    async with provider(twice) as up, broker(models_file(up.url), tmp_path) as px:
        assert (await ask(px, chat()))[0] == 200
        up.respond = failing(b"503 Busy")
        status, _, body = await ask(px, chat())
    assert (status, body) == (503, b'{"error":{"message":"theirs"}}')
    assert len(up.requests) == 4


async def test_a_provider_that_asks_for_a_long_wait_is_not_asked_again(tmp_path):
    async def busy(request, writer):
        await answer(writer, b"{}", status=b"429 Slow", headers=[b"retry-after: 3600"])

    async with provider(busy) as up, broker(models_file(up.url), tmp_path) as px:
        status, headers, _ = await ask(px, chat())
    assert (status, headers[b"retry-after"]) == (429, b"3600")
    assert len(up.requests) == 1


async def test_nothing_is_asked_again_once_an_answer_has_begun(tmp_path):
    async def breaks(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b"data: one\n\n")
        writer.transport.abort()

    async with (
        provider(breaks) as bad,
        provider(answer_chat) as good,
        broker(models_file(bad.url, good.url), tmp_path) as px,
        client(px) as c,
    ):
        await c.send(post(chat(stream=True), path=CHAT))
        assert (await c.head())[0] == 200
        assert await c.chunk() == b"data: one\n\n"
        with pytest.raises(asyncio.IncompleteReadError):
            await c.chunk()  # cut, not ended as if it were complete
    assert not good.requests


async def test_streams_pass_as_they_come(tmp_path):
    gate = asyncio.Event()

    async def stream(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b"data: one\n\n")
        await gate.wait()
        await send_chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    async with (
        provider(stream) as up,
        broker(models_file(up.url), tmp_path) as px,
        client(px) as c,
    ):
        await c.send(post(chat(stream=True), path=CHAT))
        await c.head()
        assert await c.chunk() == b"data: one\n\n"
        gate.set()
        assert await c.chunk() == b"data: [DONE]\n\n"
        assert await c.chunk() == b""


async def test_a_client_that_leaves_takes_its_request_along(tmp_path):
    async def stream(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b"data: one\n\n")
        await request.closed.wait()

    async with (
        provider(stream) as up,
        broker(models_file(up.url), tmp_path) as px,
        client(px) as c,
    ):
        await c.send(post(chat(stream=True), path=CHAT))
        await c.head()
        await c.chunk()
        c.leave()
        await asyncio.wait_for(up.requests[0].closed.wait(), 5)
        assert up.requests[0].closed.is_set()


async def test_an_open_circuit_sends_requests_elsewhere_and_a_probe_closes_it(tmp_path):
    async with provider(failing(b"500 Oops")) as bad, provider(answer_chat) as good:
        file = models_file(bad.url, good.url)
        file["backends"]["b0"] |= {"open_after": 2, "open_s": 0.2}
        async with broker(file, tmp_path) as px:
            for _ in range(6):
                assert (await ask(px, chat()))[0] == 200
            assert len(bad.requests) == 2
            async with client(px) as c:
                await c.send(get(b"/health"))
                _, _, body = await c.response()
            health = json.loads(body)
            assert health["backends"]["b0"]["circuit"] == "open"
            assert health["status"] == "degraded"
            bad.respond = answer_chat
            await asyncio.sleep(0.3)
            _, headers, _ = await ask(px, chat())
            assert headers[b"x-headroom-backend"] == b"b0"
            assert px.app.backends.health(px.registry)["b0"]["circuit"] == "closed"


async def test_with_every_circuit_open_requests_are_sent_all_the_same(tmp_path):
    async with provider(failing(b"500 Oops")) as up:
        file = models_file(up.url)
        file["backends"]["b0"] |= {"open_after": 1, "open_s": 60}
        async with broker(file, tmp_path) as px:
            assert (await ask(px, chat()))[0] == 500
            up.respond = answer_chat
            assert (await ask(px, chat()))[0] == 200


async def test_streams_that_break_off_open_a_circuit(tmp_path):
    async def breaks(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b"data: one\n\n")
        writer.transport.abort()

    async with provider(breaks) as bad, provider(answer_chat) as good:
        file = models_file(bad.url, good.url)
        file["backends"]["b0"] |= {"open_after": 2, "open_s": 60}
        async with broker(file, tmp_path) as px:
            for _ in range(2):
                async with client(px) as c:
                    await c.send(post(chat(stream=True), path=CHAT))
                    with pytest.raises(asyncio.IncompleteReadError):
                        await c.response()
            assert (await ask(px, chat()))[1][b"x-headroom-backend"] == b"b1"


async def test_a_conversation_stays_with_its_backend(tmp_path):
    async with provider(answer_chat) as one, provider(answer_chat) as two:
        file = models_file(one.url, two.url)
        entry = file["models"]["fast"]
        entry["backends"] += entry.pop("fallbacks")
        async with broker(file, tmp_path) as px:
            for talk in range(20):
                first = {"role": "user", "content": f"task {talk}"}
                messages, seen = [{"role": "system", "content": "s"}, first], set()
                for turn in range(3):
                    body = json.dumps({"model": "fast", "messages": messages})
                    _, headers, _ = await ask(px, body.encode())
                    seen.add(headers[b"x-headroom-backend"])
                    messages.append({"role": "assistant", "content": str(turn)})
                    # A client that moves its cache marker says the same all the same.
                    marked = {"type": "text", "text": f"task {talk}"}
                    marked["cache_control"] = {"type": "ephemeral"}
                    messages[1] = {"role": "user", "content": [marked]}
                assert len(seen) == 1
    assert min(len(one.requests), len(two.requests)) >= 9


async def test_a_response_goes_on_where_it_began(tmp_path):
    answers = iter(range(100))

    async def respond(request, writer):
        body = {"id": f"resp_{next(answers)}", "object": "response", "output": []}
        body |= {"status": "completed", "usage": {"input_tokens": 1}}
        await answer(writer, json.dumps(body).encode())

    async with provider(respond) as one, provider(respond) as two:
        file = models_file(one.url, two.url)
        entry = file["models"]["fast"]
        entry["backends"] += entry.pop("fallbacks")
        async with broker(file, tmp_path) as px:
            for talk in range(8):
                path, asked = b"/v1/responses", {"model": "fast", "input": f"t{talk}"}
                _, headers, got = await ask(px, json.dumps(asked).encode(), path=path)
                home = headers[b"x-headroom-backend"]
                answer_id = json.loads(got)["id"]
                asked = {
                    "model": "fast",
                    "input": "x",
                    "previous_response_id": answer_id,
                }
                _, headers, _ = await ask(px, json.dumps(asked).encode(), path=path)
                assert headers[b"x-headroom-backend"] == home
                async with client(px) as c:
                    await c.send(get(b"/v1/responses/" + answer_id.encode()))
                    _, headers, _ = await c.response()
                assert headers[b"x-headroom-backend"] == home
    assert one.requests
    assert two.requests


async def test_native_backends_get_their_own_paths_and_credentials(tmp_path):
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        file["backends"] = {
            name: {"api": name, "base_url": up.url, "key_env": "BACKEND_KEY"}
            for name in ("anthropic", "gemini", "openai")
        }
        file["models"] = {
            name: {"backends": [{"backend": name, "model": f"{name}/m 1"}]}
            for name in file["backends"]
        }
        asked = [
            (b"/v1/messages", "anthropic", b"/v1/messages", b"x-api-key"),
            (CHAT, "anthropic", CHAT, b"authorization"),
            (CHAT, "gemini", b"/v1beta/openai/chat/completions", b"authorization"),
            (
                b"/v1beta/models/gemini:streamGenerateContent?alt=sse&key=k",
                "gemini",
                b"/v1beta/models/gemini%2Fm%201:streamGenerateContent?alt=sse",
                b"x-goog-api-key",
            ),
            (
                b"/v1beta/models/gemini:countTokens",
                "gemini",
                b"/v1beta/models/gemini%2Fm%201:countTokens",
                b"x-goog-api-key",
            ),
            (b"/v1/embeddings", "openai", b"/v1/embeddings", b"authorization"),
        ]
        async with broker(file, tmp_path) as px:
            for path, model, target, credential in asked:
                body = chat(model=model)
                if b"/models/" in path:
                    body = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
                assert (await ask(px, body, path=path))[0] == 200
                sent = up.requests[-1]
                assert sent.target == target
                assert b"sk-backend" in sent.get(credential)
                if b"/models/" not in path:
                    assert json.loads(sent.body)["model"] == f"{model}/m 1"
            for path, model in (
                (b"/v1/messages", "openai"),
                (b"/v1/responses", "gemini"),
            ):
                status, _, got = await ask(px, chat(model=model), path=path)
                assert (status, b"not_served" in got or b"not served" in got) == (
                    404,
                    True,
                )


async def test_forms_are_sent_on_with_the_backend_s_name(tmp_path):
    form = (
        b'--XX\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        b'name="model"\r\n\r\nnot this\r\n--XX\r\n'
        b'content-disposition: form-data; name="model"\r\n\r\nfast\r\n--XX--\r\n'
    )
    async with provider(answer_chat) as up, broker(models_file(up.url), tmp_path) as px:
        kind = b"content-type: multipart/form-data; boundary=XX"
        status, _, _ = await ask(
            px, form, path=b"/v1/audio/transcriptions", headers=[kind]
        )
    assert status == 200
    assert up.requests[0].body == form.replace(b"\r\nfast\r\n", b"\r\ngpt-4o\r\n")


async def test_requests_without_a_model_go_to_the_default_backend_or_nowhere(tmp_path):
    async with provider(answer_chat) as up:
        async with broker(models_file(up.url), tmp_path) as px, client(px) as c:
            await c.send(get(b"/v1/files"))
            status, _, _ = await c.response()
            assert status == 404
        file = models_file(up.url, default_backend="b0")
        async with broker(file, tmp_path) as px, client(px) as c:
            await c.send(get(b"/v1/files"))
            status, _, _ = await c.response()
            assert status == 200
            big = b"x" * 3_000_000
            headers = [b"content-type: application/octet-stream"]
            await c.send(post(big, path=b"/v1/uploads", headers=headers))
            assert (await c.response())[0] == 200
    assert up.requests[-1].body == big


async def test_compressed_requests_are_read(tmp_path):
    async with provider(answer_chat) as up, broker(models_file(up.url), tmp_path) as px:
        body = gzip.compress(chat())
        status, _, _ = await ask(px, body, headers=[b"content-encoding: gzip"])
    assert status == 200
    assert up.requests[0].get(b"content-encoding") is None
    assert json.loads(up.requests[0].body)["model"] == "gpt-4o"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model":5}', b"\xff", b"[" * 5000, b'{"model":null}']
)
async def test_bodies_that_cannot_be_read_are_refused_in_words(tmp_path, body):
    async with provider(answer_chat) as up, broker(models_file(up.url), tmp_path) as px:
        status, _, got = await ask(px, body)
        assert status in {400, 404}
        assert json.loads(got)["error"]["message"]
        assert (await ask(px, chat()))[0] == 200
    assert len(up.requests) == 1


async def test_a_key_sees_and_gets_only_its_models(tmp_path):
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        file["models"]["slow"] = {**file["models"]["fast"], "aliases": ["old"]}
        file["keys"] = [{"name": "a", "key_env": "ALPHA", "models": ["sl*"]}]
        key = [b"authorization: Bearer sk-alpha"]
        async with broker(file, tmp_path) as px:
            assert (await ask(px, chat(), headers=key))[0] == 404
            assert (await ask(px, chat(model="old"), headers=key))[0] == 200
            async with client(px) as c:
                await c.send(get(b"/v1/models", headers=key))
                _, _, body = await c.response()
                assert [m["id"] for m in json.loads(body)["data"]] == ["slow", "old"]
                await c.send(get(b"/v1/models/fast", headers=key))
                assert (await c.response())[0] == 404
                await c.send(get(b"/v1/models"))
                assert (await c.response())[0] == 401


async def test_names_that_end_in_a_star_stand_for_all_that_begin_so(tmp_path):
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        file["models"]["gpt-*"] = {"backends": [{"backend": "b0"}]}
        async with broker(file, tmp_path) as px:
            assert (await ask(px, chat(model="gpt-5.5-mini")))[0] == 200
    assert json.loads(up.requests[0].body)["model"] == "gpt-5.5-mini"


async def test_pages_of_a_browser_cannot_ask_for_anything(tmp_path):
    async with provider(answer_chat) as up, broker(models_file(up.url), tmp_path) as px:
        evil = [b"origin: https://evil.example.org"]
        assert (await ask(px, chat(), headers=evil))[0] == 401
        async with client(px) as c:
            for path in (b"/v1/models", b"/health", b"/v1/retrieve/" + b"0" * 24):
                await c.send(get(path, host=b"rebound.example.org"))
                assert (await c.response())[0] in {401, 403}
    assert not up.requests


async def test_a_token_is_asked_for_where_one_is_set(tmp_path):
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url), tmp_path, PROXY_TOKEN="secret") as px,
    ):
        assert (await ask(px, chat()))[0] == 401
        token = [b"x-headroom-token: secret"]
        assert (await ask(px, chat(), headers=token))[0] == 200
    assert up.requests[0].get(b"x-headroom-token") is None


async def test_strange_targets_are_refused(tmp_path):
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, default_backend="b0"), tmp_path) as px,
    ):
        for target in (b"*", b"http://evil.example.org/v1/files", b"/v1/f\xc3\xa9"):
            async with client(px) as c:
                await c.send(get(target))
                assert (await c.response())[0] in {400, 404, 200}
        assert (await ask(px, chat()))[0] == 200
    assert all(r.target.startswith(b"/v1/") for r in up.requests)


async def test_the_bypass_header_leaves_a_request_alone(tmp_path):
    text = "\n".join(f"[INFO] 2026-03-02T12:00:{n % 60:02}Z up" for n in range(900))
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
    ):
        await ask(px, chat(text), headers=[b"x-headroom-bypass: true"])
    assert up.requests[0].body == chat(text, model="gpt-4o")


async def test_a_request_leaves_nothing_behind_for_the_collector(tmp_path):
    count = 100
    async with (
        provider(hang_up) as bad,
        provider(answer_chat) as good,
        broker(models_file(bad.url, good.url), tmp_path) as px,
        client(px) as c,
    ):
        for n in range(2 * count):
            if n == count:
                gc.collect()
                gc.disable()
            await c.send(post(chat(), path=CHAT))
            assert (await c.response())[0] == 200
        await asyncio.sleep(0.05)
        found = gc.collect()
        gc.enable()
    assert found < 3 * count

"""The broker's one place of compression: off unless asked for, once per request."""

import asyncio
import json
import logging
import random

import pytest

from brokering import ANSWER_BODY, broker, chat, models_file, only_loopback, write
from headroom.broker import compression
from headroom.broker.models_file import ModelsFile, parse
from headroom.core import markers
from headroom.errors import CompressionError, StoreUnavailableError
from headroom.inference.tokens import count_tokens
from loopback import answer, client, get, post, provider, send_chunk, start_chunked
from scripted import noisy_log

CHAT = b"/v1/chat/completions"
EVENTS = [b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"]
STEPS = ["latency", "queue", "disk", "replica", "quota"]
PROCEDURE = "Procedure for incidents.\n" + "".join(
    f"{n}. Check the {word} of service {n % 17}, note it and tell team {n % 5}.\n"
    for n, word in enumerate(STEPS * 24)
)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def server_log(errors=(), size=29_000, seed=3):
    rng = random.Random(seed)
    lines, length = [], 0
    while length < size:
        n = len(lines)
        line = (
            f"[INFO] 2026-03-02T12:{n // 60 % 60:02}:{n % 60:02}Z server=web-"
            f"{rng.randrange(1, 9)} status=ok latency_ms={rng.randrange(20, 90)}"
        )
        lines.append(line)
        length += len(line) + 1
    for number, error in enumerate(errors):
        lines.insert((number + 1) * len(lines) // (len(errors) + 1), error)
    return "\n".join(lines)


def incident(log, **more):
    system = {"role": "system", "content": PROCEDURE}
    messages = [system, {"role": "user", "content": log}]
    return json.dumps({"model": "fast", "messages": messages, **more}).encode()


def prompt_tokens(body):
    messages = json.loads(body)["messages"]
    return sum(count_tokens(m["content"], "gpt-4o").tokens for m in messages)


async def answer_chat(request, writer):
    if b'"stream": true' not in request.body:
        await answer(writer, ANSWER_BODY)
        return
    await start_chunked(writer)
    for event in EVENTS:
        await send_chunk(writer, event)
    writer.write(b"0\r\n\r\n")


async def ask(px, body, path=CHAT):
    async with client(px) as c:
        await c.send(post(body, path=path))
        return await c.response()


@pytest.fixture
def calls(monkeypatch):
    """Arguments of every call of the one function that compresses."""
    seen = []
    real = compression.compress_body

    def counted(*given, **named):
        seen.append((given, named))
        return real(*given, **named)

    monkeypatch.setattr(compression, "compress_body", counted)
    return seen


def test_compression_enabled_defaults_to_false():
    file = parse(b"backends: {a: {base_url: 'http://x'}}\n"
                 b"models: {m: {backends: [{backend: a}]}}\n", "m.yml")  # fmt: skip
    assert isinstance(file, ModelsFile)
    assert file.compression_enabled is False
    assert file.compression_lossy is False


async def test_compression_disabled_passes_through_byte_for_byte(tmp_path, calls):
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        file["models"]["fast"]["backends"][0]["model"] = "fast"
        body = incident(server_log()).replace(b": ", b" :\n")
        async with broker(file, tmp_path) as px:
            assert (await ask(px, body))[0] == 200
    assert up.requests[0].body == body
    assert calls == []
    assert not (tmp_path / "data" / "headroom.db").exists()


async def test_compression_enabled_round_trips(tmp_path, calls):
    body = incident(server_log(), tools=TOOLS, tool_choice="auto")
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
    ):
        status, _, got = await ask(px, body)
    assert (status, got) == (200, ANSWER_BODY)
    sent, asked = json.loads(up.requests[0].body), json.loads(body)
    assert sent["tools"] == TOOLS
    assert sent["tool_choice"] == "auto"
    assert sent["messages"][0] == asked["messages"][0]
    assert prompt_tokens(up.requests[0].body) < prompt_tokens(body)
    assert markers.find_markers(sent["messages"][1]["content"]) == ()
    assert len(calls) == 1


@pytest.mark.parametrize("errors", [0, 6])
async def test_29_kb_of_log_lose_two_thirds_of_the_prompt_and_no_error(
    tmp_path, errors
):
    lines = [
        f"[ERROR] server=web-3 status=failed cause=disk_{n}" for n in range(errors)
    ]
    log = server_log(lines)
    body = incident(log)
    file = models_file("URL", compression_enabled=True, compression_lossy=True)
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            assert (await ask(px, body))[0] == 200
            sent = up.requests[0].body
            system, user = (m["content"] for m in json.loads(sent)["messages"])
            async with client(px) as c:
                digest = markers.find_markers(user)[-1].digest
                await c.send(get(b"/v1/retrieve/" + digest.encode()))
                status, _, original = await c.response()
    assert prompt_tokens(sent) <= 0.33 * prompt_tokens(body)
    assert system == PROCEDURE
    assert [line for line in lines if line.partition("cause=")[2] not in user] == []
    assert status == 200
    assert json.loads(original)["content"] in log
    assert len(json.loads(original)["content"]) > 0.95 * len(log)


async def test_the_users_file_of_models_says_how_long_cached_prefixes_are(tmp_path):
    body = incident(server_log())
    known = tmp_path / "known.toml"
    file = models_file("URL", compression_enabled=True)
    sizes = []
    for minimum in (1, 100_000):
        known.write_text(
            f'[[model]]\nmatch = ["*"]\ncache_minimum_tokens = {minimum}\n'
        )
        async with provider(answer_chat) as up:
            file["backends"]["b0"]["base_url"] = up.url
            async with broker(file, tmp_path, MODELS_FILE=known) as px:
                assert (await ask(px, body))[0] == 200
        sizes.append(prompt_tokens(up.requests[0].body))
    assert sizes[0] < 0.6 * sizes[1]
    assert sizes[1] == prompt_tokens(body)


async def test_a_backend_s_model_that_no_table_lists_is_told_once(tmp_path, caplog):
    file = models_file("URL", compression_enabled=True)
    file["models"]["fast"]["backends"][0]["model"] = "unheard-of-9"
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            for text in ("hello", "hello again"):
                assert (await ask(px, incident(text)))[0] == 200
    found = [r for r in caplog.records if r.message == "model_unknown"]
    assert [record.model for record in found] == ["unheard-of-9"]


async def test_originals_are_found_under_their_own_key_only(tmp_path):
    file = models_file("URL", compression_enabled=True, compression_lossy=True)
    file["keys"] = [
        {"name": "a", "key_env": "ALPHA"},
        {"name": "team", "key_env": "TEAM_KEY"},
    ]
    keys = {n: b"authorization: Bearer sk-" + n for n in (b"alpha", b"team")}
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px, client(px) as c:
            asked = post(incident(server_log()), path=CHAT, headers=[keys[b"alpha"]])
            await c.send(asked)
            await c.response()
            user = json.loads(up.requests[0].body)["messages"][1]["content"]
            path = b"/v1/retrieve/" + markers.find_markers(user)[-1].digest.encode()
            for name, expected in ((b"alpha", 200), (b"team", 404)):
                await c.send(get(path, headers=[keys[name]]))
                assert (await c.response())[0] == expected
            await c.send(get(path))
            assert (await c.response())[0] == 401


async def test_compression_enabled_streaming_unaffected(tmp_path, calls):
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
        client(px) as c,
    ):
        await c.send(post(incident(server_log(), stream=True), path=CHAT))
        _, headers = await c.head()
        assert dict(headers)[b"content-type"] == b"text/event-stream"
        got = b""
        while piece := await c.chunk():
            got += piece
        assert got == b"".join(EVENTS)
    assert len(calls) == 1


async def test_multi_completions_are_left_alone(tmp_path):
    body = incident(server_log(), n=2)
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
    ):
        await ask(px, body)
    assert up.requests[0].body == body.replace(b'"fast"', b'"gpt-4o"')


async def test_it_is_asked_once_even_when_backends_fail_and_after_attribution(
    tmp_path, calls, monkeypatch
):
    order = []
    real = compression.compress_body
    monkeypatch.setattr(
        compression,
        "compress_body",
        lambda *given, **named: order.append("compress") or real(*given, **named),
    )

    async def fails(request, writer):
        order.append("backend")
        await answer(writer, b"{}", status=b"503 Busy")

    async with provider(fails) as bad, provider(answer_chat) as good:
        file = models_file(bad.url, good.url, compression_enabled=True)
        file["models"]["fast"]["fallbacks"][0]["model"] = "other-name"
        file["attribution"] = {"X-Who": "{model}"}
        async with broker(file, tmp_path) as px:
            assert (await ask(px, incident(server_log())))[0] == 200
    assert order == ["compress", "backend"]
    assert good.requests[0].get(b"x-who") == b"fast"
    first, second = (json.loads(up.requests[0].body) for up in (bad, good))
    assert (first.pop("model"), second.pop("model")) == ("gpt-4o", "other-name")
    assert first == second


@pytest.mark.parametrize("turned_on_by", ["file", "flag"])
async def test_reloading_honours_the_switch(tmp_path, turned_on_by):
    is_flag = turned_on_by == "flag"
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        async with broker(file, tmp_path, compression=is_flag) as px:
            await ask(px, incident(server_log(seed=1)))
            write(tmp_path / "models.yml", {**file, "compression_enabled": not is_flag})
            await px.app.reloading.reload()
            await ask(px, incident(server_log(seed=2)))
    shorter = [len(r.body) < 29_000 for r in up.requests]
    assert shorter == [is_flag, True]


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), CompressionError("x"), RecursionError()]
)
async def test_an_error_in_compression_leaves_the_request_as_it_is(
    tmp_path, monkeypatch, caplog, error
):
    async def fail(self, api, body, *, place):
        raise error

    monkeypatch.setattr("headroom.session.Session.aforward", fail)
    body = incident(server_log())
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
    ):
        assert (await ask(px, body))[0] == 200
    assert up.requests[0].body == body.replace(b'"fast"', b'"gpt-4o"')
    warnings = [r for r in caplog.records if r.name == "aibroker.compression"]
    assert [r.levelno for r in warnings] == [logging.WARNING]
    assert "secret" not in caplog.text


async def test_a_store_that_cannot_be_opened_leaves_the_request_as_it_is(
    tmp_path, monkeypatch
):
    def fail(settings):
        raise StoreUnavailableError("down")

    monkeypatch.setattr("headroom.broker.app.open_settings_store", fail)
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
    ):
        assert (await ask(px, incident(server_log())))[0] == 200
    assert len(up.requests[0].body) > 29_000


async def test_the_log_tells_what_was_saved(tmp_path, caplog):
    caplog.set_level(logging.INFO, "aibroker.compression")
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
        client(px) as c,
    ):
        headers = [b"x-request-id: r-7"]
        await c.send(post(incident(server_log()), path=CHAT, headers=headers))
        await c.response()
    (found,) = [r for r in caplog.records if r.name == "aibroker.compression"]
    assert found.request_id == "r-7"
    assert found.tokens_saved == found.tokens_before - found.tokens_after > 0


@pytest.mark.parametrize("is_lossy", [False, True])
async def test_a_conversation_keeps_its_prefix_over_all_backends(tmp_path, is_lossy):
    file = models_file("URL", "URL", compression_enabled=True)
    file["compression_lossy"] = is_lossy

    async def fails(request, writer):
        await answer(writer, b"{}", status=b"503 Busy")

    async with provider(answer_chat) as one, provider(answer_chat) as two:
        for number, up in enumerate((one, two)):
            file["backends"][f"b{number}"]["base_url"] = up.url
        history, before = json.loads(incident(server_log()))["messages"], []
        async with broker(file, tmp_path) as px:
            for turn in range(12):
                one.respond = fails if turn % 4 == 3 else answer_chat
                body = json.dumps({"model": "fast", "messages": history}).encode()
                assert (await ask(px, body))[0] == 200
                last = (two if turn % 4 == 3 else one).requests[-1].body
                sent = json.loads(last)["messages"]
                assert sent[: len(before)] == before
                before = sent
                history += [
                    {"role": "assistant", "content": f"part {turn}"},
                    {"role": "user", "content": noisy_log(turn % 3)},
                ]
    assert len(json.dumps(before)) < len(json.dumps(history))


@pytest.mark.parametrize(
    ("path", "name"), [(b"/v1/messages", "messages"), (b"/v1/responses", "input")]
)
async def test_other_apis_are_compressed_too(tmp_path, path, name):
    item = {"role": "user", "content": server_log()}
    body = json.dumps({"model": "fast", "max_tokens": 9, name: [item]}).encode()
    file = models_file("URL", compression_enabled=True)
    async with provider(answer_chat) as up:
        file["backends"]["b0"] |= {"base_url": up.url, "serves_messages": True}
        async with broker(file, tmp_path) as px:
            assert (await ask(px, body, path))[0] == 200
    sent = json.loads(up.requests[0].body)
    assert len(sent[name][0]["content"]) < 0.8 * len(item["content"])
    assert {**sent, name: 0} == {**json.loads(body), name: 0, "model": "gpt-4o"}


async def test_it_works_with_the_network_blocked(tmp_path, monkeypatch):
    tried = only_loopback(monkeypatch)
    file = models_file("URL", compression_enabled=True, compression_lossy=True)
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            async with asyncio.timeout(30):
                assert (await ask(px, incident(server_log())))[0] == 200
    assert len(up.requests[0].body) < 15_000
    assert tried == []


async def test_short_messages_stay_valid_requests(tmp_path):
    async with (
        provider(answer_chat) as up,
        broker(models_file(up.url, compression_enabled=True), tmp_path) as px,
    ):
        assert (await ask(px, chat("hello")))[0] == 200
    assert up.requests[0].body == chat("hello").replace(b'"fast"', b'"gpt-4o"')


async def test_conversations_keep_their_prefix_when_compression_is_switched(tmp_path):
    def turns(log):
        first = json.loads(incident(log))["messages"]
        more = [
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": log},
        ]
        return [json.dumps({"model": "fast", "messages": m}).encode()
                for m in (first, first + more)]  # fmt: skip

    async def switch(px, file, *, is_on):
        file |= {"compression_enabled": is_on, "compression_lossy": is_on}
        write(tmp_path / "models.yml", file)
        await px.app.reloading.reload()

    async def sent(px, up, body):
        async with client(px) as c:
            await c.send(post(body, path=CHAT))
            assert (await c.response())[0] == 200
        return up.requests[-1].body

    early, late = turns(server_log(seed=1)), turns(server_log(seed=2))
    async with provider(answer_chat) as up:
        file = models_file(up.url)
        async with broker(file, tmp_path) as px:
            await switch(px, file, is_on=True)
            compressed = await sent(px, up, early[0])
            assert len(compressed) < len(early[0]) / 2
            await switch(px, file, is_on=False)
            again = json.loads(await sent(px, up, early[1]))["messages"]
            assert again[:2] == json.loads(compressed)["messages"]
            assert again[2:] == json.loads(early[1])["messages"][2:]
            raw = await sent(px, up, late[0])
            assert raw == late[0].replace(b'"fast"', b'"gpt-4o"')
            await switch(px, file, is_on=True)
            again = json.loads(await sent(px, up, late[1]))["messages"]
            assert again[:2] == json.loads(raw)["messages"]

"""What requests cost through the running broker: limits, budgets, refusals."""

import asyncio
import json

import pytest

from brokering import answer_chat, ask, broker, chat, models_file, write
from loopback import answer, provider

CHAT = b"/v1/chat/completions"


async def test_requests_per_minute_are_limited_by_key_and_by_model(tmp_path):
    file = models_file("URL")
    limits = {"requests_per_minute": 2}
    file["keys"] = [
        {"name": "a", "key_env": "ALPHA", "limits": limits},
        {"name": "team", "key_env": "TEAM_KEY"},
    ]
    file["models"]["fast"]["limits"] = {"requests_per_minute": 3}
    alpha, team = [b"x-api-key: sk-alpha"], [b"x-api-key: sk-team"]
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            for _ in range(2):
                assert (await ask(px, chat(), headers=alpha))[0] == 200
            status, headers, body = await ask(px, chat(), headers=alpha)
            assert (status, json.loads(body)["error"]["code"]) == (
                429,
                "rate_limit_exceeded",
            )
            assert 1 <= int(headers[b"retry-after"]) <= 30
            assert (await ask(px, chat(), headers=team))[0] == 200
            status, _, body = await ask(px, chat(), headers=team)
            assert status == 429
            assert b"the model 'fast'" in body
    assert len(up.requests) == 3


async def test_tokens_are_counted_as_the_provider_bills_them(tmp_path):
    file = models_file("URL")
    file["keys"] = [
        {"name": "a", "key_env": "ALPHA", "limits": {"tokens_per_minute": 150}},
        {"name": "t", "key_env": "TEAM_KEY", "limits": {"budget_tokens": 150}},
    ]
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            for key in (b"alpha", b"team"):
                headers = [b"authorization: Bearer sk-" + key]
                # 100 tokens each: the second one still begins below 150.
                statuses = [
                    (await ask(px, chat(), headers=headers))[0] for _ in range(3)
                ]
                assert statuses == [200, 200, 429]
            assert (
                px.count(
                    "headroom_broker_tokens_total",
                    **{"key": "a", "model": "fast", "class": "input_tokens"},
                )
                == 180
            )


async def test_a_budget_outlives_a_restart_and_ends_with_its_day(tmp_path):
    day = [1_800_000_000.0]
    file = models_file("URL")
    file["models"]["fast"]["limits"] = {"budget_tokens": 100}
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        for expected in (200, 429):
            async with broker(file, tmp_path, clock=lambda: day[0]) as px:
                assert (await ask(px, chat()))[0] == expected
        day[0] += 86_400
        async with broker(file, tmp_path, clock=lambda: day[0]) as px:
            assert (await ask(px, chat()))[0] == 200


async def test_a_budget_in_dollars_counts_by_price(tmp_path):
    file = models_file("URL")
    file["models"]["fast"]["limits"] = {"budget_usd": 0.0001}
    async with provider(answer_chat) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            statuses = [(await ask(px, chat()))[0] for _ in range(2)]
            _, _, body = await ask(px, chat())
    assert statuses == [200, 429]
    assert json.loads(body)["error"]["code"] == "insufficient_quota"


async def test_an_answer_without_figures_counts_as_an_estimate(tmp_path):
    async def silent(request, writer):
        await answer(writer, b'{"choices":[]}' + b" " * 400)

    file = models_file("URL")
    file["models"]["fast"]["limits"] = {"budget_tokens": 50}
    async with provider(silent) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            assert (await ask(px, chat()))[0] == 200
            assert (await ask(px, chat()))[0] == 429


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (CHAT, ("type", "rate_limit_error")),
        (b"/v1/messages", ("type", "rate_limit_error")),
    ],
)
async def test_refusals_have_the_shape_of_the_api_that_is_asked(tmp_path, path, kind):
    file = models_file("http://127.0.0.1:1")
    file["backends"]["b0"] |= {"serves_messages": True, "open_after": 99}
    file["models"]["fast"]["limits"] = {"requests_per_minute": 1}
    async with broker(file, tmp_path) as px:
        assert (await ask(px, chat(), path=path))[0] == 502
        status, _, body = await ask(px, chat(), path=path)
    assert status == 429
    assert json.loads(body)["error"][kind[0]] == kind[1]


async def test_streams_without_figures_count_towards_a_budget_in_dollars(tmp_path):
    async def silent(request, writer):
        chunk = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
        kind = b"content-type: text/event-stream"
        await answer(writer, chunk + b"data: [DONE]\n\n", headers=[kind])

    file = models_file("URL")
    file["models"]["fast"]["limits"] = {"budget_usd": 0.001}
    async with provider(silent) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            question = chat("word " * 1000, stream=True)
            assert (await ask(px, question))[0] == 200
            # It is counted when it has ended, which the client may know before.
            for _ in range(100):
                if (status := (await ask(px, question))[0]) == 429:
                    break
                await asyncio.sleep(0.02)
            assert status == 429


@pytest.mark.parametrize("count", [10**26, -(10**6)])
async def test_figures_that_cannot_be_are_no_figures(tmp_path, count):
    async def absurd(request, writer):
        await answer(writer, b'{"usage":{"prompt_tokens":%d}}' % count)

    file = models_file("URL")
    file["models"]["fast"]["limits"] = {"budget_tokens": 45}
    async with provider(absurd) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            path = b"/v1/embeddings"
            statuses = [(await ask(px, chat(), path=path))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]  # estimated: 24 or 28 each
    written = (tmp_path / "data" / "broker-spent.json").read_text()
    assert 45 <= json.loads(written)["the model 'fast'"]["tokens"] < 100


async def test_what_limits_were_changed_under_is_counted_all_the_same(tmp_path):
    gate = asyncio.Event()

    async def slow(request, writer):
        await gate.wait()
        await answer_chat(request, writer)

    file = models_file("URL")
    file["models"]["fast"]["limits"] = {"budget_tokens": 100}
    async with provider(slow) as up:
        file["backends"]["b0"]["base_url"] = up.url
        async with broker(file, tmp_path) as px:
            first = asyncio.create_task(ask(px, chat()))
            await asyncio.sleep(0.05)
            file["models"]["fast"]["limits"] = {"budget_tokens": 150}
            write(tmp_path / "models.yml", file)
            await px.app.reloading.reload()
            second = asyncio.create_task(ask(px, chat()))
            await asyncio.sleep(0.05)
            gate.set()
            assert [(await first)[0], (await second)[0]] == [200, 200]
            assert (await ask(px, chat()))[0] == 429
    spent = tmp_path / "data" / "broker-spent.json"
    assert json.loads(spent.read_text())["the model 'fast'"]["tokens"] == 200
    assert spent.stat().st_mode & 0o077 == 0

"""The file of models is read again when it changes; a bad one changes nothing."""

import asyncio
import json
import os
import signal

import pytest

from brokering import broker, chat, models_file, write
from loopback import answer_ok, client, get, post, provider


async def ask(px, model):
    async with client(px) as c:
        await c.send(post(chat(model=model), path=b"/v1/chat/completions"))
        return (await c.response())[0]


async def health(px):
    async with client(px) as c:
        await c.send(get(b"/health"))
        return json.loads((await c.response())[2])


async def until(condition, seconds=5):
    for _ in range(seconds * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("did not happen")


def renamed(file, name):
    return {**file, "models": {name: file["models"]["fast"]}}


@pytest.mark.parametrize("way", ["poll", "SIGHUP"])
async def test_a_change_holds_without_a_restart(tmp_path, monkeypatch, way):
    if way == "SIGHUP":
        monkeypatch.setattr("headroom.broker.reloading.POLL_S", 60)
    async with provider(answer_ok) as up:
        file = models_file(up.url)
        async with broker(file, tmp_path) as px:
            assert await ask(px, "new") == 404
            write(tmp_path / "models.yml", renamed(file, "new"))
            if way == "SIGHUP":
                os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: px.registry.model("new"))
            assert await ask(px, "new") == 200
            assert await ask(px, "fast") == 404
            assert (await health(px))["models_file"] == {"status": "ok", "reloads": 1}


KEYLESS = {
    "backends": {"a": {"base_url": "http://x", "key_env": "NONE"}},
    "models": {"m": {"backends": [{"backend": "a"}]}},
}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("models: [", "line 1"),
        ("", "Expected"),
        (KEYLESS, "NONE is not set"),
        ({"secret": "sk-1"}, "unknown field"),
    ],
)
async def test_a_bad_file_keeps_the_one_before_and_says_why(
    tmp_path, caplog, content, said
):
    async with provider(answer_ok) as up:
        file = models_file(up.url)
        async with broker(file, tmp_path) as px:
            write(tmp_path / "models.yml", content)
            await px.app.reloading.reload()
            assert await ask(px, "fast") == 200
            found = await health(px)
            assert found["status"] == found["models_file"]["status"] == "degraded"
            assert said in found["models_file"]["error"]
            (record,) = [r for r in caplog.records if r.msg == "models_file_rejected"]
            assert said in record.reason
            assert "sk-1" not in record.reason
            write(tmp_path / "models.yml", file)
            await px.app.reloading.reload()
            assert (await health(px))["status"] == "ok"


async def test_a_file_that_is_gone_keeps_the_one_before(tmp_path):
    async with provider(answer_ok) as up, broker(models_file(up.url), tmp_path) as px:
        (tmp_path / "models.yml").unlink()
        await px.app.reloading.reload()
        assert await ask(px, "fast") == 200
        assert "No such file" in (await health(px))["models_file"]["error"]


async def test_no_reload_may_open_the_broker_to_other_machines(tmp_path):
    async with provider(answer_ok) as up:
        file = models_file(up.url)
        keyed = {**file, "keys": [{"name": "a", "key_env": "ALPHA"}]}
        async with broker(keyed, tmp_path, PROXY_HOST="0.0.0.0") as px:
            write(tmp_path / "models.yml", file)
            await px.app.reloading.reload()
            assert px.registry.clients
            assert await ask(px, "fast") == 401


async def test_circuits_survive_a_reload_that_leaves_their_backend_alone(tmp_path):
    file = models_file("http://127.0.0.1:1")
    file["backends"]["b0"] |= {"open_after": 1, "open_s": 60}
    async with broker(file, tmp_path) as px:
        assert await ask(px, "fast") == 502
        await px.app.reloading.reload()
        assert (await health(px))["backends"]["b0"]["circuit"] == "open"
        file["backends"]["b0"]["open_s"] = 30
        write(tmp_path / "models.yml", file)
        await px.app.reloading.reload()
        assert (await health(px))["backends"]["b0"]["circuit"] == "closed"

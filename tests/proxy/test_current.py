"""Settings that change while the proxy runs."""

import json
import logging

from msgspec.structs import replace

from headroom.errors import ConfigError
from headroom.proxy.current import Current
from headroom.settings import AuthSettings, MemorySettings, ProxySettings, Settings
from headroom.settings.tree import StabiliseSettings
from loopback import client, post, provider, proxy

TOOLS = [{"name": n, "input_schema": {"type": "object"}} for n in ("Read", "Bash")]
KEY = b"x-api-key: sk-ant-api03-a"
SORTED = Settings(stabilise=StabiliseSettings(tool_sort="enabled"))


def body(turns, first="help"):
    messages = [{"role": "user", "content": first}]
    for turn in range(turns):
        messages += [
            {"role": "assistant", "content": f"answer {turn}"},
            {"role": "user", "content": f"go on {turn}"},
        ]
    return json.dumps(
        {"model": "claude-x", "tools": TOOLS, "messages": messages}
    ).encode()


def test_what_may_change_takes_effect_and_the_rest_waits():
    current = Current(Settings())
    found = current.take(
        Settings(
            retrieval="off",
            auth=AuthSettings(oauth=("compress", "lossy")),
            proxy=ProxySettings(port=1),
        )
    )
    assert found["changed"] == ("retrieval", "auth.oauth")
    assert found["waiting"] == ("proxy.port",)
    assert not current.policy.allow_lossy
    assert current["oauth"].allows_lossy
    assert current.settings.proxy.port == 8787


def test_a_bad_value_changes_nothing(caplog):
    current = Current(SORTED)

    def read():
        raise ConfigError("HEADROOM_RETRIEVAL: expected one of tool, found 'x'")

    with caplog.at_level(logging.ERROR, logger="headroom.proxy"):
        current.reload(read)
    assert current.settings == SORTED
    assert "expected one of" in caplog.records[0].error


async def test_new_settings_hold_for_conversations_that_begin_afterwards():
    async with (
        provider() as up,
        proxy(up.url) as px,
        client(px) as c,
    ):

        async def names(request):
            await c.send(post(request, headers=(KEY,)))
            await c.response()
            tools = json.loads(up.requests[-1].body)["tools"]
            return [tool["name"] for tool in tools][:2]

        assert await names(body(0)) == ["Read", "Bash"]
        px.app.current.reload(lambda: SORTED)
        assert await names(body(1)) == ["Read", "Bash"]
        assert await names(body(0, first="another")) == ["Bash", "Read"]
        px.app.current.reload(Settings)
        assert await names(body(1, first="another")) == ["Bash", "Read"]


async def test_what_was_sent_compressed_stays_when_nothing_may_be_compressed_any_more():
    log = "".join(
        f"2026-11-21 10:00:{n % 60:02d} INFO took job {n}\n" for n in range(300)
    )
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": log}
    messages = [
        {"role": "user", "content": "Mind it. " * 600},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    later = [
        *messages,
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": log},
    ]
    async with (
        provider() as up,
        proxy(up.url) as px,
        client(px) as c,
    ):
        for number, said in enumerate((messages, later)):
            if number:
                px.app.current.reload(lambda: Settings(auth=AuthSettings(payg=())))
            request = {"model": "claude-opus-5", "messages": said}
            await c.send(post(json.dumps(request).encode(), headers=(KEY,)))
            await c.response()
    first, second = (json.loads(r.body)["messages"] for r in up.requests)
    short = first[2]["content"][0]["content"]
    assert len(short) < len(log)
    assert second[2]["content"][0]["content"] == short
    assert second[4]["content"] == log


def test_what_the_memory_does_may_change_and_where_it_is_waits():
    current = Current(Settings())
    found = current.take(
        Settings(memory=MemorySettings(mode="auto_tail", dir="/elsewhere"))
    )
    assert found["changed"] == ("memory.mode",)
    assert found["waiting"] == ("memory.dir",)
    assert current.settings.memory == MemorySettings(mode="auto_tail")


async def test_memory_that_is_switched_on_holds_for_conversations_that_begin(tmp_path):
    async with (
        provider() as up,
        proxy(up.url, DATA_DIR=tmp_path) as px,
        client(px) as c,
    ):

        async def has_tools(request):
            await c.send(post(request, headers=(KEY,)))
            await c.response()
            return b'"memory_save"' in up.requests[-1].body

        def switch(mode):
            loaded = px.settings
            memory = replace(loaded.memory, mode=mode)
            px.app.current.take(replace(loaded, memory=memory))

        assert not await has_tools(body(0))
        switch("tool")
        assert not await has_tools(body(1))
        assert await has_tools(body(0, "another"))
        switch("off")
        assert await has_tools(body(1, "another"))
        assert not await has_tools(body(0, "a third"))

"""The MCP server as the official SDK's client meets it, over both transports."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from headroom.ccr.stores import open_store
from headroom.core.digest import content_digest
from headroom.core.retrieval_tool import TOOL_ANTHROPIC

pytestmark = pytest.mark.e2e

TEXT = "".join(f"line {i} é\n" for i in range(1, 20_001))
HASH = content_digest(TEXT)
COMMAND = ["-m", "headroom.cli.main", "mcp"]
TRANSPORTS = ["stdio", "legacy stdio", "http", "legacy http"]


def log():
    rng = random.Random(7)
    lines = [
        f"2026-03-02T12:{i // 60:02d}:{i % 60:02d}Z INFO worker-{rng.randrange(8)}"
        f" took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(900)
    ]
    lines[411] = "2026-03-02T12:06:51Z ERROR job 411 failed: disk full\n"
    return "".join(lines)


@pytest.fixture
def environment(tmp_path):
    url = f"sqlite://{tmp_path}/store.db"
    store = open_store(url)
    half = "half \ud83d of it " * 20
    store.save([], {HASH: TEXT, content_digest(half): half})
    store.close()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")}
    return {**clean, "HEADROOM_STORE": url}


@contextlib.contextmanager
def http_server(environment, address="127.0.0.1:0"):
    """The server as a process; its URL."""
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--http", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    with process:
        try:
            line = process.stdout.readline()
            assert "listening on" in line
            yield line.split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


@contextlib.asynccontextmanager
async def connected(transport, environment):
    """A client of the SDK, as it comes."""
    mode = "legacy" if transport.startswith("legacy") else "auto"
    with contextlib.ExitStack() as stack:
        server = StdioServerParameters(
            command=sys.executable, args=COMMAND, env=environment
        )
        if transport.endswith("http"):
            server = stack.enter_context(http_server(environment))
        async with Client(server, mode=mode) as client:
            yield client


def said(result):
    (content,) = result.content
    return content.text


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_tools_work_over_every_transport(transport, environment):
    async with connected(transport, environment) as client:
        assert client.server_info.name == "headroom"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == [
            "headroom_retrieve",
            "headroom_compress",
            "headroom_stats",
        ]
        ours = json.loads(TOOL_ANTHROPIC)
        assert tools["headroom_retrieve"].description == ours["description"]
        assert tools["headroom_retrieve"].input_schema == ours["input_schema"]

        part = {"hash": HASH, "lines": "2-3"}
        result = await client.call_tool("headroom_retrieve", part)
        assert not result.is_error
        assert said(result) == "[lines 2-3 of 20000]\nline 2 é\nline 3 é"

        text = log()
        given = {"text": text, "lossy": True}
        result = await client.call_tool("headroom_compress", given)
        figures = result.meta["headroom"]
        assert not figures["lossless"]
        assert figures["marker"] == f"<<ccr:{content_digest(text)}>>"
        assert figures["marker"] in said(result)
        assert "job 411 failed: disk full" in said(result)
        back = {"hash": figures["marker"], "query": "06:51"}
        assert "ERROR job 411" in said(
            await client.call_tool("headroom_retrieve", back)
        )

        stats = json.loads(said(await client.call_tool("headroom_stats", {})))
        done = stats["since_start"]
        assert (done["compressed"], done["retrieved"]) == (1, 2)
        saved = figures["tokens_before"] - figures["tokens_after"]
        assert stats["tokens_saved"] == saved - done["retrieved_tokens"]
        assert stats["store"]["kind"] == "sqlite"
        assert stats["store"]["entries"] >= 3


async def test_what_cannot_be_done_is_an_error_in_words(environment):
    async with connected("stdio", environment) as client:
        for name, arguments, words in [
            ("headroom_retrieve", {"hash": "0" * 24}, "run the original command"),
            ("headroom_retrieve", {"hash": "short"}, "24 hex digits"),
            ("headroom_retrieve", {"hash": HASH, "lines": "x"}, "not understood"),
            ("headroom_retrieve", {}, "24 hex digits"),
            ("headroom_compress", {}, "text"),
            ("headroom_compress", {"text": "a", "kind": "poem"}, "poem"),
            ("headroom_retreive", {"hash": HASH}, "no tool"),
        ]:
            result = await client.call_tool(name, arguments)
            assert result.is_error, name
            assert words in said(result)
        # What models write instead of "3-4" is understood.
        result = await client.call_tool(
            "headroom_retrieve", {"hash": f"<<ccr:{HASH}>>", "lines": [3, 4]}
        )
        assert said(result).endswith("line 3 é\nline 4 é")


async def test_answers_are_bounded_and_odd_text_is_shown(environment):
    half = content_digest("half \ud83d of it " * 20)
    async with connected("stdio", environment) as client:
        result = await client.call_tool("headroom_retrieve", {"hash": HASH})
        assert len(said(result).encode()) <= 48 * 1024
        assert "ask lines=" in said(result)[-80:]
        result = await client.call_tool("headroom_retrieve", {"hash": half})
        assert said(result).startswith("half \\ud83d of it")


async def test_a_text_is_lossless_when_nothing_may_be_left_out(environment):
    async with connected("stdio", environment) as client:
        result = await client.call_tool("headroom_compress", {"text": log()})
    figures = result.meta["headroom"]
    assert figures["lossless"]
    assert figures["marker"] == ""
    assert figures["tokens_after"] < figures["tokens_before"]


async def test_with_a_token_http_wants_it_and_takes_it_as_bearer(environment):
    guarded = {**environment, "HEADROOM_PROXY_TOKEN": "open-sesame"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with http_server(guarded) as url:
        async with httpx2.AsyncClient() as plain:
            assert (await plain.post(url, json=message)).status_code == 401
            wrong = {"x-headroom-token": "guess"}
            answer = await plain.post(url, json=message, headers=wrong)
            assert answer.status_code == 401
        bearer = {"authorization": "Bearer open-sesame"}
        async with (
            httpx2.AsyncClient(headers=bearer) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            result = await client.call_tool("headroom_retrieve", {"hash": HASH})
            assert not result.is_error


async def test_web_pages_cannot_call_the_server(environment):
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with http_server(environment) as url:
        async with httpx2.AsyncClient() as plain:
            for headers in (
                {"host": "evil.example"},
                {"origin": "http://evil.example"},
                {"origin": "null"},
            ):
                answer = await plain.post(url, json=message, headers=headers)
                assert answer.status_code == 403
                assert "access-control-allow-origin" not in answer.headers
            answer = await plain.options(url, headers={"origin": "http://evil.example"})
            assert answer.status_code == 403

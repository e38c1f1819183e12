"""The command as a process: ready, graceful, several workers, plain refusals."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from loopback import (
    OK_BODY,
    client,
    get,
    post,
    provider,
    send_chunk,
    start_chunked,
)

pytestmark = pytest.mark.e2e

ENTRY = "from headroom.cli.main import main; main()"


class Running:
    """A ``headroom proxy`` process."""

    def __init__(self, process, port):
        self.process = process
        self.port = port

    async def end(self, number=signal.SIGTERM):
        """Status and what was written to standard error."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        _, stderr = await asyncio.wait_for(self.process.communicate(), 15)
        return self.process.returncode, stderr.decode()

    async def ask(self, path, **options):
        async with client(self) as c:
            await c.send(get(path, **options))
            _, _, body = await c.response()
        return body


async def start(*arguments, **environ):
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")}
    env["HEADROOM_STORE"] = "memory://"
    env.update({f"HEADROOM_{name}": value for name, value in environ.items()})
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENTRY, "proxy", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )


@contextlib.asynccontextmanager
async def running(upstream, *arguments, **environ):
    # A key in a query is Google's.
    urls = ("--anthropic-url", upstream, "--gemini-url", upstream)
    process = await start(*urls, *arguments, **environ)
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        found = re.search(rb"listening on http://127\.0\.0\.1:(\d+)", line)
        assert found, (await process.communicate())[1].decode()
        yield Running(process, int(found[1]))
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.communicate(), 15)


def is_alive(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields.rpartition(")")[2].split()[0] != "Z"


async def gone(pid, seconds=10.0):
    while is_alive(pid) and seconds > 0:
        await asyncio.sleep(0.05)
        seconds -= 0.05
    return not is_alive(pid)


async def is_refusing(port, seconds=5.0):
    """Whether no connection is accepted any more, soon."""
    while seconds > 0:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return True
        writer.close()
        await asyncio.sleep(0.05)
        seconds -= 0.05
    return False


async def counted_requests(px, expected):
    """How many requests all workers together have counted; waits for the last."""
    for _ in range(40):
        metrics = (await px.ask(b"/metrics")).decode()
        found = re.findall(r"\nheadroom_requests_total{.*} (\d+)", metrics)
        if sum(map(int, found)) == expected:
            break
        await asyncio.sleep(0.05)
    return sum(map(int, found))


async def test_a_stream_finishes_after_the_order_to_end():
    release = asyncio.Event()

    async def respond(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b"first")
        await release.wait()
        await send_chunk(writer, b"last")
        writer.write(b"0\r\n\r\n")

    async with provider(respond) as up, running(up.url) as px:
        async with client(px) as c:
            await c.send(post(b"{}"))
            await c.head()
            assert await c.chunk() == b"first"
            px.process.terminate()
            assert await is_refusing(px.port)
            release.set()
            assert await c.chunk() == b"last"
            assert await c.chunk() == b""
        status, _ = await px.end()
    assert status == 0


async def test_a_stream_that_never_ends_does_not_keep_the_server_for_ever():
    async def respond(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b"first")
        await request.closed.wait()

    async with (
        provider(respond) as up,
        running(up.url, PROXY_GRACEFUL_SHUTDOWN_S="1") as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        await c.head()
        status, _ = await px.end()
        assert status == 0
        await asyncio.wait_for(up.requests[0].closed.wait(), 1)


async def test_an_interrupt_ends_it_with_status_0_and_without_a_trace():
    async with provider() as up, running(up.url) as px:
        status, stderr = await px.end(signal.SIGINT)
    assert status == 0
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--compression-mode", "icm"], {}, ["--compression-mode", "icm", "live_zone"]),
        ([], {"PROXY_WORKERS": "many"}, ["HEADROOM_PROXY_WORKERS", "many"]),
        (["--host", "0.0.0.0"], {}, ["HEADROOM_PROXY_TOKEN", "0.0.0.0"]),
        ([], {"STORE": "sqlite:////dev/null/x.db"}, ["HEADROOM_STORE", "/dev/null"]),
        ([], {"STORE": "mysql://x"}, ["HEADROOM_STORE", "mysql", "sqlite"]),
        (["--host", "192.0.2.1"], {"PROXY_TOKEN": "t"}, ["cannot listen", "192.0.2.1"]),
    ],
)
async def test_it_refuses_to_start_half_configured(arguments, environ, words):
    process = await start(*arguments, **environ)
    _, stderr = await asyncio.wait_for(process.communicate(), 15)
    text = stderr.decode()
    assert process.returncode == 78
    assert all(word in text for word in words), text
    assert "Traceback" not in text


async def test_a_port_that_is_taken_is_a_plain_message():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await start("--port", port)
        _, stderr = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 78
    assert f"127.0.0.1:{port}" in stderr.decode()


async def test_without_the_core_it_forwards_and_says_so():
    async with (
        provider() as up,
        running(up.url, REQUIRE_RUST_CORE="False") as px,
        client(px) as c,
    ):
        assert json.loads(await px.ask(b"/health"))["core"] == "disabled"
        await c.send(post(b'{"messages":[]}'))
        status, _, body = await c.response()
    assert (status, body) == (200, OK_BODY)


async def test_workers_share_the_port_and_their_figures_are_one():
    async with provider() as up, running(up.url, "--workers", "2") as px:
        pids = set()
        sent = 0
        while len(pids) < 2 and sent < 400:
            async with client(px) as c:
                await c.send(get(b"/health"))
                _, _, body = await c.response()
                await c.send(post(b"{}"))
                await c.response()
                sent += 1
            pids.add(json.loads(body)["workers"]["pid"])
        assert await counted_requests(px, sent) == sent
        metrics = (await px.ask(b"/metrics")).decode()
        assert re.search(r"^headroom_prefix_breaks_total 0\.0$", metrics, re.MULTILINE)
        status, stderr = await px.end()
        assert len(pids) == 2
        assert [pid for pid in pids if not await gone(pid)] == []
    assert status == 0
    assert "Traceback" not in stderr


async def test_a_worker_that_dies_is_replaced_and_its_figures_stay():
    async with provider() as up, running(up.url, "--workers", "2") as px:
        async with client(px) as c:
            await c.send(post(b"{}"))
            await c.response()
            await c.send(get(b"/health"))
            _, _, body = await c.response()
            victim = json.loads(body)["workers"]["pid"]
            os.kill(victim, signal.SIGKILL)
            assert await gone(victim)
        pids = set()
        for _ in range(200):
            pids.add(json.loads(await px.ask(b"/health"))["workers"]["pid"])
            if len(pids) == 2:
                break
            await asyncio.sleep(0.02)
        counted = await counted_requests(px, 1)
        status, stderr = await px.end()
    assert victim not in pids
    assert len(pids) == 2
    assert counted == 1
    assert status == 0
    records = [json.loads(line) for line in stderr.splitlines()]
    ended = [record for record in records if record["event"] == "worker_ended"]
    assert [record["pid"] for record in ended] == [victim]
    assert "core_loaded" in {record["event"] for record in records}


async def test_workers_end_when_their_supervisor_is_killed():
    async with provider() as up, running(up.url, "--workers", "2") as px:
        pid = json.loads(await px.ask(b"/health"))["workers"]["pid"]
        px.process.kill()
        assert await gone(pid)


SECRETS = [
    b"authorization: Bearer sk-ant-oat01-" + b"S3CRET" * 4,
    b"x-api-key: sk-ant-api03-" + b"S3CRET" * 4,
    b"x-headroom-user-id: S3CRET",
    b"cookie: S3CRET",
    b"x-s3cret-header: S3CRET\xff",
]


async def test_records_are_json_and_hold_no_secret():
    async with provider() as up, running(up.url, "--log-level", "debug") as px:
        body = b'{"model":"m","messages":[{"role":"user","content":"S3CRET"}],"S3CRET":'
        for headers in (SECRETS[:4], SECRETS):
            for rest in (b"1}", b"truncated S3CRET"):
                async with client(px) as c:
                    await c.send(post(body + rest, headers=headers))
                    await c.response()
        async with client(px) as c:
            await c.send(post(b"S3CRET", path=b"/S3CRET?key=S3CRET"))
            await c.response()
        _, stderr = await px.end()
    assert "S3CRET" not in stderr
    records = [json.loads(line) for line in stderr.splitlines()]
    decisions = [r for r in records if r["event"] == "compression_decision"]
    assert [r["status"] for r in decisions] == [200, 200, 400, 400, 200]
    first = decisions[0]
    assert first["path"] == "/v1/messages"
    assert first["method"] == "POST"
    assert first["compression_mode"] == "live_zone"
    assert first["body_bytes"] == len(body) + 2
    assert first["stripped_count"] == 1
    assert {"request_id", "decision", "reason", "added_ms"} <= set(first)
    events = [record["event"] for record in records]
    assert events.count("outbound_request") == 3
    assert events.count("outbound_headers") == 3


async def test_logs_can_be_switched_off():
    async with provider() as up, running(up.url, "--log-level", "off") as px:
        async with client(px) as c:
            await c.send(post(b"{}"))
            await c.response()
        status, stderr = await px.end()
    assert (status, stderr) == (0, "")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_hangup_reads_the_settings_again(tmp_path, workers):
    file = tmp_path / "headroom.toml"
    file.write_text("")
    tools = [{"name": n, "input_schema": {}} for n in ("Read", "Bash")]
    options = {"CONFIG": str(file), "STORE": f"sqlite://{tmp_path}/h.db"}

    async def names(proxy, question):
        message = {"role": "user", "content": question}
        body = {"model": "m", "tools": tools, "messages": [message]}
        async with client(proxy) as c:
            await c.send(post(json.dumps(body).encode()))
            await c.response()
        return [t["name"] for t in json.loads(up.requests[-1].body)["tools"]][:2]

    async with (
        provider() as up,
        running(up.url, "--workers", workers, **options) as proxy,
    ):
        assert await names(proxy, "one") == ["Read", "Bash"]
        file.write_text('stabilise = { tool_sort = "sideways" }')
        proxy.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.5)
        assert await names(proxy, "two") == ["Read", "Bash"]
        file.write_text('stabilise = { tool_sort = "enabled" }')
        proxy.process.send_signal(signal.SIGHUP)
        for number in range(50):
            found = [await names(proxy, f"try {number} {n}") for n in range(6)]
            if all(one == ["Bash", "Read"] for one in found):
                break
            await asyncio.sleep(0.1)
        assert found == [["Bash", "Read"]] * 6
        assert await names(proxy, "one") == ["Read", "Bash"]
        status, stderr = await proxy.end()
    assert status == 0
    assert "settings_reload_failed" in stderr
    assert "settings_reloaded" in stderr

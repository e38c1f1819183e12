"""Headroom's own endpoints: what they say, to whom."""

import json
import socket

import pytest

from headroom.proxy.endpoints import Core
from loopback import EditStage, client, get, post, provider, proxy

OWN = [b"/healthz", b"/readyz", b"/health", b"/metrics", b"/healthz/upstream"]


async def ask(px, path, **options):
    async with client(px) as c:
        await c.send(get(path, **options))
        return await c.response()


async def test_healthz_answers_while_the_provider_is_down():
    async with proxy("http://127.0.0.1:1") as px:
        status, _, body = await ask(px, b"/healthz")
    assert status == 200
    assert json.loads(body) == {"ok": True, "service": "headroom"}


@pytest.mark.parametrize("path", OWN)
async def test_own_endpoints_are_never_forwarded(path):
    async with provider() as up, proxy(up.url) as px:
        status, headers, _ = await ask(px, path)
        targets = [(request.method, request.target) for request in up.requests]
    assert status == 200
    assert b"access-control-allow-origin" not in headers
    probe = [(b"HEAD", b"/")] * 3 if path == b"/healthz/upstream" else []
    assert targets == probe


async def test_upstream_health_is_503_when_a_provider_is_down():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with provider() as up, proxy(up.url, OPENAI_URL=gone) as px:
        status, _, body = await ask(px, b"/healthz/upstream")
    assert status == 503
    assert json.loads(body) == {
        "ok": False,
        "upstreams": {"anthropic": True, "openai": False, "gemini": True},
    }


async def test_health_tells_what_is_loaded():
    async with proxy("http://127.0.0.1:1", stages=[EditStage()]) as px:
        _, _, body = await ask(px, b"/health")
    report = json.loads(body)
    assert report["core"] == "loaded"
    assert report["status"] == "ok"
    assert report["store"]["status"] == "ok"
    assert report["stages"] == {"compress": {"status": "ok"}}
    assert report["workers"]["configured"] == 1


@pytest.mark.parametrize(
    ("core", "status"),
    [(Core("disabled"), "ok"), (Core("missing", "vocabulary gone"), "degraded")],
)
async def test_health_tells_when_the_core_is_off_and_bodies_pass(core, status):
    async with provider() as up, proxy(up.url, core=core) as px:
        _, _, body = await ask(px, b"/health")
        async with client(px) as c:
            await c.send(post(b"{}"))
            answered, _, _ = await c.response()
    report = json.loads(body)
    assert (report["core"], report["status"]) == (core.status, status)
    assert report.get("core_error", "") == core.error
    assert answered == 200


class BrokenStage(EditStage):
    def health(self):
        return {"status": "degraded", "error": "disk full"}


async def test_health_is_degraded_when_a_stage_is():
    async with proxy("http://127.0.0.1:1", stages=[BrokenStage()]) as px:
        status, _, body = await ask(px, b"/health")
    report = json.loads(body)
    assert (status, report["ok"], report["status"]) == (200, False, "degraded")
    assert report["stages"]["compress"]["error"] == "disk full"


async def test_metrics_are_prometheus_text_with_the_alarms_at_zero():
    async with proxy("http://127.0.0.1:1") as px:
        _, headers, body = await ask(px, b"/metrics")
    assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert b"headroom_prefix_breaks_total 0.0" in body
    assert b"# HELP proxy_passthrough_bytes_modified_total" in body
    assert b"_created" not in body


@pytest.mark.parametrize("path", OWN)
@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (b"evil.example", []),
        (b"evil.example:8787", []),
        (b"127.0.0.1.evil.example", []),
        (b"localhost", [b"origin: http://evil.example"]),
        (b"localhost", [b"origin: null"]),
        (b"localhost:8787", [b"origin: http://localhost:9999"]),
        (b"", []),
    ],
)
async def test_names_that_a_web_page_could_rebind_are_refused(path, host, headers):
    async with provider() as up, proxy(up.url) as px:
        status, _, _ = await ask(px, path, host=host, headers=headers)
    assert status == 403
    assert not up.requests


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (b"127.0.0.1:8787", []),
        (b"[::1]:8787", []),
        (b"LocalHost:1", []),
        (b"box.internal:8787", []),
        (b"localhost:8787", [b"origin: http://localhost:8787"]),
    ],
)
async def test_names_that_are_ours_are_served(host, headers):
    async with proxy("http://127.0.0.1:1", PROXY_ALLOWED_HOSTS="box.internal") as px:
        status, _, _ = await ask(px, b"/readyz", host=host, headers=headers)
    assert status == 200


async def test_own_endpoints_take_no_other_method():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}", path=b"/metrics"))
        status, headers, _ = await c.response()
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")
    assert not up.requests


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], 401),
        ([b"x-headroom-token: wrong"], 401),
        ([b"authorization: Bearer wrong"], 401),
        ([b"x-headroom-token: open-sesame"], 200),
        ([b"authorization: bearer open-sesame"], 200),
    ],
)
async def test_with_a_token_own_endpoints_want_it(headers, expected):
    async with proxy("http://127.0.0.1:1", PROXY_TOKEN="open-sesame") as px:
        for path in (b"/health", b"/metrics", b"/readyz"):
            status, _, _ = await ask(px, path, headers=headers)
            assert status == expected
        status, _, _ = await ask(px, b"/healthz", headers=headers)
        assert status == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], 401),
        ([b"authorization: Bearer open-sesame"], 401),
        ([b"x-headroom-token: open-sesame"], 200),
    ],
)
async def test_with_a_token_forwarding_wants_it_in_its_own_header(headers, expected):
    async with (
        provider() as up,
        proxy(up.url, PROXY_TOKEN="open-sesame") as px,
        client(px) as c,
    ):
        await c.send(post(b"{}", headers=headers))
        status, _, body = await c.response()
    assert status == expected
    assert len(up.requests) == (expected == 200)
    if expected == 401:
        assert json.loads(body)["error"]["type"] == "authentication_error"

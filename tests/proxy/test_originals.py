"""``/v1/retrieve``: byte-exact originals, parts, and errors, for local callers only."""

import asyncio
import json
import sqlite3
import threading
import time

import pytest

from headroom.ccr.stores import open_store
from headroom.core.digest import content_digest
from headroom.errors import ConfigError, StoreUnavailableError
from headroom.proxy.endpoints import Core
from headroom.proxy.originals import StoreOnDemand
from loopback import client, get, post, provider, proxy

TEXT = "".join(f"line {i} é \u2028 \x00\n" for i in range(1, 20_001))
ROWS = json.dumps([{"id": i, "name": f"n{i}"} for i in range(300)])
HALF = "half a pair: \ud83d, and the rest of the line"
ALL = {content_digest(text): text for text in (TEXT, ROWS, HALF)}
TEXT_HASH, ROWS_HASH, HALF_HASH = ALL
OFF = {"PROXY_COMPRESSION": "false"}


@pytest.fixture
def url(tmp_path):
    url = f"sqlite://{tmp_path}/store.db"
    store = open_store(url)
    store.save([], ALL)
    store.close()
    return url


async def ask(px, request):
    async with client(px) as c:
        await c.send(request)
        status, headers, body = await c.response()
    assert b"access-control-allow-origin" not in headers
    return status, json.loads(body)


def asking(**arguments):
    return post(json.dumps(arguments).encode(), path=b"/v1/retrieve")


def at(digest):
    return get(b"/v1/retrieve/" + digest.encode())


@pytest.mark.parametrize("settings", [{}, OFF, {"PROXY_COMPRESSION_MODE": "off"}])
async def test_an_original_comes_back_byte_for_byte_whatever_is_on(url, settings):
    async with provider() as up, proxy(up.url, STORE=url, **settings) as px:
        for digest, text in ALL.items():
            for request in (at(digest), asking(hash=digest)):
                status, found = await ask(px, request)
                assert status == 200
                assert found["content"] == text
                size = len(text.encode("utf-8", "surrogatepass"))
                assert found.pop("original_content", text) == text
                assert found == {
                    "hash": digest,
                    "content": text,
                    "bytes": size,
                    "partial": False,
                }
        assert not up.requests


async def test_rows_of_json_come_back_intact(url):
    async with proxy("http://127.0.0.1:1", STORE=url) as px:
        _, found = await ask(px, at(ROWS_HASH))
        assert json.loads(found["content"]) == json.loads(ROWS)
        status, found = await ask(px, asking(hash=ROWS_HASH, rows="7-8"))
    assert status == 200
    assert found["content"].splitlines()[1:] == [
        '{"id": 6, "name": "n6"}',
        '{"id": 7, "name": "n7"}',
    ]
    assert found["partial"] is True
    assert found["bytes"] == len(ROWS)


async def test_parts_are_bounded_and_say_what_to_ask_next(url):
    async with proxy("http://127.0.0.1:1", STORE=url) as px:
        _, found = await ask(px, asking(hash=TEXT_HASH, lines="2-19000"))
        assert len(found["content"].encode()) <= 48 * 1024
        assert found["content"].startswith("[lines 2-")
        assert "ask lines=" in found["content"].splitlines()[-1]
        marker = f"<<ccr:{TEXT_HASH}>>"
        status, found = await ask(px, asking(hash=marker, query="line 777 "))
    assert status == 200
    assert "777: line 777 é" in found["content"]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"hash": "0" * 24}, 404, "original_not_found"),
        ({"hash": TEXT_HASH[:20]}, 400, "bad_arguments"),
        ({"hash": "../../etc"}, 400, "bad_arguments"),
        ({"hash": TEXT_HASH, "lines": "99999-"}, 400, "bad_arguments"),
        ({"hash": TEXT_HASH, "lines": "first"}, 400, "bad_arguments"),
        ({"hash": TEXT_HASH, "rows": "1-2"}, 400, "bad_arguments"),
        ({"hash": TEXT_HASH, "query": 7}, 400, "bad_arguments"),
        ({"hash": TEXT_HASH, "line": "1"}, 400, "bad_arguments"),
        ({"hash": None}, 400, "bad_arguments"),
        ({}, 400, "bad_arguments"),
    ],
)
async def test_what_cannot_be_answered_says_why(url, asked, status, code):
    async with provider() as up, proxy(up.url, STORE=url) as px:
        answered, found = await ask(px, asking(**asked))
        assert not up.requests
    assert (answered, found["error"]["code"]) == (status, code)
    assert found["error"]["message"]


async def test_what_is_no_json_is_a_bad_request_and_what_is_huge_is_too_large(url):
    async with provider() as up, proxy(up.url, STORE=url) as px:
        for body in (b"", b"{", b"[]", b"\xff"):
            status, found = await ask(px, post(body, path=b"/v1/retrieve"))
            assert (status, found["error"]["code"]) == (400, "bad_arguments")
        status, found = await ask(px, asking(hash="a" * 70_000))
        assert not up.requests
    assert (status, found["error"]["code"]) == (413, "limit_exceeded")


@pytest.mark.parametrize("settings", [{}, OFF])
async def test_a_damaged_original_is_an_error_and_no_answer(url, tmp_path, settings):
    database = sqlite3.connect(tmp_path / "store.db")
    tables = database.execute("select name from sqlite_master where type='table'")
    table = next(
        name
        for (name,) in tables.fetchall()
        if "body" in str(database.execute(f"pragma table_info({name})").fetchall())
    )
    database.execute(f"update {table} set body = x'00112233'")
    database.commit()
    database.close()
    async with proxy("http://127.0.0.1:1", STORE=url, **settings) as px:
        status, found = await ask(px, at(ROWS_HASH))
    assert (status, found["error"]["code"]) == (500, "corrupt_original")


async def test_a_store_that_cannot_be_opened_is_told_and_asked_again():
    gone = "redis://127.0.0.1:1/0"
    async with provider() as up, proxy(up.url, STORE=gone, **OFF) as px:
        for _ in range(2):
            status, found = await ask(px, at(TEXT_HASH))
            assert (status, found["error"]["code"]) == (503, "store_unavailable")
        async with client(px) as c:
            await c.send(post(b"{}"))
            assert (await c.response())[0] == 200


def test_a_store_on_demand_opens_once_and_only_when_it_is_asked(url):
    opened = []

    def open_once():
        opened.append(open_store(url))
        return opened[-1]

    store = StoreOnDemand(open_once)
    store.close()
    assert not opened
    threads = [threading.Thread(target=store.get, args=(ROWS_HASH,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    store.close()


def test_a_store_that_did_not_open_is_left_alone_for_a_while(url):
    now, tries = [100.0], []

    def opens():
        tries.append(now[0])
        if len(tries) == 1:
            raise ConfigError("no client for it")
        if len(tries) == 2:
            raise StoreUnavailableError("down")
        return open_store(url)

    store = StoreOnDemand(opens, lambda: now[0])
    for when, words in ((100, "no client"), (104, "no client"), (106, "down")):
        now[0] = when
        with pytest.raises(StoreUnavailableError, match=words):
            store.opened()
    assert tries == [100, 106]
    now[0] = 112
    assert store.get(ROWS_HASH)
    store.close()


async def test_originals_of_another_namespace_are_not_found(url):
    store = open_store(url)
    mine = store.scoped("tenant")
    digest = content_digest("theirs " * 100)
    mine.save([], {digest: "theirs " * 100})
    store.close()
    async with proxy("http://127.0.0.1:1", STORE=url) as px:
        status, _ = await ask(px, at(digest))
    assert status == 404


class SlowSource:
    def get(self, digest, *, namespace=""):
        time.sleep(0.5)
        raise StoreUnavailableError("locked")

    def close(self):
        pass


async def test_a_slow_store_does_not_hold_other_requests(url):
    async with provider() as up, proxy(up.url, STORE=url) as px:
        originals = px.app._endpoints._parts.originals
        originals._source = SlowSource()
        slow = asyncio.create_task(ask(px, at(TEXT_HASH)))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        async with client(px) as c:
            await c.send(post(b"{}"))
            assert (await c.response())[0] == 200
        assert time.monotonic() - began < 0.4
        assert not slow.done()
        assert (await slow)[0] == 503


@pytest.mark.parametrize(
    ("request_bytes", "allowed"),
    [
        (get(b"/v1/retrieve"), b"POST"),
        (post(b"{}", path=b"/v1/retrieve/" + b"0" * 24), b"GET, HEAD"),
        (b"OPTIONS /v1/retrieve HTTP/1.1\r\nhost: localhost\r\n\r\n", b"POST"),
    ],
)
async def test_other_methods_are_refused_and_never_forwarded(request_bytes, allowed):
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(request_bytes)
        status, headers, _ = await c.response()
        assert not up.requests
    assert (status, headers[b"allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([b"host: evil.example"], 403),
        ([b"host: localhost", b"origin: http://evil.example"], 403),
        ([b"host: localhost", b"origin: null"], 403),
        ([b"host: localhost"], 401),
        ([b"host: localhost", b"x-headroom-token: wrong"], 401),
        ([b"host: localhost", b"x-headroom-token: open-sesame"], 200),
        ([b"host: localhost", b"authorization: Bearer open-sesame"], 200),
    ],
)
async def test_only_local_callers_with_the_token_get_an_answer(url, headers, expected):
    body = json.dumps({"hash": ROWS_HASH}).encode()
    lines = [b"POST /v1/retrieve HTTP/1.1", *headers]
    lines.append(b"content-length: %d" % len(body))
    request = b"\r\n".join(lines) + b"\r\n\r\n" + body
    async with (
        provider() as up,
        proxy(up.url, STORE=url, PROXY_TOKEN="open-sesame") as px,
    ):
        status, found = await ask(px, request)
        assert not up.requests
    assert status == expected
    assert ("content" in found) == (expected == 200)


async def test_percent_encoding_does_not_get_a_retrieval_forwarded(url):
    async with provider() as up, proxy(up.url, STORE=url) as px:
        path = b"/v1/%72etrieve/" + ROWS_HASH.encode()
        status, found = await ask(px, get(path))
        assert not up.requests
    assert (status, found["content"]) == (200, ROWS)


async def test_retrievals_are_debits_in_the_metrics(url):
    async with proxy("http://127.0.0.1:1", STORE=url, core=Core("disabled")) as px:
        await ask(px, at(ROWS_HASH))
        await ask(px, at("0" * 24))
        found = px.count("headroom_retrievals_total", outcome="found")
        missed = px.count("headroom_retrievals_total", outcome="original_not_found")
        tokens = px.count("headroom_retrieved_tokens_total")
    assert (found, missed) == (1, 1)
    assert tokens > 1000

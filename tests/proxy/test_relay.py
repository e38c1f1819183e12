"""Requests that go to a provider: what arrives there and what comes back."""

import gzip
import hashlib
import json
import random
import zlib

import brotli
import pytest
from backports import zstd

from loopback import (
    OK_BODY,
    EditStage,
    answer,
    client,
    get,
    post,
    provider,
    proxy,
)

MIB = 1024 * 1024
EXACT = (
    b'{ "model":"m","max_tokens" : 1.0,"seed":12345678901234567890123,\n'
    b'"x":[1e-9,2.5E10,-0,1.10],"a":null,"e":"caf\\u00e9 \xc3\xa9 \xf0\x9f\x98\x80",'
    b'"messages":[{"role":"user","content":[{"type":"text","text":"hi",'
    b'"cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"redacted_thinking",'
    b'"data":"EuYB+/="},{"type":"thinking","thinking":"t","signature":"s=="}]}],'
    b'"messages":[] }'
)


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("mode", ["live_zone", "off"])
async def test_a_body_that_nothing_changes_arrives_byte_for_byte(mode):
    async with (
        provider() as up,
        proxy(up.url, PROXY_COMPRESSION_MODE=mode) as px,
        client(px) as c,
    ):
        await c.send(post(EXACT))
        status, _, body = await c.response()
    assert (status, body) == (200, OK_BODY)
    assert digest(up.requests[0].body) == digest(EXACT)


async def test_an_unchanged_body_is_the_same_object():
    stage = EditStage()
    async with (
        provider() as up,
        proxy(up.url, stages=[stage]) as px,
        client(px) as c,
    ):
        await c.send(post(b"{}"))
        await c.response()
    exchange = stage.seen[0]
    assert exchange.forwarded_body() is exchange.original_body
    assert exchange.original_body is exchange.received_body
    assert stage.ended == [exchange]
    assert stage.is_started
    assert stage.is_closed


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/messages/count_tokens?beta=true",
        b"/v1/a%2Fb/%7Ec//d?x=%20&y=a+b&y=",
        b"/v1/messages?beta=true",
        b"/anything/else;p=1",
        b"//double/start",
        b"/%E2%82%AC?%E2%82%AC",
    ],
)
async def test_path_and_query_arrive_as_the_client_wrote_them(path):
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(EXACT, path=path))
        await c.response()
    assert up.requests[0].target == path
    assert up.requests[0].body == EXACT


async def test_a_base_url_may_have_a_path():
    async with (
        provider() as up,
        proxy(up.url, ANTHROPIC_URL=f"{up.url}/gw/") as px,
        client(px) as c,
    ):
        await c.send(post(b"{}", path=b"/v1/messages?beta=true"))
        await c.response()
    assert up.requests[0].target == b"/gw/v1/messages?beta=true"


async def test_a_base_url_as_sdks_take_it_is_not_doubled():
    async with (
        provider() as up,
        proxy(up.url, OPENAI_URL=f"{up.url}/v1") as px,
        client(px) as c,
    ):
        await c.send(post(b"{}", path=b"/v1/chat/completions"))
        await c.response()
    assert up.requests[0].target == b"/v1/chat/completions"


@pytest.mark.parametrize(
    "method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"]
)
async def test_every_method_goes_through_with_its_body(method):
    request = post(b"abc", path=b"/v1/files", headers=[b"content-type: text/plain"])
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(request.replace(b"POST", method, 1))
        status, _, _ = await c.response()
    assert status == 200
    assert (up.requests[0].method, up.requests[0].body) == (method, b"abc")


async def test_head_and_get_send_no_body_and_no_headers_of_their_own():
    async def respond(request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\n")

    async with (
        provider(respond) as up,
        proxy(up.url, AUTH_PAYG="compress") as px,
        client(px) as c,
    ):
        await c.send(get(b"/v1/models").replace(b"GET", b"HEAD", 1))
        status, headers = await c.head()
    assert status == 200
    assert dict(headers)[b"content-length"] == b"5"
    assert [name.lower() for name, _ in up.requests[0].headers] == [b"host"]


async def test_request_headers_arrive_with_their_duplicates_and_order():
    sent = [
        b"anthropic-version: 2023-06-01",
        b"Anthropic-Beta: a",
        b"anthropic-beta: b",
        b"x-api-key: sk-ant-k",
        b"cookie: a=b",
        b"x-trace-id: caf\xc3\xa9",
    ]
    async with (
        provider() as up,
        proxy(up.url, AUTH_PAYG="compress") as px,
        client(px) as c,
    ):
        await c.send(post(b"{}", headers=sent))
        await c.response()
    got = up.requests[0]
    assert got.all(b"anthropic-beta") == [b"a", b"b"]
    assert got.get(b"x-trace-id") == b"caf\xc3\xa9"
    assert got.get(b"cookie") == b"a=b"
    assert got.get(b"x-api-key") == b"sk-ant-k"
    names = [name.lower() for name, _ in got.headers]
    assert sorted(names) == sorted(
        [line.split(b":")[0].lower() for line in sent]
        + [b"host", b"content-type", b"content-length"]
    )
    assert got.get(b"host") == up.url.removeprefix("http://").encode()


async def test_hop_by_hop_headers_stay_on_their_hop():
    sent = [
        b"connection: keep-alive, x-mine",
        b"x-mine: 1",
        b"keep-alive: timeout=5",
        b"te: trailers",
        b"proxy-authorization: Basic abc",
    ]

    async def respond(request, writer):
        extra = [b"connection: keep-alive, x-theirs", b"x-theirs: 1", b"x-kept: 2"]
        await answer(writer, b"{}", headers=extra)

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}", headers=sent))
        _, headers, _ = await c.response()
    names = {name.lower() for name, _ in up.requests[0].headers}
    assert not names & {b"x-mine", b"keep-alive", b"te", b"proxy-authorization"}
    assert b"x-theirs" not in headers
    assert headers[b"x-kept"] == b"2"


async def test_response_headers_keep_their_duplicates():
    async def respond(request, writer):
        await answer(writer, b"{}", headers=[b"set-cookie: a=1", b"Set-Cookie: b=2"])

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        _, headers = await c.head()
    values = [value for name, value in headers if name == b"set-cookie"]
    assert values == [b"a=1", b"b=2"]


async def test_an_encoded_response_passes_without_being_decoded():
    packed = gzip.compress(OK_BODY)

    async def respond(request, writer):
        await answer(writer, packed, headers=[b"content-encoding: gzip"])

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}", headers=[b"accept-encoding: gzip"]))
        _, headers, body = await c.response()
        assert body == packed
        assert headers[b"content-encoding"] == b"gzip"
        assert px.count("headroom_usage_tokens_total", **{"class": "input_tokens"}) == 7


@pytest.mark.parametrize("status", [b"400 Bad", b"429 Slow", b"529 Overloaded"])
async def test_errors_of_the_provider_are_passed_on_as_they_are(status):
    async def respond(request, writer):
        await answer(
            writer, b'{"type":"error"}', status=status, headers=[b"retry-after: 3"]
        )

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        got, headers, body = await c.response()
    assert got == int(status[:3])
    assert (headers[b"retry-after"], body) == (b"3", b'{"type":"error"}')


async def test_redirects_are_passed_on_and_not_followed():
    async def respond(request, writer):
        await answer(
            writer, b"", status=b"302 Found", headers=[b"location: http://other/"]
        )

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        status, headers, _ = await c.response()
    assert (status, headers[b"location"]) == (302, b"http://other/")
    assert len(up.requests) == 1


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body_are_complete(status):
    async def respond(request, writer):
        length = b"content-length: 9\r\n" if status.startswith(b"304") else b""
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n")

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        for _ in range(2):
            await c.send(get(b"/v1/models"))
            got, _, _ = await c.response()
            assert got == int(status[:3])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"messages": [',
        b'{"messages": "\xe2\x82"}',
        b"\xef\xbb\xbf{}",
        b"NaN",
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"messages":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    ],
    ids=range(9),
)
async def test_malformed_bodies_are_forwarded_as_they_are(body):
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(body))
        status, _, _ = await c.response()
    assert status == 200
    assert up.requests[0].body == body


async def test_large_bodies_arrive_byte_for_byte():
    body = random.Random(1).randbytes(5 * MIB)
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(body))
        await c.response()
        await c.send(post(body, path=b"/v1/messages/count_tokens"))
        await c.response()
    assert [digest(r.body) for r in up.requests] == [digest(body)] * 2


async def test_a_chunked_upload_stays_chunked_where_it_is_not_read():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        chunked = [b"transfer-encoding: chunked"]
        await c.send(post(b"3\r\nabc\r\n", path=b"/v1/files", headers=chunked))
        await up.arrived.wait()
        await c.send(b"2\r\nde\r\n0\r\n\r\n")
        status, _, _ = await c.response()
    assert status == 200
    assert up.requests[0].body == b"abcde"
    assert up.requests[0].get(b"content-length") is None


async def test_a_chunked_upload_that_is_read_is_sent_with_its_length():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        chunked = [b"transfer-encoding: chunked"]
        await c.send(post(b"3\r\n{  \r\n1\r\n}\r\n0\r\n\r\n", headers=chunked))
        await c.response()
    assert up.requests[0].body == b"{  }"
    assert up.requests[0].get(b"content-length") == b"4"


async def test_a_body_too_large_is_refused_before_it_is_received():
    async with (
        provider() as up,
        proxy(up.url, PROXY_MAX_BODY_BYTES=1000) as px,
        client(px) as c,
    ):
        await c.send(post(b"x", length=1001))
        status, _, body = await c.response()
    assert status == 413
    assert json.loads(body)["error"]["type"] == "request_too_large"
    assert not up.requests


@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/files"])
async def test_a_chunked_body_is_refused_once_it_is_too_large(path):
    async with (
        provider() as up,
        proxy(up.url, PROXY_MAX_BODY_BYTES=1000) as px,
        client(px) as c,
    ):
        piece = b"258\r\n" + b"x" * 600 + b"\r\n"
        chunked = [b"transfer-encoding: chunked"]
        await c.send(post(piece, path=path, headers=chunked))
        await c.send(piece)
        status, _, _ = await c.response()
    assert status == 413
    assert not any(request.is_complete for request in up.requests)


async def test_the_status_of_a_refusal_is_a_setting():
    async with provider() as up:
        env = {"PROXY_MAX_BODY_BYTES": 10, "PROXY_BODY_TOO_LARGE_STATUS": 400}
        async with proxy(up.url, **env) as px, client(px) as c:
            await c.send(post(b"x" * 11))
            status, _, _ = await c.response()
    assert status == 400


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_body_over_the_reading_cap_streams_through(is_chunked):
    stage = EditStage()
    body = b'{"a":"' + b"x" * 5000 + b'"}'
    env = {"PROXY_COMPRESSION_MAX_BODY_BYTES": 1000}
    async with (
        provider() as up,
        proxy(up.url, stages=[stage], **env) as px,
        client(px) as c,
    ):
        if is_chunked:
            pieces = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            await c.send(post(pieces, headers=[b"transfer-encoding: chunked"]))
        else:
            await c.send(post(body))
        status, _, _ = await c.response()
    assert status == 200
    assert up.requests[0].body == body
    assert stage.seen == []


@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({}, b"x-headroom-bypass: TRUE"),
        ({}, b"x-headroom-mode: passthrough"),
        ({"PROXY_COMPRESSION_MODE": "off"}, b"x-a: b"),
        ({"PROXY_COMPRESSION": "false"}, b"x-a: b"),
        ({}, b"content-type: text/plain"),
    ],
)
async def test_nothing_is_looked_at_where_it_is_switched_off(environ, header):
    stage = EditStage()
    async with (
        provider() as up,
        proxy(up.url, stages=[stage], **environ) as px,
        client(px) as c,
    ):
        await c.send(post(EXACT, headers=[header]))
        await c.response()
    assert stage.seen == []
    assert up.requests[0].body == EXACT


async def test_a_large_body_streams_when_switched_off():
    async with (
        provider() as up,
        proxy(up.url, PROXY_COMPRESSION="false") as px,
        client(px) as c,
    ):
        await c.send(post(b"x" * 100_000, length=5 * MIB))
        await up.arrived.wait()  # its end was not waited for
        await c.send(b"y" * (5 * MIB - 100_000))
        status, _, _ = await c.response()
    assert status == 200
    assert len(up.requests[0].body) == 5 * MIB


async def test_internal_headers_stay_inside():
    sent = [
        b"X-Headroom-User-Id: u",
        b"x-headroom-session-id: s",
        b"x-headroom-anything: 1",
        b"x-request-id: mine",
    ]
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}", headers=sent))
        _, headers, _ = await c.response()
    names = [name.lower() for name, _ in up.requests[0].headers]
    assert not [name for name in names if name.startswith(b"x-headroom-")]
    assert up.requests[0].get(b"x-request-id") == b"mine"
    assert headers[b"x-request-id"] == b"mine"


async def test_internal_headers_may_be_let_through_but_never_the_token():
    env = {"STRIP_INTERNAL_HEADERS": "disabled", "PROXY_TOKEN": "secret-token"}
    sent = [b"x-headroom-token: secret-token", b"x-headroom-stack: s"]
    async with provider() as up, proxy(up.url, **env) as px, client(px) as c:
        await c.send(post(b"{}", headers=sent))
        await c.response()
    assert up.requests[0].get(b"x-headroom-stack") == b"s"
    assert up.requests[0].get(b"x-headroom-token") is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [(b"request-id: req_1", b"req_1"), (b"X-Request-Id: req_2", b"req_2")],
)
async def test_the_providers_request_id_is_told_beside_our_own(header, expected):
    async def respond(request, writer):
        await answer(writer, b"{}", headers=[header])

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}"))
        _, headers, _ = await c.response()
    assert headers[b"headroom-upstream-request-id"] == expected
    assert headers[b"x-request-id"] != expected


async def test_a_request_without_an_id_gets_a_fresh_one():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        found = set()
        for sent in ([], [], [b"x-request-id: " + b"x" * 500]):
            await c.send(post(b"{}", headers=sent))
            _, headers, _ = await c.response()
            found.add(headers[b"x-request-id"])
    assert len(found) == 3
    assert all(len(value) == 32 for value in found)


ENCODERS = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda data: brotli.compress(data, quality=2),
    b"zstd": zstd.compress,
    b"GZIP, zstd": lambda data: zstd.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("name", ENCODERS, ids=bytes.decode)
async def test_an_encoded_body_is_read_decoded_and_forwarded_encoded(name):
    stage = EditStage()
    packed = ENCODERS[name](EXACT)
    async with (
        provider() as up,
        proxy(up.url, stages=[stage]) as px,
        client(px) as c,
    ):
        await c.send(post(packed, headers=[b"content-encoding: " + name]))
        await c.response()
    assert stage.seen[0].received_body == EXACT
    assert up.requests[0].body == packed
    assert up.requests[0].get(b"content-encoding") == name


async def test_an_encoded_body_that_was_changed_leaves_without_encoding():
    async def edit(exchange):
        exchange.replace_body(exchange.received_body + b" ", "test")

    async with (
        provider() as up,
        proxy(up.url, stages=[EditStage(edit)]) as px,
        client(px) as c,
    ):
        packed = gzip.compress(EXACT)
        await c.send(post(packed, headers=[b"content-encoding: gzip"]))
        await c.response()
    assert up.requests[0].body == EXACT + b" "
    assert up.requests[0].get(b"content-encoding") is None
    assert up.requests[0].get(b"content-length") == str(len(EXACT) + 1).encode()


async def test_an_unknown_encoding_is_refused_where_the_body_is_read():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        encoded = [b"content-encoding: rot13"]
        await c.send(post(b"{}", headers=encoded))
        status, _, body = await c.response()
        assert status == 400
        assert json.loads(body)["error"]["type"] == "invalid_request_error"
        await c.send(post(b"{}", path=b"/v1/messages/count_tokens", headers=encoded))
        status, _, _ = await c.response()
        assert status == 200
    assert [request.body for request in up.requests] == [b"{}"]


async def test_a_damaged_encoded_body_is_forwarded_as_it_is():
    packed = gzip.compress(EXACT)[:-9]
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(packed, headers=[b"content-encoding: gzip"]))
        status, _, _ = await c.response()
    assert status == 200
    assert up.requests[0].body == packed


@pytest.mark.parametrize("name", [b"gzip", b"deflate", b"br", b"zstd"])
async def test_a_decompression_bomb_is_refused(name):
    packed = ENCODERS[name](b"\0" * (12 * MIB))
    async with (
        provider() as up,
        proxy(up.url, PROXY_MAX_BODY_BYTES=MIB) as px,
        client(px) as c,
    ):
        assert len(packed) < MIB
        await c.send(post(packed, headers=[b"content-encoding: " + name]))
        status, _, _ = await c.response()
    assert status == 413
    assert not up.requests


async def test_a_header_that_is_not_utf_8_is_refused_not_lost():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(b"{}", headers=[b"x-name: caf\xe9-secret"]))
        status, _, body = await c.response()
    assert status == 400
    assert b"x-name" in body
    assert b"secret" not in body
    assert not up.requests


async def test_a_stage_that_fails_costs_nothing_but_its_saving():
    async def fail(exchange):
        exchange.replace_body(b"half done", "test")
        raise KeyError("sk-ant-secret")

    async with (
        provider() as up,
        proxy(up.url, stages=[EditStage(fail)]) as px,
        client(px) as c,
    ):
        await c.send(post(EXACT))
        status, headers, _ = await c.response()
        assert px.count("headroom_stage_failures_total", stage="compress") == 1
    assert status == 200
    assert up.requests[0].body == EXACT
    assert headers[b"x-headroom-compression-failed"] == b"true"


async def test_a_change_that_no_stage_declared_raises_the_alarm_and_is_not_sent():
    async def change(exchange):
        exchange.outgoing_body = b"tampered"

    async with (
        provider() as up,
        proxy(up.url, stages=[EditStage(change)]) as px,
        client(px) as c,
    ):
        await c.send(post(EXACT))
        await c.response()
        name = "proxy_passthrough_bytes_modified_total"
        assert px.count(name, path="/v1/messages") == 1
    assert up.requests[0].body == EXACT


async def test_the_same_connection_to_the_provider_serves_many_requests():
    async with provider() as up, proxy(up.url) as px, client(px) as c:
        for _ in range(5):
            await c.send(post(EXACT))
            await c.response()
    assert up.connections == 1


async def test_a_body_may_be_larger_than_what_a_write_takes_at_once():
    async def edit(exchange):
        exchange.replace_body(b"z" * (3 * MIB), "test")

    async with (
        provider() as up,
        proxy(up.url, stages=[EditStage(edit)]) as px,
        client(px) as c,
    ):
        await c.send(post(EXACT))
        await c.response()
    assert up.requests[0].body == b"z" * (3 * MIB)
    assert up.requests[0].get(b"content-length") == str(3 * MIB).encode()

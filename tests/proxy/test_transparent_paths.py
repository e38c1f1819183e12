"""What Headroom does not read passes as it came, in both directions."""

import random

import pytest

from loopback import answer, client, provider, proxy, send_chunk, start_chunked

NOISE = random.Random(7).randbytes(300_000)
FORM = (
    b"--x\r\ncontent-disposition: form-data; name=file; filename=a.jsonl\r\n\r\n"
    + NOISE
    + b"\r\n--x--\r\n"
)
MULTIPART = b"content-type: multipart/form-data; boundary=x"
JSON = b"content-type: application/json"
ODD = b'{ "items" : [1.0, 1e3, "\\u00e9", {"a":1,"a":2}] , }'
KEY = b"authorization: Bearer sk-proj-x"
CONVERSATION = b"/v1/conversations/conv_1"

UNREAD = [
    (b"POST", b"/v1/conversations", JSON, ODD),
    (b"GET", CONVERSATION, None, b""),
    (b"POST", CONVERSATION, JSON, ODD),
    (b"DELETE", CONVERSATION, None, b""),
    (b"POST", CONVERSATION + b"/items", JSON, ODD),
    (b"GET", CONVERSATION + b"/items?limit=2&after=%20a", None, b""),
    (b"GET", CONVERSATION + b"/items/msg_1", None, b""),
    (b"DELETE", CONVERSATION + b"/items/msg_1", None, b""),
    (b"POST", b"/v1/files", MULTIPART, FORM),
    (b"GET", b"/v1/files/file-1/content", None, b""),
    (b"POST", b"/v1/uploads/upload_1/parts", MULTIPART, FORM),
    (b"POST", b"/v1/batches", JSON, ODD),
    (b"POST", b"/v1/messages/batches", JSON, ODD),
    (b"GET", b"/v1/messages/batches/b1/results", None, b""),
    (b"POST", b"/v1/audio/transcriptions", MULTIPART, FORM),
    (b"POST", b"/v1/audio/speech", JSON, ODD),
    (b"POST", b"/v1/images/edits", MULTIPART, FORM),
    (b"POST", b"/v1/embeddings", JSON, ODD),
    (b"POST", b"/v1/moderations", JSON, ODD),
    (b"POST", b"/v1/fine_tuning/jobs", JSON, ODD),
    (b"POST", b"/v1/realtime/client_secrets", JSON, ODD),
    (b"PATCH", b"/v1/vector_stores/vs_1", JSON, ODD),
    (b"PUT", b"/anything/at%2Fall", b"content-type: application/octet-stream", NOISE),
    (b"POST", b"/v1beta/cachedContents", JSON, ODD),
    (b"POST", b"/upload/v1beta/files?uploadType=resumable", MULTIPART, FORM),
]


@pytest.mark.parametrize(
    ("method", "path", "kind", "body"), UNREAD, ids=lambda v: str(v)[:40]
)
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_bodies_arrive_byte_for_byte_both_ways(
    method, path, kind, body, is_chunked
):
    async def respond(request, writer):
        if is_chunked:
            await start_chunked(writer, headers=(b"content-type: audio/mpeg",))
            for start in range(0, len(NOISE), 70_001):
                await send_chunk(writer, NOISE[start : start + 70_001])
            await send_chunk(writer, b"")
        else:
            await answer(writer, NOISE, headers=(b"content-type: audio/mpeg",))

    lines = [b"%b %b HTTP/1.1" % (method, path), b"host: 127.0.0.1", KEY]
    lines += [kind] if kind else []
    if is_chunked and body:
        lines.append(b"transfer-encoding: chunked")
        halves = [body[: len(body) // 3], body[len(body) // 3 :]]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(h), h) for h in halves) + b"0\r\n\r\n"
    else:
        lines += [b"content-length: %d" % len(body)] if body else []
        sent = body
    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(b"\r\n".join(lines) + b"\r\n\r\n" + sent)
        status, _, received = await c.response()
    [request] = up.requests
    assert (request.method, request.target, request.body) == (method, path, body)
    assert request.get(b"content-type") == (kind.partition(b": ")[2] if kind else None)
    assert status == 200
    assert received == NOISE

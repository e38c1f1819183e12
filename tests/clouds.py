"""Doubles of Bedrock and Vertex AI that answer in their wire formats.

Bedrock's checks the signature of every request by its own reading of the rules
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html),
not by botocore's, and refuses what is not signed as they say.
"""

import base64
import hashlib
import hmac
import json
import re
from urllib.parse import quote, unquote

from headroom.core.wire.event_stream import Header, encode
from loopback import answer, send_chunk, start_chunked

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN = "FwoGZXIvYXdzEXAMPLE//token=="
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

_AUTHORIZATION = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    rb"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)
_USAGE = {"input_tokens": 21, "cache_read_input_tokens": 5, "output_tokens": 9}


def signature_problem(request, *, region="us-east-1"):
    """What is wrong with a request's signature; empty if it is right."""
    found = _AUTHORIZATION.fullmatch(request.get(b"authorization") or b"")
    if found is None:
        return "not signed"
    key, day, place, service, listed, given = (part.decode() for part in found.groups())
    if (key, place, service) != (ACCESS_KEY, region, "bedrock"):
        return f"wrong scope: {key} {place} {service}"
    names = listed.split(";")
    present = {name.lower().decode() for name, _ in request.headers}
    needed = {"host"} | {name for name in present if name.startswith("x-amz-")}
    if not needed <= set(names) or names != sorted(names):
        return f"these are to be signed: {needed}"
    payload = hashlib.sha256(request.body).hexdigest()
    if request.get(b"x-amz-content-sha256") != payload.encode():
        return "wrong digest of the body"
    path, _, query = request.target.decode().partition("?")
    lines = [request.method.decode(), quote(path, safe="/-_.~")]
    lines.append("&".join(sorted(query.split("&"))) if query else "")
    for name in names:
        values = [" ".join(v.decode().split()) for v in request.all(name.encode())]
        lines.append(f"{name}:{','.join(values)}")
    canonical = "\n".join([*lines, "", listed, payload])
    stamp = request.get(b"x-amz-date").decode()
    scope = f"{day}/{place}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    secret = f"AWS4{SECRET_KEY}".encode()
    for part in (day, place, service, "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    made = hmac.new(secret, to_sign.encode(), "sha256").hexdigest()
    return "" if made == given and stamp.startswith(day) else "wrong signature"


def frame(name, payload, *, kind="event"):
    """One frame as Bedrock writes it."""
    key = ":exception-type" if kind == "exception" else ":event-type"
    headers = [
        Header(key, name),
        Header(":content-type", "application/json"),
        Header(":message-type", kind),
    ]
    return encode(headers, json.dumps(payload).encode())


def chunk(event, *, padding="abcdefgh"):
    """One of the model's events as a chunk."""
    data = json.dumps(event, separators=(",", ":")).encode()
    return frame("chunk", {"bytes": base64.b64encode(data).decode(), "p": padding})


def exception(name, message):
    return frame(name, {"message": message}, kind="exception")


def message_events(blocks, *, stop_reason="end_turn"):
    """The events of one Messages answer."""
    start = {
        "id": "msg_bdrk_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_USAGE, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(blocks):
        if block["type"] == "tool_use":
            opening = {**block, "input": {}}
            delta = {
                "type": "input_json_delta",
                "partial_json": json.dumps(block["input"]),
            }
        else:
            opening = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        yield {
            "type": "content_block_start",
            "index": index,
            "content_block": opening,
        }
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": 9},
    }
    metrics = {"inputTokenCount": 21, "outputTokenCount": 9}
    yield {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}


def message(blocks, *, stop_reason="end_turn"):
    """One Messages answer that is no stream."""
    return {
        "id": "msg_bdrk_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": _USAGE,
    }


def text(words):
    return {"type": "text", "text": words}


class Bedrock:
    """Answers one blocks list after the other; the last one again and again.

    Attributes:
        failure: status, error type and message that every request is answered with.
        breaks_with: frames that end streams in place of the message's end.
        problems: what was wrong with signatures.
        chunk_bytes: how streams are cut; 0: one frame per chunk.
    """

    def __init__(self, *answers, region="us-east-1"):
        self.answers = list(answers) or [[text("Hello from Bedrock.")]]
        self.region = region
        self.failure = None
        self.breaks_with = None
        self.problems = []
        self.requests = []
        self.chunk_bytes = 0
        self.sent = b""

    async def respond(self, request, writer):
        self.requests.append(request)
        bearer = request.get(b"authorization") or b""
        if not bearer.startswith(b"Bearer "):
            problem = signature_problem(request, region=self.region)
            if problem:
                self.problems.append(problem)
                await self._fail(writer, 403, "InvalidSignatureException", problem)
                return
        if self.failure is not None:
            await self._fail(writer, *self.failure)
            return
        _, _, model, operation = request.target.decode().split("/", 3)
        self.model = unquote(model)
        blocks = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        stop = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
        if operation == "invoke":
            await answer(writer, json.dumps(message(blocks, stop_reason=stop)).encode())
        elif operation == "converse":
            await answer(writer, json.dumps(self._converse(blocks)).encode())
        elif operation == "converse-stream":
            await self._stream(writer, converse_frames(self._converse(blocks)))
        else:
            events = message_events(blocks, stop_reason=stop)
            await self._stream(writer, [chunk(event) for event in events])

    async def _stream(self, writer, frames):
        if self.breaks_with is not None:
            frames = [*frames[:3], *self.breaks_with]
        data = self.sent = b"".join(frames)
        await start_chunked(
            writer,
            headers=(
                b"content-type: application/vnd.amazon.eventstream",
                b"x-amzn-bedrock-content-type: application/json",
                b"x-amzn-requestid: 3b1c",
            ),
        )
        size = self.chunk_bytes
        pieces = (
            [data[i : i + size] for i in range(0, len(data), size)] if size else frames
        )
        for piece in pieces:
            await send_chunk(writer, piece)
        await send_chunk(writer, b"")

    async def _fail(self, writer, status, kind, words):
        body = json.dumps({"message": words}).encode()
        await answer(
            writer,
            body,
            status=b"%d No" % status,
            headers=(b"x-amzn-errortype: " + kind.encode(),),
        )

    def _converse(self, blocks):
        content = [converse_block(block) for block in blocks]
        is_call = "toolUse" in content[-1]
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": "tool_use" if is_call else "end_turn",
            "usage": _converse_usage(),
            "metrics": {"latencyMs": 7},
        }


def converse_block(block):
    """A block of the Messages API as Converse has it."""
    match block["type"]:
        case "text":
            return {"text": block["text"]}
        case "thinking":
            said = {"text": block["thinking"], "signature": block["signature"]}
            return {"reasoningContent": {"reasoningText": said}}
        case "tool_use":
            use = {"toolUseId": block["id"], "name": block["name"]}
            return {"toolUse": {**use, "input": block["input"]}}


def _halves(words):
    half = len(words) // 2
    return [words[:half], words[half:]] if half else [words]


def _deltas(block):
    if "text" in block:
        return [{"text": words} for words in _halves(block["text"])]
    if "reasoningContent" in block:
        said = block["reasoningContent"]["reasoningText"]
        pieces = [{"text": words} for words in _halves(said["text"])]
        pieces.append({"signature": said["signature"]})
        return [{"reasoningContent": piece} for piece in pieces]
    given = json.dumps(block["toolUse"]["input"])
    return [{"toolUse": {"input": piece}} for piece in _halves(given)]


def converse_frames(whole):
    """An answer as ``converse-stream`` sends it."""
    found = [frame("messageStart", {"role": "assistant", "p": "abc"})]
    for index, block in enumerate(whole["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {k: use[k] for k in ("toolUseId", "name")}}
            found.append(frame("contentBlockStart", {"start": start, **place}))
        found += [
            frame("contentBlockDelta", {"delta": delta, **place, "p": "ab"})
            for delta in _deltas(block)
        ]
        found.append(frame("contentBlockStop", place))
    found.append(frame("messageStop", {"stopReason": whole["stopReason"]}))
    figures = {key: whole[key] for key in ("usage", "metrics")}
    return [*found, frame("metadata", figures)]


def _converse_usage():
    return {
        "inputTokens": 21,
        "outputTokens": 9,
        "totalTokens": 35,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 0,
    }


class Vertex:
    """Answers Claude's and Gemini's methods; refuses who brings no good token.

    Attributes:
        token: the one that is good.
        failure: status and message that every request is answered with.
    """

    def __init__(self, *answers, token="ya29.good"):
        self.answers = list(answers) or [[text("Hello from Vertex.")]]
        self.token = token
        self.failure = None
        self.requests = []

    async def respond(self, request, writer):
        self.requests.append(request)
        if request.get(b"authorization") != f"Bearer {self.token}".encode():
            await self._fail(writer, 401, "UNAUTHENTICATED", "no good token")
            return
        if self.failure is not None:
            await self._fail(writer, *self.failure)
            return
        path = request.target.decode().partition("?")[0]
        verb = path.rpartition(":")[2]
        blocks = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        stop = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
        if verb == "rawPredict":
            await answer(writer, json.dumps(message(blocks, stop_reason=stop)).encode())
        elif verb == "streamRawPredict":
            await start_chunked(writer)
            for event in message_events(blocks, stop_reason=stop):
                data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
                await send_chunk(writer, data.encode())
            await send_chunk(writer, b"")
        elif verb == "generateContent":
            await answer(writer, json.dumps(_gemini(blocks)).encode())
        elif verb == "streamGenerateContent":
            await start_chunked(writer)
            data = f"data: {json.dumps(_gemini(blocks))}\r\n\r\n"
            await send_chunk(writer, data.encode())
            await send_chunk(writer, b"")
        else:
            await answer(writer, b'{"ok":true}')

    async def _fail(self, writer, status, word, words):
        error = {"error": {"code": status, "message": words, "status": word}}
        await answer(writer, json.dumps(error).encode(), status=b"%d No" % status)


def _gemini(blocks):
    parts = [{"text": block["text"]} for block in blocks]
    return {
        "candidates": [
            {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
        ],
        "usageMetadata": {"promptTokenCount": 26, "candidatesTokenCount": 9},
        "modelVersion": "gemini-2.5-pro",
    }

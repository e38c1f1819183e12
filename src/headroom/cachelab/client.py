"""The client of a replay: sends one request and reads the answer as an agent does.

Speaks every API of the lab. Reads both shapes of an answer, by its own reader and not
by the proxy's, and reports anything a client would trip over: an error, a stream that
ends early, an answer without usage.
"""

import asyncio
import io
import time
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import aiohttp
import msgspec
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from headroom.cachelab.chat_answer import NO_USAGE
from headroom.cachelab.dialects import DIALECTS
from headroom.cachelab.prefix import Json

Api: TypeAlias = Literal["messages", "chat", "responses", "gemini"]
APIS: tuple[Api, ...] = get_args(Api)
_PATHS: dict[Api, str] = {
    "messages": "/v1/messages",
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
}
_METHODS = ("generateContent", "streamGenerateContent")

_LARGE_BYTES = 2**20
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_API_VERSION = "2023-06-01"


def path_of(api: Api, model: str, *, is_stream: bool) -> str:
    """Where requests go; some APIs' paths name the model, and say if it streams."""
    if api != "gemini":
        return _PATHS[api]
    method = f"{_METHODS[1]}?alt=sse" if is_stream else _METHODS[0]
    return f"/v1beta/models/{model}:{method}"


def is_path(api: Api, path: str) -> bool:
    """Whether requests of an API go to a path."""
    path = path.partition("?")[0]
    if api != "gemini":
        return path == _PATHS[api]
    return path.rpartition(":")[2] in _METHODS


def credential(api: Api, key: str) -> list[tuple[str, str]]:
    """The headers that say whose request it is."""
    if api == "messages":
        return [("x-api-key", key), ("anthropic-version", _API_VERSION)]
    name = DIALECTS[api].key_header
    return [(name, f"Bearer {key}" if name == "authorization" else key)]


class Answer(Struct, frozen=True):
    """What came back.

    Attributes:
        blocks: the content; empty after an error.
        error: what went wrong; empty if nothing did.
        elapsed_ms: from sending to the last byte.
    """

    blocks: list[Json]
    error: str
    elapsed_ms: float


class Raw(Struct, frozen=True):
    """A response as it came; ``error`` says why there is none."""

    status: int
    content_type: str
    data: bytes
    error: str
    elapsed_ms: float


class Client:
    """One agent talking to one base URL; use as an async context manager."""

    def __init__(self, base_url: str, *, is_reconnecting: bool = False) -> None:
        """Prepare to talk to ``base_url``.

        Args:
            base_url: where ``/v1/messages`` is.
            is_reconnecting: a new connection for every request.
        """
        self.base_url = base_url.rstrip("/")
        self._is_reconnecting = is_reconnecting
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Client":
        connector = aiohttp.TCPConnector(limit=0, force_close=self._is_reconnecting)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, body: bytes, key: str, api: Api = "messages", path: str = ""
    ) -> Answer:
        """Post ``body`` with an API key and read the answer to its end.

        Args:
            body: the request.
            key: the credential.
            api: whose request it is.
            path: where it goes, if that is not the only path of the API.
        """
        headers = [("content-type", "application/json"), *credential(api, key)]
        raw = await self.post(path or _PATHS[api], headers, body)
        return self.read(raw, body, api)

    async def post(
        self, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> "Raw":
        """Post ``body`` with just these headers and take the answer as it comes."""
        assert self._session is not None
        started = time.perf_counter()
        status, content_type, data, problem = 0, "", b"", ""
        try:
            # aiohttp sends large bodies piece by piece only from a file.
            data_in = io.BytesIO(body) if len(body) > _LARGE_BYTES else body
            async with self._session.post(
                URL(f"{self.base_url}{path}", encoded=True),
                data=data_in,
                headers=CIMultiDict(headers),
                skip_auto_headers=_AUTOMATIC,
            ) as response:
                data = await response.read()
                status, content_type = response.status, response.content_type
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
        elapsed_ms = (time.perf_counter() - started) * 1000
        return Raw(status, content_type, data, problem, elapsed_ms)

    def read(self, raw: "Raw", body: bytes, api: Api) -> Answer:
        """The answer to ``body`` as an agent reads it."""
        if raw.error or raw.status != 200:
            text = raw.error or _error_text(raw.status, raw.data)
            return Answer([], text, raw.elapsed_ms)
        is_stream = raw.content_type == "text/event-stream"
        if api != "messages":
            dialect = DIALECTS[api]
            read = dialect.read_stream if is_stream else dialect.read_whole
        else:
            read = read_stream if is_stream else _read_whole
        blocks, problem = read(raw.data)
        asks = api != "chat" or b'"include_usage"' in body
        if problem == NO_USAGE and not asks:
            problem = ""  # Chat streams tell figures only to who asks for them
        return Answer(blocks, problem, raw.elapsed_ms)

    async def is_ready(self, timeout_s: float, path: str = "/readyz") -> bool:
        """Whether the other side answers (anything at all) within a time."""
        assert self._session is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                async with self._session.get(f"{self.base_url}{path}") as response:
                    if response.status < 500:
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
        return False


def read_stream(data: bytes) -> tuple[list[Json], str]:
    """The content blocks of a whole event stream, and what is wrong with it."""
    blocks: list[Json] = []
    fragments: dict[int, list[str]] = {}
    is_done = has_usage = False
    for frame in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:] for line in frame.split(b"\n") if line.startswith(b"data:")]
        if not lines:
            continue
        event: Json = msgspec.json.decode(b"\n".join(lines))
        match event.get("type"):
            case "message_start":
                has_usage = "input_tokens" in event["message"]["usage"]
            case "content_block_start":
                blocks.append(dict(event["content_block"]))
            case "content_block_delta":
                _apply(blocks, fragments, event)
            case "message_stop":
                is_done = True
            case "error":
                return blocks, f"error event: {event['error']}"
    for index, pieces in fragments.items():
        blocks[index]["input"] = msgspec.json.decode("".join(pieces) or "{}")
    if not is_done:
        return blocks, "the stream ended before message_stop"
    return blocks, "" if has_usage else "the stream has no usage"


def _apply(blocks: list[Json], fragments: dict[int, list[str]], event: Json) -> None:
    index: int = event["index"]
    delta: Json = event["delta"]
    match delta["type"]:
        case "text_delta":
            blocks[index]["text"] += delta["text"]
        case "thinking_delta":
            blocks[index]["thinking"] += delta["thinking"]
        case "signature_delta":
            blocks[index]["signature"] += delta["signature"]
        case "input_json_delta":
            fragments.setdefault(index, []).append(delta["partial_json"])


def _read_whole(data: bytes) -> tuple[list[Json], str]:
    try:
        message: Any = msgspec.json.decode(data)
        blocks: list[Json] = message["content"]
        has_usage = "input_tokens" in message["usage"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        return [], f"unreadable answer: {error}"
    return blocks, "" if has_usage else "the answer has no usage"


def _error_text(status: int, data: bytes) -> str:
    try:
        text = msgspec.json.decode(data)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        text = data[:200].decode(errors="backslashreplace")
    return f"HTTP {status}: {text}"

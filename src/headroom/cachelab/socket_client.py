"""A client of the Responses API over WebSockets, as codex is one.

It keeps one connection per conversation, asks for nothing first (a prewarming request
with the leading instructions), then sends only what is new behind the last answer. On a
new connection, and where its history is not the one that was answered, it sends
everything again.
"""

import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from headroom.cachelab import responses, responses_answer
from headroom.cachelab.client import Answer, Raw
from headroom.cachelab.kept import PREVIOUS
from headroom.cachelab.prefix import Json
from headroom.cachelab.socket_server import SOCKET_PATH

_ENDS = frozenset(
    {"response.completed", "response.failed", "response.incomplete", "error"}
)
_FAILURES = (aiohttp.ClientError, ConnectionError, TimeoutError)


class _Line:
    """One conversation's connection.

    Attributes:
        items: the whole input that was last answered here; ``None``: nothing was.
        after: the id of that answer.
        output: what it said.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.socket = socket
        self.items: list[Json] | None = None
        self.after = ""
        self.output: list[Json] = []

    async def ask(self, event: bytes) -> bytes:
        """All events of the answer, one per line.

        Raises:
            ConnectionError: the connection ended before the answer did.
        """
        await self.socket.send_str(event.decode())
        lines: list[bytes] = []
        while True:
            message = await self.socket.receive(timeout=120)
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionResetError("the socket ended before the response did")
            data: str = message.data
            lines.append(data.encode())
            found: Json = msgspec.json.decode(data)
            if found.get("type") in _ENDS:
                response = found.get("response") or {}
                self.after = str(response.get("id", ""))
                self.output = response.get("output") or []
                return b"".join(line + b"\n" for line in lines)


class SocketClient:
    """Agents talking to one base URL; use as an async context manager."""

    def __init__(self, base_url: str, *, is_reconnecting: bool = False) -> None:
        """Prepare to talk to ``base_url``.

        Args:
            base_url: where ``/v1/responses`` is; ``http`` or ``https``.
            is_reconnecting: a new connection for every request.
        """
        self._base_url = base_url.rstrip("/")
        self._is_reconnecting = is_reconnecting
        self._lines: dict[str, _Line] = {}
        self._histories: dict[str, list[Json]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "SocketClient":
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self._lines.values():
            await line.socket.close()
        if self._session is not None:
            await self._session.close()

    async def send(self, body: bytes, key: str) -> Answer:
        """Ask what an HTTP request asks, as far as possible by what is new in it.

        Args:
            body: of the request that carries the whole conversation.
            key: the API key.
        """
        request: Json = msgspec.json.decode(body)
        name = str(request.get("prompt_cache_key") or key)
        headers = [("authorization", f"Bearer {key}")]
        started = time.perf_counter()
        try:
            data = await self._asked(name, headers, request)
        except _FAILURES as error:
            problem = f"{type(error).__name__}: {error}"
            return Answer([], problem, (time.perf_counter() - started) * 1000)
        elapsed_ms = (time.perf_counter() - started) * 1000
        return self.read(Raw(200, "", data, "", elapsed_ms))

    def read(self, raw: Raw) -> Answer:
        """The answer as an agent reads it."""
        if raw.error:
            return Answer([], raw.error, raw.elapsed_ms)
        blocks, problem = responses_answer.read_lines(raw.data)
        return Answer(blocks, problem, raw.elapsed_ms)

    async def replay(
        self, name: str, path: str, headers: Sequence[tuple[str, str]], event: bytes
    ) -> Raw:
        """Send a recorded event as it is, but for the answer it goes on from."""
        started = time.perf_counter()
        data, problem = b"", ""
        given: Json = msgspec.json.decode(event)
        before = self._histories.get(name, []) if given.get(PREVIOUS) else []
        whole = [*before, *responses.as_items(given["input"])]
        try:
            line = self._lines.get(name)
            try:
                if line is None or not given.get(PREVIOUS):
                    line = await self._open(name, headers, path)
                data = await line.ask(_behind(event, given, line.after))
            except _FAILURES:
                # As agents do: another connection, and everything again.
                line = await self._open(name, headers, path)
                again = {k: v for k, v in given.items() if k != PREVIOUS}
                data = await line.ask(msgspec.json.encode({**again, "input": whole}))
            self._histories[name] = [*whole, *line.output]
        except _FAILURES as error:
            problem = f"{type(error).__name__}: {error}"
        elapsed_ms = (time.perf_counter() - started) * 1000
        return Raw(0 if problem else 200, "", data, problem, elapsed_ms)

    async def _asked(
        self, name: str, headers: Sequence[tuple[str, str]], request: Json
    ) -> bytes:
        line = self._lines.get(name)
        if line is not None and not self._is_reconnecting:
            try:
                return await _ask(line, request)
            except _FAILURES:
                pass  # the other side has gone: everything is sent again
        is_first = line is None
        line = await self._open(name, headers)
        if is_first:
            await _prewarm(line, request)
        return await _ask(line, request)

    async def _open(
        self,
        name: str,
        headers: Sequence[tuple[str, str]],
        path: str = SOCKET_PATH,
    ) -> _Line:
        assert self._session is not None
        if (old := self._lines.pop(name, None)) is not None:
            await old.socket.close()
        socket = await self._session.ws_connect(
            URL(f"{self._base_url}{path}", encoded=True),
            headers=CIMultiDict(headers),
            max_msg_size=0,
        )
        line = self._lines[name] = _Line(socket)
        return line


async def _prewarm(line: _Line, request: Json) -> None:
    """Have the instructions prepared, if there are any."""
    items = responses.as_items(request["input"])
    leading = [i for i in items[:1] if i.get("role") in {"developer", "system"}]
    if leading:
        await line.ask(_event({**request, "input": leading, "generate": False}))
        line.items = leading


async def _ask(line: _Line, request: Json) -> bytes:
    items = responses.as_items(request["input"])
    known = line.items
    asked = request
    if known is not None and items[: len(known)] == known:
        fresh = items[len(known) :]
        said: list[Json] = []
        while fresh and responses.is_answer(fresh[0]):
            said.append(fresh.pop(0))
        if fresh and _calls(said) == _calls(line.output):
            asked = {**request, PREVIOUS: line.after, "input": fresh}
    data = await line.ask(_event(asked))
    line.items = items
    return data


def _calls(items: list[Json]) -> list[str]:
    return [str(item["call_id"]) for item in items if "call_id" in item]


def _behind(event: bytes, given: Json, answer_id: str) -> bytes:
    """A recorded event as it is, behind the answer that was given here."""
    if not given.get(PREVIOUS):
        return event
    quoted = msgspec.json.encode(given[PREVIOUS])
    return event.replace(quoted, msgspec.json.encode(answer_id))


def _event(request: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": "response.create", **request})

"""Recorded clients replayed as they are: each request with its own bytes and headers.

A recording is a JSON Lines file, one request per line in the order they were sent::

    {"client": "pi", "role": "main", "transport": "http", "method": "POST",
     "path": "/v1/messages", "headers": [["User-Agent", "…"], …], "body": {…}}

``role`` is ``main`` or what else the client sends (titles, commit messages); headers
may be an object too; credentials, lengths and connection headers are set anew. Every
request goes directly and through the target, and the provider answers with what the
recorded conversation says next. ``APIS`` says which paths can be replayed; requests of
others, and handshakes of WebSockets, are counted as skipped. A message of a WebSocket
has ``transport`` ``ws-message``; what the model said before one that goes on from an
answer is not in a recording, and is made up of the calls whose results it brings.

What is reported beside the bill: prefix breaks that the client did not make itself,
errors, answers whose bytes are not the ones the provider sent (where no retrieval was
answered in between), and the tokens of tool outputs before and after.
"""

import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from headroom.cachelab import measure
from headroom.cachelab.client import APIS, Api, Raw, credential, is_path
from headroom.cachelab.dialects import DIALECTS
from headroom.cachelab.lab import CHAT_KEY_PREFIX, KEY_PREFIX, Record
from headroom.cachelab.measure import Exchange, Result
from headroom.cachelab.prefix import Json, as_blocks
from headroom.cachelab.replay import Bench, Progress, Side
from headroom.errors import ConfigError

_REPLACED = frozenset(
    {
        "host",
        "content-length",
        "connection",
        "upgrade",
        "authorization",
        "x-api-key",
        "x-goog-api-key",
    }
)
_CHAT_PATH = "/chat/completions"
_RESPONSES_PATH = "/responses"
_CUSTOM = frozenset({"custom_tool_call_output"})


class Sent(Struct, frozen=True):
    """One recorded request.

    Attributes:
        is_message: it is a message of a WebSocket; ``headers`` are the handshake's.
    """

    api: Api
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_message: bool = False


class Recording(Struct, frozen=True):
    """One client's run.

    Attributes:
        answers: what the model says, turn by turn, in the longest conversation.
        skipped: requests that cannot be replayed.
    """

    name: str
    requests: tuple[Sent, ...]
    answers: list[list[Json]]
    skipped: int = 0


class Replayed(Struct, frozen=True):
    """What a recording came to.

    Attributes:
        result: bills, breaks and errors.
        skipped: requests that were not replayed.
        changed: requests whose answers arrived with other bytes, from 0.
        spliced: answers in which retrievals were answered.
        tool_tokens: of tool outputs in all requests: directly, and through the target.
        input_tokens: of all requests, likewise.
    """

    result: Result
    skipped: int
    changed: tuple[int, ...]
    spliced: int
    tool_tokens: tuple[int, int]
    input_tokens: tuple[int, int]


class _Line(Struct):
    path: str = ""
    method: str = ""
    transport: str = "http"
    headers: list[tuple[str, str]] | dict[str, str] = []
    body: msgspec.Raw = msgspec.Raw(b"null")


def _said_in_messages(body: Json) -> list[list[Json]]:
    return [
        [b for b in as_blocks(m["content"]) if "thinking" not in b["type"]]
        for m in body["messages"]
        if m["role"] == "assistant"
    ]


def _history(api: Api, body: Json) -> list[Json]:
    found = body.get("messages" if api == "messages" else DIALECTS[api].history)
    return found if isinstance(found, list) else []


def _said(api: Api, body: Json) -> list[list[Json]]:
    if api == "messages":
        return _said_in_messages(body)
    return DIALECTS[api].answers(_history(api, body))


def _api_of(line: _Line) -> Api | None:
    """The API of a request, by its path; ``None`` if it cannot be replayed."""
    path = line.path.partition("?")[0]
    if line.transport == "ws-message" and path.endswith(_RESPONSES_PATH):
        return "responses"
    if line.method != "POST" or line.transport != "http":
        return None
    if path.endswith(_CHAT_PATH):
        return "chat"
    return next((api for api in APIS if is_path(api, path)), None)


def load(paths: Sequence[Path]) -> list[Recording]:
    """The recordings in files and directories, in the order of their names.

    Raises:
        ConfigError: there are none, or one cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        names = ("*.jsonl", "*.jsonl.xz")
        inside = sorted(f for name in names for f in path.glob(name))
        files += inside if path.is_dir() else [path]
    if not files:
        raise ConfigError("no recordings were found")
    return [_load(file) for file in files]


def _load(path: Path) -> Recording:
    try:
        data = path.read_bytes()
        data = lzma.decompress(data) if path.suffix == ".xz" else data
        return _recording(path.name.partition(".jsonl")[0], _lines(data))
    except (OSError, lzma.LZMAError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path} is no recording: {error}") from error


def _lines(data: bytes) -> Iterator[_Line]:
    for text in data.splitlines():
        if text.strip():
            yield msgspec.json.decode(text, type=_Line)


def _recording(name: str, lines: Iterator[_Line]) -> Recording:
    requests: list[Sent] = []
    skipped = 0
    longest = 0
    answers: list[list[Json]] = []
    messages: list[Json] = []
    handshake: tuple[tuple[str, str], ...] = ()
    for line in lines:
        api = _api_of(line)
        headers = line.headers
        pairs = headers.items() if isinstance(headers, dict) else headers
        kept = tuple((n, v) for n, v in pairs if _is_kept(n))
        if api is None:
            handshake = kept if line.transport == "ws-handshake" else handshake
            skipped += line.transport != "ws-handshake"
            continue
        if line.transport == "ws-message":
            data = bytes(line.body)
            event: Json = msgspec.json.decode(data)
            if event.get("type") == "response.create":
                messages.append(event)
                requests.append(Sent(api, line.path, handshake, data, is_message=True))
            else:
                skipped += 1
            continue
        requests.append(Sent(api, line.path, kept, bytes(line.body)))
        body: Json = msgspec.json.decode(line.body)
        if (size := len(_history(api, body))) > longest:
            longest = size
            answers = _said(api, body)
    if messages:
        answers = _made_up(messages)
    return Recording(name, tuple(requests), answers, skipped)


def _is_kept(name: str) -> bool:
    lower = name.lower()
    return lower not in _REPLACED and not lower.startswith("sec-websocket-")


def _made_up(messages: Sequence[Json]) -> list[list[Json]]:
    """What the model must have said between the messages of a WebSocket."""
    found: list[list[Json]] = []
    for message in messages[1:]:
        results = [item for item in message["input"] if "call_id" in item]
        calls = [
            {
                "type": "tool_use",
                "id": item["call_id"],
                "name": "apply_patch" if item["type"] in _CUSTOM else "exec_command",
                "input": "{}",
                "kind": item["type"].removesuffix("_output"),
            }
            for item in results
        ]
        if calls:
            found.append(calls)
    return found


async def replay(
    bench: Bench, recording: Recording, progress: Progress | None = None
) -> Replayed:
    """Send a recording directly and through the target."""
    sides = [side for side in (bench.direct, bench.target) if side is not None]
    exchanges: list[list[Exchange]] = [[] for _ in sides]
    changed: list[int] = []
    spliced = 0
    for side in sides:
        side.lab.script.register(recording.name, recording.answers)
    for number, request in enumerate(recording.requests):
        if number == len(recording.requests) // 2 and number:
            for side in sides:
                if side.restart is not None:
                    await side.restart()
        for side, done in zip(sides, exchanges, strict=True):
            exchange, raw = await _exchange(side, recording, request)
            done.append(exchange)
            rounds = len(exchange.records)
            if rounds == 1 and raw.data != side.lab.sent_bytes(recording.name):
                changed.append(number)
            spliced += rounds > 1
        if progress is not None:
            progress(recording.name, number + 1, len(recording.requests))
    target = exchanges[1] if len(exchanges) > 1 else []
    return Replayed(
        result=measure.result(recording.name, exchanges[0], target),
        skipped=recording.skipped,
        changed=tuple(changed),
        spliced=spliced,
        tool_tokens=_both(exchanges, _tool_tokens),
        input_tokens=_both(exchanges, lambda record: record.usage.total),
    )


async def _exchange(
    side: Side, recording: Recording, request: Sent
) -> tuple[Exchange, Raw]:
    start = len(side.lab.records)
    prefix = KEY_PREFIX if request.api == "messages" else CHAT_KEY_PREFIX
    own = credential(request.api, f"{prefix}{recording.name}")
    # What else the API wants to know with the key is in the recording already.
    headers = [*request.headers, own[0]]
    if request.is_message:
        sockets = side.sockets
        raw = await sockets.replay(recording.name, request.path, headers, request.body)
        answer = sockets.read(raw)
    else:
        raw = await side.client.post(request.path, headers, request.body)
        answer = side.client.read(raw, request.body, request.api)
    records = tuple(side.lab.records[start:])
    given = side.lab.last_answers.get(recording.name, [])
    exchange = Exchange(
        records=records,
        latency_ms=raw.elapsed_ms - sum(r.server_ms for r in records),
        error=answer.error,
        is_answer_changed=not answer.error and not _same(answer.blocks, given),
    )
    return exchange, raw


def _same(got: list[Json], given: list[Json]) -> bool:
    encode = msgspec.json.encode
    return [encode(b) for b in got] == [encode(b) for b in given]


def _tool_tokens(record: Record) -> int:
    return sum(unit.tokens for unit in record.units if unit.is_tool_output)


def _both(
    exchanges: list[list[Exchange]], count: Callable[[Record], int]
) -> tuple[int, int]:
    """A sum over the first request of each turn, directly and through the target."""
    sums = [
        sum(count(exchange.records[0]) for exchange in side if exchange.records)
        for side in exchanges
    ]
    return sums[0], sums[-1]

"""One provider: its clock, caches, signatures and script, and a record per request.

``Lab.messages``, ``Lab.completions``, ``Lab.responses`` and ``Lab.generate`` take a
request's headers and bytes and return what to send back; the server only moves bytes.
Organisations, hence caches, are told apart by the API key. Requests that a replay sends
also name their conversation: in ``metadata.user_id`` as Claude Code writes it
(``user_…_session_cachelab-<id>``), in ``prompt_cache_key`` (``cachelab-<id>``) or,
where the body must stay as recorded, in the key (``sk-ant-cachelab-<id>``,
``sk-cachelab-<id>``). All of these reach the provider through any proxy, and each
conversation then has caches of its own, which makes bills repeatable.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from headroom.cachelab import responses_answer, shape
from headroom.cachelab.automatic import AutomaticCache
from headroom.cachelab.cache import Bill, PromptCache, Usage, cost
from headroom.cachelab.dialects import DIALECTS, Billed, Dialect
from headroom.cachelab.kept import PREVIOUS, KeptAnswers
from headroom.cachelab.prefix import (
    RETRIEVAL_TOOL,
    Json,
    Unit,
    encode,
    lay_out,
    parse,
)
from headroom.cachelab.script import Script, stop_reason
from headroom.cachelab.stream import chunks
from headroom.cachelab.thinking import ThinkingLedger
from headroom.cachelab.threads import MessageThreads, ThreadError
from headroom.inference.vocabulary import load_encoding
from headroom.providers.models import CacheRules, cache_rules, model_named

KEY_PREFIX = "sk-ant-cachelab-"
CHAT_KEY_PREFIX = "sk-cachelab-"
CACHE_KEY_PREFIX = "cachelab-"
REPLAY_KEY = "replay"
"""The key's end in replays whose bodies name their conversation."""

_SESSION_MARK = "_session_"
_REPLAY_MARK = "_session_cachelab-"
_BINDING_BETA = "thinking-binding-controls-2026-08-01"

# The API's own limit: https://platform.claude.com/docs/en/api/errors
MAX_BODY_BYTES = 32 * 1024 * 1024

JSON_TYPE = b"application/json"


class Clock:
    """Seconds since the start: advanced by hand, or real time plus what was added."""

    def __init__(self, *, is_real: bool = False) -> None:
        self._start = time.monotonic() if is_real else None
        self._added = 0.0

    def now(self) -> float:
        """The clock's reading in seconds."""
        real = 0.0 if self._start is None else time.monotonic() - self._start
        return real + self._added

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._added += seconds


class TokenCounter:
    """o200k counts, remembered by the digest of what was counted."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}

    def __call__(self, digest: bytes, text: str) -> int:
        """Tokens of ``text``; the same digest always brings the same text."""
        count = self._counts.get(digest)
        if count is None:
            count = self._counts[digest] = load_encoding("o200k_base").count(text)
        return count


class Record(Struct, frozen=True):
    """What one request was, as the provider saw it, and what it cost.

    Attributes:
        units: the prefix, for comparisons; their markers are of the first time.
        bill: ``None`` if the request was refused.
        tool_cost: what tool outputs cost, retrieved ones included, where the retrieval
            tool is free.
        retrieval_cost: what ``cost`` would be lower if its definition and calls were.
        error: the refusal's text; empty if there was none.
        server_ms: time from the request's last byte to the answer's first.
    """

    conversation: str
    model: str
    units: tuple[Unit, ...] = ()
    bill: Bill | None = None
    cost: float = 0.0
    tool_cost: float = 0.0
    retrieval_cost: float = 0.0
    retrievals: int = 0
    thinking_dropped: int = 0
    error: str = ""
    server_ms: float = 0.0

    @property
    def usage(self) -> Usage:
        """The billed tokens; none if the request was refused."""
        return self.bill.usage if self.bill else Usage()

    @property
    def cached_tokens(self) -> int:
        """What of the prefix is in the cache once the request is done."""
        usage = self.usage
        return usage.read + usage.write_5m + usage.write_1h


class Reply(Struct, frozen=True):
    """An answer: an error, or a message to be sent whole or as a stream.

    Attributes:
        id_header: the name of the header that tells ``request_id``.
        pieces: a message's stream.
        stream_type: the content type of that.
    """

    status: int
    request_id: str
    message: Json
    is_stream: bool = False
    id_header: bytes = b"request-id"
    pieces: Callable[[Json], Iterator[bytes]] = chunks
    stream_type: bytes = b"text/event-stream; charset=utf-8"

    def data(self) -> bytes:
        """All that is sent."""
        if self.is_stream:
            return b"".join(self.pieces(self.message))
        return msgspec.json.encode(self.message)


class Lab:
    """The provider's whole state; one per side of a comparison."""

    def __init__(
        self,
        counter: TokenCounter,
        *,
        clock: Clock | None = None,
        script: Script | None = None,
        is_strict_thinking: bool = False,
        keeps_requests: bool = False,
    ) -> None:
        """Start with cold caches.

        Args:
            counter: shared between labs, so that nothing is counted twice.
            clock: what time it is; a virtual clock if not given.
            script: what the model answers.
            is_strict_thinking: refuse signatures that were not issued here.
            keeps_requests: keep each conversation's last request for inspection.
        """
        self.counter = counter
        self.clock = clock or Clock()
        self.script = script or Script()
        self.records: list[Record] = []
        self.last_requests: dict[str, Json] = {}
        self.last_answers: dict[str, list[Json]] = {}
        self._replies: dict[str, Reply] = {}
        self._keeps_requests = keeps_requests
        self._begin_caches()
        self._thinking = ThinkingLedger(is_strict=is_strict_thinking)
        self._threads = MessageThreads()
        self._answers = KeptAnswers()
        # Records of a long conversation share the units of their common prefix.
        self._units: dict[bytes, Unit] = {}
        self._numbers = itertools.count(1)

    def _begin_caches(self) -> None:
        """Empty caches, and what they would hold if the retrieval tool were free."""
        self._cache, self._cache_without = PromptCache(), PromptCache()
        self._automatic, self._automatic_without = AutomaticCache(), AutomaticCache()

    def reset(self) -> None:
        """Forget caches and records; the clock, script and signatures stay."""
        self._begin_caches()
        self.records.clear()
        self.last_requests.clear()
        self.last_answers.clear()
        self._replies.clear()
        self._units.clear()

    def messages(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer ``POST /v1/messages``."""
        return self._recorded(self._exchange, headers, body)

    def completions(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer ``POST /v1/chat/completions``."""
        exchange = functools.partial(self._other_exchange, DIALECTS["chat"])
        return self._recorded(exchange, headers, body)

    def responses(
        self,
        headers: Mapping[str, str],
        body: bytes,
        connection: KeptAnswers | None = None,
    ) -> Reply:
        """Answer ``POST /v1/responses``, or a ``response.create`` of a WebSocket.

        Args:
            headers: of the request, or of the handshake.
            body: of the request, or the event.
            connection: the answers of the WebSocket it came over.
        """
        exchange = functools.partial(
            self._other_exchange, DIALECTS["responses"], connection=connection
        )
        return self._recorded(exchange, headers, body)

    def generate(
        self, headers: Mapping[str, str], body: bytes, *, model: str, alt: str = ""
    ) -> Reply:
        """Answer Gemini's ``:generateContent`` and ``:streamGenerateContent``.

        Args:
            headers: names in lower case.
            body: the request.
            model: of the path.
            alt: how it is streamed: ``sse``, or ``json`` for one array; empty: not.
        """
        request = parse(body)
        if not isinstance(request, str):
            named = {"model": model, "stream": bool(alt), "alt": alt}
            body = encode(request | named)
        exchange = functools.partial(self._other_exchange, DIALECTS["gemini"])
        return self._recorded(exchange, headers, body)

    def sent_bytes(self, conversation: str) -> bytes:
        """What was last sent to a conversation, as it left."""
        return self._replies[conversation].data()

    def _recorded(
        self,
        exchange: "Callable[..., tuple[Record, Reply]]",
        headers: Mapping[str, str],
        body: bytes,
    ) -> Reply:
        started = time.perf_counter()
        request_id = self._request_id()
        key = _credential(headers)
        record, reply = exchange(headers, key, body, request_id)
        server_ms = (time.perf_counter() - started) * 1000
        self.records.append(msgspec.structs.replace(record, server_ms=server_ms))
        self._replies[record.conversation] = reply
        return reply

    def count_tokens(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer ``POST /v1/messages/count_tokens``, which is not billed."""
        request_id = self._request_id()
        request = parse(body)
        if isinstance(request, str):
            return refusal(400, request, request_id)
        if (missing := _header_error(headers)) is not None:
            return refusal(*missing, request_id)
        problem = next(shape.refusals({"max_tokens": 1, **request}), None)
        if problem:
            return refusal(400, problem, request_id)
        total = sum(unit.tokens for unit in lay_out(request, self.counter))
        return Reply(200, request_id, {"input_tokens": total})

    def _exchange(
        self, headers: Mapping[str, str], key: str, body: bytes, request_id: str
    ) -> tuple[Record, Reply]:
        request = parse(body)
        if isinstance(request, str):
            name = _conversation({}, key)
            reply = refusal(400, request, request_id)
            return Record(name, "", error=request), reply
        conversation = _conversation(request, key)
        record = Record(conversation, str(request.get("model", "")))
        is_threaded = request.get("thread") is not None
        whole = self._threads.whole(
            request, headers.get("anthropic-beta", ""), self.clock.now()
        )
        if isinstance(whole, ThreadError):
            reply = refusal(whole.status, whole.text, request_id, code=whole.code)
            return msgspec.structs.replace(record, error=whole.text), reply
        request = whole
        missing = _header_error(headers)
        problem = missing[1] if missing else next(shape.refusals(request), "")
        if not problem:
            record, problem = self._bill(record, request, headers, key)
        if problem:
            reply = refusal(missing[0] if missing else 400, problem, request_id)
            return msgspec.structs.replace(record, error=problem), reply
        if self._keeps_requests:
            self.last_requests[conversation] = request
        blocks = self._sign(record, self.script.answer(conversation, request))
        self.last_answers[conversation] = blocks
        message = _message(request_id, record, blocks, self.counter)
        if is_threaded:
            self._threads.keep(request, message, self.clock.now())
        return record, Reply(200, request_id, message, request.get("stream") is True)

    def _bill(
        self, record: Record, request: Json, headers: Mapping[str, str], key: str
    ) -> tuple[Record, str]:
        units = lay_out(request, self.counter)
        model = model_named(record.model)
        refused = list(self._thinking.mismatches(request, units, model))
        if refused and not _drops_blocks(request, headers):
            unit, text = refused[0]
            return record, f"{unit.path}: {text}"
        dropped = {unit.key for unit, _ in refused}
        units = [unit for unit in units if unit.key not in dropped]
        owner = record.conversation if _is_replayed(request) else ""
        scope = f"{key}\n{owner}\n{record.model}"
        now = self.clock.now()
        bill = self._cache.bill(scope, units, model.cache, now)
        others = _without_tool(units)
        without = self._cache_without.bill(scope, others, model.cache, now)
        record = self._charged(record, units, bill, model.cache)
        record = _shared_out(record, others, without, model.cache)
        return msgspec.structs.replace(record, thinking_dropped=len(dropped)), ""

    def _other_exchange(
        self,
        dialect: Dialect,
        headers: Mapping[str, str],
        key: str,
        body: bytes,
        request_id: str,
        *,
        connection: KeptAnswers | None = None,
    ) -> tuple[Record, Reply]:
        request = parse(body)
        own = key.removeprefix(CHAT_KEY_PREFIX)
        if isinstance(request, str):
            reply = _other_refusal(dialect, 400, request, request_id)
            return Record(own, "", error=request), reply
        cache_key = str(request.get("prompt_cache_key") or "")
        # A recording keeps the cache key of the client it was made with.
        is_named = own not in {key, REPLAY_KEY}
        name = own if is_named else (cache_key or own).removeprefix(CACHE_KEY_PREFIX)
        record = Record(name, str(request.get("model", "")))
        problem: tuple[int, str, str] | None = None
        if not headers.get(dialect.key_header):
            problem = 401, "You didn't provide an API key.", ""
        whole = None if connection is None else connection.whole(request)
        if whole is None:
            whole = self._answers.whole(request)
        if whole is None:
            text = f"Previous response with id '{request[PREVIOUS]}' not found."
            problem = problem or (400, text, "previous_response_not_found")
            whole = request
        if (words := next(dialect.refusals(whole), None)) is not None:
            problem = problem or (400, words, "")
        if problem:
            status, words, code = problem
            reply = _other_refusal(dialect, status, words, request_id, code)
            return msgspec.structs.replace(record, error=words), reply
        if self._keeps_requests:
            self.last_requests[record.conversation] = whole
        asked = dialect.as_messages(whole)
        units = lay_out(asked, self.counter)
        rules = cache_rules(record.model, dialect.family)
        scope = f"{key}\n{cache_key}\n{record.model}"
        options = request.get("prompt_cache_options") or {}
        is_explicit = options.get("mode") == "explicit"
        now, others = self.clock.now(), _without_tool(units)
        bill, without = (
            cache.bill(scope, these, rules, now, is_explicit=is_explicit)
            for cache, these in (
                (self._automatic, units),
                (self._automatic_without, others),
            )
        )
        record = self._charged(record, units, bill, rules)
        record = _shared_out(record, others, without, rules)
        is_answered = request.get("generate") is not False
        blocks = self.script.answer(record.conversation, asked) if is_answered else []
        output = _output_tokens(blocks, self.counter)
        billed = Billed(request_id, record.usage, output, rules)
        answer = dialect.answer(request, blocks, billed)
        self.last_answers[record.conversation] = dialect.said(answer)
        self._answers.keep(whole, answer)
        is_stream = request.get("stream") is True
        pieces = dialect.pieces(request)
        if connection is not None:
            connection.keep(whole, answer, is_forced=True)
            is_stream, pieces = True, responses_answer.lines
        reply = Reply(200, request_id, answer, is_stream, b"x-request-id", pieces)
        if request.get("alt") == "json":
            reply = msgspec.structs.replace(reply, stream_type=JSON_TYPE)
        return record, reply

    def _charged(
        self, record: Record, units: list[Unit], bill: Bill, rules: CacheRules
    ) -> Record:
        """The record with what the request costs."""
        last = units[-1].message if units else -1
        return msgspec.structs.replace(
            record,
            units=tuple(self._units.setdefault(u.key, u) for u in units),
            bill=bill,
            cost=cost(bill.usage, rules),
            retrievals=sum(u.kind == "retrieved" and u.message == last for u in units),
        )

    def _sign(self, record: Record, blocks: list[Json]) -> list[Json]:
        units = list(record.units)
        return [
            {**b, "signature": self._thinking.issue(units, b["thinking"])}
            if b["type"] == "thinking"
            else b
            for b in blocks
        ]

    def _request_id(self) -> str:
        return f"req_011Cachelab{next(self._numbers):012d}"


def _without_tool(units: list[Unit]) -> list[Unit]:
    """The same request if the retrieval tool's definition and calls were free."""
    return [
        msgspec.structs.replace(unit, tokens=0)
        if unit.name == RETRIEVAL_TOOL and not unit.is_tool_output
        else unit
        for unit in units
    ]


def _shared_out(
    record: Record, others: list[Unit], bill: Bill, rules: CacheRules
) -> Record:
    """The record with what of its cost the retrieval tool is, and the tools' outputs.

    Caches that keep whole steps end elsewhere if a few tokens are put in front. So the
    tool's price is what the bill would be lower without it.
    """
    tool_cost = sum(
        unit.tokens * bill.rate(number, rules)
        for number, unit in enumerate(others)
        if unit.is_tool_output
    )
    retrieval_cost = record.cost - cost(bill.usage, rules)
    return msgspec.structs.replace(
        record, tool_cost=tool_cost, retrieval_cost=retrieval_cost
    )


def refusal(status: int, text: str, request_id: str, *, code: str = "") -> Reply:
    """An error in the provider's shape; ``code`` tells it from others of its type."""
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        405: "invalid_request_error",
        413: "request_too_large",
    }
    error: Json = {"type": kinds[status], "message": text}
    if code:
        error["details"] = {"error_code": code}
    body = {"type": "error", "error": error, "request_id": request_id}
    return Reply(status, request_id, body)


def _other_refusal(
    dialect: Dialect, status: int, text: str, request_id: str, code: str = ""
) -> Reply:
    body = dialect.error(status, text, code or None)
    return Reply(status, request_id, body, id_header=b"x-request-id")


def user_id(conversation: str) -> str:
    """A ``metadata.user_id`` that names the conversation, as Claude Code spells it."""
    return f"user_cachelab_account_{_REPLAY_MARK}{conversation}"


def _user(request: Json) -> str:
    metadata = request.get("metadata")
    user: Any = metadata.get("user_id") if isinstance(metadata, dict) else None
    return user if isinstance(user, str) else ""


def _is_replayed(request: Json) -> bool:
    return _REPLAY_MARK in _user(request)


def _conversation(request: Json, key: str) -> str:
    user = _user(request)
    if _REPLAY_MARK in user:
        return user.rpartition(_REPLAY_MARK)[2]
    if _SESSION_MARK in user:
        return user.rpartition(_SESSION_MARK)[2]
    return key.removeprefix(KEY_PREFIX)


def _credential(headers: Mapping[str, str]) -> str:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    own = headers.get("x-api-key") or headers.get("x-goog-api-key")
    return own or bearer


def _header_error(headers: Mapping[str, str]) -> tuple[int, str] | None:
    if not _credential(headers):
        return 401, "x-api-key header is required"
    if "anthropic-version" not in headers:
        return 400, "anthropic-version: header is required"
    return None


def _drops_blocks(request: Json, headers: Mapping[str, str]) -> bool:
    """The client asks to have blocks dropped that do not fit their conversation."""
    thinking = request.get("thinking")
    binding = thinking.get("block_binding") if isinstance(thinking, dict) else None
    if not isinstance(binding, dict) or _BINDING_BETA not in headers.get(
        "anthropic-beta", ""
    ):
        return False
    return bool(binding.get("prefix_mismatch_behavior") == "drop_block")


def _message(
    request_id: str, record: Record, blocks: list[Json], counter: TokenCounter
) -> Json:
    usage = record.usage
    return {
        "id": request_id.replace("req_", "msg_"),
        "type": "message",
        "role": "assistant",
        "model": record.model,
        "content": blocks,
        "stop_reason": stop_reason(blocks),
        "stop_sequence": None,
        "usage": {
            "input_tokens": usage.uncached,
            "cache_creation_input_tokens": usage.write_5m + usage.write_1h,
            "cache_read_input_tokens": usage.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.write_5m,
                "ephemeral_1h_input_tokens": usage.write_1h,
            },
            "output_tokens": _output_tokens(blocks, counter),
            "service_tier": "standard",
        },
    }


def _output_tokens(blocks: list[Json], counter: TokenCounter) -> int:
    output = 0
    for block in blocks:
        text = block.get("text") or block.get("thinking")
        text = text or msgspec.json.encode(block.get("input")).decode()
        output += counter(text.encode(), text)
    return output

"""One request and its response, as the stages see them, and what guards the stages.

The bytes of a request go through three forms: ``original_body`` as the client sent
them, ``received_body`` with the content encoding undone, ``outgoing_body`` after the
stages. If no stage changed anything the first is forwarded, the identical object.

What always holds: whatever a stage does, the request is served. A failure inside one
is logged, counted, and puts the body back to what it was before that stage.
"""

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, TypeAlias

from msgspec import Struct

from headroom.core.attempts import Alone, failure
from headroom.core.digest import content_digest
from headroom.core.threads import Reply
from headroom.core.trail import Trail
from headroom.core.types import JsonValue, Manifest, Policy, RequestView, ToolCall
from headroom.errors import (
    CorruptOriginalError,
    DamagedRecordError,
    StoreUnavailableError,
    UpstreamUnreachableError,
)
from headroom.proxy.routes import Headers, Route

log = logging.getLogger("headroom.proxy")


_STORE_FAILURES = frozenset(
    {StoreUnavailableError.code, CorruptOriginalError.code, DamagedRecordError.code}
)
_MAX_SESSION_BYTES = 256


class Round(Protocol):
    """A response to the same request sent on, as the stages read it."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers, as received."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether all of it was read."""
        ...

    async def read_some(self) -> bytes:
        """The next bytes of it.

        Raises:
            UpstreamError: there will be none.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


_MAX_USER_CHARS = 120
_MAX_HEADER_BYTES = 64 * 1024
SendAgain: TypeAlias = Callable[[bytes], Awaitable[Round]]


Answerer: TypeAlias = "Callable[[Exchange, ToolCall], Awaitable[str]]"
"""What a tool's call is answered; it reports failures on the exchange, never raises."""


class Retrieval(Struct, frozen=True, gc=False):
    """One original that was asked for, or part of one.

    Attributes:
        outcome: ``found``, or the code of what went wrong.
        tokens: of what was answered: a debit against what the block had saved.
    """

    digest: str
    outcome: str
    tokens: int

    @property
    def is_store_failure(self) -> bool:
        """The store is to blame, not who asked."""
        return self.outcome in _STORE_FAILURES


async def _nowhere(body: bytes) -> Round:  # noqa: ARG001
    raise UpstreamUnreachableError("the request has not been sent")


class Exchange:
    """One request with its response.

    Attributes:
        request_id: the client's, or a fresh one.
        method: as received.
        path: as received, without the query.
        headers: as received, names in lower case; read internal headers here.
        route: which provider it is for.
        original_body: as received; empty if the body was streamed through.
        received_body: the same with the content encoding undone.
        outgoing_body: what will be forwarded instead; set by ``replace_body``.
        mutation_reasons: why it differs from ``received_body``.
        decision: ``passthrough``, ``no_change`` or ``compressed``.
        reason: why, in one word out of a bounded set.
        manifest: what happened to each block; set by the stage that decides.
        auth_mode: ``payg``, ``oauth``, ``subscription``, or ``unknown``.
        model: the model asked for; empty if the body was not read.
        fields: further fields of the decision record; counts, hashes, identifiers.
        frames: of an AWS event stream that were read in the answer.
        prefix_breaks: prefixes that leave otherwise than they left before.
        store_failures: how often the store failed this request.
        failures: how often a stage failed, or a part of one.
        response_status: the status the client got; 0 before that.
        response_headers: the upstream response's, names in lower case.
        usage: tokens the provider billed, by class; empty if that was not seen.
        answer_status: how the answer ended, as its reader tells; empty if unread.
        own_tools: names of Headroom's tools that the request that leaves offers.
        chain_key: the ledger's key of the conversation up to here.
        conversation: id of the provider's own conversation that the request adds to.
        dropped_headers: names, in lower case, that are not sent upstream.
        view: the body as its provider's module read it; ``None`` if it was not read.
        trail: what the request was forwarded as, for watchers.
        set_headers: names, in lower case, and the values they are sent with instead.
        session_id: which session it belongs to: the client's word, or derived from the
            conversation; empty if the body was not read.
        user_id: whose memory it may use: the client's word; empty: the default user's.
        memory: what was looked for in the memory, in counts and hashes.
        memory_calls: calls of memory tools in the answer: name and outcome.
        send_again: sends another body where this request went, with its headers.
        holds_head: the head of the answer waits for its first bytes: a stage may still
            change ``response_status`` and ``response_headers``.
        retrievals: originals that the model asked for in the answer.
        billed: tokens billed in all rounds of the answer, where there were several.
        answers_retrievals: calls of a tool that is added can be answered inside it.
        reads_streams: streamed answers are read along.
        hidden_results: of calls in the answer that the client does not see, as the next
            request brings them; ``None``: it sees all of the answer.
        left_out: digests of the originals of which the body has only parts.
        narrow: what of a policy is allowed here, where others send the request on.
        on_reply: told of the answer as soon as it has ended, before the client is.
        result_named: the text of an earlier result by its number, as the conversation
            counts; waits for the store, and raises as ``Store.get`` does.
    """

    __slots__ = (
        "answer_status",
        "answers_retrievals",
        "auth_mode",
        "billed",
        "chain_key",
        "conversation",
        "decision",
        "dropped_headers",
        "failures",
        "fields",
        "frames",
        "headers",
        "hidden_results",
        "holds_head",
        "left_out",
        "manifest",
        "memory",
        "memory_calls",
        "method",
        "model",
        "mutation_reasons",
        "narrow",
        "on_reply",
        "original_body",
        "outgoing_body",
        "own_tools",
        "path",
        "prefix_breaks",
        "reads_streams",
        "reason",
        "received_body",
        "request_id",
        "response_headers",
        "response_status",
        "result_named",
        "retrievals",
        "route",
        "send_again",
        "session_id",
        "set_headers",
        "store_failures",
        "trail",
        "usage",
        "user_id",
        "view",
    )

    def __init__(
        self, request_id: str, method: str, path: bytes, headers: Headers, route: Route
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.path = path
        self.headers = headers
        self.route = route
        self.original_body = b""
        self.received_body = b""
        self.outgoing_body = b""
        self.mutation_reasons: tuple[str, ...] = ()
        self.decision = "passthrough"
        self.reason = "not_intercepted"
        self.manifest: Manifest | None = None
        self.auth_mode = "unknown"
        self.model = ""
        self.fields: dict[str, JsonValue] = {}
        self.frames = 0
        self.prefix_breaks = 0
        self.store_failures = 0
        self.failures = 0
        self.response_status = 0
        self.response_headers: Headers = []
        self.answer_status = ""
        self.usage: dict[str, int] = {}
        self.own_tools: frozenset[str] = frozenset()
        self.chain_key = b""
        self.conversation = ""
        self.dropped_headers: frozenset[str] = frozenset()
        self.view: RequestView | None = None
        self.trail: Trail | None = None
        self.set_headers: dict[str, str] = {}
        self.session_id = _given(headers, b"x-headroom-session-id", _MAX_SESSION_BYTES)
        self.user_id = _given_user(headers)
        self.memory: dict[str, JsonValue] = {}
        self.memory_calls: list[tuple[str, str]] = []
        self.send_again: SendAgain = _nowhere
        self.holds_head = False
        self.retrievals: list[Retrieval] = []
        self.billed: dict[str, int] = {}
        self.on_reply: Callable[[Reply], None] | None = None
        self.answers_retrievals = True
        self.reads_streams = True
        self.hidden_results: bytes | None = None
        self.left_out: tuple[str, ...] = ()
        self.narrow: Callable[[Policy], Policy] | None = None
        self.result_named: Callable[[str], str] | None = None

    def set_body(self, original: bytes, received: bytes) -> None:
        """Take the body that was read; nothing is changed yet."""
        self.original_body = original
        self.received_body = received
        self.outgoing_body = received

    def replace_body(self, body: bytes, reason: str) -> None:
        """Forward other bytes.

        Args:
            body: the whole body.
            reason: what changed it, one word; repeated reasons count once.
        """
        if not reason:
            raise ValueError("a change of the body has a reason")
        if body is self.outgoing_body and not self.is_mutated:
            return
        self.outgoing_body = body
        if reason not in self.mutation_reasons:
            self.mutation_reasons = (*self.mutation_reasons, reason)

    def pass_through(self, reason: str) -> None:
        """Say why the body is forwarded as it came."""
        self.decision = "passthrough"
        self.reason = reason

    def fail(self, stage: str, error: str, place: str = "") -> None:
        """Count and log a failure of a stage.

        Args:
            stage: its name.
            error: the error's code or class; its text may hold content.
            place: where it was raised.
        """
        self.failures += 1
        self.fields["failed_stage"] = stage
        log.error(
            "compression_error",
            extra={
                "request_id": self.request_id,
                "stage": stage,
                "error": error,
                "place": place,
            },
        )

    def forget(self) -> None:
        """Let go of what points back here: bodies are large, and cycles live long."""
        self.send_again = _nowhere
        self.on_reply = None

    @property
    def has_failed(self) -> bool:
        """Whether a stage failed."""
        return self.failures > 0

    @property
    def is_mutated(self) -> bool:
        """Whether a stage declared a change."""
        return bool(self.mutation_reasons)

    def forwarded_body(self) -> bytes:
        """The bytes to send: the original ones if no stage changed anything."""
        return self.outgoing_body if self.is_mutated else self.original_body

    def tokens(self) -> tuple[int, int]:
        """Tokens of all compressed blocks, reapplied ones too, before and after."""
        before = after = 0
        for entry in self.manifest.entries if self.manifest is not None else ():
            if entry.outcome.action == "compressed":
                before += entry.outcome.original_tokens
                after += entry.outcome.compressed_tokens
        return before, after


def _given(headers: Headers, wanted: bytes, max_bytes: int) -> str:
    """The first value of a header of Headroom's own; longer ones are cut."""
    for name, value in headers:
        if name == wanted:
            return value[:max_bytes].decode("latin-1").strip()
    return ""


def _given_user(headers: Headers) -> str:
    """The user's name; of a longer one a digest, so that no two are ever one."""
    found = _given(headers, b"x-headroom-user-id", _MAX_HEADER_BYTES)
    return found if len(found) <= _MAX_USER_CHARS else content_digest(found)


class Guard(Alone):
    """Around one stage: a failure inside is recorded, and the exchange goes on."""

    __slots__ = ("_body", "_exchange", "_reasons", "_stage", "has_failed")

    def __init__(self, exchange: Exchange, stage: str) -> None:
        self._exchange = exchange
        self._stage = stage
        self._body = exchange.outgoing_body
        self._reasons = exchange.mutation_reasons
        self.has_failed = False

    def failed(self, error: Exception) -> None:
        """Put the body back to what it was, and tell of it."""
        exchange = self._exchange
        exchange.outgoing_body = self._body
        exchange.mutation_reasons = self._reasons
        self.has_failed = True
        place = _place(error.__traceback__)
        exchange.fail(self._stage, failure(error).error, place)


def _place(trace: TracebackType | None) -> str:
    """Where an error was raised; its text may hold content and is left out."""
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{code.co_qualname}:{trace.tb_lineno}"

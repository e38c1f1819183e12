"""The retrieving stage: answers calls of Headroom's own tools inside the stream.

Runs only in conversations whose requests carry such a tool; every other response
passes untouched. It moves bytes and holds no decisions: the provider's splicer says
what the client gets and when the model is to go on; what a call is answered says
``ccr.retrieve`` for originals, and whoever was registered for the other tools.
Continuations go where the request went, with its headers.

What always holds: the client's bytes are never waited for longer than the provider's;
what was hidden is kept before the client's message ends, so that the next request finds
it; a failure behind the first round is told to the client in the provider's shape, and
nothing incomplete ends as complete. A call that cannot be answered, or an answer that
cannot be kept, costs no more than that.
"""

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing

import msgspec
from msgspec import Struct

from headroom.ccr.ledger import Ledger
from headroom.ccr.retrieve import retrieve_call
from headroom.core.hidden import encode_answer
from headroom.core.protocols import Splicer
from headroom.core.types import RETRIEVAL_TOOL, JsonValue, ToolCall
from headroom.core.wire.event_stream import CONTENT_TYPE as FRAMES
from headroom.errors import (
    HeadroomError,
    MalformedBodyError,
    RequestError,
    StreamError,
    UpstreamError,
)
from headroom.inference.tokens import counter_for
from headroom.providers import PROVIDERS
from headroom.proxy import encodings, headers, replies
from headroom.proxy.auth import POLICIES, AuthPolicies
from headroom.proxy.exchange import Answerer, Exchange, Guard, Retrieval, Round
from headroom.proxy.hidden_notes import HiddenNotes
from headroom.proxy.routes import Headers

log = logging.getLogger("headroom.proxy")

_MAX_STREAM_BYTES = 1024 * 1024 * 1024
_MAX_ERROR_BYTES = 1024 * 1024
_STREAM = b"text/event-stream"
_JSON = b"application/json"
_STREAMS = {"bedrock": FRAMES, "bedrock_converse": FRAMES}
"""Types of streams that are no events, by the provider that splices them."""

_SWITCHED_OFF = "[{} is switched off; go on without it]"
_FAILED = "[{} failed; go on without it]"


class RetrieveStage:
    """Answers retrievals; one per server process."""

    name = "retrieve"

    def __init__(
        self,
        ledger: Ledger,
        notes: HiddenNotes,
        *,
        namespace: str = "",
        policies: AuthPolicies = POLICIES,
        answerers: Mapping[str, Answerer] | None = None,
    ) -> None:
        self._answerers = {**(answerers or {}), RETRIEVAL_TOOL: self._retrieve}
        self._policies = policies
        self._ledger = ledger
        self._notes = notes
        self._namespace = namespace
        self._failures = 0

    async def start(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""

    async def on_request(self, exchange: Exchange) -> None:
        """Ask for an answer that can be read, where that may be asked."""
        allowed = self._policies[exchange.auth_mode]
        if exchange.own_tools and allowed.may_drop_encoding:
            exchange.dropped_headers |= {"accept-encoding"}

    def on_response(
        self, exchange: Exchange, chunks: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes] | None:
        """The answer with its retrievals answered; ``None`` where there can be none."""
        if not exchange.own_tools or exchange.response_status != 200:
            return None
        kind = headers.find(exchange.response_headers, b"content-type") or b""
        kind = kind.partition(b";")[0].strip().lower()
        stream = _STREAMS.get(exchange.route.provider, _STREAM)
        if kind not in {stream, _JSON}:
            return None
        try:
            pieces = _decoded(chunks, exchange.response_headers)
        except RequestError as error:
            log.warning("answer_unreadable", extra={"error": error.code})
            return None
        exchange.response_headers = [
            pair for pair in exchange.response_headers if pair[0] != b"content-encoding"
        ]
        # A JSON answer's status is not known before its last round.
        exchange.holds_head = kind == _JSON
        splicer = PROVIDERS[exchange.route.provider].splicer(
            is_stream=kind == stream, own=exchange.own_tools
        )
        return self._answered(exchange, pieces, splicer)

    async def on_end(self, exchange: Exchange) -> None:
        """Nothing is left to do."""

    def health(self) -> dict[str, JsonValue]:
        """How often an answer could not be given or kept."""
        return {"ok": True, "failures": self._failures, "lost_notes": self._notes.lost}

    async def _answered(
        self, exchange: Exchange, pieces: AsyncIterator[bytes], splicer: Splicer
    ) -> AsyncGenerator[bytes, None]:
        async for piece in pieces:
            if out := splicer.feed(piece):
                yield out
        if out := splicer.end():
            yield out
        # The sums grow with every round, and count even if the client leaves.
        exchange.billed = splicer.usage
        body = exchange.forwarded_body()
        while splicer.is_waiting:
            splicer.answer(await self._look_up(exchange, splicer.calls))
            if not splicer.is_continuing:
                break
            try:
                body = splicer.next_body(body)
                response = await exchange.send_again(body)
            except (UpstreamError, StreamError, MalformedBodyError) as error:
                yield self._failed(exchange, splicer, error)
                break
            try:
                async with aclosing(self._round(exchange, response, splicer)) as outs:
                    async for out in outs:
                        yield out
            finally:
                response.close()
        if (answer := splicer.hidden) is not None:
            exchange.hidden_results = answer.results
            with Guard(exchange, self.name):
                await self._notes.remember(exchange.chain_key, encode_answer(answer))
        if out := splicer.finish():
            yield out

    async def _round(
        self, exchange: Exchange, response: Round, splicer: Splicer
    ) -> AsyncGenerator[bytes, None]:
        """What the client gets of one continuation."""
        exchange.fields["retrieval_rounds"] = 1 + _count(exchange, "retrieval_rounds")
        try:
            lower = [(name.lower(), value) for name, value in response.headers]
            pieces = _decoded(_chunks(response), lower)
            if response.status == 200:
                async for piece in pieces:
                    if out := splicer.feed(piece):
                        yield out
                if out := splicer.end():
                    yield out
                return
            error = b"".join([piece async for piece in pieces])
        except (UpstreamError, RequestError) as problem:
            yield self._failed(exchange, splicer, problem)
            return
        self._note_failure(exchange, f"status_{response.status}")
        if exchange.holds_head:
            exchange.response_status = response.status
            exchange.response_headers = [
                pair for pair in lower if pair[0] != b"content-encoding"
            ]
            yield splicer.fail(error)
            return
        if not _is_error(error):
            error = replies.error_body(
                exchange.route.api,
                response.status,
                f"the provider answered {response.status}",
                "upstream_error",
            )
        yield splicer.fail(error)

    async def _look_up(
        self, exchange: Exchange, calls: Sequence[ToolCall]
    ) -> list[str]:
        """The answers to a round's calls; none if there are no calls to look up.

        A tool of an earlier setting is still in the lists of conversations that began
        with it.
        """
        texts = []
        for call in calls:
            answerer = self._answerers.get(call.name)
            if answerer is None:
                texts.append(_SWITCHED_OFF.format(call.name))
                continue
            text = _FAILED.format(call.name)
            with Guard(exchange, self.name):
                text = await answerer(exchange, call)
            texts.append(text)
        return texts

    async def _retrieve(self, exchange: Exchange, call: ToolCall) -> str:
        """An original, or a part of it."""
        found = await asyncio.to_thread(
            retrieve_call,
            call.input,
            lambda digest: self._ledger.get(digest, namespace=self._namespace),
            numbered=exchange.result_named,
        )
        tokens = 0
        with Guard(exchange, self.name):
            tokens = await asyncio.to_thread(counter_for(exchange.model), found.text)
        retrieval = Retrieval(found.digest, found.error or "found", tokens)
        exchange.retrievals.append(retrieval)
        if retrieval.is_store_failure:
            exchange.store_failures += 1
            self._failures += 1
        if retrieval.outcome != "found":
            log.warning(
                "retrieval_failed",
                extra={
                    "request_id": exchange.request_id,
                    "error": retrieval.outcome,
                    "hash": retrieval.digest,
                },
            )
        return found.text

    def _failed(
        self, exchange: Exchange, splicer: Splicer, error: HeadroomError
    ) -> bytes:
        """The error as the client gets it, in words that hold no content."""
        self._note_failure(exchange, error.code)
        is_timeout = error.code == "upstream_timeout"
        status = 504 if is_timeout else 502
        message = "the provider could not be asked to go on after a retrieval"
        if exchange.holds_head:
            exchange.response_status = status
        return splicer.fail(
            replies.error_body(exchange.route.api, status, message, error.code)
        )

    def _note_failure(self, exchange: Exchange, code: str) -> None:
        self._failures += 1
        exchange.fields["error"] = code
        log.warning(
            "continuation_failed",
            extra={"request_id": exchange.request_id, "error": code},
        )


def _count(exchange: Exchange, name: str) -> int:
    value = exchange.fields.get(name, 0)
    return value if isinstance(value, int) else 0


def _is_error(body: bytes) -> bool:
    """Whether a body is an error in the provider's shape."""
    if len(body) > _MAX_ERROR_BYTES:
        return False
    try:
        found = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return found.type == "error"


class _ErrorBody(Struct):
    error: msgspec.Raw
    type: str = "error"  # only some APIs say so


def _decoded(chunks: AsyncIterator[bytes], response: Headers) -> AsyncIterator[bytes]:
    """The chunks with the content encoding undone.

    Raises:
        RequestError: it is an unknown one.
    """
    applied = encodings.names(headers.find(response, b"content-encoding"))
    if not applied:
        return chunks
    decoder = encodings.ResponseDecoder(applied, _MAX_STREAM_BYTES)
    return _decode(chunks, decoder)


async def _decode(
    chunks: AsyncIterator[bytes], decoder: encodings.ResponseDecoder
) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        for piece in decoder.feed(chunk):
            yield piece


async def _chunks(response: Round) -> AsyncGenerator[bytes, None]:
    while True:
        chunk = await response.read_some()
        if chunk:
            yield chunk
        if response.is_complete:
            return

"""What is asked over the Responses API's WebSockets, compressed like any request.

Each ``response.create`` of the client is one exchange: it goes through the stages, its
answer is read along, and its record is written when the answer has ended. All other
messages pass as they are, and so does one that cannot be read or compressed.

Answers come in the order of their requests, lane by lane: a request names its lane by
``stream_id``, and every event of its answer repeats that; those without one share a
lane. A request goes on from an earlier answer by ``previous_response_id``, on this
connection or another (https://developers.openai.com/api/docs/guides/websocket-mode).
"""

import asyncio
import time
from collections import deque

import msgspec
from msgspec import Struct

from headroom.core.wire.json_spans import encode_string
from headroom.errors import UpstreamError
from headroom.proxy import record
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.metrics import Metrics
from headroom.proxy.run import CLIENT_GONE_STATUS
from headroom.proxy.steps import Steps
from headroom.proxy.tee import MessageTee
from headroom.proxy.websocket import answering
from headroom.proxy.websocket.client import ClientSocket
from headroom.proxy.websocket.provider import Message, ProviderSocket

PROVIDER = "openai_responses"
"""The provider whose requests come in messages of their own."""

_METHOD = "WS"
_CREATE = "response.create"
_ENDS = frozenset(
    {"response.completed", "response.incomplete", "response.failed",
     "response.cancelled", "error"}
)  # fmt: skip
_OK, _BROKEN_OFF = 200, 502
_MAX_WAITING = 1000
"""Requests without an answer in one lane; a provider that answers none of so many is
not one whose answers can be told apart."""


class _Head(Struct, frozen=True, gc=False):
    """What tells messages apart.

    Attributes:
        stream_id: the lane.
        status: of an ``error``.
    """

    type: str = ""
    stream_id: str | None = None
    status: int | None = None


_HEADS = msgspec.json.Decoder(_Head)


class _Turn:
    """One ``response.create`` and its answer.

    Attributes:
        is_sent: the provider has it; what comes before that is no answer to it.
    """

    __slots__ = ("added_s", "answering", "bytes_in", "bytes_out", "exchange",
                 "first_byte_s", "has_ended", "is_plain", "is_sent", "response_bytes",
                 "stages_s", "started", "tee")  # fmt: skip

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.tee: MessageTee | None = None
        self.answering: answering.Answering | None = None
        self.is_plain = self.is_sent = False
        self.has_ended = asyncio.Event()
        self.started = time.perf_counter()
        self.added_s = self.stages_s = self.first_byte_s = 0.0
        self.bytes_in = self.bytes_out = self.response_bytes = 0

    def figures(self) -> record.Figures:
        """Sizes and times."""
        return record.Figures(
            body_bytes_in=self.bytes_in,
            body_bytes_out=self.bytes_out,
            response_bytes=self.response_bytes,
            added_ms=self.added_s * 1000,
            stages_ms=self.stages_s * 1000,
            first_byte_ms=self.first_byte_s * 1000,
            total_ms=(time.perf_counter() - self.started) * 1000,
        )


class Desk(Struct, frozen=True):
    """What all connections of one server process share."""

    arrivals: Arrivals
    steps: Steps
    metrics: Metrics
    mode: str


class ResponsesTraffic:
    """The messages of one connection to the Responses API."""

    def __init__(
        self,
        client: ClientSocket,
        provider: ProviderSocket,
        opening: Exchange,
        desk: Desk,
    ) -> None:
        self._client = client
        self._provider = provider
        self._opening = opening
        self._desk = desk
        self._lanes: dict[str, deque[_Turn]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether every request has its whole answer."""
        return not self._lanes

    async def on_client(self, message: Message) -> None:
        """Compress a request; pass everything else.

        Raises:
            UpstreamError: the provider cannot be reached any more.
        """
        head = _head(message)
        if head is None or head.type != _CREATE or not isinstance(message, str):
            await self._provider.send(message)
            return
        lane = head.stream_id or ""
        await self._wait_for_joined(lane)
        turn = self._begin(lane)
        found = await self._compressed(turn, message)
        record.outbound(turn.exchange, turn.figures())
        turn.is_sent = True
        try:
            await self._provider.send(found)
        except UpstreamError as error:
            turn.exchange.fields["error"] = error.code
            self._desk.metrics.upstream_error(error.code)
            raise

    async def _wait_for_joined(self, lane: str) -> None:
        """Hold a request back while an answer in its lane may have to be gone on with.

        The provider would take it first, and its answer be read as the next round.
        """
        for turn in list(self._lanes.get(lane, ())):
            if turn.exchange.own_tools:
                await turn.has_ended.wait()

    async def on_provider(self, message: Message) -> None:
        """Read an event along and pass it.

        Raises:
            ClientGoneError: the client has left.
        """
        head = _head(message)
        lane = (head.stream_id or "") if head is not None else ""
        turns = self._lanes.get(lane)
        turn = turns[0] if turns else None
        if head is None or turn is None or not isinstance(message, str):
            await self._client.send(message)
            return
        if not turn.is_sent:
            # Limits, and whatever else is told between two answers.
            await self._client.send(message)
            return
        data = message.encode()
        _note(turn, head, data)
        if self._is_answering(turn, lane):
            await self._answer(turn, data, is_end=head.type in _ENDS)
            if turn.answering is not None and not turn.answering.is_over:
                return
            _close(turn)
            await self._finish(lane)
            return
        # Read before it is sent: the next request may go on from this very answer.
        _read(turn, data)
        if head.type not in _ENDS:
            await self._client.send(message)
            return
        _close(turn)
        await self._finish(lane, message)

    def _is_answering(self, turn: _Turn, lane: str) -> bool:
        """Whether a turn's answer goes through the stages; found out when it begins."""
        exchange = turn.exchange
        if turn.answering is None and not turn.is_plain:
            turn.is_plain = True
            if exchange.own_tools and exchange.response_status == _OK:

                async def to_client(data: bytes) -> None:
                    _read(turn, data)
                    await self._client.send(_in_lane(data, lane).decode())

                async def to_provider(data: bytes) -> None:
                    await self._provider.send(data.decode())

                turn.answering = answering.begin(
                    exchange, self._desk.steps, to_provider, to_client
                )
        return turn.answering is not None

    async def _answer(self, turn: _Turn, data: bytes, *, is_end: bool) -> None:
        assert turn.answering is not None
        await turn.answering.take(data, is_end=is_end)

    async def _finish(self, lane: str, message: str | None = None) -> None:
        """The first turn of a lane has its whole answer."""
        turns = self._lanes[lane]
        turn = turns.popleft()
        if not turns:
            del self._lanes[lane]
        try:
            if message is not None:
                await self._client.send(message)
            self._desk.steps.count_retrievals(turn.exchange)
            await self._desk.steps.on_end(turn.exchange)
        finally:
            self._end(turn)

    def close(self, *, is_client_gone: bool) -> None:
        """The connection has ended: whatever has no whole answer will not get one."""
        status = CLIENT_GONE_STATUS if is_client_gone else _BROKEN_OFF
        for turns in self._lanes.values():
            for turn in turns:
                exchange = turn.exchange
                exchange.response_status = exchange.response_status or status
                if turn.answering is not None:
                    turn.answering.cancel()
                _close(turn)
                self._end(turn)
        self._lanes.clear()

    def _begin(self, lane: str) -> _Turn:
        turn = _Turn(self._desk.arrivals.inside(_METHOD, self._opening))
        turns = self._lanes.setdefault(lane, deque())
        if len(turns) >= _MAX_WAITING:
            self._end(turns.popleft())
        turns.append(turn)
        self._desk.metrics.began()
        return turn

    async def _compressed(self, turn: _Turn, message: str) -> str:
        """The message to send in place of a request."""
        exchange, desk = turn.exchange, self._desk
        body = message.encode()
        turn.bytes_in = turn.bytes_out = len(body)
        reason = desk.steps.reason_to_pass(exchange, len(body))
        if reason is not None:
            exchange.pass_through(reason)
            return message
        exchange.set_body(body, body)
        await desk.steps.on_request(exchange)
        turn.tee = MessageTee(exchange.on_reply)
        turn.stages_s = turn.added_s = time.perf_counter() - turn.started
        desk.metrics.added(exchange.route.label, turn.added_s)
        if not exchange.is_mutated:
            return message
        forwarded = exchange.forwarded_body()
        turn.bytes_out = len(forwarded)
        return forwarded.decode()

    def _end(self, turn: _Turn) -> None:
        turn.has_ended.set()
        exchange = turn.exchange
        exchange.forget()
        kept = self._desk.steps.decisions
        record.write(exchange, turn.figures(), self._desk.mode, kept)
        self._desk.metrics.ended(
            exchange.route.label, exchange.response_status, exchange.decision
        )


def _note(turn: _Turn, head: _Head, data: bytes) -> None:
    """Take the figures of an event, and how the answer begins."""
    exchange = turn.exchange
    if not turn.response_bytes:
        turn.first_byte_s = time.perf_counter() - turn.started
    turn.response_bytes += len(data)
    if head.type == "error":
        exchange.response_status = head.status or _BROKEN_OFF
    elif not exchange.response_status:
        exchange.response_status = _OK


def _read(turn: _Turn, data: bytes) -> None:
    """Read what the client gets along."""
    if turn.tee is not None:
        with Guard(turn.exchange, "observe"):
            turn.tee.take(data)


def _in_lane(data: bytes, lane: str) -> bytes:
    """A message with its lane, which one that was made here has not."""
    if not lane or b'"stream_id"' in data:
        return data
    return b'%b,"stream_id":%b}' % (data.rstrip()[:-1], encode_string(lane))


def _close(turn: _Turn) -> None:
    """Write down what was read of an answer."""
    if turn.tee is not None:
        with Guard(turn.exchange, "observe"):
            turn.tee.close(turn.exchange)
    turn.exchange.usage = turn.exchange.billed or turn.exchange.usage


def _head(message: Message) -> _Head | None:
    """What a message is; ``None`` if it is no JSON object in text."""
    if not isinstance(message, str):
        return None
    try:
        return _HEADS.decode(message)
    except msgspec.MsgspecError:
        return None

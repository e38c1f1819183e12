"""``POST /v1/compress``: messages in, the same messages shorter, for gateways.

A gateway that talks to providers itself (LiteLLM, Portkey, one of your own) sends what
it is about to forward, ``{"messages": […], "model": "…"}``, and forwards what it gets
back. The contract, and where it is known from, is in ``docs/guides/sidecar.md``.

The messages go through the same stage and the same ledger as proxied requests: those of
one conversation come back the same, byte for byte, however often they are sent. What
was forwarded before Headroom saw it stays as it is. Some plug-ins hold back a
conversation's newest messages and hand them over a turn later; whoever sends every tool
result before it is first forwarded says so by the base path ``/tool-results``.

LiteLLM's other plug-in sends whole conversations and wants texts (see ``guardrail``);
under its path the same is done with these.

What always holds: a request that can be read is answered with its messages, shorter or
as they came, whatever fails here; only a request that is not one is refused.
"""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from headroom.core.types import JsonValue, Policy, RequestView
from headroom.errors import LimitExceededError, MalformedBodyError
from headroom.providers.gateway import API, GatewayMessages
from headroom.proxy import encodings, guardrail, headers, record
from headroom.proxy.bodies import ClientGoneError, Incoming
from headroom.proxy.current import Current
from headroom.proxy.decisions import DecisionLog
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.metrics import Metrics
from headroom.proxy.replies import Receive, Scope
from headroom.proxy.routes import Headers, Route
from headroom.proxy.run import CLIENT_GONE_STATUS
from headroom.proxy.stages import Stage
from headroom.proxy.stages.compress import CompressStage
from headroom.proxy.steps import Steps

_T = TypeVar("_T")

PATH = "/v1/compress"
RESULTS_BASE = "/tool-results"
"""In front of a path: the caller sends all results, each before it is forwarded."""

_ROUTE = Route("openai", PATH, API)
_EXPECTED = 'expected {"messages":[{"role":"…","content":"…"}],"model":"…"}'
_MAX_SESSION_CHARS = 256
_ON_LOOP_BYTES = 256 * 1024
_SESSION_NAMES = ("session_id", "litellm_session_id")
_RESULT_WORDS = (b'"tool_call_id"', b'"tool_use_id"')
_SESSION_PLACES = ("metadata", "litellm_metadata")


class _Messages(Struct):
    """What of a body goes back, as it stands there."""

    messages: msgspec.Raw


class _Asked(Struct):
    """What a body has to be, and what it may say of its session."""

    messages: list[msgspec.Raw]
    session_id: Any = None
    litellm_session_id: Any = None
    metadata: Any = None
    litellm_metadata: Any = None


class Sidecar:
    """Answers gateways; one per server process.

    Args:
        current: the settings in force.
        stages: of all exchanges; the one that compresses is used here, and where there
            is none messages go back as they came.
        decisions: where records of what was decided are kept.
        metrics: figures to add to.
    """

    def __init__(
        self,
        current: Current,
        stages: Sequence[Stage],
        decisions: DecisionLog,
        metrics: Metrics,
    ) -> None:
        settings = current.settings
        self._current = current
        self._metrics = metrics
        self._decisions = decisions
        self._mode = settings.proxy.compression_mode
        self._max_bytes = settings.compression_max_body_bytes
        self._reader = GatewayMessages()
        used = [stage for stage in stages if stage.name == CompressStage.name]
        self._steps = Steps(settings, used, metrics)
        self._requests = itertools.count(1)
        self._id_prefix = f"compress-{secrets.token_hex(6)}-"

    async def answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Status and JSON body for a POST.

        Raises:
            ClientGoneError: the caller left before its request was complete.
        """
        started = time.perf_counter()
        given = headers.request_id(scope["headers"])
        exchange = Exchange(
            given or f"{self._id_prefix}{next(self._requests)}",
            "POST",
            PATH.encode(),
            scope["headers"],
            _ROUTE,
        )
        exchange.auth_mode = "payg"
        exchange.answers_retrievals = False
        exchange.narrow = (
            self._narrow_for_guardrail if _is_guardrail(scope) else self._narrow
        )
        self._metrics.began()
        answered = b""
        try:
            answered = await self._answer(exchange, scope, receive)
        except ClientGoneError:
            exchange.response_status = CLIENT_GONE_STATUS
            raise
        except LimitExceededError as error:
            exchange.response_status, answered = 413, _refusal(error.code, str(error))
        except MalformedBodyError as error:
            exchange.response_status, answered = 400, _refusal(error.code, str(error))
        finally:
            elapsed = time.perf_counter() - started
            self._metrics.added(_ROUTE.label, elapsed)
            self._metrics.ended(
                _ROUTE.label, exchange.response_status, exchange.decision
            )
            figures = _figures(exchange, len(answered), elapsed * 1000)
            record.write(exchange, figures, self._mode, self._decisions)
        return exchange.response_status, answered

    async def _answer(
        self, exchange: Exchange, scope: Scope, receive: Receive
    ) -> bytes:
        given = body = await self._body(exchange, receive)
        size = len(given)
        is_guardrail = _is_guardrail(scope)
        if is_guardrail:
            body = await _off_loop(size, lambda: guardrail.conversation(given))
            if not body:
                exchange.response_status = 200
                exchange.pass_through("no_messages")
                return guardrail.NOTHING
            exchange.set_body(body, body)
        asked = await _off_loop(size, lambda: _asked(body))
        exchange.session_id = exchange.session_id or _session_of(asked)
        has_all = is_guardrail or scope["path"].startswith(RESULTS_BASE)
        with Guard(exchange, "sidecar"):
            await self._compress(exchange, has_all)
        exchange.response_status = 200
        out = exchange.outgoing_body
        if is_guardrail:
            with Guard(exchange, "sidecar"):
                return await _off_loop(size, lambda: guardrail.answer(given, body, out))
            return guardrail.NOTHING
        messages = await _off_loop(size, lambda: _raw_messages(out))
        return b'{"messages":%b,%b' % (messages, _report(exchange)[1:])

    async def _compress(self, exchange: Exchange, has_all: bool) -> None:
        body, request = exchange.received_body, exchange.headers
        reason = self._steps.reason_to_pass(exchange, len(body))
        reason = reason or await _off_loop(
            len(body), lambda: self._why_left(body, request, has_all)
        )
        if reason:
            exchange.pass_through(reason)
        else:
            await self._steps.on_request(exchange)

    def _narrow_for_guardrail(self, policy: Policy) -> Policy:
        """The same where a gateway's plug-in answers no retrievals."""
        policy = self._narrow(policy)
        if policy.retrieval != "gateway":
            return policy
        return msgspec.structs.replace(policy, retrieval="mcp")

    def _narrow(self, policy: Policy) -> Policy:
        """What of a policy is about texts of messages; the rest is the gateway's."""
        retrieval = self._current.settings.sidecar.retrieval
        return msgspec.structs.replace(
            policy,
            allow_lossy=policy.allow_lossy and retrieval != "off",
            retrieval="mcp" if retrieval == "client" else retrieval,
            stabilisers=(),
            more_tools=(),
            appends=False,
        )

    async def _body(self, exchange: Exchange, receive: Receive) -> bytes:
        """The request's body, decoded.

        Raises:
            LimitExceededError: it is larger than bodies that are read.
            MalformedBodyError: it is not encoded as its headers say.
        """
        given = await Incoming(receive, self._max_bytes).read_until(self._max_bytes)
        assert given is not None, "a longer body raises"
        applied = encodings.names(headers.find(exchange.headers, b"content-encoding"))
        body = given
        if applied:
            limit = self._max_bytes
            body = await asyncio.to_thread(encodings.decode, given, applied, limit)
        exchange.set_body(given, body)
        return body

    def _why_left(self, body: bytes, request: Headers, has_all_results: bool) -> str:
        """Why messages go back as they came; empty if they are looked into."""
        try:
            view = self._reader.parse(body)
        except MalformedBodyError as error:
            return error.reason
        if has_all_results or not _is_late(view, request):
            return ""
        return "sent_before"


def is_own(path: str) -> bool:
    """Whether a path is answered here; ``RESULTS_BASE`` taken off."""
    return path in {PATH, guardrail.PATH}


def without_base(path: str) -> str:
    """The path behind ``RESULTS_BASE``, which every path may have in front."""
    rest = path.removeprefix(RESULTS_BASE)
    return rest if rest.startswith("/") else path


def _is_guardrail(scope: Scope) -> bool:
    return without_base(scope["path"]) == guardrail.PATH


def _is_late(view: RequestView, request: Headers) -> bool:
    """Whether these messages were forwarded before, newer ones being held back.

    LiteLLM's plug-in leaves out whatever the assistant said, the newest results and the
    newest question: what comes was forwarded a turn ago. Others are told by results
    without the calls they answer.
    """
    if any(message.role == "assistant" for message in view.messages):
        return False
    agent = headers.find(request, b"user-agent") or b""
    return agent.lower().startswith(b"litellm/") or any(
        word in message.span.of(view.body)
        for message in view.messages
        for word in _RESULT_WORDS
    )


async def _off_loop(size_bytes: int, work: Callable[[], _T]) -> _T:
    """Do short work here, long work in a thread."""
    if size_bytes <= _ON_LOOP_BYTES:
        return work()
    return await asyncio.to_thread(work)


def _asked(body: bytes) -> _Asked:
    """The request.

    Raises:
        MalformedBodyError: it is none; says what was expected.
    """
    try:
        body.decode()
        asked = msgspec.json.decode(body, type=_Asked)
    except msgspec.DecodeError as error:
        if _is_readable(body):
            return _Asked([])
        raise MalformedBodyError(f"{error}; {_EXPECTED}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise MalformedBodyError(f"{error}; {_EXPECTED}") from None
    if not all(bytes(message)[:1] == b"{" for message in asked.messages):
        raise MalformedBodyError(f"a message is no object; {_EXPECTED}")
    return asked


def _is_readable(body: bytes) -> bool:
    """Whether the standard reader takes it: half a surrogate pair, for one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    messages = found.get("messages") if isinstance(found, dict) else None
    return isinstance(messages, list) and all(isinstance(m, dict) for m in messages)


def _raw_messages(body: bytes) -> bytes:
    try:
        return bytes(msgspec.json.decode(body, type=_Messages).messages)
    except msgspec.DecodeError:
        return json.dumps(json.loads(body)["messages"]).encode()


def _session_of(asked: _Asked) -> str:
    """The session a request names; empty: it names none."""
    places: list[Mapping[str, Any]] = [
        {name: getattr(asked, name) for name in _SESSION_NAMES}
    ]
    for name in _SESSION_PLACES:
        place = getattr(asked, name)
        if isinstance(place, dict):
            places.append(place)
    for place in places:
        for name in _SESSION_NAMES:
            value = place.get(name)
            if isinstance(value, str) and value.strip():
                return value.strip()[:_MAX_SESSION_CHARS]
    return ""


def _report(exchange: Exchange) -> bytes:
    """What is said beside the messages, as a JSON object."""
    manifest = exchange.manifest
    before, after = (0, 0) if manifest is None else manifest.tokens()
    transforms = () if manifest is None else manifest.transforms_applied()
    report: dict[str, JsonValue] = {
        "tokens_before": before,
        "tokens_after": after,
        "tokens_saved": before - after,
        "compression_ratio": round(after / before, 4) if before else 1.0,
        "transforms_applied": list(transforms),
        "ccr_hashes": list(exchange.left_out),
        "session_id": exchange.session_id,
        "request_id": exchange.request_id,
        "decision": exchange.decision,
        "reason": exchange.reason,
    }
    return msgspec.json.encode(report)


def _figures(
    exchange: Exchange, answered_bytes: int, total_ms: float
) -> record.Figures:
    return record.Figures(
        body_bytes_in=len(exchange.received_body),
        body_bytes_out=len(exchange.outgoing_body),
        response_bytes=answered_bytes,
        added_ms=total_ms,
        stages_ms=total_ms,
        first_byte_ms=0.0,
        total_ms=total_ms,
    )


def _refusal(code: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})

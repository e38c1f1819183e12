"""One request through the broker: who asks, for what, who answers, what it cost.

The order: the caller's key, the body, the model, limits, headers, compression (one
call, see ``compression``), the backends in turn, the answer chunk by chunk, the bill.
What is shared with the proxy (bodies, headers, the reading of answers) is the proxy's.

What always holds: a client's key never leaves, a backend's key goes to that backend
only; an answer that broke off is broken off for the client, too.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from headroom.broker import asking, places
from headroom.broker.asking import Asked
from headroom.broker.billing import Billing
from headroom.broker.choosing import in_order
from headroom.broker.compression import Compression
from headroom.broker.dispatch import Answer, Backends, Outgoing
from headroom.broker.endpoints import caller
from headroom.broker.limits import Refusal
from headroom.broker.models_file import Retries
from headroom.broker.plain_usage import make_usage_tee
from headroom.broker.registry import Client, Model, Registry, Target
from headroom.errors import (
    LimitExceededError,
    RequestError,
    UpstreamError,
)
from headroom.proxy import encodings, headers, routes
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.bodies import ClientGoneError, Incoming
from headroom.proxy.exchange import Exchange
from headroom.proxy.metrics import Metrics
from headroom.proxy.replies import Receive, Scope, Send
from headroom.proxy.routes import Headers
from headroom.proxy.run import (
    CLIENT_GONE_STATUS,
    Closing,
    Run,
    pass_chunks,
    upstream_status,
)
from headroom.proxy.tee import make_tee
from headroom.proxy.upstream import Body
from headroom.proxy.upstream import Target as Place
from headroom.settings import Settings

log = logging.getLogger("headroom.broker")

_NO_RETRIES = Retries(rounds=0)
_PLAIN = routes.Route("openai", "")
"""Keeps credentials of all kinds; those of clients are taken out before."""

_KEPT_ANSWERS = 100_000
"""Answers whose backend is known, for requests that go on from them."""


class Parts(Struct, frozen=True):
    """What requests are served with."""

    settings: Settings
    registry: Callable[[], Registry]
    backends: Backends
    compression: Compression
    billing: Billing
    metrics: Metrics


class _Order(Struct, frozen=True):
    """A request that is understood: what is asked, whom to ask, what to send.

    Attributes:
        model: ``None`` where the request names none.
        body: with the name asked for; an iterator where it is not read.
    """

    client: Client
    asked: Asked
    model: Model | None
    targets: Sequence[Target]
    body: Body
    query: bytes
    is_form: bool = False
    is_in_path: bool = False

    def name_at(self, target: Target) -> str:
        """The model's name at a backend."""
        return target.model or self.asked.model


class BrokerRelay:
    """Serves requests for models; one per server process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._metrics = parts.metrics
        self._max_bytes = parts.settings.proxy.max_body_bytes
        self._arrivals = Arrivals()
        # By the answer's id, then by who got it: few backends' ids are their own.
        self._answers: OrderedDict[str, dict[str, Target]] = OrderedDict()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = self._arrivals.by_path(
            scope["method"], scope["raw_path"], scope["headers"]
        )
        run = Run(exchange, send, Incoming(receive, self._max_bytes))
        self._metrics.began()
        try:
            await self._serve(run, scope["query_string"])
        except ClientGoneError:
            exchange.response_status = exchange.response_status or CLIENT_GONE_STATUS
        except LimitExceededError as error:
            await run.refuse(413, error)
        except RequestError as error:
            await run.refuse(400, error)
        except UpstreamError as error:
            self._metrics.upstream_error(error.code)
            await run.refuse(upstream_status(error), error)
        except asyncio.CancelledError:
            exchange.response_status = exchange.response_status or CLIENT_GONE_STATUS
            if not run.is_client_gone:
                raise
        finally:
            run.close()
            exchange.forget()
            self._record(run)
            self._metrics.ended(
                exchange.route.label, exchange.response_status, exchange.decision
            )

    async def _serve(self, run: Run, query: bytes) -> None:
        exchange, registry = run.exchange, self._parts.registry()
        client, query = caller(registry, self._parts.settings, exchange.headers, query)
        if client is None:
            await run.answer(401, "the key is missing or unknown", "invalid_api_key")
            return
        exchange.fields["key"] = client.name
        order = await self._order(run, client, query, registry)
        if order is None:
            return
        if not order.targets:
            path = ascii(exchange.path)[1:]
            what = f"the model {order.asked.model!r}" if order.model else "no model"
            await run.answer(404, f"{what} is not served at {path}", "not_served")
            return
        bill, refusal = self._parts.billing.open(client, order.model, order.body)
        if refusal is not None:
            await self._refuse(run, refusal)
            return
        try:
            await self._forward(run, order, registry)
        finally:
            await self._parts.billing.settle(bill, exchange, run.response_bytes)

    async def _order(
        self, run: Run, client: Client, query: bytes, registry: Registry
    ) -> _Order | None:
        """Understand a request; ``None`` if it was answered with why not.

        Raises:
            RequestError: it cannot be read, or is too long.
        """
        exchange, incoming = run.exchange, run.incoming
        is_path = exchange.path.startswith(b"/") and exchange.path.isascii()
        if not is_path or not query.isascii():
            raise RequestError("the request target is no percent-encoded path")
        if places.climbs(exchange.path):
            raise RequestError("the path leads out of the API")
        announced = headers.content_length(exchange.headers)
        if announced is not None and announced > self._max_bytes:
            raise LimitExceededError(f"the body is larger than {self._max_bytes} bytes")
        await incoming.begin()
        asked, body, is_form = await self._asked(run)
        is_in_path = exchange.route.api == "gemini" and bool(asked.model)
        if not asked.model:
            targets = self._without_model(exchange, client, registry)
            rest: Body = body or incoming.whole()
            if not incoming.is_complete:
                rest = incoming.stream()
            return _Order(client, asked, None, targets, rest, query)
        model = registry.model(asked.model)
        if model is None or not client.may_use(asked.model, model):
            exchange.fields["model"] = "unknown"
            text = f"the model {asked.model!r} does not exist or is not open to you"
            await run.answer(404, text, "model_not_found")
            return None
        exchange.model = asked.model
        exchange.fields["model"] = model.name
        targets = self._targets(exchange, client, asked, model, body)
        return _Order(client, asked, model, targets, body, query, is_form, is_in_path)

    async def _asked(self, run: Run) -> tuple[Asked, bytes, bool]:
        """What is asked for, the body if it was read, and whether that is a form.

        Raises:
            RequestError: it cannot be read, or is too long.
        """
        exchange = run.exchange
        kind = headers.find(exchange.headers, b"content-type") or b""
        is_form = kind.lower().startswith(b"multipart/form-data")
        named = ""
        if exchange.route.api == "gemini":
            named = asking.model_in_path(exchange.path)
        # Else whoever gives JSON another type would get models that are not listed.
        is_told = bool(named) or is_form or headers.is_json(exchange.headers)
        may_ask = is_told or places.may_repeat(exchange.path)
        if exchange.method != "POST" or not may_ask:
            return Asked(named), b"", False
        body = await self._body(run)
        if named or not (is_told or body.lstrip()[:1] == b"{"):
            return Asked(named), body, False
        if not is_form:
            return asking.read_json(body), body, False
        if not asking.is_form_of(kind, body):
            raise RequestError("the form does not begin with its boundary")
        return asking.read_form(body), body, True

    async def _body(self, run: Run) -> bytes:
        """The whole body, its encoding undone."""
        incoming, exchange = run.incoming, run.exchange
        received = await incoming.read_until(self._max_bytes)
        assert received is not None  # its own limit is the same
        applied = encodings.names(headers.find(exchange.headers, b"content-encoding"))
        if not applied:
            return received
        decoded = await asyncio.to_thread(
            encodings.decode, received, applied, self._max_bytes
        )
        exchange.headers = [
            pair for pair in exchange.headers if pair[0] != b"content-encoding"
        ]
        return decoded

    def _targets(
        self,
        exchange: Exchange,
        client: Client,
        asked: Asked,
        model: Model,
        body: bytes,
    ) -> list[Target]:
        """Whom to ask, in order: those that serve the path."""
        if asked.continues:
            known = self._answered_by(client, asked.continues)
            if known in (*model.targets, *model.fallbacks):
                return [known]
        affinity = b""
        if len(model.targets) > 1:
            affinity = exchange.session_id.encode() or asking.beginning(body)
            affinity = affinity or exchange.request_id.encode()
        return [
            target
            for target in in_order(model, affinity)
            if places.path_at(target.backend, exchange.route, exchange.path) is not None
        ]

    def _without_model(
        self, exchange: Exchange, client: Client, registry: Registry
    ) -> list[Target]:
        """Whom to ask where no model is named: who gave the answer, or the default."""
        head, _, tail = exchange.path.partition(b"/v1/responses/")
        answer_id = "" if head else tail.partition(b"/")[0].decode("latin-1")
        known = self._answered_by(client, answer_id)
        if known is not None and known.backend in registry.backends.values():
            return [known]
        backend = registry.default_backend
        if backend is None or client.models:
            return []
        if places.path_at(backend, exchange.route, exchange.path) is None:
            return []
        return [Target(backend, "", 1.0)]

    def _answered_by(self, client: Client, answer_id: str) -> Target | None:
        """Who gave an answer; ``None`` if that is not known.

        Raises:
            RequestError: somebody else got it: backends keep what was said under one
                account for all keys.
        """
        found = self._answers.get(answer_id)
        if found is not None and client.name not in found:
            raise RequestError(f"there is no response {answer_id!r}")
        return None if found is None else found[client.name]

    async def _forward(self, run: Run, order: _Order, registry: Registry) -> None:
        exchange, parts = run.exchange, self._parts
        started = time.perf_counter()
        passed = headers.for_upstream(
            places.passed_headers(exchange.headers),
            _PLAIN,
            strips_internal=True,
        ).headers
        first = order.targets[0]
        body = order.body
        if isinstance(body, bytes):
            body = _named(order, body, order.asked.model, first)
            body = await parts.compression.apply(
                exchange,
                body,
                order.name_at(first),
                registry.file,
                order.client.name,
            )

        def make(target: Target) -> Outgoing:
            return self._outgoing(exchange, order, target, passed, body)

        if isinstance(body, bytes):
            run.body_bytes_out = len(body)
        run.watch()
        run.added_s = time.perf_counter() - started
        self._metrics.added(exchange.route.label, run.added_s)
        can_repeat = isinstance(body, bytes) and order.model is not None
        targets, retries = order.targets, registry.retries
        if not (can_repeat and places.may_repeat(exchange.path)):
            targets, retries = targets[:1], _NO_RETRIES
        try:
            answer = await parts.backends.send(
                exchange.method, targets, make, retries, exchange.request_id
            )
        except UpstreamError:
            if run.incoming.error is not None:
                raise run.incoming.error from None
            raise
        run.first_byte_s = time.perf_counter() - run.started
        await self._respond(run, order, answer)

    def _outgoing(
        self,
        exchange: Exchange,
        order: _Order,
        target: Target,
        passed: list[tuple[str, str]],
        body: Body,
    ) -> Outgoing:
        """The request as one backend gets it; credentials are its own."""
        backend = target.backend
        path = places.path_at(backend, exchange.route, exchange.path)
        assert path is not None  # others are no targets
        if order.is_in_path:
            path = asking.path_with_model(path, order.name_at(target))
        words = {
            "key": order.client.name,
            "model": order.asked.model,
            "request_id": exchange.request_id,
        }
        sent = list(passed)
        for name, value in places.own_headers(backend, exchange.route, words):
            headers.put(sent, name, value)
        if isinstance(body, bytes):
            body = _named(order, body, order.name_at(order.targets[0]), target)
        elif (length := headers.content_length(exchange.headers)) is not None:
            sent.append(("content-length", str(length)))
        return Outgoing(Place(backend.base_url, path, order.query), sent, body)

    async def _respond(self, run: Run, order: _Order, answer: Answer) -> None:
        """Pass the answer on, stream or not, as it comes."""
        exchange, response = run.exchange, answer.response
        backends = self._parts.backends
        backend = answer.target.backend.name
        exchange.fields["backend"] = backend
        exchange.fields["backend_model"] = order.name_at(answer.target)
        exchange.response_status = response.status
        exchange.response_headers = [
            *((name.lower(), value) for name, value in response.headers),
            (b"x-headroom-backend", backend.encode()),
        ]
        exchange.on_reply = lambda reply: self._remember(order, reply.id, answer.target)
        try:
            await run.start(is_transformed=False)
            limit = self._parts.settings.proxy.sse_buffer_max_bytes
            tee = make_tee(exchange, limit) or make_usage_tee(exchange)
            with Closing(exchange, tee):
                await pass_chunks(run, response, tee)
            backends.succeeded(answer)
        except UpstreamError:
            backends.failed(answer)
            raise
        finally:
            backends.released(answer)
            response.close()

    def _remember(self, order: _Order, answer_id: str, target: Target) -> None:
        self._answers.setdefault(answer_id, {})[order.client.name] = target
        self._answers.move_to_end(answer_id)
        while len(self._answers) > _KEPT_ANSWERS:
            self._answers.popitem(last=False)

    async def _refuse(self, run: Run, refusal: Refusal) -> None:
        self._metrics.count("headroom_broker_refusals", refusal.kind)
        word = "insufficient_quota"
        if refusal.kind.endswith("per_minute"):
            word = "rate_limit_exceeded"
        more: Headers = []
        text = f"{refusal.owner} has used its {refusal.kind}"
        if refusal.wait_s:
            seconds = max(1, math.ceil(refusal.wait_s))
            text = f"{text}; try again in {seconds} s"
            more = [(b"retry-after", b"%d" % seconds)]
        await run.answer(429, text, word, more=more)

    def _record(self, run: Run) -> None:
        """One line per request, and its figures."""
        exchange = run.exchange
        fields, figures = exchange.fields, run.figures()
        key, model = str(fields.get("key", "")), str(fields.get("model", ""))
        self._metrics.count(
            "headroom_broker_requests", key, model, str(exchange.response_status)
        )
        log.info(
            "broker_request",
            extra={
                "request_id": exchange.request_id,
                "method": exchange.method,
                "path": exchange.route.label,
                "status": exchange.response_status,
                "body_bytes_in": figures.body_bytes_in,
                "body_bytes_out": figures.body_bytes_out,
                "response_bytes": figures.response_bytes,
                "added_ms": round(figures.added_ms, 3),
                "first_byte_ms": round(figures.first_byte_ms, 3),
                "total_ms": round(figures.total_ms, 3),
                **exchange.usage,
                **fields,
            },
        )


def _named(order: _Order, body: bytes, present: str, target: Target) -> bytes:
    """The body with a backend's own name of the model in place of the present one."""
    if order.model is None or order.is_in_path:
        return body
    name = order.name_at(target)
    if order.is_form:
        return body if present == name else asking.form_with_model(body, name)
    return asking.with_model(body, present, name)

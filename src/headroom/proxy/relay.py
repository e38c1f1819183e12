"""Requests that go to a provider: forwarded, answered, recorded.

The order for one request: limits, headers, body (read only where a stage may change it,
else streamed), stages, upstream, response chunks as they come, the record. Two tasks at
most: this one, and one that waits for the client to leave and then cancels this one,
which cuts the upstream connection.

What always holds: a body that no stage changed leaves as the bytes that came in; a
response that the provider broke off is broken off for the client too, never ended as if
it were complete.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

from headroom.errors import (
    LimitExceededError,
    MalformedBodyError,
    RequestError,
    UpstreamError,
)
from headroom.providers.openai_responses import request as responses
from headroom.proxy import access, encodings, event_streams, headers, record
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.bodies import ClientGoneError, Incoming
from headroom.proxy.clouds import Clouds, needs_credentials, own_credentials
from headroom.proxy.current import Current
from headroom.proxy.exchange import Exchange
from headroom.proxy.metrics import Metrics
from headroom.proxy.replies import Receive, Scope, Send
from headroom.proxy.run import (
    CLIENT_GONE_STATUS,
    Closing,
    Run,
    pass_chunks,
    upstream_status,
)
from headroom.proxy.steps import Steps
from headroom.proxy.tee import Tee, make_tee
from headroom.proxy.upstream import Body, Target, Upstream, UpstreamResponse

_ONCE = frozenset({"content-encoding", "idempotency-key"})
"""Headers that are true of a request's first body only."""

_CONVERSATIONS = frozenset({"/v1/conversations", "/v1/conversations/*"})

_CREDENTIALS = {"bedrock": "sigv4", "vertex": "adc"}
"""Which of the operator's credentials a request leaves with, by its cloud."""


class Relay:
    """Forwards requests; one per server process."""

    def __init__(
        self,
        current: Current,
        upstream: Upstream,
        steps: Steps,
        metrics: Metrics,
        clouds: Clouds,
    ) -> None:
        settings = current.settings
        proxy = settings.proxy
        self._settings = settings
        self._clouds = clouds
        self._checks_crc = settings.cloud.bedrock_validate_eventstream_crc
        self._region = settings.cloud.bedrock_region
        self._upstream = upstream
        self._steps = steps
        self._metrics = metrics
        self._policies = current
        self._mode = proxy.compression_mode
        self._token = proxy.token
        self._strips_internal = proxy.strip_internal_headers == "enabled"
        self._max_bytes = proxy.max_body_bytes
        self._max_read_bytes = settings.compression_max_body_bytes
        self._too_large_status = proxy.body_too_large_status
        self._max_event_bytes = proxy.sse_buffer_max_bytes
        self._reads_responses = proxy.enable_responses_streaming
        self._passes_conversations = proxy.enable_conversations_passthrough
        self._arrivals = Arrivals()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = self._arrivals.exchange(
            scope["method"],
            scope["raw_path"],
            scope["headers"],
            scope["query_string"],
        )
        run = Run(exchange, send, Incoming(receive, self._max_bytes))
        run.client = scope["client"][0] if scope.get("client") else ""
        self._metrics.began()
        try:
            await self._serve(run, scope["query_string"])
        except ClientGoneError:
            exchange.response_status = exchange.response_status or CLIENT_GONE_STATUS
        except LimitExceededError as error:
            await run.refuse(self._too_large_status, error)
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
            record.write(exchange, run.figures(), self._mode, self._steps.decisions)
            self._metrics.ended(
                exchange.route.label, exchange.response_status, exchange.decision
            )
            if exchange.route.upstream == "bedrock":
                self._metrics.bedrock(
                    exchange.route.path.model,
                    self._region,
                    seconds=time.perf_counter() - run.started,
                    frames=exchange.frames,
                )

    async def _serve(self, run: Run, query: bytes) -> None:
        exchange = run.exchange
        if self._token and not access.has_token(exchange.headers, self._token):
            await run.answer(401, "x-headroom-token is missing or wrong", "bad_token")
            return
        if headers.find(exchange.headers, b"upgrade") is not None:
            # Clients that prefer WebSockets fall back to plain HTTP on this status. The
            # server's parser ends at such a head: what follows could be taken for
            # another request, so the connection ends with the answer.
            await run.answer(
                426, "upgrades are not served here", "no_upgrade", closes=True
            )
            return
        route = exchange.route
        if route.label in _CONVERSATIONS and not self._passes_conversations:
            await run.answer(404, "conversations are not passed here", "not_passed")
            return
        if route.provider == responses.API and not self._reads_responses:
            exchange.reads_streams = exchange.answers_retrievals = False
        if await self._is_refused(run, query):
            return
        target = self._upstream.target(
            exchange.route, exchange.path, query, exchange.headers
        )
        announced = headers.content_length(exchange.headers)
        if announced is not None and announced > self._max_bytes:
            raise LimitExceededError(
                f"the request body is larger than {self._max_bytes} bytes"
            )
        outbound = self._outbound(run)
        await run.incoming.begin()
        started = time.perf_counter()
        body = await self._body(run, announced)
        self._send_headers(run, outbound, body, announced)
        sent = await self._authorised(run, target, outbound.headers, body)
        run.watch()
        run.added_s = time.perf_counter() - started
        self._metrics.added(exchange.route.label, run.added_s)
        try:
            response = await self._upstream.send(exchange.method, target, sent, body)
        except UpstreamError:
            if run.incoming.error is not None:
                raise run.incoming.error from None
            raise
        run.first_byte_s = time.perf_counter() - run.started
        exchange.send_again = partial(self._send_again, run, target, outbound.headers)
        try:
            await self._respond(run, response)
        finally:
            response.close()

    def _outbound(self, run: Run) -> headers.Outbound:
        """The headers to send, as far as the body does not decide about them."""
        exchange = run.exchange
        outbound = headers.for_upstream(
            exchange.headers, exchange.route, strips_internal=self._strips_internal
        )
        exchange.fields["stripped_count"] = outbound.stripped
        if self._policies[exchange.auth_mode].forwards:
            for name, value in headers.forwarded(exchange.headers, run.client):
                headers.put(outbound.headers, name, value)
            if headers.find(exchange.headers, b"x-request-id") is None:
                outbound.headers.append(("x-request-id", exchange.request_id))
        if event_streams.wants_events(exchange):
            headers.put(outbound.headers, "accept", event_streams.FRAMES.decode())
        return outbound

    async def _is_refused(self, run: Run, query: bytes) -> bool:
        """Answer what is not served, and who may not spend the operator's money."""
        exchange = run.exchange
        if refusal := self._clouds.refusal(exchange.route):
            await run.answer(404, refusal, "not_served")
            return True
        run.needs_credentials = needs_credentials(
            exchange.route, exchange.headers, query
        )
        if not run.needs_credentials:
            return False
        if wanted := own_credentials(exchange.route, exchange.method):
            await run.answer(401, wanted, "own_credentials")
            return True
        if not self._token and not access.is_own_host(exchange.headers, self._settings):
            await run.answer(403, "this host or origin may not call Headroom", "origin")
            return True
        return False

    async def _authorised(
        self, run: Run, target: Target, pairs: list[tuple[str, str]], body: Body
    ) -> list[tuple[str, str]]:
        """The headers to send, with the operator's credentials where needed."""
        if not run.needs_credentials:
            return pairs
        exchange = run.exchange
        exchange.fields["credentials"] = _CREDENTIALS[exchange.route.upstream]
        return await self._clouds.authorised(
            exchange.route,
            exchange.method,
            target,
            pairs,
            body if isinstance(body, bytes) else b"",
        )

    async def _send_again(
        self,
        run: Run,
        target: Target,
        first: list[tuple[str, str]],
        body: bytes,
    ) -> UpstreamResponse:
        """Send another body where a request went, with its headers."""
        kept = [pair for pair in first if pair[0] not in _ONCE]
        sent = await self._authorised(run, target, kept, body)
        return await self._upstream.send(run.exchange.method, target, sent, body)

    async def _body(self, run: Run, announced: int | None) -> Body:
        """What to send as body; runs the stages where they may look at it."""
        exchange, incoming = run.exchange, run.incoming
        reason = self._reason_to_pass(exchange, announced)
        if reason is None:
            original = await incoming.read_until(self._max_read_bytes)
            if original is None:
                reason = "body_over_compression_cap"
            else:
                started = time.perf_counter()
                await self._run_stages(run, original)
                run.stages_s = time.perf_counter() - started
                return exchange.forwarded_body()
        exchange.pass_through(reason)
        if run.needs_credentials and exchange.route.upstream == "bedrock":
            # What is signed is known in full before its first byte leaves.
            await incoming.read_until(self._max_bytes)
        if incoming.is_complete:
            return incoming.whole()
        return incoming.stream()

    def _reason_to_pass(self, exchange: Exchange, announced: int | None) -> str | None:
        """Why the body is not read; ``None`` if it is."""
        if exchange.method != "POST":
            return "not_intercepted"
        if exchange.route.provider and not headers.is_json(
            exchange.headers, is_assumed=exchange.route.upstream == "bedrock"
        ):
            return "not_json_content"
        return self._steps.reason_to_pass(exchange, announced)

    async def _run_stages(self, run: Run, original: bytes) -> None:
        exchange = run.exchange
        applied = encodings.names(headers.find(exchange.headers, b"content-encoding"))
        received = original
        exchange.set_body(original, received)
        if applied:
            try:
                received = await asyncio.to_thread(
                    encodings.decode, original, applied, self._max_bytes
                )
            except MalformedBodyError as error:
                exchange.pass_through(error.reason)
                return
            exchange.set_body(original, received)
            if len(received) > self._max_read_bytes:
                exchange.pass_through("body_over_compression_cap")
                return
        await self._steps.on_request(exchange)

    def _send_headers(
        self,
        run: Run,
        outbound: headers.Outbound,
        body: Body,
        announced: int | None,
    ) -> None:
        """Make the headers fit the body; log what leaves."""
        exchange = run.exchange
        if exchange.dropped_headers:
            outbound.headers = [
                pair
                for pair in outbound.headers
                if pair[0] not in exchange.dropped_headers
            ]
        for name, value in exchange.set_headers.items():
            headers.put(outbound.headers, name, value)
        if exchange.is_mutated:
            outbound.headers = [
                pair for pair in outbound.headers if pair[0] != "content-encoding"
            ]
        if isinstance(body, bytes):
            run.body_bytes_out = len(body)
        elif announced is not None:
            outbound.headers.append(("content-length", str(announced)))
        record.outbound(exchange, run.figures())

    async def _respond(self, run: Run, response: UpstreamResponse) -> None:
        """Pass the response on, chunk by chunk."""
        exchange = run.exchange
        exchange.response_status = response.status
        exchange.response_headers = [
            (name.lower(), value) for name, value in response.headers
        ]
        chunks = self._steps.on_response(exchange, _chunks(response))
        if event_streams.is_frames(exchange) and event_streams.wants_events(exchange):
            chunks = event_streams.as_events(
                exchange,
                _chunks(response) if chunks is None else chunks,
                checks_crc=self._checks_crc,
            )
        try:
            if chunks is not None:
                await self._send_changed(run, chunks)
            else:
                await run.start(is_transformed=False)
                tee = self._make_tee(exchange)
                with Closing(exchange, tee):
                    await pass_chunks(run, response, tee)
        finally:
            self._steps.count_retrievals(exchange)
        await self._steps.on_end(exchange)

    def _make_tee(self, exchange: Exchange) -> Tee | None:
        return make_tee(exchange, self._max_event_bytes, checks_crc=self._checks_crc)

    async def _send_changed(self, run: Run, chunks: AsyncIterator[bytes]) -> None:
        """Pass on what a stage makes of the response."""
        exchange = run.exchange
        try:
            first = await anext(chunks, b"") if exchange.holds_head else b""
            exchange.holds_head = False
            await run.start(is_transformed=True)
            tee = self._make_tee(exchange)
            with Closing(exchange, tee):
                if first:
                    await run.send_chunk(first, tee)
                async for chunk in chunks:
                    await run.send_chunk(chunk, tee)
                await run.send_end(tee)
        finally:
            # A client that leaves takes all that runs for it along.
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        exchange.usage = exchange.billed or exchange.usage


async def _chunks(response: UpstreamResponse) -> AsyncIterator[bytes]:
    while True:
        chunk = await response.read_some()
        if chunk:
            yield chunk
        if response.is_complete:
            return

"""Relays WebSockets to the provider that their handshake is for.

One task per direction and connection; each waits where the other side does not read, so
that nothing piles up. Messages pass byte for byte, text as text and binary as binary;
closes pass with code and reason, and a connection that breaks on one side is broken on
the other. A handshake that the provider refuses is refused with its answer.

What always holds: credentials go to the provider that issued them and nowhere else; a
side that is gone takes the other along.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Set
from contextlib import suppress
from typing import Any, Protocol

from headroom.errors import RequestError, UpstreamError, UpstreamTimeoutError
from headroom.proxy import access, headers, record, replies
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.betas import HEADERS as BETAS
from headroom.proxy.bodies import ClientGoneError
from headroom.proxy.clouds import needs_credentials
from headroom.proxy.endpoints import is_own
from headroom.proxy.exchange import Exchange, log
from headroom.proxy.metrics import Metrics
from headroom.proxy.replies import Receive, Scope, Send
from headroom.proxy.routes import Headers
from headroom.proxy.run import CLIENT_GONE_STATUS, upstream_status
from headroom.proxy.stages.betas import BetaStage
from headroom.proxy.steps import Steps
from headroom.proxy.upstream import Upstream
from headroom.proxy.websocket import responses
from headroom.proxy.websocket.client import RESTARTING, ClientSocket, Draining
from headroom.proxy.websocket.provider import (
    BROKEN,
    Closed,
    HandshakeRefusedError,
    Message,
    ProviderSocket,
    ProviderSockets,
)
from headroom.proxy.websocket.responses import Desk, ResponsesTraffic
from headroom.settings import Settings

SWITCHING = 101

_HANDSHAKE = b"sec-websocket-"
_BETA = "openai-beta"
_SOCKETS_BETA = "responses_websockets=2026-02-06"
_OPENAI_KEY = "openai-insecure-api-key."
"""Browsers can send no header with a handshake; OpenAI takes their key like this."""


class Traffic(Protocol):
    """What is done with the messages of one connection."""

    @property
    def is_idle(self) -> bool:
        """Whether the connection can be ended without cutting anything off."""
        ...

    async def on_client(self, message: Message) -> None:
        """Deal with a message of the client.

        Raises:
            UpstreamError: the provider cannot be reached any more.
        """
        ...

    async def on_provider(self, message: Message) -> None:
        """Deal with a message of the provider.

        Raises:
            ClientGoneError: the client has left.
        """
        ...

    def close(self, *, is_client_gone: bool) -> None:
        """The connection has ended."""
        ...


class Passing:
    """Every message as it is; nothing is known of what it means."""

    is_idle = True

    def __init__(self, client: ClientSocket, provider: ProviderSocket) -> None:
        self._client = client
        self._provider = provider

    async def on_client(self, message: Message) -> None:
        """Pass it on."""
        await self._provider.send(message)

    async def on_provider(self, message: Message) -> None:
        """Pass it on."""
        await self._client.send(message)

    def close(self, *, is_client_gone: bool) -> None:
        """Nothing is left to do."""


class WebSocketRelay:
    """Relays WebSockets; one per server process."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        sockets: ProviderSockets,
        steps: Steps,
        metrics: Metrics,
        *,
        keeps_state: Callable[[], bool],
    ) -> None:
        """Relay what arrives.

        Args:
            settings: all of them.
            upstream: where things go.
            sockets: opens the provider's side.
            steps: the stages.
            metrics: figures to add to.
            keeps_state: whether what is decided here is found again later, and
                elsewhere.
        """
        self._settings = settings
        self._upstream = upstream
        self._sockets = sockets
        self._steps = steps
        self._metrics = metrics
        self._keeps_state = keeps_state
        self._betas = steps.stage(BetaStage)
        self._mode = settings.proxy.compression_mode
        self._token = settings.proxy.token
        self._strips_internal = settings.proxy.strip_internal_headers == "enabled"
        self._arrivals = Arrivals()
        self._desk = Desk(self._arrivals, steps, metrics, self._mode)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, from its handshake to its end."""
        exchange = self._arrivals.exchange(
            "GET", scope["raw_path"], scope["headers"], scope["query_string"]
        )
        client = ClientSocket(receive, send)
        await client.begin()
        if is_own(scope["path"]):
            is_allowed = access.is_own_host(exchange.headers, self._settings)
            error = RequestError("nothing of Headroom's own is a WebSocket")
            await _refuse(exchange, client, 426 if is_allowed else 403, error)
            return
        provider = await self._open(exchange, client, scope)
        if provider is not None:
            traffic = self._traffic(exchange, client, provider)
            connection = _Connection(client, provider, traffic)
            self._metrics.websocket_opened()
            try:
                await connection.run()
            finally:
                self._metrics.websocket_closed()
                connection.record(exchange)

    def _is_read(self, exchange: Exchange) -> bool:
        """Whether there are requests in the messages that the stages look at."""
        is_ours = exchange.route.provider == responses.PROVIDER
        return is_ours and self._steps.reason_to_pass(exchange, None) is None

    def _traffic(
        self, exchange: Exchange, client: ClientSocket, provider: ProviderSocket
    ) -> Traffic:
        if self._is_read(exchange):
            return ResponsesTraffic(client, provider, exchange, self._desk)
        return Passing(client, provider)

    async def _open(
        self, exchange: Exchange, client: ClientSocket, scope: Scope
    ) -> ProviderSocket | None:
        """Shake hands on both sides; ``None`` if that was refused."""
        started = time.perf_counter()
        self._metrics.began()
        try:
            return await self._shake_hands(exchange, client, scope)
        except HandshakeRefusedError as refused:
            exchange.response_status = refused.status
            exchange.response_headers = refused.headers
            if self._betas is not None:
                self._betas.refused(exchange)
            kept = headers.for_client(refused.headers)
            kept += record.response_headers(exchange)
            with suppress(ClientGoneError):
                await client.refuse(refused.status, kept, refused.body)
        except ClientGoneError:
            exchange.response_status = CLIENT_GONE_STATUS
        except RequestError as error:
            await _refuse(exchange, client, 400, error)
        except UpstreamError as error:
            self._metrics.upstream_error(error.code)
            await _refuse(exchange, client, upstream_status(error), error)
        finally:
            total_ms = (time.perf_counter() - started) * 1000
            figures = _figures(total_ms)
            record.write(exchange, figures, self._mode, self._steps.decisions)
            self._metrics.ended(
                exchange.route.label, exchange.response_status, exchange.decision
            )
        return None

    async def _shake_hands(
        self, exchange: Exchange, client: ClientSocket, scope: Scope
    ) -> ProviderSocket | None:
        if self._token and not access.has_token(exchange.headers, self._token):
            error = RequestError("x-headroom-token is missing or wrong")
            await _refuse(exchange, client, 401, error, code="bad_token")
            return None
        if self._is_read(exchange) and not self._keeps_state():
            # What goes on from an answer could not be told from what begins; over HTTP
            # the client sends everything, and falls back to it on this status.
            error = RequestError("WebSockets are not served while the ledger is down")
            await _refuse(exchange, client, 426, error, code="no_state")
            return None
        route = exchange.route
        if route.refusal or needs_credentials(
            route, exchange.headers, scope["query_string"]
        ):
            # Handshakes are not signed, and nothing goes to a cloud unsigned.
            error = RequestError("WebSockets are not served under this path")
            await _refuse(exchange, client, 404, error, code="not_served")
            return None
        target = self._upstream.target(
            route, exchange.path, scope["query_string"], exchange.headers
        )
        outbound = headers.for_upstream(
            exchange.headers, route, strips_internal=self._strips_internal
        )
        exchange.fields["stripped_count"] = outbound.stripped
        sent = [pair for pair in outbound.headers if not _is_handshakes(pair[0])]
        if self._betas is not None and (kept := self._betas.of_handshake(exchange)):
            headers.put(sent, BETAS[route.api].decode(), kept)
        if route.provider == responses.PROVIDER:
            sent = _with_beta(sent, exchange.auth_mode)
        offered = [
            name
            for name in scope["subprotocols"]
            if route.api == "openai" or not name.startswith(_OPENAI_KEY)
        ]
        record.outbound(exchange, _figures(0.0))
        opening = self._sockets.open(target, sent, offered)
        provider = await _unless_gone(client, opening)
        exchange.response_status = SWITCHING
        exchange.response_headers = provider.headers
        answered: Headers = [
            pair
            for pair in headers.for_client(provider.headers)
            if not pair[0].startswith(_HANDSHAKE)
        ]
        try:
            await client.accept(
                provider.subprotocol, answered + record.response_headers(exchange)
            )
        except ClientGoneError:
            await provider.close(Closed(BROKEN))
            raise
        return provider


class _Connection:
    """Two open sockets and what passes between them."""

    def __init__(
        self, client: ClientSocket, provider: ProviderSocket, traffic: Traffic
    ) -> None:
        self._client = client
        self._provider = provider
        self._traffic = traffic
        self._is_draining = False
        self._started = time.perf_counter()
        self._ended_by = ""
        self._end = Closed(BROKEN)
        self._counts = {"messages_in": 0, "bytes_in": 0}
        self._counts |= {"messages_out": 0, "bytes_out": 0}

    async def run(self) -> None:
        """Pump until one side ends, then end the other the same way."""
        pumps = {
            asyncio.create_task(self._from_client()),
            asyncio.create_task(self._from_provider()),
        }
        try:
            while pumps and not self._ended_by:
                done, pumps = await asyncio.wait(
                    pumps, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            await _cancel(pumps)
            self._traffic.close(is_client_gone=self._ended_by == "client")
            await self._close()

    async def _from_client(self) -> None:
        """Client to provider; returns when the client or the provider has ended."""
        while True:
            found = await self._client.receive()
            if isinstance(found, Closed):
                self._ended("client", found)
                return
            if isinstance(found, Draining):
                self._is_draining = True
                if self._traffic.is_idle:
                    self._ended("server", RESTARTING)
                    return
                continue
            self._count("in", found)
            try:
                await self._traffic.on_client(found)
            except UpstreamTimeoutError:
                self._ended("provider", Closed(BROKEN))
                return
            except UpstreamError:
                # How the provider ended its side is told where it is listened to.
                return

    async def _from_provider(self) -> None:
        """Provider to client; returns when the provider or the client has ended."""
        while True:
            found = await self._provider.receive()
            if isinstance(found, Closed):
                self._ended("provider", found)
                return
            self._count("out", found)
            try:
                await self._traffic.on_provider(found)
            except ClientGoneError:
                self._ended("client", Closed(BROKEN))
                return
            if self._is_draining and self._traffic.is_idle:
                self._ended("server", RESTARTING)
                return

    def _ended(self, by: str, how: Closed) -> None:
        if not self._ended_by:
            self._ended_by, self._end = by, how

    async def _close(self) -> None:
        """End both sides, the one that did not begin it first."""
        if self._ended_by != "client":
            with suppress(ClientGoneError):
                await self._client.close(self._end)
        is_ours = self._ended_by == "server"
        await self._provider.close(Closed(BROKEN) if is_ours else self._end)

    def _count(self, way: str, message: Message) -> None:
        self._counts[f"messages_{way}"] += 1
        self._counts[f"bytes_{way}"] += len(message)

    def record(self, exchange: Exchange) -> None:
        """Log how the connection went: counts and the close code, no content."""
        log.info(
            "websocket_closed",
            extra={
                "request_id": exchange.request_id,
                "path": exchange.route.label,
                "ended_by": self._ended_by or "server",
                "close_code": self._end.code,
                "seconds": round(time.perf_counter() - self._started, 3),
                **self._counts,
            },
        )


async def _unless_gone(
    client: ClientSocket, opening: Coroutine[Any, Any, ProviderSocket]
) -> ProviderSocket:
    """The opened socket, unless the client leaves before.

    Raises:
        ClientGoneError: it has; nothing is open.
    """
    connecting = asyncio.create_task(opening)
    leaving = asyncio.create_task(client.receive())
    try:
        await asyncio.wait({connecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            return await connecting
    finally:
        await _cancel({leaving})
        if leaving.done() and not leaving.cancelled():
            await _cancel({connecting})
    raise ClientGoneError("the client left during the handshake")


async def _cancel(tasks: Set["asyncio.Task[Any]"]) -> None:
    """End tasks of any result and wait until they have."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _refuse(
    exchange: Exchange,
    client: ClientSocket,
    status: int,
    error: RequestError | UpstreamError,
    *,
    code: str = "",
) -> None:
    """Refuse a handshake in the provider's error shape."""
    exchange.response_status = status
    exchange.fields["error"] = code or error.code
    body = replies.error_body(
        exchange.route.api, status, str(error), code or error.code
    )
    found = [
        (b"content-type", b"application/json"),
        *record.response_headers(exchange),
        (b"x-headroom-error", (code or error.code).encode()),
    ]
    with suppress(ClientGoneError):
        await client.refuse(status, found, body)


def _figures(total_ms: float) -> record.Figures:
    return record.Figures(0, 0, 0, 0.0, 0.0, total_ms, total_ms)


def _with_beta(sent: list[tuple[str, str]], auth_mode: str) -> list[tuple[str, str]]:
    """The headers with the beta that the Responses API's sockets once began as.

    A subscription's are left: it is told by what its client sends.
    """
    if auth_mode == "subscription":
        return sent
    given = ",".join(value for name, value in sent if name == _BETA)
    merged = headers.merged_tokens(given, (_SOCKETS_BETA,))
    kept = [pair for pair in sent if pair[0] != _BETA]
    return [*kept, (_BETA, merged)]


def _is_handshakes(name: str) -> bool:
    """Whether a header belongs to the handshake of one side alone."""
    return name.startswith(_HANDSHAKE.decode())

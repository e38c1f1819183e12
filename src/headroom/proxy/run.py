"""The client's side of one request: what it was sent, and whether it is still there.

Shared by whoever relays: the proxy, and the broker in front of many backends.

What always holds: a response that has begun is never ended as if it were complete when
it is not, nor answered a second time.
"""

import asyncio
import time

from headroom.errors import RequestError, UpstreamError, UpstreamTimeoutError
from headroom.proxy import headers, record, replies
from headroom.proxy.bodies import Incoming
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.replies import Send
from headroom.proxy.routes import Headers
from headroom.proxy.tee import Tee
from headroom.proxy.upstream import UpstreamResponse

CLIENT_GONE_STATUS = 499
"""In records and metrics only: the client left before it was answered."""

_NO_CONTENT = frozenset({204, 304})


class Closing:
    """Around the passing of a response: what was read along is written down."""

    __slots__ = ("_exchange", "_tee")

    def __init__(self, exchange: Exchange, tee: Tee | None) -> None:
        self._exchange = exchange
        self._tee = tee

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._tee is not None:
            with Guard(self._exchange, "observe"):
                self._tee.close(self._exchange)


class Run:
    """The moving parts of one exchange: what was sent to the client, the watcher."""

    __slots__ = (
        "_is_finished",
        "_send",
        "_task",
        "_watcher",
        "added_s",
        "body_bytes_out",
        "client",
        "exchange",
        "first_byte_s",
        "incoming",
        "is_client_gone",
        "is_started",
        "needs_credentials",
        "response_bytes",
        "stages_s",
        "started",
    )

    def __init__(self, exchange: Exchange, send: Send, incoming: Incoming) -> None:
        self.exchange = exchange
        self.incoming = incoming
        self.client = ""
        self.started = time.perf_counter()
        self.added_s = self.stages_s = self.first_byte_s = 0.0
        self.body_bytes_out = -1
        self.response_bytes = 0
        self.is_started = False
        self.needs_credentials = False
        self.is_client_gone = False
        self._is_finished = False
        self._send = send
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Cancel this exchange when the client leaves.

        The server's ``send`` does nothing after a disconnect, so without this the
        provider would go on generating for nobody.
        """
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self.incoming.wait_for_disconnect()
        if not self._is_finished and self._task is not None:
            self.is_client_gone = True
            self._task.cancel()

    def close(self) -> None:
        """The exchange is over."""
        self._is_finished = True
        if self._watcher is not None:
            self._watcher.cancel()
        # What refers to itself waits long for the collector.
        self._watcher = self._task = None

    def figures(self) -> record.Figures:
        """What the record tells beside the exchange's own fields."""
        return record.Figures(
            body_bytes_in=self.incoming.size_bytes,
            body_bytes_out=(
                self.incoming.size_bytes
                if self.body_bytes_out < 0
                else self.body_bytes_out
            ),
            response_bytes=self.response_bytes,
            added_ms=self.added_s * 1000,
            stages_ms=self.stages_s * 1000,
            first_byte_ms=self.first_byte_s * 1000,
            total_ms=(time.perf_counter() - self.started) * 1000,
        )

    async def start(self, *, is_transformed: bool) -> None:
        """Send status and headers."""
        exchange = self.exchange
        status = exchange.response_status
        kept = headers.for_client(exchange.response_headers)
        if is_transformed or status in _NO_CONTENT:
            kept = [pair for pair in kept if pair[0] != b"content-length"]
        kept += record.response_headers(exchange)
        self.is_started = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": kept}
        )

    async def send_chunk(
        self, chunk: bytes, tee: Tee | None, *, is_last: bool = False
    ) -> None:
        """Send bytes to the client and let them be read."""
        self._is_finished = is_last
        reads_first = tee is not None and tee.reads_first
        if reads_first:
            self._read_along(chunk, tee, is_last=is_last)
        await self._send(
            {"type": "http.response.body", "body": chunk, "more_body": not is_last}
        )
        self.response_bytes += len(chunk)
        if not reads_first:
            self._read_along(chunk, tee)

    def _read_along(
        self, chunk: bytes, tee: Tee | None, *, is_last: bool = False
    ) -> None:
        if tee is not None:
            with Guard(self.exchange, "observe"):
                tee.feed(chunk)
                if is_last:
                    tee.finish()

    async def send_end(self, tee: Tee | None) -> None:
        """Tell the client that its response is complete."""
        self._is_finished = True
        self._read_along(b"", tee, is_last=True)
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, status: int, error: RequestError | UpstreamError) -> None:
        """Answer with an error, or break the response off if it has begun."""
        self.exchange.fields["error"] = error.code
        if self.is_started:
            # Returning without the end of the body makes the server cut the connection.
            return
        await self.answer(status, str(error), error.code)

    async def answer(
        self,
        status: int,
        message: str,
        code: str,
        *,
        closes: bool = False,
        more: Headers | None = None,
    ) -> None:
        """Answer in the provider's error shape."""
        exchange = self.exchange
        exchange.response_status = status
        exchange.fields.setdefault("error", code)
        body = replies.error_body(exchange.route.api, status, message, code)
        self.is_started = True
        self._is_finished = True
        extra = [
            *record.response_headers(exchange),
            (b"x-headroom-error", code.encode()),
            *(more or []),
        ]
        if closes:
            extra.append((b"connection", b"close"))
        await replies.send_bytes(self._send, status, body, extra)


async def pass_chunks(run: Run, response: UpstreamResponse, tee: Tee | None) -> None:
    """The common case: every chunk as it is."""
    while True:
        chunk = await response.read_some()
        if response.is_complete:
            await run.send_chunk(chunk, tee, is_last=True)
            return
        if chunk:
            await run.send_chunk(chunk, tee)


def upstream_status(error: UpstreamError) -> int:
    """The status that tells a client of a failure to reach the provider."""
    return 504 if isinstance(error, UpstreamTimeoutError) else 502

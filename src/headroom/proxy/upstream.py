"""The HTTP client: one pool of connections to the providers.

What aiohttp would add, change or lose is switched off: no automatic headers, no
decompression, no cookies, no redirects, no re-quoting of paths. Responses come as raw
chunks as they arrive. There is no limit on how long an exchange may last; only silence
and connecting are timed.

A request is sent a second time only if it went into a pooled connection that the
provider had already given up: the connection was used before, not one byte of an answer
came, and the body can be sent again.
"""

import re
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
from msgspec import Struct
from yarl import URL

from headroom.errors import (
    RequestError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from headroom.proxy import access, headers
from headroom.proxy.routes import Headers, Route
from headroom.settings import CloudSettings, UpstreamSettings

Body = bytes | AsyncIterator[bytes] | None

_SKIPPED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# Beyond this a body is handed over in slices, so that sending it never blocks the loop.
_SLICE_BYTES = 256 * 1024
_MAX_HEADER_BYTES = 64 * 1024
_PROBE_TIMEOUT_S = 5.0
_DNS_TTL_S = 60
_VERSION = re.compile(r"(?<=[^/]/)v\d+(?:alpha|beta)?(?=/|$)")
"""A version in a base URL: paths then go without the one that clients prepend."""


class _Attempt:
    """What is learned about the connection that one request is sent on."""

    __slots__ = ("is_reused",)

    def __init__(self) -> None:
        self.is_reused = False


_attempt: ContextVar[_Attempt] = ContextVar("headroom_upstream_attempt")


class _Connector(aiohttp.TCPConnector):
    """Tells whether a request goes into a connection that was used before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[Any] = WeakSet()

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        connection = await super().connect(*args, **kwargs)
        attempt = _attempt.get(None)
        if attempt is not None:
            protocol = connection.protocol
            attempt.is_reused = protocol in self._used
            self._used.add(protocol)
        return connection


class UpstreamResponse:
    """One response: its head, then its chunks as they come."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = list(response.raw_headers)

    async def read_some(self) -> bytes:
        """The bytes that have arrived; waits for at least one, empty at the end.

        Raises:
            UpstreamTimeoutError: the provider fell silent.
            UpstreamUnreachableError: the connection broke before the end.
        """
        try:
            return await self._response.content.readany()
        except TimeoutError as error:
            raise UpstreamTimeoutError("the provider fell silent") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachableError(_reason(error)) from error

    @property
    def is_complete(self) -> bool:
        """Whether all bytes have been read."""
        return self._response.content.at_eof()

    def close(self) -> None:
        """Give the connection back; cut it if the response is not complete."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Target(Struct, frozen=True, gc=False):
    """Where one request goes.

    Attributes:
        is_chosen: the client chose the host.
    """

    base: str
    path: bytes
    query: bytes
    is_chosen: bool = False

    def url(self) -> URL:
        """The URL, with path and query as the client wrote them."""
        base, path = self.base, self.path.decode("ascii")
        if path.startswith("/v1/") and _VERSION.search(base):
            path = path[3:]  # a base URL as the OpenAI SDK takes it
        tail = f"?{self.query.decode('ascii')}" if self.query else ""
        return URL(f"{base}{path}{tail}", encoded=True)


def _unless_openais(url: str) -> str:
    return "" if URL(url).host == "api.openai.com" else url


class Upstream:
    """The pool; made inside a running loop, closed at the end."""

    def __init__(
        self, settings: UpstreamSettings, clouds: CloudSettings | None = None
    ) -> None:
        self._clouds = clouds = clouds or CloudSettings()
        self._bases: dict[str, str] = {
            "anthropic": settings.anthropic_url,
            "openai": settings.openai_url,
            "gemini": settings.gemini_url,
            "chatgpt": settings.chatgpt_url,
            "copilot": settings.copilot_url,
            # OpenAI's own API must not get keys that Azure issued.
            "azure": settings.azure_url or _unless_openais(settings.openai_url),
            "bedrock": clouds.bedrock_endpoint or bedrock_url(clouds.bedrock_region),
        }
        self._allowlist = settings.base_url_allowlist
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,
                keepalive_timeout=settings.keep_alive_s,
                ttl_dns_cache=_DNS_TTL_S,
            ),
            **session_options(settings),
        )

    def target(
        self, route: Route, path: bytes, query: bytes, request: Headers
    ) -> Target:
        """Where a request goes: the client's own choice if the operator allows it.

        Args:
            route: whose base URL is meant, and which path there.
            path: as received.
            query: as received.
            request: its headers.

        Raises:
            RequestError: that is no place to go, or not allowed.
        """
        if not path.startswith(b"/"):
            raise RequestError("the request target is no path")
        if not query.isascii():
            raise RequestError("the query is not percent-encoded")
        given = headers.find(request, b"x-headroom-base-url")
        if given is None:
            return Target(self._base(route), route.upstream_path or path, query)
        base = access.checked_base_url(given, self._allowlist)
        return Target(base, path, query, is_chosen=True)

    def _base(self, route: Route) -> str:
        if route.upstream != "vertex":
            base = self._bases[route.upstream or route.api]
            if not base:
                raise RequestError("for Azure OpenAI, set HEADROOM_AZURE_URL")
            return base
        clouds = self._clouds
        location = route.location or clouds.vertex_region
        return clouds.vertex_endpoint or vertex_url(location)

    async def send(
        self, method: str, target: Target, headers: list[tuple[str, str]], body: Body
    ) -> UpstreamResponse:
        """Send a request and wait for the head of its answer.

        Args:
            method: as received.
            target: where to.
            headers: what to send; with a streamed body also its length, if known.
            body: the bytes, or an iterator that is used once.

        Raises:
            UpstreamTimeoutError: connecting took too long, or no answer came.
            UpstreamUnreachableError: no connection, or it broke before an answer.
        """
        attempt = _Attempt()
        _attempt.set(attempt)
        for is_last in (False, True):
            try:
                return await self._send_once(method, target, headers, body)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                is_stale = attempt.is_reused and _is_unanswered(error)
                if is_last or not is_stale or not isinstance(body, bytes | None):
                    raise failure(error) from error
        raise AssertionError("unreachable")

    async def _send_once(
        self, method: str, target: Target, headers: list[tuple[str, str]], body: Body
    ) -> UpstreamResponse:
        data: Any = body
        if isinstance(body, bytes):
            if len(body) > _SLICE_BYTES:
                headers = [*headers, ("content-length", str(len(body)))]
                data = _slices(body)
            elif not body:
                data = None
        response = await self._session.request(
            method, target.url(), headers=headers, data=data, allow_redirects=False
        )
        return UpstreamResponse(response)

    async def is_reachable(self, base: str) -> bool:
        """Whether anything at all answers at a base URL."""
        timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
        try:
            async with self._session.head(
                URL(base + "/", encoded=True), timeout=timeout, allow_redirects=False
            ):
                return True
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def bedrock_url(region: str) -> str:
    """The base URL of Bedrock's runtime in a region, whose name was validated."""
    suffix = ".com.cn" if region.startswith("cn-") else ".com"
    return f"https://bedrock-runtime.{region}.amazonaws{suffix}"


def vertex_url(location: str) -> str:
    """The base URL of Vertex AI in a location, whose name was validated."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in {"us", "eu"}:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def session_options(settings: UpstreamSettings) -> dict[str, Any]:
    """What every session of aiohttp is made with: nothing is added or changed."""
    return {
        "timeout": aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_timeout_s,
            sock_connect=settings.connect_timeout_s,
            sock_read=settings.idle_timeout_s,
        ),
        "auto_decompress": False,
        "cookie_jar": aiohttp.DummyCookieJar(),
        "skip_auto_headers": _SKIPPED,
        "max_line_size": _MAX_HEADER_BYTES,
        "max_field_size": _MAX_HEADER_BYTES,
    }


def failure(error: Exception) -> UpstreamError:
    """What a failure of aiohttp means to us."""
    if isinstance(error, TimeoutError):
        return UpstreamTimeoutError(_reason(error))
    return UpstreamUnreachableError(_reason(error))


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _SLICE_BYTES):
        yield body[start : start + _SLICE_BYTES]


def _is_unanswered(error: Exception) -> bool:
    """Whether the connection ended without one byte of an answer."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return error.message == "Server disconnected"
    return isinstance(error, aiohttp.ClientOSError) and not isinstance(
        error, aiohttp.ClientConnectorError
    )


def _reason(error: BaseException) -> str:
    """What went wrong, without URLs or header values."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}"
    cause = getattr(error, "strerror", None) or type(error).__name__
    return str(cause)

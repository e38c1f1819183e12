"""``with_headroom``: an Anthropic or OpenAI SDK client whose requests are compressed.

Works at the SDKs' own seam, the HTTP client they are given: the copy of the client that
is returned sends through a transport that asks a ``Session`` what to send, answers the
model's retrievals, and hands everything on through the HTTP client of the original.
Proxies, certificates, limits, hooks and retries stay what they were.

The SDKs stand on ``httpx`` or ``httpx2``, which have the same interface; which one is
taken from the client, so that neither is imported here.

What always holds: a request that is none of the three APIs', or that cannot be read,
leaves as it came; errors of the provider and of the connection reach the SDK unchanged.

Sources: https://www.python-httpx.org/advanced/transports/,
https://github.com/openai/openai-python#configuring-the-http-client,
https://github.com/anthropics/anthropic-sdk-python#configuring-the-http-client.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, cast

from headroom.integrations.answering import Answering
from headroom.providers.credentials import classify
from headroom.providers.endings import api_by_end
from headroom.session import Api, Forwarded, Session

_STREAM = "text/event-stream"
_JSON = "application/json"
_LIBRARIES = frozenset({"httpx", "httpx2"})
_SIGNED = "aws4-"
"""A body whose signature stands in the headers cannot be changed any more."""

# Messages of either library: the two have the same interface and no common type.
_Request = Any
_Response = Any


class _SdkClient(Protocol):
    """What the clients of both SDKs have."""

    def copy(self, *, http_client: Any) -> Any:  # the SDK's own class
        """The same client with other options."""
        ...


Client = TypeVar("Client", bound=_SdkClient)


def with_headroom(client: Client, *, session: Session | None = None) -> Client:
    """A copy of an SDK's client whose requests are compressed.

    Args:
        client: ``Anthropic``, ``AsyncAnthropic``, ``OpenAI`` or ``AsyncOpenAI``. It
            stays as it is, and shares its connections with the copy.
        session: what remembers conversations. Without one they live in memory, and
            parts may be left out where requests have tools: ours is added, and the
            model's calls of it are answered before the program sees the answer. A
            session of one's own wants ``retrieval="tool"`` for that.

    Raises:
        TypeError: it is no such client.
    """
    inner: Any = getattr(client, "_client", None)  # of either library
    library = _library_of(inner)
    if library is None or not hasattr(client, "copy"):
        raise TypeError(
            "with_headroom: expected a client of the Anthropic or OpenAI SDK,"
            f" found {type(client).__name__}"
        )
    session = session or Session(retrieval="tool")
    is_async = isinstance(inner, library.AsyncClient)
    kind = _AsyncTransport if is_async else _SyncTransport
    # The SDKs look at the class, and the library at its streams' class.
    transport = kind(library, inner, session)
    outer = library.AsyncClient if is_async else library.Client
    made = outer(transport=transport, follow_redirects=True, timeout=inner.timeout)
    return cast("Client", client.copy(http_client=made))


def _library_of(inner: object) -> ModuleType | None:
    """The HTTP library that an SDK's HTTP client comes from."""
    for base in type(inner).__mro__:
        name = base.__module__.partition(".")[0]
        if name in _LIBRARIES:
            return import_module(name)
    return None


class _Transport:
    """What both transports share: reading requests, telling answers apart."""

    def __init__(self, library: ModuleType, inner: Any, session: Session) -> None:
        self._library = library
        self._inner = inner
        self._session = session

    @staticmethod
    def _api(request: _Request) -> Api | Literal[""]:
        headers = request.headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method != "POST" or kind != _JSON or "content-encoding" in headers:
            return ""
        if headers.get("authorization", "").lower().startswith(_SIGNED):
            return ""
        path = request.url.raw_path.partition(b"?")[0]
        return cast("Api", api_by_end(path))

    def _forward(self, api: Api, request: _Request, body: bytes) -> Forwarded:
        lower = [(name.lower(), value) for name, value in request.headers.raw]
        mode = classify(lower).mode
        return self._session.forward(api, body, auth_mode=mode)

    def _changed(self, request: _Request, forwarded: Forwarded) -> _Request:
        if not forwarded.reasons:
            return request
        return self._with_body(request, forwarded.body, bool(forwarded.own_tools))

    def _with_body(self, request: _Request, body: bytes, must_read: bool) -> _Request:
        left_out = {"content-length", "transfer-encoding"}
        if must_read:
            left_out.add("accept-encoding")
        headers = [
            (name, value)
            for name, value in request.headers.multi_items()
            if name.lower() not in left_out
        ]
        if must_read:
            headers.append(("accept-encoding", "identity"))
        return self._library.Request(
            request.method,
            request.url,
            headers=headers,
            content=body,
            extensions=request.extensions,
        )

    def _answering(
        self, api: Api, forwarded: Forwarded, response: _Response
    ) -> tuple[Answering | None, bool]:
        """What reads the answer along, if anything does; whether it is a stream."""
        kind = response.headers.get("content-type", "").partition(";")[0]
        kind = kind.strip().lower()
        is_read = forwarded.own_tools or forwarded.note_reply is not None
        is_stream = kind == _STREAM
        if not is_read or response.status_code != 200 or kind not in {_STREAM, _JSON}:
            return None, is_stream
        return (
            Answering(self._session, api, forwarded, is_stream=is_stream),
            is_stream,
        )

    def _made(self, response: _Response, **content: Any) -> _Response:
        """The same response with other content, already decoded."""
        left_out = {"content-length", "content-encoding", "transfer-encoding"}
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in left_out
        ]
        return self._library.Response(
            response.status_code,
            headers=headers,
            extensions={
                name: value
                for name, value in response.extensions.items()
                if name != "network_stream"
            },
            **content,
        )


class _SyncTransport(_Transport):
    """A transport for ``httpx.Client``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, which the original client has too."""
        self._inner.close()

    def handle_request(self, request: _Request) -> _Response:
        """Send one request; its answer with retrievals answered."""
        api = self._api(request)
        if not api:
            return self._send(request)
        forwarded = self._forward(api, request, request.read())
        response = self._send(self._changed(request, forwarded))
        answering, is_stream = self._answering(api, forwarded, response)
        if answering is None:
            return response

        def again(body: bytes) -> _Response:
            return self._send(self._with_body(request, body, must_read=True))

        if is_stream:
            base = self._library.SyncByteStream
            kind = type("HeadroomStream", (_SyncStream, base), {})
            return self._made(response, stream=kind(response, answering, again))
        pieces: list[bytes] = []
        while True:
            pieces += [answering.feed(response.read()), answering.end()]
            body = answering.next_body()
            if body is None:
                break
            response = again(body)
            if response.status_code != 200:
                return response
        pieces.append(answering.finish())
        return self._made(response, content=b"".join(pieces))

    def _send(self, request: _Request) -> _Response:
        return self._inner.send(request, stream=True)


class _SyncStream:
    """The bytes of one streamed answer, rounds joined."""

    def __init__(
        self,
        response: _Response,
        answering: Answering,
        again: Callable[[bytes], _Response],
    ) -> None:
        self._response = response
        self._answering = answering
        self._again = again

    def __iter__(self) -> Iterator[bytes]:
        answering = self._answering
        while True:
            for piece in self._response.iter_bytes():
                if out := answering.feed(piece):
                    yield out
            if out := answering.end():
                yield out
            body = answering.next_body()
            if body is None:
                break
            self._response.close()
            self._response = self._again(body)
            if self._response.status_code != 200:
                yield answering.fail(self._response.read())
                break
        if out := answering.finish():
            yield out

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()


class _AsyncTransport(_Transport):
    """A transport for ``httpx.AsyncClient``; the session works in threads."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, which the original client has too."""
        await self._inner.aclose()

    async def handle_async_request(self, request: _Request) -> _Response:
        """Send one request; its answer with retrievals answered."""
        api = self._api(request)
        if not api:
            return await self._send(request)
        body = await request.aread()
        forwarded = await _apart(lambda: self._forward(api, request, body))
        response = await self._send(self._changed(request, forwarded))
        answering, is_stream = self._answering(api, forwarded, response)
        if answering is None:
            return response

        async def again(body: bytes) -> _Response:
            return await self._send(self._with_body(request, body, must_read=True))

        if is_stream:
            base = self._library.AsyncByteStream
            kind = type("HeadroomStream", (_AsyncStream, base), {})
            return self._made(response, stream=kind(response, answering, again))
        pieces: list[bytes] = []
        while True:
            pieces += [answering.feed(await response.aread()), answering.end()]
            body = await _apart(answering.next_body)
            if body is None:
                break
            response = await again(body)
            if response.status_code != 200:
                return response
        pieces.append(await _apart(answering.finish))
        return self._made(response, content=b"".join(pieces))

    async def _send(self, request: _Request) -> _Response:
        return await self._inner.send(request, stream=True)


class _AsyncStream:
    """The bytes of one streamed answer, rounds joined."""

    def __init__(
        self,
        response: _Response,
        answering: Answering,
        again: Callable[[bytes], Any],  # a coroutine with the library's response
    ) -> None:
        self._response = response
        self._answering = answering
        self._again = again

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answering = self._answering
        while True:
            async for piece in self._response.aiter_bytes():
                if out := answering.feed(piece):
                    yield out
            if out := answering.end():
                yield out
            body = await _apart(answering.next_body)
            if body is None:
                break
            await self._response.aclose()
            self._response = await self._again(body)
            if self._response.status_code != 200:
                yield answering.fail(await self._response.aread())
                break
        if out := await _apart(answering.finish):
            yield out

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._response.aclose()


T = TypeVar("T")


async def _apart(work: Callable[[], T]) -> T:
    """Do blocking work in a thread, under asyncio as under trio."""
    to_thread = import_module("anyio.to_thread")
    return cast("T", await to_thread.run_sync(work))

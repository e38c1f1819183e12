"""ASGI middleware: compresses LLM requests on their way to an application.

For gateways and back-ends that take requests of the providers' APIs and pass them on by
themselves: the application behind sees a shorter request, responses are not touched.
Nobody answers retrievals here, so a session that adds the retrieval tool is refused.

What always holds: a request that is none of the APIs', that is too long, or that cannot
be read, reaches the application as it came, event for event; a client that leaves while
it sends is told of as it would be without.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, cast

from headroom.errors import ConfigError
from headroom.providers.credentials import classify
from headroom.providers.endings import api_by_end
from headroom.session import Api, Session

Event: TypeAlias = dict[str, Any]  # as ASGI defines it
Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024
"""Longer bodies are passed on as they come; the providers refuse half of that."""


class HeadroomMiddleware:
    """The middleware.

    Args:
        app: the application behind it.
        session: what remembers conversations; ``None``: losslessly, in memory.
        max_body_bytes: longer requests are passed on as they come.

    Raises:
        ConfigError: the session adds the retrieval tool.
    """

    def __init__(
        self,
        app: App,
        session: Session | None = None,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ) -> None:
        self._app = app
        self._session = session or Session()
        self._max_body_bytes = max_body_bytes
        if self._session.retrieval == "tool":
            raise ConfigError(
                "session: expected one whose retrieval is 'off', 'mcp' or 'elsewhere',"
                " found 'tool': middleware does not answer the model's calls"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        api = _api_of(scope) if scope["type"] == "http" else ""
        if not api:
            await self._app(scope, receive, send)
            return
        events, body = await self._read(receive)
        if body is not None:
            mode = classify(scope["headers"]).mode
            forwarded = await self._session.aforward(api, body, auth_mode=mode)
            if forwarded.reasons:
                scope = {
                    **scope,
                    "headers": _with_length(scope["headers"], len(forwarded.body)),
                }
                events = [{"type": "http.request", "body": forwarded.body}]
        await self._app(scope, _replayed(events, receive), send)

    async def _read(self, receive: Receive) -> tuple[list[Event], bytes | None]:
        """The events of a request, and its body if it is there in full."""
        events: list[Event] = []
        size = 0
        while size <= self._max_body_bytes:
            event = await receive()
            events.append(event)
            if event["type"] != "http.request":
                return events, None
            size += len(event.get("body", b""))
            if not event.get("more_body", False):
                if size > self._max_body_bytes:
                    break
                return events, b"".join(one.get("body", b"") for one in events)
        return events, None


def _api_of(scope: Scope) -> Api | None:
    """The API whose request this is, if its body can be read."""
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if scope["method"] != "POST" or kind != b"application/json":
        return None
    if headers.get(b"content-encoding", b"identity") != b"identity":
        return None
    return cast("Api", api_by_end(scope["path"].encode())) or None


def _with_length(headers: Headers, size: int) -> list[tuple[bytes, bytes]]:
    """The headers for a body of another length."""
    gone = {b"content-length", b"transfer-encoding"}
    kept = [pair for pair in headers if pair[0].lower() not in gone]
    return [*kept, (b"content-length", b"%d" % size)]


def _replayed(events: list[Event], receive: Receive) -> Receive:
    """What gives the events once more, and then those that follow."""
    waiting = iter(events)

    async def replay() -> Event:
        event = next(waiting, None)
        return await receive() if event is None else event

    return replay

"""What goes upstream and what comes back: headers, by name, never by value.

Pure functions that return new lists. Names are lower case: ASGI delivers them so, and
aiohttp keeps only the last of two headers whose names differ in case.

What is dropped: connection-level headers (RFC 9110, section 7.6.1) with whatever the
``connection`` header names, ``host`` and ``content-length``, which are rebuilt, and
Headroom's own ``x-headroom-*``.
"""

from collections.abc import Sequence

from headroom.errors import RequestError
from headroom.proxy.routes import (
    Api,
    Headers,
    Route,
    is_anthropic_credential,
    is_api_key,
)

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REBUILT = frozenset({b"host", b"content-length", b"expect"})
_INTERNAL = b"x-headroom-"
_TOKEN = b"x-headroom-token"
_FORWARDED_FOR = b"x-forwarded-for"
_FOREIGN: dict[bytes, Api] = {b"x-goog-api-key": "gemini"}
"""Credentials that are one provider's by their header's name."""
_NOT_ELSEWHERE: dict[str, frozenset[bytes]] = {
    "copilot": frozenset({b"x-api-key", b"x-goog-api-key", b"api-key"}),
    "chatgpt": frozenset({b"x-api-key", b"x-goog-api-key", b"api-key"}),
    "azure": frozenset({b"x-api-key", b"x-goog-api-key"}),
    "bedrock": frozenset({b"x-goog-api-key", b"api-key"}),
    "vertex": frozenset({b"api-key"}),
}
"""Keys of others, by the upstream that takes tokens, or a key of its own."""
_CLOUDS = frozenset({"bedrock", "vertex"})
"""Neither takes keys of Anthropic's and OpenAI's own APIs; gateways before them may
take others in the same headers."""

_OWN_RESPONSE = frozenset({b"x-request-id", b"headroom-upstream-request-id"})
_CONTROL = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
_NOT_IN_NAMES = bytes(range(33)) + b'\x7f()<>@,;:[]={}\\"'
_MAX_ID_CHARS = 128


class Outbound:
    """The headers of one upstream request.

    Attributes:
        headers: names and values for aiohttp, in the order received.
        stripped: how many internal headers were left out.
    """

    __slots__ = ("headers", "stripped")

    def __init__(self, headers: list[tuple[str, str]], stripped: int) -> None:
        self.headers = headers
        self.stripped = stripped


def for_upstream(headers: Headers, route: Route, *, strips_internal: bool) -> Outbound:
    """The headers to send for a request's own.

    Args:
        headers: as received.
        route: where they go; credentials of another provider are left out.
        strips_internal: leave out ``x-headroom-*``. The proxy's token always is.

    Raises:
        RequestError: a value is not UTF-8, which aiohttp would lose silently.
    """
    api = route.api
    foreign = _NOT_ELSEWHERE.get(route.upstream, frozenset())
    dropped = dropped_names(headers)
    kept: list[tuple[str, str]] = []
    stripped = 0
    for name, value in headers:
        if name in dropped or name in _REBUILT:
            continue
        if name.startswith(_INTERNAL) and (strips_internal or name == _TOKEN):
            stripped += 1
            continue
        if name in foreign or _FOREIGN.get(name, api) != api:
            continue
        if (api != "anthropic" or foreign) and is_anthropic_credential(name, value):
            continue
        if route.upstream in _CLOUDS and is_api_key(name, value):
            continue
        try:
            kept.append((name.decode("ascii"), value.decode()))
        except UnicodeDecodeError as error:
            shown = ascii(name)[1:]
            raise RequestError(f"header {shown} is not valid UTF-8") from error
    return Outbound(kept, stripped)


def put(found: list[tuple[str, str]], name: str, value: str) -> None:
    """Set a header to one value, in the place of the first of its name."""
    places = [number for number, pair in enumerate(found) if pair[0] == name]
    if not places:
        found.append((name, value))
        return
    found[places[0]] = (name, value)
    for number in reversed(places[1:]):
        del found[number]


def forwarded(headers: Headers, client: str) -> list[tuple[str, str]]:
    """The ``x-forwarded-*`` headers that tell who is behind the proxy.

    Args:
        headers: as received; what others before us added is kept and extended.
        client: the address the request came from; empty if that is not known.
    """
    chain = [
        value.decode("latin-1") for name, value in headers if name == _FORWARDED_FOR
    ]
    chain += [client] if client else []
    found = [("x-forwarded-for", ", ".join(chain))] if chain else []
    if find(headers, b"x-forwarded-proto") is None:
        found.append(("x-forwarded-proto", "http"))
    host = find(headers, b"host")
    if host is not None and find(headers, b"x-forwarded-host") is None:
        found.append(("x-forwarded-host", host.decode("latin-1")))
    return found


def for_client(headers: Headers) -> Headers:
    """The headers to answer with for an upstream response's; framing is left out."""
    dropped = dropped_names(headers)
    return [
        (name, value)
        for name, value in ((name.lower(), value) for name, value in headers)
        if name not in dropped
        and name not in _OWN_RESPONSE
        and value.translate(None, _CONTROL) == value
        and name.translate(None, _NOT_IN_NAMES) == name
    ]


def dropped_names(headers: Headers) -> frozenset[bytes]:
    """Names of hop-by-hop headers, with those that ``connection`` adds."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    return HOP_BY_HOP | named if named - HOP_BY_HOP else HOP_BY_HOP


def merged_tokens(given: str, required: Sequence[str]) -> str:
    """A comma-separated header with tokens that must be in it.

    The client's tokens come first and keep their order and casing; none stands twice.

    Args:
        given: the client's value, or values joined by commas; may be empty.
        required: added behind, in this order.
    """
    kept: dict[str, str] = {}
    for token in (*given.split(","), *required):
        if stripped := token.strip():
            kept.setdefault(stripped.lower(), stripped)
    return ",".join(kept.values())


def find(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header; the name in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def is_json(headers: Headers, *, is_assumed: bool = False) -> bool:
    """Whether the content type is ``application/json``, parameters aside.

    Args:
        headers: names in lower case.
        is_assumed: what a body is that has no type (AWS's SDKs send none).
    """
    value = find(headers, b"content-type")
    if value is None:
        return is_assumed
    return value.partition(b";")[0].strip().lower() == b"application/json"


def content_length(headers: Headers) -> int | None:
    """The length announced, if one is and it is a number."""
    value = find(headers, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def is_bypass(headers: Headers) -> bool:
    """Whether the client asks for full passthrough."""
    bypass = find(headers, b"x-headroom-bypass") or b""
    mode = find(headers, b"x-headroom-mode") or b""
    return bypass.strip().lower() == b"true" or mode.strip().lower() == b"passthrough"


def request_id(headers: Headers) -> str | None:
    """The client's own request id, if it is fit to be repeated."""
    value = find(headers, b"x-request-id")
    if value is None or not 0 < len(value) <= _MAX_ID_CHARS:
        return None
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else None


def upstream_request_id(headers: Headers) -> bytes | None:
    """The provider's id of the request: the first of these headers that it sends."""
    found = {name.lower(): value for name, value in headers}
    names = (b"request-id", b"x-request-id", b"x-amzn-requestid")
    return next((found[name] for name in names if found.get(name)), None)

"""Which provider a request is for, and whether its body is read.

A table of paths, first match wins; Chat Completions and Responses are known by the end
of their path, since the base URLs of compatible providers have prefixes of all kinds,
and Gemini's by the method behind the model's name
(https://ai.google.dev/api/generate-content); its ``countTokens`` passes as it came: a
count is no request that is sent, and what it would decide about a message could bind
the request that follows. Paths that more than one provider has are told apart by the
credentials the request carries: a credential goes to the provider that issued it,
whatever the path
(https://docs.anthropic.com/en/api/openai-sdk serves OpenAI paths under Anthropic keys).
"""

import re
from typing import Literal, TypeAlias
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from headroom.core.types import NO_PATH, PathView
from headroom.providers.endings import OPENAI_ENDS
from headroom.proxy import cloud_paths, destinations
from headroom.proxy.destinations import Upstreams

Api: TypeAlias = Literal["anthropic", "openai", "gemini", "bedrock"]
Headers: TypeAlias = list[tuple[bytes, bytes]]


class Route(Struct, frozen=True, gc=False):
    """What happens to the requests of one path.

    Attributes:
        api: whose error shape, credentials and base URL apply.
        label: the path as it appears in metrics: out of a bounded set.
        provider: the module that reads its bodies; empty if they are passed through.
        path: what the path says of the request, for the provider's ``parse``.
        upstream: which base URL applies, if not the API's.
        upstream_path: the path there, if not the one received.
        location: part of the upstream's host name, if it has one; validated.
        refusal: why nothing is served here, in words for the client.
        operator_methods: with which methods a cloud's requests may be made under the
            operator's account.
    """

    api: Api
    label: str
    provider: str = ""
    path: PathView = NO_PATH
    upstream: Upstreams = ""
    upstream_path: bytes = b""
    location: str = ""
    refusal: str = ""
    operator_methods: frozenset[str] = frozenset()


_EXACT: dict[bytes, Route] = {
    b"/v1/messages": Route("anthropic", "/v1/messages", "anthropic"),
    b"/v1/messages/count_tokens": Route("anthropic", "/v1/messages/count_tokens"),
    b"/v1/complete": Route("anthropic", "/v1/complete"),
    b"/v1/chat/completions": Route("openai", "/v1/chat/completions", "openai_chat"),
    b"/v1/responses": Route("openai", "/v1/responses", "openai_responses"),
    b"/v1/conversations": Route("openai", "/v1/conversations"),
    b"/v1/embeddings": Route("openai", "/v1/embeddings"),
}
_GEMINI_PATH = re.compile(
    rb"(?:/[^/]+)*/(v1|v1beta|v1alpha)/(?:models|tunedModels)/([^/:]+)"
    rb":(generateContent|streamGenerateContent)"
)
_PREFIXES: tuple[tuple[bytes, Route], ...] = (
    (b"/v1/messages/", Route("anthropic", "/v1/messages/*")),
    (b"/v1/responses/", Route("openai", "/v1/responses/*")),
    (b"/v1/conversations/", Route("openai", "/v1/conversations/*")),
    (b"/v1beta/", Route("gemini", "/v1beta/*")),
    (b"/v1alpha/", Route("gemini", "/v1alpha/*")),
    (b"/upload/v1beta/", Route("gemini", "/upload/*")),
)
_SHARED: dict[Api, Route] = {
    "anthropic": Route("anthropic", "/v1/*"),
    "openai": Route("openai", "/v1/*"),
    "gemini": Route("gemini", "/v1/*"),
}
_OTHER: dict[Api, Route] = {
    "anthropic": Route("anthropic", "other"),
    "openai": Route("openai", "other"),
    "gemini": Route("gemini", "other"),
}


_KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})
_OPENAI_KEYS = (b"sk-proj-", b"sk-svcacct-", b"sk-admin-")
"""How keys begin that OpenAI alone issues: https://platform.openai.com/api-keys. Many
others' begin with ``sk-``."""
_GOOGLE_KEYS = (b"AIza", b"AQ.")


def choose(path: bytes, headers: Headers, query: bytes = b"") -> Route:
    """The route of a request.

    Args:
        path: as received, percent-encoding and all.
        headers: names in lower case.
        query: as received; keys of Google's API may stand in it.
    """
    if (cloud := cloud_paths.choose(path, headers)) is not None:
        return Route(
            _api_of(cloud),
            cloud.label,
            cloud.provider,
            cloud.path,
            upstream=cloud.cloud,
            location=cloud.location,
            refusal=cloud.refusal,
            operator_methods=cloud.operator_methods,
        )
    route = _by_path(path, headers, query)
    destination = destinations.choose(path, headers)
    if not destination.upstream:
        return route
    if destination.upstream == "chatgpt" and not route.provider:
        route = replace(route, api="openai")  # a path that no API has
    return replace(route, upstream=destination.upstream, upstream_path=destination.path)


def _api_of(cloud: cloud_paths.CloudPath) -> Api:
    """Whose errors a cloud's clients expect: on Vertex, Google's under any model."""
    if cloud.provider == "openai_chat":
        return "openai"
    return "bedrock" if cloud.cloud == "bedrock" else "gemini"


def _by_path(path: bytes, headers: Headers, query: bytes) -> Route:
    """The route by the path, and where providers share it, by the credentials."""
    route = _EXACT.get(path) or _gemini(path)
    if route is None:
        route = next((r for prefix, r in _PREFIXES if path.startswith(prefix)), None)
    owner = credential_owner(headers)
    if owner is None and _has_google_key(headers, query):
        owner = "gemini"
    if route is None or not route.provider:
        api = "openai" if route is None else route.api
        for end, provider in OPENAI_ENDS:
            if path.endswith(end):
                route = Route(api, f"*{end.decode()}", provider)
    if route is not None:
        if owner == "anthropic" and route.api == "openai":
            return Route("anthropic", route.label, route.provider)
        return route
    if path.startswith(b"/v1/"):
        is_gemini = path.startswith(b"/v1/models/") and b":" in path
        return _SHARED["gemini" if is_gemini else owner or "openai"]
    return _OTHER[owner or "anthropic"]


def _gemini(path: bytes) -> Route | None:
    """The route of a request for Gemini's own API, behind any prefix."""
    found = _GEMINI_PATH.fullmatch(path)
    if found is None:
        return None
    version, name, method = (piece.decode("latin-1") for piece in found.groups())
    view = PathView(unquote(name), method.startswith("stream"))
    return Route("gemini", f"/{version}/models/*:{method}", "gemini", view)


def credential_owner(headers: Headers) -> Api | None:
    """Whose credentials a request carries, where they tell."""
    for name, value in headers:
        if name == b"anthropic-version" or is_anthropic_credential(name, value):
            return "anthropic"
        if name == b"x-goog-api-key":
            return "gemini"
        if name == b"x-api-key":
            return "anthropic"
        if name == b"authorization" and _token(value).startswith(_OPENAI_KEYS):
            return "openai"
    return None


def _has_google_key(headers: Headers, query: bytes) -> bool:
    """Whether a request that says no owner carries a key of Google's in its query.

    A word ``key`` can be anything where the request has other credentials; keys of
    Google's begin alike (https://cloud.google.com/docs/authentication/api-keys).
    """
    key = next((p[4:] for p in query.split(b"&") if p.startswith(b"key=")), b"")
    has_other = any(name in _KEY_HEADERS for name, _ in headers)
    return key.startswith(_GOOGLE_KEYS) if has_other else key != b""


def is_anthropic_credential(name: bytes, value: bytes) -> bool:
    """Whether a header holds a key or token that Anthropic issued."""
    return name in _KEY_HEADERS and _token(value).startswith(b"sk-ant-")


def is_api_key(name: bytes, value: bytes) -> bool:
    """Whether a header holds a key of Anthropic's or OpenAI's own API."""
    return name in _KEY_HEADERS and _token(value).startswith(b"sk-")


def _token(value: bytes) -> bytes:
    """A token without its scheme, in lower case."""
    return value.lower().removeprefix(b"bearer ").lstrip()

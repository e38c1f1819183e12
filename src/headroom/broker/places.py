"""What a backend serves under which path, and under whose credentials.

Anthropic and Gemini serve Chat Completions themselves, so nothing has to be put into
another shape (https://docs.anthropic.com/en/api/openai-sdk,
https://ai.google.dev/gemini-api/docs/openai). Pure.
"""

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from headroom.broker.registry import Backend
from headroom.proxy import headers
from headroom.proxy.routes import Headers, Route

_MESSAGES = b"/v1/messages"
_CHAT = b"/v1/chat/completions"
_GEMINI_OPENAI = b"/v1beta/openai"
_GEMINI_SERVES = frozenset({_CHAT, b"/v1/embeddings", b"/v1/images/generations"})

_MAKING = tuple(
    b"/v1/" + name
    for name in (b"assistants", b"batches", b"containers", b"evals", b"files",
                 b"fine_tuning", b"fine-tuning", b"messages/batches", b"threads",
                 b"uploads", b"vector_stores", b"videos")
)  # fmt: skip
"""Paths of what is made to stay."""

_NOT_PASSED = frozenset(
    {
        b"api-key",
        b"authorization",
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"x-api-key",
        b"x-goog-api-key",
    }
)
"""What a client sends the broker under its own name."""


def path_at(backend: Backend, route: Route, path: bytes) -> bytes | None:
    """The path of a request at a backend; ``None``: it does not serve it."""
    if route.upstream:
        return None  # a cloud's own paths, which are signed for it
    if route.api == "gemini":
        return path if backend.api == "gemini" else None
    if route.api == "anthropic":
        is_messages = path == _MESSAGES or path.startswith(_MESSAGES + b"/")
        is_served = backend.api == "anthropic" or (
            backend.serves_messages and is_messages
        )
        return path if is_served else None
    if backend.api == "openai":
        return path
    if backend.api == "anthropic":
        return path if path == _CHAT else None
    if path in _GEMINI_SERVES:
        return _GEMINI_OPENAI + path.removeprefix(b"/v1")
    return None


def climbs(path: bytes) -> bool:
    """Whether a path has a segment that means another one, however it is written.

    Servers take those out; then it is not the path any more that was looked at, and may
    not even be below the backend's base URL.
    """
    plain = unquote_to_bytes(path).replace(b"\\", b"/")
    return not {b".", b".."}.isdisjoint(plain.split(b"/"))


def may_repeat(path: bytes) -> bool:
    """Whether a request may be asked again: it makes an answer and nothing that stays.

    Whoever does not answer may have begun: jobs, batches, videos and the like would be
    there twice, and be paid for.
    """
    return not path.startswith(_MAKING)


def passed_headers(received: Headers) -> Headers:
    """What may go on of a client's headers: no credential of the broker's."""
    return [pair for pair in received if pair[0] not in _NOT_PASSED]


def own_headers(
    backend: Backend, route: Route, words: Mapping[str, str]
) -> list[tuple[str, str]]:
    """What the broker adds for a backend: credentials, and who asks for what.

    Args:
        backend: where the request goes.
        route: what it is.
        words: what stands for ``{key}``, ``{model}`` and ``{request_id}``.
    """
    added = list(backend.headers)
    for name, template in backend.attribution:
        value = template
        for word, meant in words.items():
            value = value.replace("{" + word + "}", meant)
        if value.isprintable():
            added.append((name, value))
    if backend.key:
        name, value = "authorization", f"Bearer {backend.key}"
        if route.api == "anthropic" and backend.api == "anthropic":
            name, value = "x-api-key", backend.key
        elif route.api == "gemini":
            name, value = "x-goog-api-key", backend.key
        added.append((name, value))
    return added


def key_of(received: Headers, query: bytes) -> tuple[bytes, bytes]:
    """The key that a client brings, and the query without it.

    OpenAI's clients send ``Authorization``, Anthropic's ``x-api-key``, Gemini's
    ``x-goog-api-key`` or ``?key=``.
    """
    pairs = query.split(b"&") if query else []
    rest = b"&".join(pair for pair in pairs if not pair.startswith(b"key="))
    for name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
        if value := headers.find(received, name):
            return value.strip(), rest
    scheme, _, token = (headers.find(received, b"authorization") or b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip(), rest
    found = next((pair[4:] for pair in pairs if pair.startswith(b"key=")), b"")
    return found, rest

"""Chat Completions requests on their way through a broker: compressed, or as they came.

The one place through which a broker sends every request, whatever backend it is for: a
policy, off unless it is switched on. Bodies go through a ``Session``, so that a
conversation keeps its prefix from request to request.

What always holds: whatever goes wrong, the request is the one that came, and a warning
says why; nothing but texts of messages differs after success. Compression that is off
costs nothing: the request is neither encoded nor looked at.
"""

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache, partial
from typing import Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from headroom.core.attempts import Attempt, Failed
from headroom.driving import HERE, Place, at_once
from headroom.errors import CompressionError, MalformedBodyError
from headroom.session import LISTS, Api, Forwarded, Session

log = logging.getLogger("aibroker.compression")

MODE = "live_zone"
AUTH_MODE = "payg"

ChatRequest: TypeAlias = MutableMapping[str, Any]
"""A request as JSON libraries decode it."""


class _Count(Struct):
    n: object = None


_COUNT = msgspec.json.Decoder(_Count)


class Outcome(Struct, frozen=True):
    """What a compressor made of a body.

    Attributes:
        body: the body to send; the identical object if nothing changed.
        tokens_before: of all texts that were looked at.
        tokens_after: of what became of them.
    """

    body: bytes
    tokens_before: int
    tokens_after: int


class ChatCompressor(Protocol):
    """What shortens a body; raises where it cannot be read."""

    def __call__(self, body: bytes, *, mode: str, auth_mode: str) -> Outcome:
        """The outcome for a whole body."""
        ...


Compress: TypeAlias = Callable[[bytes], Awaitable[Outcome]]
"""The same for who must not wait."""


def session_compressor(session: Session, api: Api = "openai_chat") -> ChatCompressor:
    """The compressor that remembers what it did in ``session``.

    With ``Session(store, retrieval="elsewhere", user_text="lossy")`` much is left out
    of what users paste too; whoever runs the broker serves originals from ``store``.
    """

    def compress(
        body: bytes,
        *,
        mode: str,  # noqa: ARG001 - a session knows one mode
        auth_mode: str,  # noqa: ARG001 - whoever has a session pays by use
    ) -> Outcome:
        return outcome_of(session.forward(api, body))

    return compress


def outcome_of(forwarded: Forwarded) -> Outcome:
    """What a session made of a body.

    Raises:
        MalformedBodyError: it did not look into it.
    """
    if forwarded.reason:
        raise MalformedBodyError("not for compression", reason=forwarded.reason)
    before, after = forwarded.tokens
    return Outcome(forwarded.body, before, after)


@cache
def shared_compressor() -> ChatCompressor:
    """The compressor of who brings none: lossless, remembering in memory."""
    return session_compressor(Session())


def should_skip_compression(body: bytes) -> str:
    """Why a body is not for compression; empty if it is, or cannot be read."""
    try:
        count = _COUNT.decode(body).n
    except (ValueError, RecursionError):
        return ""
    return "n_greater_than_one" if isinstance(count, int) and count > 1 else ""


def maybe_compress_chat_request(
    req: ChatRequest,
    enabled: bool,
    request_id: str = "",
    *,
    compressor: ChatCompressor | None = None,
) -> ChatRequest:
    """Shorten the texts of a request's messages, in place.

    Args:
        req: the request; changed only if all went well.
        enabled: otherwise nothing is done at all.
        request_id: for the log.
        compressor: what shortens bodies; ``None``: losslessly, remembered in memory.

    Returns:
        ``req`` itself. Messages without a change stay the objects they were.
    """
    if enabled:
        compress = compressor or shared_compressor()
        with _failing_open(request_id):
            _compress_request(req, request_id, compress)
    return req


def maybe_compress_chat_body(
    body: bytes,
    enabled: bool,
    request_id: str = "",
    *,
    compressor: ChatCompressor | None = None,
) -> bytes:
    """The same for a request that has not been decoded: all other bytes stay.

    Returns:
        The body to send; the identical object where nothing was shortened.
    """
    return maybe_compress_body(
        "openai_chat", body, enabled, request_id, compressor=compressor
    )


def maybe_compress_body(
    api: Api,
    body: bytes,
    enabled: bool,
    request_id: str = "",
    *,
    compressor: ChatCompressor | None = None,
) -> bytes:
    """The same for a request of any API whose conversations are read.

    Args:
        api: whose shape it has.
        body: as received.
        enabled: otherwise nothing is done at all.
        request_id: for the log.
        compressor: what shortens bodies of this API; see ``session_compressor``.
    """
    if not enabled:
        return body
    compress = partial(_waiting, compressor or shared_compressor())
    return at_once(compress_body(api, body, request_id, compress, HERE))


async def compress_body(
    api: Api, body: bytes, request_id: str, compress: Compress, place: Place
) -> bytes:
    """The same for who must not wait, and has compression enabled.

    Args:
        api: whose shape the body has.
        body: as received.
        request_id: for the log.
        compress: what shortens the body.
        place: where else it is looked into.
    """
    with _failing_open(request_id):
        return await _compress_body(api, body, request_id, compress, place)
    return body


async def _waiting(compressor: ChatCompressor, body: bytes) -> Outcome:
    return compressor(body, mode=MODE, auth_mode=AUTH_MODE)


def _failing_open(request_id: str) -> Attempt:
    """Around work that may fail: a warning instead of any error of it."""

    def tell(failed: Failed) -> None:
        # The text of an error may hold content; its class and code do not.
        extra = {"request_id": request_id, "error": failed.error}
        log.warning("compression_failed", extra=extra)

    return Attempt(tell)


def _compress_request(
    req: ChatRequest, request_id: str, compressor: ChatCompressor
) -> None:
    body = json.dumps(req).encode()
    compress = partial(_waiting, compressor)
    found = at_once(_compress_body("openai_chat", body, request_id, compress, HERE))
    if found is not body:
        old, new = json.loads(body)["messages"], json.loads(found)["messages"]
        req["messages"] = [
            mine if before == after else after
            for mine, before, after in zip(req["messages"], old, new, strict=True)
        ]


async def _compress_body(
    api: Api, body: bytes, request_id: str, compress: Compress, place: Place
) -> bytes:
    """The shorter body, checked; the same if it is not for compression."""
    size = len(body)
    if reason := await place.work(size, lambda: should_skip_compression(body)):
        log.debug(
            "compression_skipped", extra={"request_id": request_id, "reason": reason}
        )
        return body
    outcome = await compress(body)
    if outcome.body is not body:
        await place.work(size, lambda: _check(api, body, outcome.body))
    log.info(
        "compression_applied",
        extra={
            "request_id": request_id,
            "tokens_before": outcome.tokens_before,
            "tokens_after": outcome.tokens_after,
            "tokens_saved": outcome.tokens_before - outcome.tokens_after,
        },
    )
    return outcome.body


def _decoded(body: bytes) -> Any:
    """A body as values; the slower reader knows half surrogate pairs, too."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return json.loads(body)


def _check(api: Api, body: bytes, shorter: bytes) -> None:
    """Make sure that only texts of messages differ.

    Raises:
        CompressionError: something else does.
    """
    before, after = _decoded(body), _decoded(shorter)
    if api != "openai_chat":
        _check_around(LISTS[api], before, after)
    elif _without_texts(before) != _without_texts(after):
        raise CompressionError("more than texts of messages changed")


def _check_around(name: str, before: Any, after: Any) -> None:
    """The same for other APIs: around the list of items, and their number.

    Raises:
        CompressionError: something else differs.
    """
    is_request = isinstance(before, dict) and isinstance(after, dict)
    if not is_request or {**before, name: None} != {**after, name: None}:
        raise CompressionError("more than texts of items changed")
    if len(before[name]) != len(after[name]):
        raise CompressionError("an item was lost")


def _without_texts(request: Any) -> Any:
    """A request with its messages' texts taken out."""
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        raise CompressionError("no chat request any more")
    return {**request, "messages": [_bare(m) for m in request["messages"]]}


def _bare(message: Any) -> Any:
    if not isinstance(message, dict) or message.get("role") not in {"user", "tool"}:
        return message
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": str}
    if isinstance(content, list):
        bare = [_bare_part(part) for part in content]
        return {**message, "content": bare}
    return message


def _bare_part(part: Any) -> Any:
    is_text = isinstance(part, dict) and isinstance(part.get("text"), str)
    return {**part, "text": str} if is_text else part

"""Answers that Headroom gives itself, in the shape that each provider's SDK expects.

Sources: https://docs.anthropic.com/en/api/errors,
https://platform.openai.com/docs/guides/error-codes,
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html,
https://cloud.google.com/apis/design/errors.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from headroom.proxy.routes import Api, Headers

Message: TypeAlias = dict[str, Any]  # as ASGI defines it
Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    426: "invalid_request_error",
    429: "rate_limit_error",
}
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_BEDROCK_TYPES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
}
_GEMINI_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    504: "DEADLINE_EXCEEDED",
}


def error_body(api: Api, status: int, message: str, code: str) -> bytes:
    """A JSON error as the provider would send it."""
    error: dict[str, Any]
    if api == "anthropic":
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        error = {"type": "error", "error": {"type": kind, "message": message}}
    elif api == "bedrock":
        kind = _BEDROCK_TYPES.get(status, "ServiceUnavailableException")
        error = {"__type": kind, "message": message}
    elif api == "gemini":
        word = _GEMINI_STATUSES.get(status, "UNAVAILABLE")
        error = {"error": {"code": status, "message": message, "status": word}}
    else:
        is_clients = status < 500
        kind = _OPENAI_TYPES.get(
            status, "invalid_request_error" if is_clients else "server_error"
        )
        error = {
            "error": {"message": message, "type": kind, "param": None, "code": code}
        }
    return msgspec.json.encode(error)


async def send_bytes(
    send: Send,
    status: int,
    body: bytes,
    headers: Headers | None = None,
    *,
    content_type: bytes = b"application/json",
) -> None:
    """Answer with a whole body."""
    head: Headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_json(
    send: Send, status: int, value: Any, headers: Headers | None = None
) -> None:
    """Answer with a value of any JSON shape."""
    await send_bytes(send, status, msgspec.json.encode(value), headers)

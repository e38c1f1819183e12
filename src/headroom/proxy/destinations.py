"""Which upstream a request goes to, where its path alone does not say.

A credential goes to the service that issued it:

* *ChatGPT*: an account's token is no API key, and the API refuses it. It is told by the
  header ``ChatGPT-Account-Id`` that codex sends, or by the account in the token's own
  claims, which are read as a hint and not verified. What is sent to the API's Responses
  path under it is served under ``/backend-api/codex``; every other path is as it was
  (https://github.com/openai/codex, ``codex-rs/login``).
* *Copilot*: told by the header that its clients must send, or by GitHub's token.
* *Azure OpenAI*: told by its paths and credentials; only if its base URL is set
  (https://learn.microsoft.com/azure/ai-foundry/openai/reference).

What always holds: hosts come from the settings, never out of a path; nothing is read of
a token but which service it is for, and nothing in it can raise.
"""

import base64
import binascii
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

Upstreams: TypeAlias = Literal["", "chatgpt", "copilot", "azure", "bedrock", "vertex"]

_KEYS = (b"sk-", b"gsk_")
_GITHUB_TOKENS = (b"gho_", b"ghu_", b"ghp_", b"github_pat_", b"tid=")
_AZURE = b"/openai/"
_RESPONSES = b"/v1/responses"
_CODEX = b"/backend-api/codex"
_EXPLICIT = frozenset(
    {b"/v1/embeddings", b"/v1/moderations", b"/v1/messages", b"/v1/chat/completions"}
)
"""Paths of the APIs that ChatGPT has no counterpart of."""

_MAX_TOKEN_BYTES = 16 * 1024
_JWT_DOTS = 2


class Destination(Struct, frozen=True, gc=False):
    """Where a request goes instead of to its API's own base URL.

    Attributes:
        upstream: which base URL; empty: the API's.
        path: the path there; empty: as received.
    """

    upstream: Upstreams = ""
    path: bytes = b""


_OWN = Destination()
_COPILOT = Destination("copilot")
_AZURE_OPENAI = Destination("azure")
_CHATGPT = Destination("chatgpt")


def choose(path: bytes, headers: list[tuple[bytes, bytes]]) -> Destination:
    """Where a request goes.

    Args:
        path: as received.
        headers: names in lower case.
    """
    token, has_account = b"", False
    is_copilot = has_azure_key = has_other_key = False
    for name, value in headers:
        if name == b"authorization":
            token = token or _bearer(value)
        elif name == b"chatgpt-account-id":
            has_account = True
        elif name == b"copilot-integration-id":
            is_copilot = True
        elif name == b"api-key":
            has_azure_key = True
        elif name in {b"x-api-key", b"x-goog-api-key"}:
            has_other_key = True
    if is_copilot or token.startswith(_GITHUB_TOKENS):
        return _COPILOT
    if path.startswith(_AZURE) and not token.startswith(_KEYS):
        return _AZURE_OPENAI if has_azure_key or token else _OWN
    if has_other_key or path in _EXPLICIT or token.startswith(_KEYS):
        return _OWN
    if has_account or _has_account(token):
        if path == _RESPONSES or path.startswith(_RESPONSES + b"/"):
            return Destination("chatgpt", _CODEX + path.removeprefix(b"/v1"))
        return _CHATGPT
    return _OWN


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


class _Auth(Struct):
    chatgpt_account_id: str = ""


class _Claims(Struct):
    auth: _Auth = msgspec.field(
        default_factory=_Auth, name="https://api.openai.com/auth"
    )
    chatgpt_account_id: str = ""


_CLAIMS = msgspec.json.Decoder(_Claims)


def _has_account(token: bytes) -> bool:
    """Whether a token's claims name a ChatGPT account."""
    if token.count(b".") != _JWT_DOTS or len(token) > _MAX_TOKEN_BYTES:
        return False
    payload = token.split(b".")[1]
    try:
        padded = payload + b"=" * (-len(payload) % 4)
        claims = _CLAIMS.decode(base64.urlsafe_b64decode(padded))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return bool(claims.auth.chatgpt_account_id or claims.chatgpt_account_id)

"""Whose credential a request carries, told by the request alone.

Three modes: ``payg`` (an API key that is billed by use), ``oauth`` (a token of a cloud
or an account), ``subscription`` (a coding client under its user's plan, told by its
``User-Agent``, which counts more than the shape of the token). The request decides
alone; nothing is remembered, and no credential is kept.

What always holds: classifying never raises; what cannot be read counts as ``payg``,
the mode of plain API use, and says so.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

AuthMode: TypeAlias = Literal["payg", "oauth", "subscription"]

SUBSCRIPTION_AGENTS: tuple[bytes, ...] = (
    b"claude-cli/",
    b"claude-code/",
    b"codex-cli/",
    b"cursor/",
    b"claude-vscode/",
    b"github-copilot/",
    b"githubcopilotchat/",
    b"anthropic-cli/",
    b"antigravity/",
)
"""What the clients of subscription plans call themselves, in lower case."""

SUBSCRIPTION_HEADERS = frozenset({b"copilot-integration-id", b"chatgpt-account-id"})
"""What clients say under plans of Copilot and ChatGPT, whatever their names."""

_BEARER = b"bearer"
_OAUTH_TOKEN = b"sk-ant-oat"
_API_KEY = b"sk-"
_JWT_DOTS = 2


class Classified(Struct, frozen=True, gc=False):
    """A request's mode.

    Attributes:
        problem: what could not be read; empty if all could.
    """

    mode: AuthMode
    problem: str = ""


def classify(headers: Iterable[tuple[bytes, bytes]]) -> Classified:
    """The mode of a request, by its headers alone; names in lower case.

    The first value of a header counts.
    """
    agent = authorization = None
    for name, value in headers:
        if name == b"user-agent" and agent is None:
            agent = value.lower()
        elif name == b"authorization" and authorization is None:
            authorization = value
        elif name in SUBSCRIPTION_HEADERS:
            return _SUBSCRIPTION
    if agent is not None and any(word in agent for word in SUBSCRIPTION_AGENTS):
        return _SUBSCRIPTION
    # Keys in x-api-key and x-goog-api-key, and no credential at all, are payg.
    return _PAYG if authorization is None else _by_authorization(authorization)


def _by_authorization(value: bytes) -> Classified:
    scheme, _, token = value.strip().partition(b" ")
    token = token.strip()
    if not scheme:
        return Classified("payg", "authorization is empty")
    if not value.isascii():
        return Classified("payg", "authorization is not ASCII")
    if scheme.lower() != _BEARER:
        return _OAUTH
    if not token:
        return Classified("payg", "authorization has no token")
    if token.startswith(_OAUTH_TOKEN):
        return _OAUTH
    if token.startswith(_API_KEY):
        return _PAYG
    return _OAUTH if token.count(b".") >= _JWT_DOTS else _PAYG


_PAYG = Classified("payg")
_OAUTH = Classified("oauth")
_SUBSCRIPTION = Classified("subscription")

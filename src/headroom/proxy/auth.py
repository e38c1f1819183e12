"""Whose credential a request carries, and what may be done to requests under it.

Three modes: ``payg`` (an API key that is billed by use), ``oauth`` (a token of a cloud
or an account), ``subscription`` (a coding client under its user's plan, told by its
``User-Agent``, which counts more than the shape of the token). The request decides
alone; nothing is remembered, and no credential is kept.

What always holds: classifying never raises; what cannot be read counts as ``payg``,
the mode of plain API use, and says so.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.proxy.routes import Headers
from headroom.settings import AuthSettings

AuthMode: TypeAlias = Literal["payg", "oauth", "subscription"]

_MODES = ("payg", "oauth", "subscription", "unknown")

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


class AuthPolicy(Struct, frozen=True):
    """What may be done to requests of one mode.

    Attributes:
        compresses: tool outputs may be compressed at all.
        allows_lossy: parts may be left out of tool outputs, and the tool that fetches
            them back may be offered; else results stay lossless.
        stabilises: what stands in front of conversations may be put in order.
        keeps_betas: beta words that a session used once are sent again.
        remembers: memory may be added to a message.
        adds_tools: and its tools to the list.
        forwards: ``x-forwarded-*`` and ``x-request-id`` are added.
        may_drop_encoding: ``accept-encoding`` may be taken out, so that the answer
            comes uncompressed; else it leaves as it came.
    """

    compresses: bool = False
    allows_lossy: bool = False
    stabilises: bool = False
    keeps_betas: bool = False
    remembers: bool = False
    adds_tools: bool = False
    forwards: bool = False
    may_drop_encoding: bool = False


AuthPolicies: TypeAlias = Mapping[str, AuthPolicy]
"""By mode; ``unknown`` before a request has been classified."""

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "compress": "compresses",
        "lossy": "allows_lossy",
        "stabilise": "stabilises",
        "betas": "keeps_betas",
        "memory": "remembers",
        "tools": "adds_tools",
        "forwarded": "forwards",
        "encoding": "may_drop_encoding",
    }
)
"""The words of the settings → the fields of a policy."""


def policies_of(settings: AuthSettings) -> AuthPolicies:
    """The policy table as the settings have it.

    Where it is not enforced, every credential is treated as an API key.
    """
    payg = _policy(settings.payg)
    if settings.policy_enforcement == "disabled":
        return MappingProxyType(dict.fromkeys(_MODES, payg))
    return MappingProxyType(
        {
            "payg": payg,
            "oauth": _policy(settings.oauth),
            "subscription": _policy(settings.subscription),
            "unknown": _policy(settings.subscription),
        }
    )


def _policy(words: Iterable[str]) -> AuthPolicy:
    return AuthPolicy(**{WORDS[word]: True for word in words})


POLICIES: AuthPolicies = policies_of(AuthSettings())
"""What holds for each mode unless the operator says otherwise."""


class Classified(Struct, frozen=True, gc=False):
    """A request's mode.

    Attributes:
        problem: what could not be read; empty if all could.
    """

    mode: AuthMode
    problem: str = ""


def classify(headers: Headers) -> Classified:
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

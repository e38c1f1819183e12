"""What may be done to requests under each kind of credential.

The kinds are told apart in ``providers.credentials``; the settings say what holds for
each of them.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct

from headroom.providers.credentials import Classified, classify
from headroom.settings import AuthSettings

__all__ = [
    "POLICIES",
    "WORDS",
    "AuthPolicies",
    "AuthPolicy",
    "Classified",
    "classify",
    "policies_of",
]

_MODES = ("payg", "oauth", "subscription", "unknown")


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

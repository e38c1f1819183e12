"""Headroom: the context layer between AI agents and LLM providers.

The public API: whatever stands in ``__all__`` is stable, all else may change. Names are
loaded when they are first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headroom.api import (
        Message,
        MessagesResult,
        TextResult,
        compress,
        compress_text,
        count_tokens,
        retrieve,
    )
    from headroom.core.types import KINDS, Kind
    from headroom.errors import HeadroomError
    from headroom.session import Session

__version__ = "0.1.0"

__all__ = [
    "KINDS",
    "HeadroomError",
    "Kind",
    "Message",
    "MessagesResult",
    "Session",
    "TextResult",
    "compress",
    "compress_text",
    "count_tokens",
    "retrieve",
]

_HOMES = {
    "KINDS": "headroom.core.types",
    "Kind": "headroom.core.types",
    "HeadroomError": "headroom.errors",
    "Session": "headroom.session",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'headroom' has no attribute {name!r}")
    found = getattr(import_module(_HOMES.get(name, "headroom.api")), name)
    globals()[name] = found
    return found

"""Headroom: the context layer between AI agents and LLM providers.

The public API: whatever stands in ``__all__`` is stable, all else may change.
"""

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

__version__ = "0.1.0"

__all__ = [
    "KINDS",
    "HeadroomError",
    "Kind",
    "Message",
    "MessagesResult",
    "TextResult",
    "compress",
    "compress_text",
    "count_tokens",
    "retrieve",
]

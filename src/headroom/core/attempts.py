"""What may fail alone: it is tried, and whoever tried it goes on without.

One block's compressors, the references of one message's results, the recorded edits of
one message: each is worth less than the request, and the request's other blocks are
worth more; so is the program that has a request made by the library. This and the guard
around a stage of the proxy are the places that catch what they cannot name.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

_T = TypeVar("_T")
_MAX_REASON_CHARS = 200


class Failed(Struct, frozen=True):
    """Something raised.

    Attributes:
        error: its code or class.
        text: what it said; may hold content, and is for no log.
    """

    error: str
    text: str = ""

    @property
    def reason(self) -> str:
        """Both, in a few words."""
        return f"{self.error}: {self.text}"[:_MAX_REASON_CHARS]


def attempted(work: Callable[[], _T]) -> _T | Failed:
    """What some work returns, or how it failed."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - one thing fails alone (SPEC R112)
        name = str(getattr(error, "code", type(error).__name__))
        return Failed(name, str(error))

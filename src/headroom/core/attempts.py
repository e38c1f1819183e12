"""What may fail alone: it is tried, and whoever tried it goes on without.

One block's compressors, the references of one message's results, the recorded edits of
one message: each is worth less than the request, and the request's other blocks are
worth more; so is the program that has a request made by the library. This and the guard
around a stage of the proxy are the places that catch what they cannot name.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

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
        return _failed(error)


class Attempt:
    """The same around lines of a caller that may wait on the way.

    What comes behind them goes on.

    Args:
        tell: told how they failed.
    """

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Failed], None]) -> None:
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._tell(_failed(error))
        return True


def _failed(error: Exception) -> Failed:
    return Failed(str(getattr(error, "code", type(error).__name__)), str(error))

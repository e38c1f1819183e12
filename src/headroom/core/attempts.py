"""What may fail alone: it is tried, and whoever tried it goes on without.

One block's compressors, the references of one message's results, the recorded edits of
one message: each is worth less than the request, and the request's other blocks are
worth more; so is the program that has a request made by the library. This and the guard
around a stage of the proxy are the places that catch what they cannot name.
"""

from abc import ABC, abstractmethod
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
        return failure(error)


class Alone(ABC):
    """Around lines of a caller that may wait on the way; what comes behind goes on."""

    __slots__ = ()

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
        self.failed(error)
        return True

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Note that something was raised inside."""


class Attempt(Alone):
    """The same as ``attempted`` around lines of a caller.

    Args:
        tell: told how they failed.
    """

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Failed], None]) -> None:
        self._tell = tell

    def failed(self, error: Exception) -> None:
        """Tell of it."""
        self._tell(failure(error))


def failure(error: Exception) -> Failed:
    """What was raised, by its code or class."""
    return Failed(str(getattr(error, "code", type(error).__name__)), str(error))

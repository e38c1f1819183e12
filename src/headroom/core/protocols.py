"""The shapes that plug-ins fill. What one package needs from another arrives as one.

A compressor, a provider, a store or a token counter is written in one file and joins by
one line in its registry; everything else meets it only through these protocols.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from headroom.core.types import (
    Compressed,
    Context,
    Decision,
    Edit,
    HotBlock,
    Kind,
    RequestView,
    Slot,
    ToolCall,
)


class Compressor(Struct, frozen=True):
    """One kind of text and how to shorten it.

    Attributes:
        name: the strategy's name, unique in the registry.
        kind: which of the twelve kinds it serves.
        detect: confidence from 0.0 to 1.0 that the text is of this kind; cheap (looks
            at a bounded part), deterministic, never raises.
        compress: lossless and lossy forms, or ``None`` if there is nothing to gain. It
            verifies by parsing before it believes; a lossless form is accepted only if
            its decoder gives the facts back. Pure, linear in the text's length.
    """

    name: str
    kind: Kind
    detect: Callable[[str], float]
    compress: Callable[[str, Context], Compressed | None]


class Provider(Protocol):
    """One API: where its spans are."""

    @property
    def api(self) -> str:
        """The provider family's name, part of every chain key."""
        ...

    def parse(self, body: bytes) -> RequestView:
        """Read a request body.

        Raises:
            MalformedBodyError: in any doubt; the body is then forwarded as it came.
        """
        ...

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The blocks of message ``index`` in order, hot ones included."""
        ...

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The tool calls that message ``index`` makes, by call id."""
        ...

    def retrieval_edits(self, view: RequestView) -> list[Edit]:
        """What adds the retrieval tool to the request, the same bytes every time.

        Empty where the request has no tool list.
        """
        ...


class LedgerKey(Struct, frozen=True, gc=False, array_like=True):
    """Key and lineage of one record; block records have the lineage ``b""``."""

    key: bytes
    lineage: bytes


class Record(Struct, frozen=True, gc=False):
    """One stored decision with the lineage it was made in and its age order."""

    key: bytes
    lineage: bytes
    decision: Decision


class Store(Protocol):
    """Originals and ledger records together; safe to use from several processes.

    All methods block; the shell runs them off the loop. Implementations touch the time
    of last use on reads and writes (sliding retention, SPEC D9).
    """

    def load(self, keys: Sequence[bytes]) -> list[Record]:
        """All records under any of ``keys``, in every lineage, oldest first per key.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        ...

    def save(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision]:
        """Write originals and put-if-absent records in one batch, durably.

        Returns:
            The decisions that were there already under the same key and lineage: the
            winners, which the caller forwards instead of its own.

        Raises:
            StoreUnavailableError: nothing is known to be written.
        """
        ...

    def get(self, digest: str) -> str:
        """The original kept under ``digest``.

        Raises:
            OriginalNotFoundError: there is none.
            CorruptOriginalError: what is kept does not hash to ``digest``.
            StoreUnavailableError: the store cannot be read.
        """
        ...

    def close(self) -> None:
        """Release what the store holds; it is not used afterwards."""
        ...

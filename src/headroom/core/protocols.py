"""The shapes that plug-ins fill. What one package needs from another arrives as one.

A compressor, a provider, a store or a token counter is written in one file and joins by
one line in its registry; everything else meets it only through these protocols.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from headroom.core.hidden import Answer, Placement
from headroom.core.types import (
    NO_PATH,
    Breakpoints,
    Compressed,
    Context,
    Decision,
    Edit,
    Front,
    HotBlock,
    Kind,
    PathView,
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
        most: the highest confidence that ``detect`` has of any text but its own form;
            one that cannot be surer than another already is need not look first.
        is_lossy_only: it has lossy forms alone; it is not asked where none may be used.
        reads_whole: a text of its kind is one document, however long, and means
            nothing in pieces.
        head: the lines at a text's beginning, line end included, that each piece of a
            long text needs in front to be understood; ``None``: pieces need none.
    """

    name: str
    kind: Kind
    detect: Callable[[str], float]
    compress: Callable[[str, Context], Compressed | None]
    most: float = 1.0
    is_lossy_only: bool = False
    reads_whole: bool = False
    head: Callable[[str], str] | None = None


class Provider(Protocol):
    """One API: where its spans are."""

    @property
    def api(self) -> str:
        """The provider family's name, part of every chain key."""
        ...

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body.

        Args:
            body: as received, content encoding undone.
            path: what the request's path says, as its route read it; what the body
                says of the same wins. Whoever has no path (the library, a test) leaves
                it out.

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

    def tool_edits(self, view: RequestView, names: Sequence[str]) -> list[Edit]:
        """What adds Headroom's own tools to the request, the same bytes every time.

        Empty where the request has no tool list.
        """
        ...

    def front(self, view: RequestView) -> Front:
        """What stands in front of the messages and may be put in order."""
        ...

    def breakpoints(
        self, view: RequestView, reshaped: frozenset[int], limit: int
    ) -> Breakpoints:
        """Cache markers for a request whose client sets none.

        Args:
            view: the request.
            reshaped: messages whose content other edits may make a list of.
            limit: markers to set at most.
        """
        ...

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the blocks of message ``index`` apart; see ``core.hidden``."""
        ...

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden parts back into message ``index`` and the one after it.

        Index ``-1`` is the answer that the request goes on from, where the provider
        keeps it; only results can be missing behind it.

        Raises:
            CompressionError: the message is not the one they were placed in.
        """
        ...

    def splicer(self, *, is_stream: bool, own: frozenset[str]) -> "Splicer":
        """What joins the rounds of one answer into one response.

        Args:
            is_stream: the answer is a stream of events.
            own: names of the tools whose calls are answered here.
        """
        ...


class Splicer(Protocol):
    """One client response made of several answers of the provider; sans IO.

    The shell feeds it the bytes of one round after the other. When a round ends with
    calls of Headroom's own tools alone, the shell answers them and sends the request
    again with what was said since::

        out = splicer.feed(chunk)                  # to the client, at once
        out = splicer.end()                        # the round's connection has ended
        while splicer.is_waiting:
            splicer.answer([look_up(call) for call in splicer.calls])
            if not splicer.is_continuing: break
            body = splicer.next_body(body)         # … send it, feed, end
        remember(splicer.hidden)
        out = splicer.finish()                     # what ends the client's message
    """

    @property
    def is_waiting(self) -> bool:
        """The round has ended with calls that want answers."""
        ...

    @property
    def is_continuing(self) -> bool:
        """The model is to go on: ``next_body`` is to be sent."""
        ...

    @property
    def is_broken(self) -> bool:
        """The client was told of an error, or the provider's answer is incomplete."""
        ...

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls to look up; none if there were too many rounds already."""
        ...

    @property
    def hidden(self) -> Answer | None:
        """What the client did not see, if anything; complete once nothing waits."""
        ...

    @property
    def usage(self) -> dict[str, int]:
        """Tokens billed over all rounds so far, by class."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        ...

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        ...

    def answer(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``, in their order."""
        ...

    def next_body(self, body: bytes) -> bytes:
        """The next round's request: this one, and what was said since.

        Raises:
            MalformedBodyError: ``body`` is not a request.
        """
        ...

    def fail(self, error: bytes) -> bytes:
        """What tells the client that the provider did not go on.

        Args:
            error: a whole error body in the provider's shape.
        """
        ...

    def finish(self) -> bytes:
        """What ends the client's message."""
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

"""What the splicers of all APIs share: bytes in, bytes out, rounds told.

A splicer is a ``Splicer`` of ``core.protocols``. An API subclasses ``JsonSplicing`` for
whole bodies and ``StreamSplicing`` for streams, and adds its shapes: how a round reads
as a ``Said``, what the client gets of an event, how the request goes on.

What always holds: what the client gets of an answer that hides nothing is what the
provider sent, byte for byte; nothing incomplete ends as complete; what cannot be read
passes as it is as long as nothing was held back, and is told as an error after that.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from headroom.core.hidden import Answer
from headroom.core.types import ToolCall
from headroom.providers.rounds import Rounds, Said

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Far above the longest event: results of server tools come in one."""

TRUNCATED = "the provider broke its answer off"
UNREADABLE = "the provider's answer cannot be read"

Event = TypeVar("Event")


class RoundSplicer(ABC):
    """What every ``Splicer`` tells about its rounds.

    Attributes:
        is_broken: the client was told of an error, or the answer is incomplete.
    """

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self.is_broken = False

    @property
    def is_waiting(self) -> bool:
        """The round has ended with calls that want answers."""
        return self._rounds.is_waiting

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self._rounds.is_continuing

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls to look up."""
        return self._rounds.calls

    @property
    def hidden(self) -> Answer | None:
        """What the client did not see."""
        return None if self.is_broken else self._rounds.answer

    @property
    def usage(self) -> dict[str, int]:
        """Tokens billed over all rounds so far, by class."""
        return self._rounds.usage

    def answer(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``, in their order."""
        self._rounds.take(texts)

    def next_body(self, body: bytes) -> bytes:
        """The next round's request; the round begins.

        Raises:
            MalformedBodyError: ``body`` is not a request.
            StreamError: what the model said cannot be sent back.
        """
        sent = self._continued(body)
        self._rounds.begin()
        self._begin_round()
        return sent

    @abstractmethod
    def _continued(self, body: bytes) -> bytes:
        """The request with the round that ended and its results behind it."""

    @abstractmethod
    def _begin_round(self) -> None:
        """Get ready to read the next round."""


class JsonSplicing(RoundSplicer):
    """Splicers of whole bodies: nothing leaves before all of it is known.

    An answer that hides nothing is passed on as it came, and so is an error.
    """

    def __init__(self, rounds: Rounds) -> None:
        super().__init__(rounds)
        self._received: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        self._received.append(chunk)
        return b""

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        body = b"".join(self._received)
        self._received.clear()
        said = self._read(body)
        if not said.is_whole:
            self.is_broken = True
            self._rounds.add_usage(said.usage)
            return body
        self._rounds.close(said)
        if self._rounds.number == 0 and self._rounds.verdict == "final":
            return body
        self._keep(body)
        return b""

    def _begin_round(self) -> None:
        """Nothing is kept of a round but what ``_keep`` keeps."""

    def fail(self, error: bytes) -> bytes:
        """The error is the whole answer."""
        self.is_broken = True
        return error

    def finish(self) -> bytes:
        """The message, where it was not passed on as it came."""
        return b"" if self.is_broken or self._rounds.is_unchanged else self._joined()

    @abstractmethod
    def _read(self, body: bytes) -> Said:
        """What a round said; never raises."""

    @abstractmethod
    def _keep(self, body: bytes) -> None:
        """Keep what the client gets of a round that is no whole answer."""

    @abstractmethod
    def _joined(self) -> bytes:
        """The message of all rounds."""


class EventReader(Protocol[Event]):
    """What reads the events of one round; the stream reader of an API."""

    @property
    def pending(self) -> bytes:
        """Bytes fed that belong to no complete event yet."""
        ...

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events they complete, in order."""
        ...


class StreamSplicing(RoundSplicer, Generic[Event]):
    """Splicers of event streams: events go on as they come, byte for byte.

    Attributes:
        _has_ended: an event has told the client of an end; nothing may follow it.
        _is_hiding: something of the round that runs is held back from the client.
        _held: events that end the message, until it is known whether they do.
    """

    def __init__(self, rounds: Rounds, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(rounds)
        self._max_event_bytes = max_event_bytes
        self._has_ended = False
        self._is_raw = False
        self._is_silent = False
        self._held: list[Event] = []
        self._start_reading()

    @property
    def _is_plain(self) -> bool:
        """The client has got everything so far as it came."""
        return self._rounds.number == 0 and not self._is_hiding

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        if self._is_raw:
            return b"" if self._is_silent else chunk
        events = self._reader.feed(chunk)
        if events:
            self._pending_bytes = len(self._reader.pending)
        else:
            self._pending_bytes += len(chunk)
        out = b"".join(map(self._take, events))
        if self._pending_bytes > self._max_event_bytes:
            return out + self._give_up()
        return out

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        if self._is_raw:
            return b""
        is_first = self._rounds.number == 0
        rest = self._reader.pending
        if self._held or not is_first:
            # Only a lone CR may still end an event; what is none stays here.
            rest = self.feed(b"\n") if rest.endswith(b"\r") else b""
        said = self._read()
        if said.is_whole:
            self._rounds.close(said)
            return rest
        self.is_broken = True
        self._rounds.add_usage(said.usage)
        self._held.clear()
        if is_first or self._has_ended:
            return rest
        return self.fail(self._error(TRUNCATED))

    def fail(self, error: bytes) -> bytes:
        """The error as an event; the stream ends with it."""
        self.is_broken = True
        self._held.clear()
        return self._error_event(b"".join(error.splitlines()))

    def finish(self) -> bytes:
        """The events that end the message, with the sums in them."""
        held, self._held = self._held, []
        return b"".join(map(self._ending, held))

    def _begin_round(self) -> None:
        self._start_reading()

    def _start_reading(self) -> None:
        self._reader: EventReader[Event] = self._open_reader()
        self._held.clear()
        self._pending_bytes = 0
        self._is_hiding = False

    def _give_up(self) -> bytes:
        """An event is too long to be held: what is left passes as it is, if it may."""
        self._is_raw = True
        if self._is_plain:
            return self._reader.pending
        self._is_silent = True
        return b"" if self._has_ended else self.fail(self._error(UNREADABLE))

    @abstractmethod
    def _open_reader(self) -> EventReader[Event]:
        """A reader for the round that begins; called by the constructor too."""

    @abstractmethod
    def _take(self, event: Event) -> bytes:
        """What the client gets of an event now."""

    @abstractmethod
    def _read(self) -> Said:
        """What the round said that has ended; never raises."""

    @abstractmethod
    def _ending(self, event: Event) -> bytes:
        """What the client gets of a held event when the message ends."""

    @abstractmethod
    def _error(self, words: str) -> bytes:
        """An error body of the API's shape."""

    @abstractmethod
    def _error_event(self, error: bytes) -> bytes:
        """The event of an error body of one line."""

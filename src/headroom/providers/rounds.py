"""The rounds of one answer: which calls are the proxy's, what the client does not see.

The model asks for an original, the proxy answers, the model goes on: one message for
the client, several answers of the provider's. What that means is the same for every
API and stands here; an API's splicers (the ``Splicer`` of ``core.protocols``) add its
shapes (``splicing`` has what they share). They read each round into a ``Said``, and
write what the client gets.

A round that ended is one of these:

* ``final``: no hidden call in it; the round ends the client's message.
* ``continue``: only hidden calls; they are answered and the model goes on.
* ``mixed``: calls of the client's tools beside hidden ones; the client gets its own,
  the results of the hidden ones go into its next message.
* ``cut``: hidden calls that cannot be answered any more (the answer was cut off, or
  there were too many rounds); they are left out as if they had not been made.

What always holds: nothing ends as complete that is not; what is hidden is told
(``hidden``) only if the client's message is whole.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.core.hidden import NEUTRAL, Answer, Part
from headroom.core.retrieval_tool import NAME
from headroom.core.types import ToolCall

MAX_ROUNDS = 3
"""Rounds whose calls are looked up; a model that needs more is going in circles."""

NOT_AVAILABLE = (
    "{} is not available any more in this answer: tools like it were used"
    f" {MAX_ROUNDS} times. Go on with what you have, or ask again in a later step."
)

RETRIEVAL_ONLY = frozenset({NAME})
"""The names of the tools that the proxy answers where it has added no other."""

Verdict: TypeAlias = Literal["open", "final", "continue", "mixed", "cut"]


class Piece(Struct, frozen=True, gc=False):
    """A block, call or item of one round.

    Attributes:
        anchor: of what the client sees; see ``core.hidden``.
        call: the hidden call; ``None`` if the client sees the piece.
        data: the hidden call as it is sent back, as JSON.
    """

    anchor: str = NEUTRAL
    call: ToolCall | None = None
    data: bytes = b""


class Said(Struct, frozen=True, gc=False):
    """What the provider answered in one round.

    Attributes:
        pieces: in the model's order.
        usage: what was billed, by the API's names for ``Splicer.usage``.
        is_whole: the answer came to its end and can be read.
        is_calling: it ended so that its calls are answered, and they are complete.
        has_client_calls: there are calls of the client's tools in it.
    """

    pieces: tuple[Piece, ...] = ()
    usage: Mapping[str, int] = {}
    is_whole: bool = True
    is_calling: bool = True
    has_client_calls: bool = False


class Turn(Struct, frozen=True, gc=False):
    """A round that is over.

    Attributes:
        results: of its hidden calls, as JSON, joined by commas.
    """

    said: Said
    verdict: Verdict
    results: bytes = b""


class Rounds:
    """What was said and billed in all rounds so far.

    Attributes:
        verdict: what becomes of the round that ended last; ``open`` before that.
        number: of the round that is running or has ended last, from 0.
        calls: calls of that round that are to be looked up.
        usage: sums over all rounds.
        turns: the rounds that are over.
        own: names of the tools whose calls the proxy answers.

    Args:
        make_result: the result of a hidden call with this text, as JSON.
        make_answer: what becomes of the turns in ``core.hidden``.
    """

    def __init__(
        self,
        make_result: Callable[[Piece, str], bytes],
        make_answer: "Callable[[Sequence[Turn]], Answer] | None" = None,
        own: frozenset[str] = RETRIEVAL_ONLY,
    ) -> None:
        self.own = own
        self.verdict: Verdict = "open"
        self.number = 0
        self.calls: tuple[ToolCall, ...] = ()
        self.usage: dict[str, int] = {}
        self.turns: list[Turn] = []
        self._make_result = make_result
        self._make_answer = make_answer or answer_by_pieces
        self._hidden: list[Piece] = []
        self._is_answered = False

    @property
    def is_waiting(self) -> bool:
        """The round that ended has calls that want answers."""
        return self.verdict in {"continue", "mixed"} and not self._is_answered

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self.verdict == "continue" and self._is_answered

    @property
    def answer(self) -> Answer | None:
        """All that was said, if the client did not see all of it."""
        found = self._make_answer(self.turns)
        return found if found.is_hiding else None

    @property
    def is_unchanged(self) -> bool:
        """The client gets the one answer as the provider gave it."""
        return self.number == 0 and self.verdict != "cut" and self.answer is None

    @property
    def results(self) -> bytes:
        """What the hidden calls of the round that ended last were answered."""
        return self.turns[-1].results

    def close(self, said: Said) -> None:
        """Take a round that ended well."""
        self.add_usage(said.usage)
        self._hidden = [piece for piece in said.pieces if piece.call is not None]
        self._is_answered = False
        self.verdict = self._judge(said)
        self.turns.append(Turn(said, self.verdict))
        self.calls = ()
        if self.is_waiting and self.number < MAX_ROUNDS:
            self.calls = tuple(piece.call for piece in self._hidden if piece.call)

    def take(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``."""
        if not self.calls:
            texts = [
                NOT_AVAILABLE.format(piece.call.name if piece.call else NAME)
                for piece in self._hidden
            ]
        results = b",".join(
            self._make_result(piece, text)
            for piece, text in zip(self._hidden, texts, strict=True)
        )
        self._is_answered = True
        self.turns[-1] = Turn(self.turns[-1].said, self.verdict, results)

    def begin(self) -> None:
        """The next round begins."""
        self.number += 1
        self.verdict = "open"

    def add_usage(self, usage: Mapping[str, int]) -> None:
        """Add what a round was billed."""
        for name, count in usage.items():
            if count:
                self.usage[name] = self.usage.get(name, 0) + count

    def _judge(self, said: Said) -> Verdict:
        if not self._hidden:
            return "final"
        if not said.is_calling:
            return "cut"
        if said.has_client_calls:
            return "mixed"
        return "cut" if self.number > MAX_ROUNDS else "continue"


def answer_by_pieces(turns: Iterable[Turn]) -> Answer:
    """The answer of an API whose clients resend every piece by itself."""
    parts: list[Part] = []
    results = b""
    for turn in turns:
        for piece in turn.said.pieces:
            if piece.call is None:
                parts.append(Part("seen", piece.anchor))
            elif turn.verdict != "cut":
                parts.append(Part("call", data=piece.data))
        if turn.verdict == "continue":
            parts.append(Part("turn", data=turn.results))
        elif turn.verdict == "mixed":
            results = turn.results
    return Answer(tuple(parts), results)


def result_text(text: str) -> str:
    """The text of a result as JSON can hold it: lone surrogates are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")

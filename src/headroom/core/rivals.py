"""Which of two forms of a block is sent, and which of them need not be counted for it.

Counting takes a third of the time. Forms of one text have much the same notation, so
that one with clearly fewer characters has fewer tokens, and one with hardly fewer does
not have as many fewer as a lossy form must.
"""

from collections.abc import Callable

from headroom.core.types import BlockOutcome

MIN_LOSSY_GAIN_TOKENS = 48
MIN_LOSSY_GAIN = 0.1
"""A lossy result must beat the lossless one by both: a retrieval costs a whole step."""

CLEAR_SHARE = 0.8
CLEAR_SHARES = {
    "table": 0.55, "html": 0.85, "json": 0.85, "listing": 0.86, "log": 0.87,
    "prose": 0.84,
}  # fmt: skip
CLEAR_CHARS = 600
"""A lossy form that is as much shorter by its characters does beat it by tokens: it has
the same notation, with up to an eighth more tokens by the character. Of tables it may
have half more, as their padding and repeated cells are what goes first; of prose up to
a fifteenth, of pages, logs and listings hardly any."""

FUTILE_SHARE = 1.0
FUTILE_SHARES = {"diff": 0.92, "prose": 0.92, "search": 0.95}
"""A lossy form of as large a share of the characters does not beat it: what is left out
of diffs and prose costs less by the character than what stays."""

MIN_REFERRING_GAIN = 0.1
"""A form that refers to earlier results must beat one that stands alone by as much."""


class Rival:
    """A lossy form that is counted only if the lossless one does not settle it.

    Args:
        kind: of the compressor that made it.
        chars: its length, marker included; 0: there is no such form.
        gate: counts it and says whether it may be sent.
    """

    def __init__(
        self, kind: str, chars: int, gate: Callable[[], BlockOutcome | None]
    ) -> None:
        self.chars = chars
        self._kind = kind
        self._gate = gate
        self._is_gated = False
        self._outcome: BlockOutcome | None = None

    def outcome(self) -> BlockOutcome | None:
        """What became of it."""
        if not self._is_gated:
            self._outcome = self._gate()
            self._is_gated = True
        return self._outcome

    def clearly_beats(self, chars: int) -> bool:
        """It is so much shorter than a lossless form that the other needs no count."""
        if not self.chars:
            return False
        share = CLEAR_SHARES.get(self._kind, CLEAR_SHARE)
        if self.chars > min(share * chars, chars - CLEAR_CHARS):
            return False
        outcome = self.outcome()
        return outcome is not None and outcome.replacement is not None

    def is_futile(self, chars: int) -> bool:
        """It is hardly shorter than a lossless form, which need not be beaten by it."""
        return self.chars >= FUTILE_SHARES.get(self._kind, FUTILE_SHARE) * chars


def chosen(
    lossless: Callable[[], BlockOutcome | None], chars: int, lossy: Rival
) -> BlockOutcome | None:
    """The better of two forms; what is clear beforehand is not counted.

    Args:
        lossless: counts the lossless form and says whether it may be sent.
        chars: its length.
        lossy: the other one.
    """
    if lossy.clearly_beats(chars):
        return lossy.outcome()
    alone = lossless()
    if alone is not None and alone.replacement is not None and lossy.is_futile(chars):
        return alone
    return rather(alone, lossy.outcome())


def rather(
    lossless: BlockOutcome | None, lossy: BlockOutcome | None
) -> BlockOutcome | None:
    """The lossless result, unless leaving something out saves clearly more."""
    if lossy is None or lossy.replacement is None:
        return lossless or lossy
    if lossless is None or lossless.replacement is None:
        # The text as it is stands for its lossless form: what was not worth leaving
        # out of that form is not when the form is read again.
        gain = lossy.original_tokens - lossy.compressed_tokens
        is_worth_it = gain >= lossy.original_tokens * MIN_LOSSY_GAIN
        return lossy if is_worth_it else lossless
    gain = lossless.compressed_tokens - lossy.compressed_tokens
    is_worth_it = gain >= max(
        MIN_LOSSY_GAIN_TOKENS, lossless.compressed_tokens * MIN_LOSSY_GAIN
    )
    return lossy if is_worth_it else lossless


def better(one: BlockOutcome | None, other: BlockOutcome) -> BlockOutcome:
    """Of two outcomes for a block, the one to send: fewer tokens, rather lossless."""
    if one is None or one.replacement is None:
        return other
    if other.replacement is None:
        return one
    leaves_out = one.is_lossy and not one.is_standing
    if leaves_out != (other.is_lossy and not other.is_standing):
        lossless, lossy = (other, one) if leaves_out else (one, other)
        return rather(lossless, lossy) or lossless
    if bool(one.refers_to) != bool(other.refers_to):
        # What has to be looked up must save more than what is told in place.
        alone, referring = (other, one) if one.refers_to else (one, other)
        most = alone.compressed_tokens * (1 - MIN_REFERRING_GAIN)
        return referring if referring.compressed_tokens <= most else alone
    return one if one.compressed_tokens <= other.compressed_tokens else other

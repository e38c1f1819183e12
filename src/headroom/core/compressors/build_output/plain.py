"""Which lines of build output are plain: they tell of no trouble and of no place.

Only plain lines may be joined by words that vary. What is asked of each line is asked
once for all steps of a compression, and the words of trouble that stand nowhere in a
text are looked for in none of its lines.
"""

import re

from headroom.core.compressors.build_output.squeezing import MARK
from headroom.core.folding.frames import is_fixed

PLACED = re.compile(
    r"(\s*(?:[A-Za-z]:)?[^\s:(]+(?::\d+(?::\d+)?|\(\d+(?:,\d+)?\)):?(?: -)?) (.+)"
)
"""A line that begins with a place in a file, and what it says of it."""

_STEMS = (
    "err", "warn", "fail", "assert", "exception", "panic", "fatal", "cannot", "can't",
    "could not", "unable", "not found", "denied", "missing", "unknown", "undefined",
    "deprecat", "conflict", "invalid", "unexpected", "vulnerab", "timed out", "timeout",
    "no such", "refused", "forbidden", "mismatch", "expected", "violat", "overflow",
    "abort", "corrupt", "crash", "illegal", "unresolved", "unhandled",
)  # fmt: skip
_TROUBLED = "(?i:" + "|".join(_STEMS).replace("err|", r"err(?:or)?s?\b|") + ")"
# Apart, so that each is looked for at the few places where it may begin.
_TROUBLE_FIRST = re.compile(_TROUBLED)
_TROUBLE = re.compile(rf"[\s\"'(\[:!]{_TROUBLED}")
_RAISED = re.compile(r"[a-z](?:Error|Exception|Warning)\b")
_GATHERED = re.compile(r".* \(×\d+\):$|  [^\s:(]+(?::\d+)+$")
"""A finding that the lossy form puts above its places, and one of these."""

_CODE_LINE = re.compile(
    r"(?:[>E] |\s*+\d*+ *+[|│]|\s{4,}(?!--- [PS])\S.*[;{}()=,:]$|[+-] )"
)

_MAX_KNOWN = 8192
"""Lines whose answer is remembered; bounds memory."""


class PlainLines:
    """Tells plain lines from others, for the lines of one text."""

    def __init__(self, text: str, before: "PlainLines | None" = None) -> None:
        """Look which words of trouble the text has.

        Args:
            text: all that is asked about is made of it.
            before: what was learnt of another text whose lines may come again.
        """
        lower = text.lower()
        self._stems = [stem for stem in _STEMS if stem in lower]
        self._known: dict[str, bool] = {} if before is None else before._known

    def is_plain(self, line: str, *, is_placed: bool | None = None) -> bool:
        """Whether a line tells of no trouble and is no part of a failure.

        Args:
            line: the line.
            is_placed: whether it begins with a place in a file, if that is known.
        """
        if is_placed is None:
            may_be = ":" in line or "(" in line
            is_placed = may_be and PLACED.match(line) is not None
        if is_placed:
            return False
        known = self._known.get(line)
        if known is None:
            known = not (
                line.startswith(MARK)
                or _CODE_LINE.match(line)
                or self._is_gathered(line)
                or self._tells_of_trouble(line)
                or is_fixed(line)
            )
            if len(self._known) < _MAX_KNOWN:
                self._known[line] = known
        return known

    @staticmethod
    def _is_gathered(line: str) -> bool:
        may_be = line.endswith("):") or line.startswith("  ")
        return may_be and _GATHERED.match(line) is not None

    def _tells_of_trouble(self, line: str) -> bool:
        lower = line.lower()
        for stem in self._stems:
            if stem in lower:
                return _is_troubled(line)
        return False


def _is_troubled(line: str) -> bool:
    if _TROUBLE_FIRST.match(line) or _TROUBLE.search(line):
        return True
    may_raise = "Error" in line or "Exception" in line or "Warning" in line
    return may_raise and _RAISED.search(line) is not None

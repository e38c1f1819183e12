"""Which added lines of a diff are removed lines of the same diff, word for word.

Code that moves (a file split in two, a rename that git did not see) stands in a diff
twice. The lossy form shows it once, where it was removed, and says so where it was
added. Only whole runs count, of at least ``MIN_RUN`` lines that say something.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

MIN_RUN: Final = 6
MIN_RUN_CHARS: Final = 160
_GRAM: Final = 4

_SAYS_SOMETHING = re.compile(r"[^\W_]")


class Removed(NamedTuple):
    """A row of removed lines: file, number of the first in the old file, their text."""

    path: str
    line: int
    texts: list[str]


class Move(NamedTuple):
    """Added lines ``start`` to ``end`` (exclusive) of a body, and where they were."""

    start: int
    end: int
    path: str
    line: int


class Moves:
    """Finds moves in hunk bodies; built from everything the diff removes."""

    def __init__(self, removed: Iterable[Removed]) -> None:
        self._rows = [row for row in removed if len(row.texts) >= MIN_RUN]
        self._places: dict[tuple[str, ...], tuple[int, int]] = {}
        for number, row in enumerate(self._rows):
            texts = row.texts
            for offset in range(len(texts) - _GRAM + 1):
                gram = tuple(texts[offset : offset + _GRAM])
                self._places.setdefault(gram, (number, offset))

    def find(self, body: list[str]) -> list[Move]:
        """The moves into one hunk, in order, apart from each other."""
        if not self._places:
            return []
        moves: list[Move] = []
        index = 0
        while index + _GRAM <= len(body):
            if body[index][:1] != "+":
                index += 1
                continue
            gram = tuple([line[1:] for line in body[index : index + _GRAM]])
            place = self._places.get(gram)
            if place is None:
                index += 1
                continue
            row = self._rows[place[0]]
            end = self._extend(body, index, row.texts, place[1])
            run = body[index:end]
            if (
                sum(1 for line in run if _SAYS_SOMETHING.search(line)) >= MIN_RUN
                and sum(map(len, run)) >= MIN_RUN_CHARS
            ):
                moves.append(Move(index, end, row.path, row.line + place[1]))
            index = max(end, index + 1)
        return moves

    @staticmethod
    def _extend(body: list[str], start: int, texts: list[str], offset: int) -> int:
        end = start
        while (
            end < len(body)
            and offset < len(texts)
            and body[end][:1] == "+"
            and body[end][1:] == texts[offset]
        ):
            end += 1
            offset += 1
        return end

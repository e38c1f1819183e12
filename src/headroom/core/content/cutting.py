"""Cut a long text into pieces that are served one after the other.

What reads a text makes objects of its lines, words and values, which take up to sixty
times its size. A long text is therefore read piece by piece, so that a bounded part of
it is in objects at any time. Lines stay whole, and what belongs together stays so where
that can be told by the lines at hand: the files of a diff, paragraphs, a stack trace
with its message. Of a JSON document the pieces are runs of elements of its largest
arrays and objects.

What always holds: pieces are in order and do not overlap; what stands between two of
them is a line end, or the punctuation and the keys around the elements. The work is
linear.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

BYTES_PER_CHAR: Final = 6.5
"""Memory that reading a piece may take, for each character of the whole text."""

_BYTES_READ = 16
_BYTES_PER_LINE = 550
"""What reading takes at most for each character of a piece, and for each line more."""

_MIN_PIECES = 4
_SLACK = 32
"""Pieces of one text are as long as each other, and so much of them longer: each ends
before its limit, and none is to be left over."""
_BYTES_PER_VALUE = 60
_BYTES_PER_CONTAINER = 400
"""What reading a JSON document takes for each comma and each bracket that opens."""

_STEPS = 40
"""A document is looked at in so many steps, to tell what reading a part of it takes."""

_LONG_LINE = 40_000
"""Documents that are no longer are left among the lines."""

_STRING = r'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(
    rf'[\[{{](?:[^"\[\]{{}}]++|{_STRING})*+[\]}}]|[\[\]{{}},]|{_STRING}?', re.DOTALL
)
"""A container without others inside, a bracket, a comma, or a string."""

_MAX_DEPTH = 64
_DOCUMENT = re.compile(r"\s*(?=\{\s*[\"}]|\[\s*[\[{\"\d\]tfn-])")
_DOCUMENT_BEHIND = re.compile(
    r"\n(?=[\[{]\n|(?:\{ *\"|\[ *[\[{\"])"
    rf"(?:[^\n]*+(?<![\]}}])\n|[^\n]{{{_LONG_LINE}}}))"
)
"""A document on a line of its own, as most are, is no long one."""

_BORDERS = tuple(
    re.compile(sign)
    for sign in (
        r"\n(?=diff --git |Index: \S|Traceback \(most recent|[├└])",
        r"\n(?=--- \S)",
        r"\n\n(?=\S)",
        r"\n\S[^\n]*\n(?=\S)",
        r"\n(?=\S)",
        r"\n",
    )
)
"""Where to cut, the best first: in front of a file, between paragraphs, between two
lines that begin at the margin, before one that does."""


class Piece(NamedTuple):
    """A part of a text that is served by itself.

    Attributes:
        start: where it begins in the text.
        end: where it ends there, not included.
        unit: ``lines``, or of a JSON document ``elements`` or ``members``.
        first: number of its first unit, from one, in the text or in its container.
        last: number of its last unit.
        brackets: what has to stand around it to make it a document; none: empty.
    """

    start: int
    end: int
    unit: str
    first: int
    last: int
    brackets: str = ""

    def text_of(self, text: str) -> str:
        """The piece as a text of its own."""
        own = text[self.start : self.end]
        return f"{self.brackets[0]}{own}{self.brackets[1]}" if self.brackets else own

    @property
    def place(self) -> str:
        """Where it stands, in units of the text."""
        return f"{self.unit} {self.first}-{self.last}"


def cut(text: str) -> Iterator[Piece]:
    """The pieces of a text in order; those of lines are parted by their line ends."""
    looked = 0
    line = 1
    at = 0
    while at < len(text):
        document = _next_document(text, at, looked)
        looked = document.looked
        end = len(text) if document.end < 0 else document.start
        if text[at:end].isspace():
            line += text.count("\n", at, end)
            at = end
        while at < end:
            border = _border(text, at, end)
            last = line + text.count("\n", at, border)
            if border > at:
                yield Piece(at, border, "lines", line, last)
            at = border + 1
            line = last + 1
        if document.end >= 0:
            last = line + text.count("\n", at, document.end)
            whole = Piece(document.start, document.end, "lines", line, last)
            yield from document.pieces or [whole]
            at = document.end + text.startswith("\n", document.end)
            line = last + (at > document.end)


def _border(text: str, start: int, end: int) -> int:
    """Where the piece of lines ends that begins at ``start``: at a line end."""
    size = _size(text, start)
    most = start + size
    if most >= end:
        # The line end before a document parts it from the lines.
        return end - 1 if end < len(text) else end
    least = start + size * 3 // 4
    for sign in _BORDERS:
        ends = [match.end() for match in sign.finditer(text, least, most)]
        if ends:
            return ends[-1] - 1
    before = text.rfind("\n", start + 1, least)
    if before >= 0:
        return before
    behind = text.find("\n", most, end)
    return end if behind < 0 else behind


def _size(text: str, start: int) -> int:
    """How long the piece of lines may be that begins at ``start``."""
    budget = int(BYTES_PER_CHAR * len(text))
    size = len(text) // _MIN_PIECES + 1
    cost = _cost(text, start, size)
    while cost > budget:
        # Shorter than by their share, as lines may be denser at its beginning.
        size = max(1, size * budget // cost * 9 // 10)
        cost = _cost(text, start, size)
    rest = len(text) - start
    even = rest // -(-rest // size)
    return even + even // _SLACK + 1


def _cost(text: str, start: int, size: int) -> int:
    lines = text.count("\n", start, start + size)
    return _BYTES_READ * size + _BYTES_PER_LINE * lines


class _Document(NamedTuple):
    """A JSON document longer than a piece, and the runs of elements it is cut into.

    Attributes:
        end: ``-1``: there is none.
        looked: how far was looked for its end, or for others before it.
    """

    start: int
    end: int
    pieces: list[Piece]
    looked: int


def _next_document(text: str, at: int, looked: int) -> _Document:
    """The first long document at ``at`` or behind; each place is looked at once."""
    if at == 0 and (leading := _DOCUMENT.match(text)) is not None:
        runs = _Runs(text, leading.end())
        end = runs.scan()
        looked = runs.position
        if end - leading.end() > _LONG_LINE:
            return _Document(leading.end(), end, runs.found, looked)
    position = max(at - 1, 0)
    while (match := _DOCUMENT_BEHIND.search(text, position)) is not None:
        start = position = match.end()
        if start < looked:
            position = max(position, looked - 1)
            continue
        runs = _Runs(text, start)
        end = runs.scan()
        looked = runs.position
        if end - start > _LONG_LINE:
            return _Document(start, end, runs.found, looked)
    return _Document(0, -1, [], len(text))


class _Container:
    """An array or object that is being read.

    Attributes:
        at: where its bracket stands.
        run: where the elements begin that are in no piece yet; ``-1`` while an element
            goes on of which some pieces are cut.
        end: where the last complete element of them ends.
        before: elements before the run.
        cost: what reading the run takes, up to ``costed``.
        count: complete elements.
        is_entered: pieces are cut of its elements.
    """

    __slots__ = ("at", "before", "cost", "costed", "count", "end", "is_entered", "run")

    def __init__(self, at: int) -> None:
        self.at = at
        self.run = self.end = self.costed = at + 1
        self.before = self.count = self.cost = 0
        self.is_entered = False


class _Runs:
    """Cuts one JSON document, from where it begins."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._step = len(text) // _STEPS
        self._budget = BYTES_PER_CHAR * len(text)
        self.position = start
        self.found: list[Piece] = []
        self._open: list[_Container] = []

    def scan(self) -> int:
        """Where the document ends, ``-1`` if it does not, or is nested too deeply."""
        text, search, stack = self._text, _TOKEN.search, self._open
        position = self.position
        while (match := search(text, position)) is not None:
            start, position = match.span()
            sign = text[start]
            if sign == ",":
                top = stack[-1]
                if top.run < 0 or start - top.costed > self._step:
                    self._look_at(top, start)
                top.count += 1
                top.end = start
            elif sign in "[{":
                if 1 < position - start <= self._step:
                    if stack:
                        continue
                    break  # short, and all
                # A long container without others inside is read element by element.
                position = start + 1
                if len(stack) == _MAX_DEPTH:
                    break
                stack.append(_Container(start))
            elif sign in "]}":
                self._close(start)
                if not stack:
                    self.position = position
                    return position
            elif text[position - 1] != '"':
                break  # a string without an end
        self.position = len(text) if match is None else position
        return -1

    def _look_at(self, top: _Container, at: int) -> None:
        """Cut where an element ends at ``at``, if it is time to."""
        if top.run < 0:
            # Behind an element that was itself cut.
            top.run = top.costed = at + 1
            top.cost = 0
            top.before = top.count + 1
            return
        last = self._cost(top.costed, at)
        if top.cost + last <= self._budget and at - top.run < len(self._text) // 3:
            top.cost += last
            top.costed = at
            return
        for container in self._open[:-1]:
            if container.run >= 0:
                self._cut(container, container.end, container.count)
                container.run = -1
        self._cut(top, top.end, top.count)
        top.cost = self._cost(top.run, at)
        if top.cost > self._budget:
            self._cut(top, at, top.count + 1)
            top.cost = 0
        top.costed = max(top.run, at)

    def _cost(self, start: int, end: int) -> int:
        count = self._text.count
        containers = count("[", start, end) + count("{", start, end)
        return (
            _BYTES_READ * (end - start)
            + _BYTES_PER_VALUE * count(",", start, end)
            + _BYTES_PER_CONTAINER * containers
        )

    def _cut(self, container: _Container, end: int, count: int) -> None:
        """Make a piece of the complete elements of a container that are in none."""
        container.is_entered = True
        if count <= container.before:
            return
        is_array = self._text[container.at] == "["
        unit, brackets = ("elements", "[]") if is_array else ("members", "{}")
        self.found.append(
            Piece(container.run, end, unit, container.before + 1, count, brackets)
        )
        container.run = end + 1
        container.before = count

    def _close(self, at: int) -> None:
        top = self._open[-1]
        if top.run >= 0 and at - top.costed > self._step:
            self._look_at(top, at)
        if top.is_entered and 0 <= top.run < at:
            self._cut(top, at, top.count + 1)
        self._open.pop()

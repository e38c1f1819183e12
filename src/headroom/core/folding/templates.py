"""Which lines of a log are the same but for some words.

A template is a line with holes; a hole is a whole word (between blanks, tabs or ``|``),
so that identifiers, addresses and numbers stay quotable. Lines fall together when they
differ only in words with digits; templates that differ in one other word are joined
only from ``MIN_WORDS`` different words on, else a rare event would hide in a frequent
one. A word that is frequent in a hole becomes part of a template of its own where that
is cheaper. Any word with ``~`` is a hole, so that template text is free of that sign.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import itemgetter
from typing import NamedTuple, TypeAlias, cast

HOLE = "~"
FIXED = 2
_FIXED = str(FIXED)
MIN_WORDS = 8
_MIN_ROWS = 2
_MAX_WORDS = 80
_MAX_LINE = 4000
_MAX_DEPTH = 6
_MAX_VALUES = 48
"""Most frequent words of a hole that are looked at to give them a template."""

_MAX_KNOWN = 4096
"""Lines that are remembered as they are; what comes again mostly does so early."""

_MERGE_BUDGET = 60_000
"""Words tried when joining templates; bounds time and memory on random text."""

# A word that varies by its looks, at the start of a word; no word is looked at twice.
_VARYING = re.compile("(?<![^ ])([^ 0-9~]*+[0-9~][^ ]*)")

Row: TypeAlias = tuple[int, tuple[str, ...]]
"""A line's index and the words in its template's holes."""


class Template(NamedTuple):
    """Words, holes among them, and the lines that have this form, in order.

    Attributes:
        slots: for each hole which of a row's values stands in it; empty: one each.
    """

    words: tuple[str, ...]
    rows: list[Row]
    slots: tuple[int, ...] = ()

    def literal_cost(self) -> int:
        """About how many tokens of each line the template stands for."""
        # As ``word_cost``, which a call for each word would make the dearer part.
        return sum([1 + len(w) // 3 for w in self.words if w != HOLE])

    def holes(self) -> int:
        """How many words of each line are its own."""
        return self.words.count(HOLE)


def word_cost(word: str) -> int:
    """About how many tokens a word is: by length alone, as many words are asked for.

    Numbers and identifiers (a token for three characters) are what holes are full of.
    """
    return 1 + len(word) // 3


_Key: TypeAlias = tuple[str, ...]
_Groups: TypeAlias = dict[_Key, list[Row]]


def families(texts: Sequence[str], classes: Sequence[int]) -> list[Template]:
    """Lines that are the same but for words that vary, as found; single lines too.

    Overlong lines are in none.

    Args:
        texts: lines whose words are separated by single blanks.
        classes: lines of different classes are never in one family; lines of class
            ``FIXED`` have no holes.
    """
    groups = _group(texts, classes)
    _merge(groups)
    return [Template(key[1:], rows) for key, rows in groups.items()]


def mine(found_families: Sequence[Template]) -> list[Template]:
    """The templates that serve the families best, those that save most first."""
    found: list[Template] = []
    for family in found_families:
        if len(family.rows) < _MIN_ROWS:
            continue
        if HOLE in family.words:
            _settle(family, found, 0)
        else:
            found.append(family)
    if len(found) > 1:
        found.sort(key=lambda t: (-len(t.rows) * t.literal_cost(), t.rows[0][0]))
    return found


def _group(texts: Sequence[str], classes: Sequence[int]) -> _Groups:
    split = _VARYING.split
    found: dict[tuple[int | str, ...], list[Row]] = {}
    # Lines that stood before: their rows and their values.
    known: dict[tuple[int, str], tuple[list[Row], tuple[str, ...]]] = {}
    for index, (text, kind) in enumerate(zip(texts, classes, strict=True)):
        same = known.get((kind, text))
        if same is not None:
            same[0].append((index, same[1]))
            continue
        if len(text) > _MAX_LINE or text.count(" ") >= _MAX_WORDS:
            continue
        values: tuple[str, ...] = ()
        if kind == FIXED:
            rows = found[kind, text] = []
        else:
            parts = split(text)
            key = (kind, *parts[::2])
            values = tuple(parts[1::2])
            rows = found.get(key) or found.setdefault(key, [])
        rows.append((index, values))
        if len(known) < _MAX_KNOWN:
            known[kind, text] = rows, values
    return {
        (str(key[0]), *HOLE.join(cast("_Key", key[1:])).split(" ")): rows
        for key, rows in found.items()
    }


def _merge(groups: _Groups) -> None:
    """Join, in place, groups that differ in one word with many values."""
    for _ in range(2):
        if len(groups) < MIN_WORDS:
            return
        # Counted first, collected afterwards: nearly all stand alone.
        marks = list(_one_word_off(groups))
        counts = Counter([mark for _, _, mark in marks])
        like: dict[int, list[tuple[_Key, int]]] = {
            mark: [] for mark, count in counts.items() if count >= MIN_WORDS
        }
        if not like:
            return
        for key, place, mark in marks:
            if mark in like:
                like[mark].append((key, place))
        for family in sorted(like.values(), key=lambda f: (-len(f), f[0])):
            _join(groups, family)


def _one_word_off(groups: _Groups) -> Iterator[tuple[_Key, int, int]]:
    """Keys, the place of one of their words, and a mark of the key with a hole there.

    Keys that are the same but for that word have one mark: the sum of what each word
    adds by its place.
    """
    budget = _MERGE_BUDGET
    # Keys that differ in one word share all before their middle, or all behind it.
    keys = [key for key in groups if key[0] != _FIXED]
    halves = [(key[: len(key) // 2], len(key), key[len(key) // 2 :]) for key in keys]
    starts = Counter([(start, size) for start, size, _ in halves])
    ends = Counter([(size, end) for _, size, end in halves])
    for key, (start, size, end) in zip(keys, halves, strict=True):
        budget -= size
        if budget < 0:
            return
        first = 1 if ends[size, end] >= MIN_WORDS else len(start)
        last = size if starts[start, size] >= MIN_WORDS else len(start)
        if first >= last:
            continue
        # Squared, for sums of tuples' hashes are alike where two words change places.
        shares = [mark * mark for mark in map(hash, enumerate(key))]
        total = sum(shares)
        for place in range(first, last):
            if len(key[place]) > 1:
                yield key, place, total - shares[place] + _HOLE_SHARES[place]


_HOLE_SHARES = [hash((place, HOLE)) ** 2 for place in range(_MAX_WORDS + 1)]


def _join(groups: _Groups, family: list[tuple[tuple[str, ...], int]]) -> None:
    first, place = family[0]
    joined = (*first[:place], HOLE, *first[place + 1 :])
    members = [
        key
        for key, at in family
        if key in groups
        and at == place
        and len(key) == len(joined)
        and (*key[:place], HOLE, *key[place + 1 :]) == joined
    ]
    if len(members) < MIN_WORDS:
        return
    at = first[1:place].count(HOLE)
    rows = groups.pop(joined, [])
    for key in members:
        word = key[place]
        rows += [(i, (*v[:at], word, *v[at:])) for i, v in groups.pop(key)]
    rows.sort()
    groups[joined] = rows


def _settle(template: Template, found: list[Template], depth: int) -> None:
    """Fill holes that do not vary, then split off frequent words while that pays."""
    template, columns, kinds = _fill(template)
    split = _best_split(template, columns, kinds) if depth < _MAX_DEPTH else None
    if split is None:
        found.append(_say_once(template, columns))
        return
    column, words = split
    place = [i for i, word in enumerate(template.words) if word == HOLE][column]
    parts: dict[str, list[Row]] = {word: [] for word in words}
    rest: list[Row] = []
    for index, values in template.rows:
        part = parts.get(values[column])
        if part is None:
            rest.append((index, values))
        else:
            part.append((index, values[:column] + values[column + 1 :]))
    for word, rows in parts.items():
        filled = (*template.words[:place], word, *template.words[place + 1 :])
        _settle(Template(filled, rows), found, depth + 1)
    if rest:
        _settle(Template(template.words, rest), found, depth + 1)


def _fill(
    template: Template,
) -> tuple[Template, list[tuple[str, ...]], list[int]]:
    """The template without holes that do not vary, its columns, their words' number."""
    columns = list(zip(*[values for _, values in template.rows], strict=True))
    kinds = [len(set(column)) for column in columns]
    varies = [n > 1 or HOLE in c[0] for n, c in zip(kinds, columns, strict=True)]
    if all(varies):
        return template, columns, kinds
    values = iter(zip(columns, varies, strict=True))
    words: list[str] = []
    for word in template.words:
        if word == HOLE:
            column, is_open = next(values)
            words.append(word if is_open else column[0])
        else:
            words.append(word)
    rows = [(i, tuple(compress(v, varies))) for i, v in template.rows]
    filled = Template(tuple(words), rows)
    return filled, list(compress(columns, varies)), list(compress(kinds, varies))


def _say_once(template: Template, columns: list[tuple[str, ...]]) -> Template:
    """The template with one value for holes that have the same word in all rows."""
    first: dict[tuple[str, ...], int] = {}
    slots = tuple(first.setdefault(column, len(first)) for column in columns)
    if len(first) == len(columns):
        return template._replace(slots=slots)
    kept = [slots.index(slot) for slot in range(len(first))]
    rows = [(i, tuple(v[at] for at in kept)) for i, v in template.rows]
    return Template(template.words, rows, slots)


def _best_split(
    template: Template, columns: list[tuple[str, ...]], kinds: list[int]
) -> tuple[int, list[str]] | None:
    """The hole whose frequent words save most as templates of their own, with them."""
    best: tuple[int, list[str]] | None = None
    best_gain = 0
    # A legend entry: the template's text, two tokens a hole, its name and line.
    cost = template.literal_cost() + 2 * template.holes() + 4
    for at, (column, distinct) in enumerate(zip(columns, kinds, strict=True)):
        # Even if all rows but one for each other word had the longest word.
        most = len(column) - distinct
        if most == 0 or most * word_cost(max(column, key=len)) <= cost:
            continue
        gain = 0
        words: list[str] = []
        often = [one for one in Counter(column).items() if one[1] >= _MIN_ROWS]
        often.sort(key=itemgetter(1), reverse=True)
        for word, count in often[:_MAX_VALUES]:
            saved = (count - 1) * word_cost(word) - cost
            if saved > 0 and HOLE not in word:
                gain += saved
                words.append(word)
        if gain > best_gain:
            best, best_gain = (at, words), gain
    return best

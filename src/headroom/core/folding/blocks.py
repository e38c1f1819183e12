"""Lines of a log that come together again and again, folded into one row.

Works like pair replacement in grammar compression (Re-Pair), a few rounds deep: the
pair of neighbouring rows that is most frequent becomes one row whose form has both
lines; what both say with the same word is said once. A block never holds the same
template twice, so that loops stay loops. Where in a block the clock moves is part of
its form.

Linear: a bounded number of rounds, each a constant number of passes over the rows.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from headroom.core.folding.templates import Template, word_cost

SAME, CLOCK, FULL = 0, 1, 2
"""What a row shows of its time: nothing, the clock, all of it."""

VERBATIM = -1

_ROUNDS = 16
_MAX_PARTS = 24
_MAX_SLOTS = 32
_MIN_BLOCKS = 2
_SAMPLE = 64


class Part(NamedTuple):
    """One line of a form: its template, its clock's slot or -1, its holes' slots."""

    template: int
    clock: int
    slots: tuple[int, ...]


Parts = tuple[Part, ...]


class Rows(NamedTuple):
    """Rows to be, as columns: symbols or ``VERBATIM``, times, values, source lines."""

    symbols: list[int]
    leads: list[str]
    values: list[tuple[str, ...]]
    lines: list[int]

    def take(self, other: "Rows", start: int, end: int) -> None:
        """Append the rows ``start`` to ``end`` (not included) of others."""
        self.symbols.extend(other.symbols[start:end])
        self.leads.extend(other.leads[start:end])
        self.values.extend(other.values[start:end])
        self.lines.extend(other.lines[start:end])


class Symbols:
    """What the symbols of rows mean; three for each template, then the blocks.

    Args:
        templates: the templates.
        costs: their literal costs.
    """

    def __init__(self, templates: Sequence[Template], costs: Sequence[int]) -> None:
        self.parts: list[Parts] = []
        self.slots: list[int] = []
        self.shows: list[int] = [SAME, CLOCK, FULL] * len(templates)
        self.costs: list[int] = []
        self.templates: list[frozenset[int]] = []
        for at, (template, cost) in enumerate(zip(templates, costs, strict=True)):
            self.parts += ((Part(at, -1, template.slots),),) * 3
            self.templates += (frozenset((at,)),) * 3
            self.slots += (max(template.slots, default=-1) + 1,) * 3
            self.costs += (cost + 2 * template.holes() + 4,) * 3

    def add(self, parts: Parts, slots: int, shown: int, cost: int) -> int:
        """A fresh symbol; ``shown`` is how its first line shows the time."""
        self.parts.append(parts)
        self.slots.append(slots)
        self.shows.append(shown)
        self.costs.append(cost)
        self.templates.append(frozenset([part.template for part in parts]))
        return len(self.parts) - 1

    def can_join(self, first: int, second: int) -> bool:
        """Whether the two may stand in one block."""
        a, b = self.templates[first], self.templates[second]
        return (
            self.shows[second] != FULL
            and len(a) + len(b) <= _MAX_PARTS
            and self.slots[first] + self.slots[second] < _MAX_SLOTS
            and a.isdisjoint(b)
        )


def fold(rows: Rows, symbols: Symbols) -> Rows:
    """The rows with frequent neighbours folded into blocks."""
    for _ in range(_ROUNDS):
        neighbours = list(pairwise(rows.symbols))
        totals = Counter(rows.symbols)
        pairs = _frequent_pairs(neighbours, totals, symbols)
        if not pairs:
            break
        places: dict[tuple[int, int], list[int]] = {pair: [] for pair in pairs}
        # In the order in which they are found first.
        for at, pair in enumerate(neighbours):
            if pair in places:
                places[pair].append(at)
        ordered = sorted(places.items(), key=lambda place: place[1][0])
        heads = _fold_pairs(rows, ordered, totals, symbols)
        if not heads:
            break
        rows = _rewrite(rows, heads, symbols)
    return rows


def _frequent_pairs(
    neighbours: list[tuple[int, int]], totals: Counter[int], symbols: Symbols
) -> set[tuple[int, int]]:
    """Frequent pairs of neighbours; no symbol is in two of them."""
    chosen: set[tuple[int, int]] = set()
    used: set[int] = {VERBATIM}
    counts = Counter(neighbours)
    often = [pair for pair in counts.items() if pair[1] >= _MIN_BLOCKS]
    for (first, second), count in sorted(often, key=lambda p: (-p[1], p[0])):
        if first in used or second in used or first == second:
            continue
        if 4 * count < min(totals[first], totals[second]):
            continue
        if symbols.can_join(first, second):
            used |= {first, second}
            chosen.add((first, second))
    return chosen


def _fold_pairs(
    rows: Rows,
    places: list[tuple[tuple[int, int], list[int]]],
    totals: Counter[int],
    symbols: Symbols,
) -> dict[int, tuple[int, list[int]]]:
    """For the first row of each pair to fold: its block and the values it adds."""
    heads: dict[int, tuple[int, list[int]]] = {}
    for (first, second), where in places:
        shared, where_equal = _shared_values(rows.values, where, symbols.slots[second])
        count = len(where_equal)
        if count < _MIN_BLOCKS:
            continue
        sample = where_equal[:_SAMPLE]
        equal = [j for j, source in enumerate(shared) if source >= 0]
        said_once = sum(
            [1 + word_cost(rows.values[at + 1][j]) for at in sample for j in equal]
        )
        saved = count * 2 + said_once * count // len(sample)
        cost = symbols.costs[first] + symbols.costs[second]
        freed = (symbols.costs[first] if count == totals[first] else 0) + (
            symbols.costs[second] if count == totals[second] else 0
        )
        if saved <= cost - freed:
            continue
        block = _join(symbols, first, second, shared)
        added = [j for j, source in enumerate(shared) if source < 0]
        for at in where_equal:
            heads[at] = (block, added)
    return heads


def _shared_values(
    values: list[tuple[str, ...]], where: list[int], width: int
) -> tuple[list[int], list[int]]:
    """For each value of the second row the equal one of the first, or -1.

    Also those places at which all of these hold; most do, by a sample.
    """
    shared: list[int] = []
    for j in range(width):
        sample = where[:_SAMPLE]
        hits: dict[int, int] = {}
        for at in sample:
            word = values[at + 1][j]
            if word not in values[at]:
                continue
            for x, value in enumerate(values[at]):
                if value == word:
                    hits[x] = hits.get(x, 0) + 1
        best = min(hits, key=lambda x: (-hits[x], x), default=-1)
        if best >= 0 and 10 * hits[best] >= 6 * len(sample):
            where = [at for at in where if values[at][best] == values[at + 1][j]]
            shared.append(best)
        else:
            shared.append(-1)
    return shared, where


def _join(symbols: Symbols, first: int, second: int, shared: list[int]) -> int:
    width = symbols.slots[first]
    clock = -1
    if symbols.shows[second] == CLOCK:
        clock, width = width, width + 1
    slot_of: list[int] = []
    for source in shared:
        if source >= 0:
            slot_of.append(source)
        else:
            slot_of.append(width)
            width += 1
    moved = [
        part
        if part.clock < 0 and not part.slots
        else Part(
            part.template,
            slot_of[part.clock] if part.clock >= 0 else -1,
            tuple(slot_of[s] for s in part.slots),
        )
        for part in symbols.parts[second]
    ]
    if clock >= 0:
        moved[0] = moved[0]._replace(clock=clock)
    return symbols.add(
        symbols.parts[first] + tuple(moved),
        width,
        symbols.shows[first],
        symbols.costs[first] + symbols.costs[second],
    )


def _rewrite(
    rows: Rows, heads: dict[int, tuple[int, list[int]]], symbols: Symbols
) -> Rows:
    folded = Rows([], [], [], [])
    end = 0
    for at in sorted(heads):
        block, added = heads[at]
        folded.take(rows, end, at)
        values = rows.values[at]
        if symbols.shows[rows.symbols[at + 1]] == CLOCK:
            values += (rows.leads[at + 1],)
        if added:
            second = rows.values[at + 1]
            values += tuple([second[j] for j in added])
        folded.symbols.append(block)
        folded.leads.append(rows.leads[at])
        folded.values.append(values)
        folded.lines.append(rows.lines[at])
        end = at + 2
    folded.take(rows, end, len(rows.lines))
    return folded

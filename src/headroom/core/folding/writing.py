"""Writes the lossless form of lines (``form`` says how it looks)."""

import re
from collections import Counter
from collections.abc import Collection
from itertools import groupby
from typing import NamedTuple

from headroom.core.folding.blocks import (
    CLOCK,
    FULL,
    VERBATIM,
    Parts,
    Rows,
    Symbols,
    fold,
)
from headroom.core.folding.form import MAX_PERIOD, UNTIMED, coded_row, header_line
from headroom.core.folding.lines import END, Source, join_words
from headroom.core.folding.templates import HOLE, Template
from headroom.core.folding.times import Stamp

_MIN_LOOP_CHARS = 40
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def write(
    name: str, source: Source, templates: list[Template], in_full: Collection[int]
) -> str | None:
    """The form of some lines, or ``None`` where no template pays.

    Args:
        name: what the lines are, the first word of the form.
        source: the lines.
        templates: what they have in common, the best first.
        in_full: indices of lines that stand as they are, with their full time.
    """
    costs = [template.literal_cost() for template in templates]
    are_paying = [
        _pays(cost, template.holes(), len(template.rows))
        for template, cost in zip(templates, costs, strict=True)
    ]
    if not any(are_paying):
        return None
    symbols = Symbols(templates, costs)
    chosen = [(at, template) for at, template in enumerate(templates) if are_paying[at]]
    rows = fold(_rows(source, chosen, in_full), symbols)
    uses = Counter(rows.symbols)
    uses.pop(VERBATIM, None)
    # Symbols that show their time differently have one form.
    form_of: dict[Parts, int] = {}
    forms: list[tuple[Parts, list[int]]] = []
    for symbol in uses:
        parts = symbols.parts[symbol]
        at = form_of.setdefault(parts, len(forms))
        if at == len(forms):
            forms.append((parts, []))
        forms[at][1].append(symbol)
    paying: list[tuple[int, Parts, list[int]]] = []
    for parts, members in forms:
        count = sum([uses[symbol] for symbol in members])
        first = parts[0].template
        if len(parts) > 1 or _pays(costs[first], templates[first].holes(), count):
            paying.append((count, parts, members))
    if not paying:
        return None
    paying.sort(key=lambda p: -p[0])
    names: dict[int, str] = {}
    legend: list[str] = []
    for at, (_, parts, members) in enumerate(paying):
        code = f"${_code(at)}"
        legend.append(f"{code}=" + "\n+".join(_legend_lines(parts, source, templates)))
        names.update(dict.fromkeys(members, code))
    body = _Body(source, coded_row(source.notation.name if source.notation else ""))
    written = _looped(_counted(body.rows(rows, names)))
    return "\n".join([header_line(name, source.notation), *legend, "", *written])


def _pays(cost: int, holes: int, count: int) -> bool:
    """Whether a template of that literal cost is worth its legend for some rows."""
    return count * (cost - 1) > cost + holes + 4


def _code(at: int) -> str:
    code = _LETTERS[at % 52]
    while at >= 52:
        at = at // 52 - 1
        code = _LETTERS[at % 52] + code
    return code


def _rows(
    source: Source, templates: list[tuple[int, Template]], in_full: Collection[int]
) -> Rows:
    """The rows to be of all lines, by templates with their places among all."""
    total = len(source.lines)
    found = [VERBATIM] * total
    values: list[tuple[str, ...]] = [()] * total
    for at, template in templates:
        for index, words in template.rows:
            found[index] = 3 * at
            values[index] = words
    leads = [""] * total
    last: Stamp | None = None
    for index, stamp in enumerate(source.stamps):
        if stamp is None or stamp is last or stamp == last:
            continue
        is_clock = last is not None and stamp[0] == last[0] and stamp[2] == last[2]
        leads[index] = stamp[1] if is_clock else "".join(stamp)
        if found[index] != VERBATIM:
            found[index] += CLOCK if is_clock else FULL
        last = stamp
    for index in in_full:
        found[index] = VERBATIM
        leads[index] = "".join(source.stamps[index] or ())
        values[index] = ()
    return Rows(found, leads, values, list(range(total)))


def _legend_lines(parts: Parts, source: Source, templates: list[Template]) -> list[str]:
    is_leading = source.notation is not None and source.notation.is_leading
    shown: list[str] = []
    first = parts[0].slots
    is_plain = len(parts) == 1 and first == tuple(range(len(first)))
    for part in parts:
        template = templates[part.template]
        is_timed = source.stamps[template.rows[0][0]] is not None
        slots = iter(part.slots)
        words = [
            (HOLE if is_plain else f"{HOLE}{next(slots) + 1}") if w == HOLE else w
            for w in template.words
        ]
        time = "~t" + (str(part.clock + 1) if part.clock >= 0 else "")
        text = join_words(words, time)
        if is_leading and part.clock >= 0:
            text = time + (END if text[:1].isdigit() else "") + text
        elif is_leading and not is_timed:
            text = UNTIMED + text
        shown.append(text)
    return shown


class _Body(NamedTuple):
    source: Source
    coded: re.Pattern[str]

    def rows(self, rows: Rows, names: dict[int, str]) -> list[str]:
        """The rows of the form; those of a symbol without a name are source lines."""
        written: list[str] = []
        for symbol, lead, values, line in zip(*rows, strict=True):
            name = names.get(symbol)
            if name is None:
                written.append(self._verbatim(line, lead))
            else:
                written.append(" ".join((lead + name, *values)))
        return written

    def _verbatim(self, index: int, lead: str) -> str:
        line = self.source.lines[index]
        times = self.source.notation
        stamp = self.source.stamps[index]
        if times is not None and times.is_leading and stamp is not None:
            text = line[len("".join(stamp)) :]
            if lead:
                return lead + text
            return text if text.startswith(" ") else stamp[1] + text
        if line.startswith(("|", "×", "$")) or ("$" in line and self.coded.match(line)):
            return "|" + line
        if times is None or not times.is_leading:
            return line
        is_mistakable = line.startswith(" ") or times.clock.match(line)
        return "|" + line if is_mistakable else line


def _counted(rows: list[str]) -> list[str]:
    """The rows, equal neighbours with a code being one with their count."""
    again = [at for at in range(1, len(rows)) if rows[at] == rows[at - 1]]
    if not again:
        return rows
    counted: list[str] = []
    for row, same in groupby(rows):
        count = sum(1 for _ in same)
        if count > 1 and row.startswith("$"):
            code, blank, values = row.partition(" ")
            counted.append(f"{code}×{count}{blank}{values}")
        else:
            counted += [row] * count
    return counted


def _looped(rows: list[str]) -> list[str]:
    """Rows that go round: one round, then how often it stands and its length."""
    if len(rows) - len(set(rows)) < 2:  # of three rounds two are repeats
        return rows
    seen: dict[str, int] = {}
    again: list[int] = []
    for at in range(len(rows) - 1, -1, -1):
        again.append(seen.get(rows[at], 0) - at)
        seen[rows[at]] = at
    again.reverse()
    looped: list[str] = []
    at = 0
    while at < len(rows):
        period = again[at]
        if not 0 < period <= MAX_PERIOD:
            looped.append(rows[at])
            at += 1
            continue
        rounds = _rounds(rows, at, period)
        if rounds == 1:
            looped.append(rows[at])
            at += 1
            continue
        looped += [*rows[at : at + period], f"×{rounds} of {period} rows"]
        at += period * rounds
    return looped


def _rounds(rows: list[str], at: int, period: int) -> int:
    """How often the rows from here go round; once where saying so does not pay."""
    end = at + period
    while end < len(rows) and rows[end] == rows[end - period]:
        end += 1
    rounds = (end - at) // period
    saved = (rounds - 1) * sum(len(row) + 1 for row in rows[at : at + period])
    return rounds if rounds > 2 and saved > _MIN_LOOP_CHARS else 1

"""Timestamps of log lines: which notation a log uses, and lines cut at it.

A notation has three groups: what stands before the clock (mostly the date), the clock,
and what stands after it (zone, year, bracket). The first and the last change rarely, so
the lossless form shows only the clock until they do.

A notation is accepted only if most sampled lines have it and what is left out stays the
same over several lines: a wrong guess costs more than none.

Sources: RFC 3164 section 4.1.2 and RFC 5424 section 6.2.3 (syslog), RFC 3339, the
Apache HTTP server's ``ErrorLogFormat`` and ``%t``, Android logcat ``-v threadtime``,
glog's line prefix, log4j's ``%d``, the kernel's ``printk.time``, the audit daemon's
``msg=audit()``.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

Stamp: TypeAlias = tuple[str, str, str]
"""Before the clock, the clock, after it; joined they are the source text."""

TIME_MARK = "\x02"
"""Stands, as a word, where a time inside a line was cut out."""

_CLOCK = r"(\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?)"
_ZONE = r"((?:Z|[+-]\d\d:?\d\d| (?:UTC|GMT|[+-]\d{4})(?![\w.-]))?\]?)"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_PACKED = r"(\d{1,2}:\d{1,2}:\d{1,2}:\d{1,3}|\d{6})"
_DOTTED = r"(\d\d\.\d\d\.\d\d(?:\.\d{1,9})?)"
_UPTIME = r"(\d+\.\d{6})"
_EPOCH = r"(1\d{9}(?:\.\d{1,9})?)"

# Name: before the clock, the clock, after it. The order decides between equals.
_SOURCES: dict[str, tuple[str, str, str]] = {
    "iso": (r"(\[?\d{4}[-/.]\d\d[-/.]\d\d[T :_])", _CLOCK, _ZONE),
    "syslog": (rf"({_MONTH} [ \d]\d )", _CLOCK, "()"),
    "ctime": (
        rf"(\[?{_DAY} {_MONTH} [ \d]\d )",
        _CLOCK,
        r"((?: [A-Z]{3,4})? \d{4}\]?)",
    ),
    "access": (rf"(\[\d\d/{_MONTH}/\d{{4}}:)", _CLOCK, r"( [+-]\d{4}\])"),
    "dmy": (rf"(\[?\d\d[-/. ]{_MONTH}[-/. ]\d{{4}}[ :T])", _CLOCK, _ZONE),
    "short": (r"(\[?\d\d[-/.]\d\d(?:[-/.]\d\d(?:\d\d)?)? )", _CLOCK, r"(\]?)"),
    "packed": (r"(\d{8}[ T-]|\d{6} )", _PACKED, r"()(?=[^\w.:-])"),
    "glog": (r"((?<![^IWEF])\d{4} )", _CLOCK, "()"),
    "dotted": (r"(\d{4}-\d\d-\d\d-)", _DOTTED, "()"),
    "clock": (r"(\[?)", _CLOCK, r"(\]?)"),
    "uptime": (r"(\[ *)", _UPTIME, r"(\])"),
    "epoch": (r"((?<!\d))", _EPOCH, r"()(?!\d)"),
}

_MAY_HAVE_TIME = re.compile(
    r"[0-9](?::[0-9]{1,2}:[0-9]{1,2}|[0-9](?:[0-9]{4}|\.[0-9]{2}\.[0-9]{2}))"
)
"""What every notation has within its clock, in one shape that is searched for fast."""

_LED_CLOCK = re.compile(r"[T :_][0-9]{1,2}:[0-9]{2}:[0-9]{2}")
_HINTS = {
    "packed": re.compile(r"[0-9]{6}[ T-][0-9]{1,2}"),
    "dotted": re.compile(r"-[0-9]{2}\.[0-9]{2}\.[0-9]{2}"),
    "uptime": re.compile(r"\[ *[0-9]+\."),
    "epoch": re.compile(r"1[0-9]{9}"),
}
"""What a line has in which such a time stands; all others are led clocks. The notations
themselves take several times as long to be searched for."""

_SAMPLE_LINES = 48
_LEAD_LIMIT = 240
_INSIDE_LIMIT = 160
"""How many characters of a line are searched for a time that does not lead it."""


class Notation(NamedTuple):
    """How a log writes its times; ``is_leading``: they begin the lines."""

    name: str
    full: re.Pattern[str]
    clock: re.Pattern[str]
    is_leading: bool

    def count_in(self, lines: Sequence[str], least: int) -> int:
        """In how many lines ``cut`` finds a time; 0 if not in more than ``least``."""
        match, search = self.full.match, self.full.search
        others_left = len(lines) - least
        for line in lines:
            if self.is_leading:
                found = match(line)
                is_in = found is not None and not line.startswith("$", found.end())
            else:
                is_in = search(line, 0, _INSIDE_LIMIT) is not None
            if not is_in:
                others_left -= 1
                if others_left <= 0:
                    return 0
        return least + others_left

    def cut_all(self, lines: Sequence[str]) -> tuple[list[Stamp | None], list[str]]:
        """As ``cut`` for each line; the text of a line without a time is the line.

        Equal times in a row are one object.
        """
        stamps: list[Stamp | None] = []
        texts: list[str] = []
        last: Stamp | None = None
        match = self.full.match
        for line in lines:
            if self.is_leading:
                found = match(line)
                if found is None or line.startswith("$", found.end()):
                    stamps.append(None)
                    texts.append(line)
                    continue
                before, clock, after = found.groups()
                stamp = (before, clock, after)
                texts.append(line[found.end() :])
            else:
                cut = self.cut(line)
                if cut is None:
                    stamps.append(None)
                    texts.append(line)
                    continue
                stamp = cut[0]
                texts.append(cut[1])
            if stamp != last:
                last = stamp
            stamps.append(last)
        return stamps, texts

    def cut(self, line: str) -> tuple[Stamp, str] | None:
        """The line's time and the line without it; ``None`` if it has none.

        Where the time stands inside the line, ``TIME_MARK`` as a word takes its place.
        """
        if self.is_leading:
            found = self.full.match(line)
            if found is None or line.startswith("$", found.end()):
                return None
            return (found[1], found[2], found[3]), line[found.end() :]
        found = self.full.search(line, 0, _INSIDE_LIMIT)
        if found is None:
            return None
        rest = f"{line[: found.start()]} {TIME_MARK} {line[found.end() :]}"
        return (found[1], found[2], found[3]), rest


def notation(name: str, *, is_leading: bool) -> Notation | None:
    """The notation of that name; ``None`` if there is none."""
    parts = _COMPILED.get(name)
    return None if parts is None else Notation(name, parts[0], parts[1], is_leading)


def lead_pattern(name: str) -> str:
    """A pattern of what leads a row: groups 1 to 3 a full time, or 4 its clock."""
    before, clock, after = _SOURCES[name]
    return f"(?:{before}{clock}{after}|{clock})"


_COMPILED = {
    name: (re.compile(before + clock + after), re.compile(clock))
    for name, (before, clock, after) in _SOURCES.items()
}


def find_notation(lines: Sequence[str]) -> Notation | None:
    """The notation that most of the lines have, if showing it once pays."""
    step = max(1, len(lines) // _SAMPLE_LINES)
    sample = [line for line in lines[::step] if line.strip()][:_SAMPLE_LINES]
    # A clock that leads a line stands at its start, but for blanks in its bracket.
    timed = [
        line
        for line in sample
        if _MAY_HAVE_TIME.search(line, 0, _LEAD_LIMIT) or line.startswith("[")
    ]
    hinted: dict[re.Pattern[str], list[str]] = {}
    for is_leading in (True, False):
        best: Notation | None = None
        best_hits = max(1, len(sample) * (3 if is_leading else 6) // 10)
        if len(timed) <= best_hits:
            continue
        for name in _SOURCES:
            able = timed if is_leading else _hinted(name, timed, hinted)
            if len(able) <= best_hits:
                continue
            candidate = notation(name, is_leading=is_leading)
            if candidate is None or (name == "clock" and not is_leading):
                continue  # within a line, a bare clock is the last resort below
            hits = candidate.count_in(able, best_hits)
            if hits > best_hits:
                best, best_hits = candidate, hits
        if best is not None and _pays(best, lines):
            return best
        if best is not None:
            # Several notations in turn: their clocks alone have one form.
            bare = notation("clock", is_leading=False)
            least = best_hits * 9 // 10
            hits = bare.count_in(timed, least) if bare else 0
            return bare if hits > least else None
    return None


def _hinted(
    name: str, lines: list[str], known: dict[re.Pattern[str], list[str]]
) -> list[str]:
    """The lines within which a time in that notation may stand."""
    hint = _HINTS.get(name, _LED_CLOCK)
    found = known.get(hint)
    if found is None:
        search = hint.search
        found = [line for line in lines if search(line, 0, _INSIDE_LIMIT)]
        known[hint] = found
    return found


def _pays(candidate: Notation, lines: Sequence[str]) -> bool:
    """Whether what stands around the clock stays the same from line to line."""
    start = len(lines) // 4
    cuts = map(candidate.cut, lines[start : start + _SAMPLE_LINES])
    dates = [(cut[0][0], cut[0][2]) for cut in cuts if cut]
    changes = sum(a != b for a, b in pairwise(dates))
    return 3 * changes <= max(3, len(dates))

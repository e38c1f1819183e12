"""What the lossy form leaves out of build output, line by line.

Left out, always counted: results of tests that went well (per file or class instead),
times and sizes of installers' lines and lines that only repeat names shown above,
source lines of a failing test away from the line that failed, compilers' lists of
candidates, snippets of a finding that was shown with another place. Findings with one
message stand together, by file. Whatever tells of trouble stays as it is.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from headroom.core.compressors.build_output.folding import to_source
from headroom.core.compressors.build_output.plain import PLACED, PlainLines
from headroom.core.compressors.build_output.results import read_result
from headroom.core.folding.templates import HOLE, families

_MIN_ALIKE = 4
_MIN_FINDINGS = 3
_SOURCE_SHOWN = 3
_PARAMETERS_SHOWN = 2
_MANY_CHARS = 104
"""The least that a reference to a single line takes the place of."""
_MESSAGE_CHARS = 24
_CANDIDATES_SHOWN = 2

_CTEST_BEGUN = re.compile(r" +Start +\d+: (\S+)")
_CHECKED = re.compile(r"(\s*)([✓✔√]) .*")
_BEGUN = re.compile(r"\S+\.py::.*")
_GO = re.compile(r"=== (?:RUN|PAUSE|CONT|NAME) .*|\s*--- PASS: .*")
_MEASURE = re.compile(
    r"(?<![ \t])[ \t]+[(\[]?(?:in |at )?\d[\d.,:/]*[ ]?"
    r"(?:ms|s|m|min|[kKMGT]?i?B|bytes|%)(?:/s(?:ec)?)?(?![\w-])"
)
_CONTEXT = re.compile(r" {4,}\S|\s*$")
_CANDIDATE = re.compile(r"\S+: note: +candidate")
_DIAGNOSED = re.compile(
    r"\S+: (?:error|warning|fatal error): |In file included from|\S+: In "
)
_ARROW = re.compile(r" *(?:-->|╭─\[) ?\S+")
_TITLE = re.compile(r"___ (.+) ___|(?:FAIL|ERROR): (\w+ \(.+\))")
_SUMMARY = re.compile(r"((?:FAILED|ERROR) \S+::.*?) - (.+)")
_PARAMETER = re.compile(r"((?:FAILED|ERROR) \S+?::[^\[]+)\[.*?\](?: - (.*))?")
_MESSAGE = re.compile(r"(?<=\]) - .*")
_SATISFIED = re.compile(
    r"Requirement already satisfied: ([\w.-]+(?:\[[\w,-]+\])?)[^ ]* .*\(([^()\s]+)\)"
)
_STORED = re.compile(r" +Stored in directory: |  Created wheel for \S+: filename=")
_DONE = "finished with status 'done'"
_FINDING = re.compile(
    r"(?:fatal )?(?:error|warning|info|hint|style)\b|[A-Z]{1,8}\d{2,5}\b|\["
)
_RAISED_AT = re.compile(r"\S+?:\d+:(?: .*)?")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_ROW = re.compile(r" +(\d+:\d+) +((?:error|warning) .*)")
_TOTAL = re.compile(r"Found |Success|✖|\d+ \w+")
_FAILURES = re.compile(
    r"=== (?:FAILURES|ERRORS) ===|(?:FAIL|ERROR): \w+ \(|failures:$|\s*● |\s+1\) "
    r"|(?:⎯+|━+|─+) Failed|--- FAIL: "
)
_TOTALS = re.compile(
    r"=== (?:short|warnings|PASSES|\d)|Ran \d|test result|Test Suites:|Test Files|ok\s"
)
_NAMELESS = re.compile(r"[A-Z/_@]|[a-z]\d|\d[a-z]")
_LAYER = re.compile(r"#\d+ (?:sha256:\w+ .*/|extracting sha256|transferring) .*")


_SUMMED = ("FAILED ", "ERROR ")


class Reduced(NamedTuple):
    """The lines that are left, notes among them, and what was left out in one line."""

    lines: list[str]
    omitted: str


def reduce(lines: list[str], judge: PlainLines, total: int) -> Reduced | None:
    """The lines without what went well; ``None`` if nothing can be left out.

    Args:
        lines: the lines.
        judge: knows which of them are plain.
        total: how many lines the source has.
    """
    sheet = _Sheet(lines, judge)
    text = "\n".join(lines)
    for signs, leave_out in _STEPS:
        if not signs or any(sign in text for sign in signs):
            leave_out(sheet)
    if not sheet.counts:
        return None
    said = ", ".join(f"{count} {reason}" for reason, count in sheet.counts.items())
    left = sum(sheet.counts.values())
    return Reduced(
        list(sheet.rows()), f"{left} of {total} lines left out or cut: {said}"
    )


class _Sheet:
    """Lines, and what becomes of each of them.

    Attributes:
        is_told: lines of failures and findings, which stay even if they repeat names.
        summed: names of tests that pytest's short summary lists.
    """

    def __init__(self, lines: list[str], judge: PlainLines) -> None:
        self.lines = lines
        self.judge = judge
        self.kept = [True] * len(lines)
        self.shown = list(lines)
        self.is_told: set[int] = set(_failures(lines))
        self.summed = {_named(line) for line in lines if line.startswith(_SUMMED)}
        self.notes: dict[int, str] = {}
        self.counts: Counter[str] = Counter()

    def omit(self, at: int, reason: str) -> None:
        """Leave a line out, once."""
        if self.kept[at]:
            self.kept[at] = False
            self.counts[reason] += 1

    def open(self) -> Iterable[tuple[int, str]]:
        """The lines that are still as they were."""
        return (
            (at, line)
            for at, line in enumerate(self.lines)
            if self.kept[at] and self.shown[at] is line
        )

    def rows(self) -> Iterable[str]:
        """The lines that are left, with notes where some are missing."""
        for at, line in enumerate(self.shown):
            if at in self.notes:
                yield self.notes[at]
            if self.kept[at]:
                yield line


def _failures(lines: list[str]) -> Iterable[int]:
    """The lines from where a test runner tells what failed to its totals."""
    is_inside = False
    for at, line in enumerate(lines):
        if _FAILURES.match(line):
            is_inside = True
        elif is_inside and _TOTALS.match(line):
            is_inside = False
        if is_inside:
            yield at


def _tests(sheet: _Sheet) -> None:
    """Tests that went well: one count for each file or class, where it first stands."""
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, int] = {}
    told = {line.split(" - ")[0] for line in sheet.lines if line.startswith("FAILED ")}
    last_file = ""
    for at, line in sheet.open():
        found = read_result(line, told)
        if found is None:
            continue
        where, results = found
        if where:
            last_file = where
        else:
            where = last_file
        for result, count in results.items():
            totals[where][result] += count
        first.setdefault(where, at)
        sheet.omit(at, "lines of test results")
    for where, at in first.items():
        counts = ", ".join(f"{n} {result}" for result, n in totals[where].items())
        sheet.notes[at] = f"{where}: {counts}" if where else f"… {counts}"


def _checked(sheet: _Sheet) -> None:
    """Runs of ticked lines become their number."""
    run: list[int] = []
    mark = ""
    for at in range(len(sheet.lines) + 1):
        line = sheet.lines[at] if at < len(sheet.lines) else ""
        found = _CHECKED.fullmatch(line)
        if found and (not run or found[1] + found[2] == mark):
            mark = found[1] + found[2]
            run.append(at)
            continue
        if len(run) > 1:
            sheet.notes[run[0]] = f"{mark} ×{len(run)}"
            for index in run:
                sheet.omit(index, "passed")
        run = [at] if found else []
        mark = found[1] + found[2] if found else ""


def _begun(sheet: _Sheet) -> None:
    """Lines of parallel pytest that only say which test begins."""
    workers = [line for line in sheet.lines if line.startswith("[gw")]
    names = {line.partition("::")[2] for line in workers}
    for at, line in sheet.open():
        if workers and line.partition("::")[2] in names and _BEGUN.fullmatch(line):
            sheet.omit(at, "passed or begun")


def _go(sheet: _Sheet) -> None:
    for at, line in sheet.open():
        if line.startswith(("=== ", " ", "--- ")) and _GO.fullmatch(line):
            sheet.omit(at, "passed or begun")


def _ctest(sheet: _Sheet) -> None:
    """Lines of ctest that only say which test begins, where the result follows."""
    for at, line in sheet.open():
        found = _CTEST_BEGUN.fullmatch(line) if " Start " in line else None
        after = sheet.lines[at + 1] if found and at + 1 < len(sheet.lines) else ""
        if found and f": {found[1]} ." in after:
            sheet.omit(at, "passed or begun")


def _layers(sheet: _Sheet) -> None:
    for at, line in sheet.open():
        if line.startswith("#") and _LAYER.fullmatch(line):
            sheet.omit(at, "of layer progress")


def _sources(sheet: _Sheet) -> None:
    """Source lines of failing tests, but those next to the line that failed."""
    run: list[int] = []
    for at, line in enumerate(sheet.lines):
        if not sheet.kept[at]:
            run = []
            continue
        if line.startswith(">  ") and len(run) > _SOURCE_SHOWN + 2:
            _omit_sources(sheet, run[:-_SOURCE_SHOWN])
        if _CONTEXT.match(line):
            run.append(at)
        else:
            run = []


def _omit_sources(sheet: _Sheet, run: list[int]) -> None:
    """Stretches of these lines that are longer than their note; signatures stay."""
    stretch: list[int] = []
    for at in [*run, -1]:
        if at >= 0 and "def " not in sheet.lines[at]:
            stretch.append(at)
            continue
        if len(stretch) > 1:
            sheet.notes[stretch[0]] = f"    … {len(stretch)} lines"
            for index in stretch:
                sheet.omit(index, "of test source")
        stretch = []


def _bodies(sheet: _Sheet) -> None:
    """Failures with one body: the body once, with all their names."""
    titles = [
        (at, found) for at, row in sheet.open() if (found := _TITLE.fullmatch(row))
    ]
    first: dict[str, int] = {}
    also: defaultdict[int, list[str]] = defaultdict(list)
    alike: defaultdict[int, list[str]] = defaultdict(list)
    for at, found in titles:
        end = at + 1
        while end < len(sheet.lines) and not sheet.lines[end].startswith(
            ("___ ", "===")
        ):
            end += 1
        # Where an object lay in memory tells nothing.
        body = _ADDRESS.sub("0x…", "\n".join(sheet.lines[at + 1 : end]))
        name = found[1] or found[2]
        start = first.setdefault(body, at)
        again = start
        if start == at and (error := _error(name, body)):
            again = first.setdefault(error, at)
        if again == at:
            continue
        (also if again == start else alike)[again].append(name)
        for index in range(at, end):
            sheet.omit(index, "of failures with a body shown once")
    for names, what in ((also, "body"), (alike, "error")):
        for start, more in names.items():
            said = f"… {len(more)} more with this {what}:"
            listed = ", ".join(_shortly(name, sheet, start) for name in more)
            sheet.shown[start] += f"\n{_listing(said, listed)}"


def _listing(said: str, names: str) -> str:
    """A note with names, many of them on a line of their own.

    When the tests run again this line may be referred to; notes never are.
    """
    gap = "\n" if len(names) >= _MANY_CHARS else " "
    return f"{said}{gap}{names}"


def _shortly(name: str, sheet: _Sheet, start: int) -> str:
    """Of a test that the summary names its parameters, below one of the same test."""
    test, bracket, parameters = name.partition("[")
    is_same = sheet.lines[start].startswith(f"___ {test}[")
    return f"[{parameters}" if bracket and is_same and name in sheet.summed else name


def _error(name: str, body: str) -> str:
    """What one test's parameters have in common that fail alike; empty: not known.

    The lines of the error and the place where it was raised are the same; what the
    parameters were is in their names.
    """
    test, bracket, _ = name.partition("[")
    lines = body.split("\n")
    errors = [line for line in lines if line.startswith("E  ")]
    places = [line for line in lines if _RAISED_AT.fullmatch(line)]
    if not (bracket and errors and places):
        return ""
    return "\n".join([test, *errors, places[-1]])


def _summaries(sheet: _Sheet) -> None:
    """Of pytest's short summary the message, where it stands at the failure."""
    messages = "\n".join(row for row in sheet.lines if row.startswith("E  "))
    for at, line in sheet.open():
        found = _SUMMARY.fullmatch(line) if " - " in line else None
        if found and found[2].removesuffix("...").rstrip() in messages:
            sheet.shown[at] = found[1]
            sheet.counts["of the summary without their message"] += 1


def _parameters(sheet: _Sheet) -> None:
    """Of many failures of one test with one message the first ones have it."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for at, line in sheet.open():
        found = _PARAMETER.fullmatch(line) if "[" in line else None
        if found:
            # A summary cuts the message at the width of the screen.
            message = (found[2] or "").removesuffix("...")[:_MESSAGE_CHARS]
            groups[found[1], message].append(at)
    for (test, _), rows in groups.items():
        more = rows[_PARAMETERS_SHOWN:]
        if len(more) < _MIN_ALIKE:
            continue
        # Which of them fail is asked for by name.
        names = " ".join(_named(sheet.lines[at]) for at in more)
        said = f"… {len(more)} more of {test} with this message:"
        sheet.notes[more[0]] = _listing(said, names)
        for at in more:
            sheet.omit(at, "of the summary that are named together")


def _named(line: str) -> str:
    """The name of a failure in the summary, without its file and its message."""
    return _MESSAGE.sub("", line.partition("::")[2])


def _requirements(sheet: _Sheet) -> None:
    """Requirements that an installer finds satisfied: name and version."""
    satisfied: list[tuple[int, str]] = []
    begun: dict[str, int] = {}
    for at, line in sheet.open():
        if line.startswith("Requirement already"):
            found = _SATISFIED.fullmatch(line)
            if found:
                satisfied.append((at, f"{found[1]} {found[2]}"))
        elif line.endswith(": started"):
            begun[line.removesuffix("started")] = at
        elif line.endswith(_DONE) and line.removesuffix(_DONE) in begun:
            sheet.omit(begun.pop(line.removesuffix(_DONE)), "of steps that went well")
            sheet.omit(at, "of steps that went well")
        elif _STORED.match(line):
            sheet.omit(at, "of where wheels are kept")
    if len(satisfied) < _MIN_ALIKE:
        return
    first = satisfied[0][0]
    named = ", ".join(name for _, name in satisfied)
    sheet.notes[first] = f"Requirements already satisfied: {named}"
    for at, _ in satisfied:
        sheet.omit(at, "of requirements that are named above")


def _candidates(sheet: _Sheet) -> None:
    """Notes on candidates: those of the first few of each error."""
    seen = 0
    out: list[int] = []
    is_out = False
    for at, line in enumerate(sheet.lines):
        if _CANDIDATE.match(line):
            seen += 1
            is_out = seen > _CANDIDATES_SHOWN
        elif _DIAGNOSED.match(line) or (
            not PLACED.match(line) and not line.startswith(" ")
        ):
            if not line.startswith("In file included"):
                seen = 0
                out = _close(sheet, out)
            is_out = is_out and line.startswith("In file included")
        if is_out:
            out.append(at)
    _close(sheet, out)


def _close(sheet: _Sheet, out: list[int]) -> list[int]:
    if out:
        sheet.notes[out[0]] = f"… {len(out)} lines on further candidates"
        for at in out:
            sheet.omit(at, "on further candidates")
    return []


def _snippets(sheet: _Sheet) -> None:
    """Of findings with one headline the first stands with its snippet."""
    lines = sheet.lines
    seen: set[str] = set()
    at = 0
    while at + 1 < len(lines):
        headline = lines[at]
        if not (headline and _ARROW.match(lines[at + 1])) or headline.startswith(
            "error"
        ):
            at += 1
            continue
        end = at + 2
        while end < len(lines) and lines[end] and not _is_headline(lines, end):
            end += 1
        if headline in seen and end - at > 3:
            for index in range(at + 2, end):
                sheet.omit(index, "of snippets of findings shown above")
        seen.add(headline)
        sheet.is_told |= {at, at + 1}
        at = end


def _is_headline(lines: list[str], at: int) -> bool:
    return (
        not lines[at].startswith((" ", "help", "note"))
        and at + 1 < len(lines)
        and _ARROW.match(lines[at + 1]) is not None
        and not lines[at][:1].isdigit()
    )


def _findings(sheet: _Sheet) -> None:
    """Findings with one message: the message once, its places by file."""
    placed: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for at, line in sheet.open():
        found = PLACED.match(line)
        if found and _FINDING.match(found[2]) and _stands_alone(sheet.lines, at):
            placed[found[2]].append((at, found[1]))
    for message, rows in placed.items():
        if len(rows) < _MIN_FINDINGS or "note:" in message:
            continue
        files: dict[str, list[str]] = {}
        for at, place in rows:
            path, sign, position = _split_place(place)
            files.setdefault(path, []).append(sign + position)
            if at != rows[0][0]:
                sheet.omit(at, "of findings put together")
        shown = [f"{message} (×{len(rows)}):"]
        for path, positions in files.items():
            first, *more = positions
            shown.append(" ".join([f"  {path}{first}", *(p[1:] for p in more)]))
        sheet.shown[rows[0][0]] = "\n".join(shown)


def _listed(sheet: _Sheet) -> None:
    """Rows of one file in a linter's list with one message: the message once."""
    rows: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for at, line in enumerate([*sheet.lines, ""]):
        found = _ROW.fullmatch(line)
        if found:
            rows[found[2]].append((at, found[1]))
            continue
        for message, alike in rows.items():
            if len(alike) >= _MIN_FINDINGS:
                places = " ".join(place for _, place in alike)
                sheet.shown[alike[0][0]] = f"  {places}  {message}"
                for other, _ in alike[1:]:
                    sheet.omit(other, "of findings put together")
        rows.clear()


def _split_place(place: str) -> tuple[str, str, str]:
    place = place.strip().removesuffix(" -").removesuffix(":")
    if place.endswith(")"):
        path, sign, position = place.rpartition("(")
    else:
        found = re.search(r":\d+(?::\d+)?$", place)
        start = found.start() if found else len(place)
        path, sign, position = (
            place[:start],
            place[start : start + 1],
            place[start + 1 :],
        )
    return path, sign, position


def _stands_alone(lines: list[str], at: int) -> bool:
    """Whether no snippet or further line of the message follows."""
    after = lines[at + 1] if at + 1 < len(lines) else ""
    return (
        not after or PLACED.match(after) is not None or _TOTAL.match(after) is not None
    )


def _installed(sheet: _Sheet) -> None:
    """Lines alike: without times and sizes, and only if they name something."""
    numbers = [
        at
        for at, line in sheet.open()
        if line
        and at not in sheet.is_told
        and not _DIAGNOSED.match(line)
        and sheet.judge.is_plain(line)
    ]
    source = to_source([sheet.lines[at] for at in numbers])
    seen: set[str] = set()
    alike: set[int] = set()
    for family in families(source.texts, [0] * len(numbers)):
        if len(family.rows) >= _MIN_ALIKE and HOLE in family.words:
            alike.update([index for index, _ in family.rows])
    if not alike:
        return
    for index, at in enumerate(numbers):
        line = sheet.lines[at]
        if index not in alike:
            seen.update(_names(line))
            continue
        short = _unmeasured(line)
        names = _names(short)
        if names and names <= seen:
            sheet.omit(at, "that repeat names above")
            continue
        if not names and short != line:
            sheet.omit(at, "of times and sizes")
            continue
        seen |= names
        if short != line:
            sheet.shown[at] = short
            sheet.counts["without their times and sizes"] += 1


def _unmeasured(line: str) -> str:
    """The line up to its first time or size, if nothing is named after it."""
    found = _MEASURE.search(line)
    if found is None or _NAMELESS.search(_MEASURE.sub("", line[found.start() :])):
        return line
    return line[: found.start()]


def _names(line: str) -> set[str]:
    """Words that could name something; of a package at an address both."""
    words = line.replace("@http", " http").split()
    return {name for word in words if (name := word.strip("()[],:;\"'=."))}


# Each with texts of which one must be there for the step to find anything.
_STEPS: tuple[tuple[tuple[str, ...], Callable[[_Sheet], None]], ...] = (
    ((), _tests),
    (("✓", "✔", "√"), _checked),
    (("[gw",), _begun),
    (("=== ", "--- PASS"), _go),
    ((" Start ",), _ctest),
    (("sha256", "transferring"), _layers),
    (("___ ", "FAIL: ", "ERROR: "), _bodies),
    (("Requirement already", ": started", "wheel", "Stored in"), _requirements),
    (("FAILED ", "ERROR "), _parameters),
    (("FAILED ", "ERROR "), _summaries),
    ((">  ",), _sources),
    ((": note: ",), _candidates),
    (("-->", "╭─["), _snippets),
    ((), _findings),
    (("  error ", "  warning "), _listed),
    ((), _installed),
)

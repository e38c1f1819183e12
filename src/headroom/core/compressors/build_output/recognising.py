"""How sure one can be that a test runner, compiler or installer wrote a text.

Counts lines that only such tools write, in the first and the last part of the text. Two
lines that tell of a whole run (pytest's ruler, ``Ran 12 tests``) are enough; of single
results and diagnostics it takes a share of the lines.
"""

import re

from headroom.core.folding import normalise

_HEAD_CHARS = 8_000
_TAIL_CHARS = 4_000
_HEAD_LINES = 120
_TAIL_LINES = 60
_MIN_LINES = 3
_MIN_HITS = 3

_RUNS = (
    # pytest, unittest
    r"=+ (?:test session starts|short test summary|FAILURES|ERRORS|warnings summary)",
    r"(?:=+ )?\d+ (?:passed|failed|skipped|errors?|deselected)\b.* in \d[\d.]*s\b",
    r"no tests ran in|Ran \d+ tests? in |FAILED \((?:failures|errors)=",
    # jest, vitest, mocha, go test, cargo test
    r"(?:Tests|Test Suites|Test Files|Snapshots)(?:: +| +)\d+ \w+",
    r"\d+ (?:passing|failing)\b",
    r"=== RUN |--- (?:PASS|FAIL|SKIP): |(?:ok|FAIL)\s+\S+/\S+\s+\(?[\d.]+s",
    r"test result: (?:ok|FAILED)|running \d+ tests?$",
    # compilers and linters
    r"error(?:\[E\d{4}\])?: (?:could not compile|aborting due)|error\[E\d{4}\]:",
    r"Finished (?:`|dev|release|test)|For more information about (?:this|an) error",
    r"Found \d+ (?:errors?|problems?|issues?)\b|All checks passed",
    r"Success: no issues found|\d+ errors?, (?:\d+ \w+, )*\d+ (?:warning|information)",
    r"✖ \d+ problems?|\d+ (?:errors?|warnings?) generated\.|\d+ problems? \(",
    r"Compiling \S+ v\d|-+> \S+:\d+:\d+$|\d+ (?:errors?|warnings?)$",
    r"(?:❯|✓|×|FAIL|PASS) +\S+\.(?:test|spec)\.\w+|Test Files  \d",
    # maven, gradle, dotnet, make, ninja, cmake
    r"\[(?:INFO|ERROR)\] (?:BUILD |Scanning for projects|-+<|--- )",
    r"BUILD (?:SUCCESSFUL|FAILED|SUCCESS|FAILURE)\b|> Task :|FAILURE: Build failed",
    r"Build succeeded\.?$|Build FAILED|Determining projects to restore",
    r"(?:Passed|Failed)! +- Failed:",
    r"make(?:\[\d+\])?: (?:\*\*\*|Entering|Leaving|Nothing|'|`)|ninja: ",
    r"-- (?:The \S+ compiler|Configuring done|Build files|Detecting)",
    # npm, yarn, pnpm, pip, apt, docker
    r"(?:added|changed|removed|audited) \d+ packages?",
    r"npm (?:ERR!|http |verbose |timing |silly )|yarn (?:install|run|add) v\d",
    r"Progress: resolved \d|Done in [\d.]+m?s",
    r"Successfully (?:installed|built|tagged|uninstalled) ",
    r"Collecting \S+|Requirement already satisfied:",
    r"Reading package lists|Setting up \S+ \(|Unpacking \S+|Selecting previously",
    r"Step \d+/\d+ : |=> (?:CACHED |ERROR )?\[",
    r"#\d+ (?:\[|DONE|CACHED|sha256|\d+\.\d+ |exporting|naming|writing)",
    # terraform, hosted runners
    r"Terraform (?:will|used|has) |Plan: \d+ to add|Apply complete!",
    r"(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?(?:##\[\w+\]|\[command\])",
)
_PLACES = (
    r"[^\s:]\S*?:\d+(?::\d+)?: (?:fatal )?(?:error|warning|note|[A-Z]{1,6}\d{2,5})\b",
    r"\S+\(\d+,\d+\): (?:error|warning) \w+: |\S+:\d+:\d+ - (?:error|warning)\b",
    r"\S+\.py [.FEsxX]+(?:\s|$)",
    r"\S+::\S+(?:\[.*\])? (?:PASSED|FAILED|SKIPPED|ERROR|XFAIL)",
    r"\S+: (?:Refreshing|Creating|Creation|Still|Destroying|Modif)",
)
"""Lines that begin with a place in one word."""

_LINES = (
    r" ++(?:[^\s:]++:)?\d++:\d++ ++(?:- )?(?:error|warning)\b| *+--> \S+:\d+:\d+",
    r"(?:FAILED|ERROR|PASSED) \S+::\S+",
    r"\w+ \([\w.]+\) \.\.\. (?:ok|FAIL|ERROR|skipped)",
    r"test \S+ \.\.\. (?:ok|FAILED|ignored)",
    r"npm (?:warn|WARN|error|notice|info) ",
    r"\s*+(?:Downloading|Downloaded|Using cached|[✓✔✕✗×✘]) \S",
    r"(?:Get|Hit|Ign|Err):\d+ https?:|(?:Inst|Conf|Preparing|Processing) \S+ ",
    r"\[[*+!x-]\] \S| *+\d++%\|.*\| \d+/\d+ |\d[\d.]*s (?:call|setup|teardown) +\S+::",
    r"\[ *\d+%\] \S|\[\d+/\d+\] [A-Z]",
    r"(?:gcc|g\+\+|cc|c\+\+|clang\S*|javac|ld|ar) \S",
    r" +# \S+ will be ",
    # Maven's levels; a time behind one is a logger's.
    r"\[(?:INFO|WARNING|ERROR)\] (?!\d{4}[-/]\d\d|\d\d:\d\d:)",
    r'\{"Time":.*"Action":"|(?:PASS|FAIL) \S+\.\w+',
    r"error TS\d+:|(?:warning|error)(?:\[[\w:-]+\])?: |CMake (?:Error|Warning)",
)
_RUN = re.compile(rf"[ \t]*+(?:{'|'.join(_RUNS)})")
_LINE = re.compile("|".join(_LINES))
_PLACE = re.compile("|".join(_PLACES))
_EITHER = re.compile(rf"[ \t]*+(?:{'|'.join(_RUNS)})|{'|'.join(_LINES)}")
_DATA = ('"', "}", "]", "<", "|")
"""How no such line begins, and lines of data do; tools' JSON lines begin with ``{``."""


def recognise(text: str) -> float:
    """Confidence that the text is output of a build, its tests or its installation."""
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        text = f"{text[:_HEAD_CHARS]}\n{text[-_TAIL_CHARS:]}"
    rows = [row for row in normalise(text).split("\n") if row and not row.isspace()]
    if len(rows) < _MIN_LINES:
        return 0.0
    if len(rows) > _HEAD_LINES + _TAIL_LINES:
        rows = rows[:_HEAD_LINES] + rows[-_TAIL_LINES:]
    runs = hits = 0
    for row in rows:
        if row.lstrip().startswith(_DATA):
            continue
        if _EITHER.match(row):
            is_run = _RUN.match(row) is not None
            runs += is_run
            hits += is_run + (_LINE.match(row) is not None or _is_placed(row))
        else:
            hits += _is_placed(row)
    share = min(1.0, hits / len(rows))
    if runs >= 2 or (runs and 10 * hits >= len(rows)):
        return min(0.97, 0.86 + 0.5 * share)
    if hits >= _MIN_HITS and 4 * hits >= len(rows):
        return min(0.96, 0.6 + 0.5 * share)
    return 0.3 if runs else 0.0


def _is_placed(row: str) -> bool:
    word = row.partition(" ")[0]
    may_be = ":" in word or "(" in word or word.endswith(".py")
    return may_be and _PLACE.match(row) is not None

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

_DIGITS = "0123456789"
_MARKS = "✓✔✕✗×✘"

_RUNS = (
    # pytest, unittest
    ("=", r"=+ (?:test session starts|FAILURES|ERRORS)"),
    ("=", r"=+ (?:short test|warnings) summary"),
    (
        f"={_DIGITS}",
        r"(?:=+ )?\d+ (?:passed|failed|skipped|errors?|deselected)\b.* in \d[\d.]*s\b",
    ),
    ("n", r"no tests ran in"),
    ("R", r"Ran \d+ tests? in "),
    ("F", r"FAILED \((?:failures|errors)="),
    # jest, vitest, mocha, go test, cargo test
    ("TS", r"(?:Tests|Test Suites|Test Files|Snapshots)(?:: +| +)\d+ \w+"),
    (_DIGITS, r"\d+ (?:passing|failing)\b"),
    ("=", r"=== RUN "),
    ("-", r"--- (?:PASS|FAIL|SKIP): "),
    ("oF", r"(?:ok|FAIL)\s+\S+/\S+\s+\(?[\d.]+s"),
    ("t", r"test result: (?:ok|FAILED)"),
    ("r", r"running \d+ tests?$"),
    # rspec, ctest
    (_DIGITS, r"\d+ examples?, \d+ failures?\b"),
    ("F", r"Finished in [\d.]+ \w+ \(files took "),
    (_DIGITS, r"\d+% tests passed, \d+ tests failed out of \d+"),
    # compilers and linters
    ("e", r"error(?:\[E\d{4}\])?: (?:could not compile|aborting due)|error\[E\d{4}\]:"),
    ("F", r"Finished (?:`|dev|release|test)|Found \d+ (?:errors?|problems?|issues?)\b"),
    ("F", r"For more information about (?:this|an) error"),
    ("A", r"All checks passed|Apply complete!"),
    ("S", r"Success: no issues found"),
    (_DIGITS, r"\d+ errors?, (?:\d+ \w+, )*\d+ (?:warning|information)"),
    ("✖", r"✖ \d+ problems?"),
    (_DIGITS, r"\d+ (?:errors?|warnings?)(?: generated\.|$)|\d+ problems? \("),
    ("C", r"Compiling \S+ v\d"),
    ("-", r"-+> \S+:\d+:\d+$"),
    ("❯✓×FP", r"(?:❯|✓|×|FAIL|PASS) +\S+\.(?:test|spec)\.\w+"),
    ("T", r"Test Files  \d"),
    # maven, gradle, dotnet, make, ninja, cmake
    ("[", r"\[(?:INFO|ERROR)\] (?:BUILD |Scanning for projects|-+<|--- )"),
    ("B", r"BUILD (?:SUCCESSFUL|FAILED|SUCCESS|FAILURE)\b"),
    (">", r"> Task :"),
    ("F", r"FAILURE: Build failed"),
    ("B", r"Build succeeded\.?$|Build FAILED"),
    ("D", r"Determining projects to restore|Done in [\d.]+m?s"),
    ("PF", r"(?:Passed|Failed)! +- Failed:"),
    ("mg", r"g?make(?:\[\d+\])?: (?:\*\*\*|Entering|Leaving|Nothing|'|`)"),
    ("n", r"ninja: "),
    ("-", r"-- (?:The \S+ compiler|Configuring done|Build files|Detecting)"),
    # npm, yarn, pnpm, pip, apt, docker
    ("acr", r"(?:added|changed|removed|audited) \d+ packages?"),
    ("n", r"npm (?:ERR!|http |verbose |timing |silly )"),
    ("y", r"yarn (?:install|run|add) v\d"),
    ("P", r"Progress: resolved \d|Plan: \d+ to add"),
    ("S", r"Successfully (?:installed|built|tagged|uninstalled) "),
    ("C", r"Collecting \S+"),
    ("R", r"Requirement already satisfied:|Reading package lists"),
    ("S", r"Setting up \S+ \(|Selecting previously"),
    ("U", r"Unpacking \S+"),
    ("S", r"Step \d+/\d+ : "),
    ("=", r"=> (?:CACHED |ERROR )?\["),
    ("#", r"#\d+ (?:\[|DONE|CACHED|sha256|\d+\.\d+ |exporting|naming|writing)"),
    # terraform, hosted runners
    ("T", r"Terraform (?:will|used|has) "),
    (f"#[{_DIGITS}", r"(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?(?:##\[\w+\]|\[command\])"),
)
"""Lines that tell of a whole run, each with the signs it may begin with."""

_PLACES = (
    r"[^\s:]\S*?:\d+(?::\d+)?: (?:fatal )?(?:error|warning|note|[A-Z]{1,6}\d{2,5})\b",
    r"\S+\(\d+,\d+\): (?:error|warning) \w+: |\S+:\d+:\d+ - (?:error|warning)\b",
    r"\S+\.py [.FEsxX]+(?:\s|$)",
    r"(?=\S+?::\S)\S++ (?:PASSED|FAILED|SKIPPED|ERROR|XFAIL)",
    r"(?=[^\s\[]+?::\S)[^\s\[]++\[.*\] (?:PASSED|FAILED|SKIPPED|ERROR|XFAIL)",
    r"\S+: (?:Refreshing|Creating|Creation|Still|Destroying|Modif)",
)
"""Lines that begin with a place in one word."""

_LINES = (
    ("-", r" *+--> \S+:\d+:\d+"),
    ("FEP", r"(?:FAILED|ERROR|PASSED) \S+::\S+"),
    ("t", r"test \S+ \.\.\. (?:ok|FAILED|ignored)"),
    ("n", r"npm (?:warn|WARN|error|notice|info) "),
    (f"DU{_MARKS}", rf"\s*+(?:Downloading|Downloaded|Using cached|[{_MARKS}]) \S"),
    ("GHIE", r"(?:Get|Hit|Ign|Err):\d+ https?:"),
    ("ICP", r"(?:Inst|Conf|Preparing|Processing) \S+ "),
    ("[", r"\[[*+!x-]\] \S"),
    (_DIGITS, r"\d+ (?:silly|verbose|info|http|timing|warn|notice) \S"),
    (_DIGITS, r" *+\d++%\|.*\| \d+/\d+ |\d[\d.]*s (?:call|setup|teardown) +\S+::"),
    ("[", r"\[ *\d+%\] \S|\[\d+/\d+\] [A-Z]"),
    ("gcjla", r"(?:gcc|g\+\+|cc|c\+\+|clang\S*|javac|ld|ar) \S"),
    ("#", r" +# \S+ will be "),
    # Maven's levels; a time behind one is a logger's.
    ("[", r"\[(?:INFO|WARNING|ERROR)\] (?!\d{4}[-/]\d\d|\d\d:\d\d:)"),
    ("{", r'\{"Time":.*"Action":"'),
    ("PF", r"(?:PASS|FAIL) \S+\.\w+"),
    ("ew", r"error TS\d+:|(?:warning|error)(?:\[[\w:-]+\])?: "),
    ("C", r"CMake (?:Error|Warning)"),
    ("on", r"(?:not )?ok \d+ (?:- )?\S"),
    ("r", r"rspec \./\S+:\d+ # "),
    ("I", r"In \S+ line \d+:$"),
    (">", r">> Issue: \[\w+:\w+\] "),
    ("gc", r"(?:/\S*/)?g?make |(?:/\S*/)?cmake -"),
    ("/", r"/\S*/(?:g?make|cmake|gcc|g\+\+|cc|c\+\+|clang|ar|ld) "),
)
"""Lines with one result or message, each with the signs it may begin with."""

_FREE = (
    r" ++(?:[^\s:]++:)?\d++:\d++ ++(?:- )?(?:error|warning)\b",
    r"\w+ \([\w.]+\) \.\.\. (?:ok|FAIL|ERROR|skipped)",
    r" *\^-[-^]* SC\d{4} \(",
    r" {3}(?:Severity|CWE|More Info|Location): ",
    r" *\d+/\d+ Test +#\d+: ",
)
"""The same, beginning with any sign."""

_BLANKS = r"[ \t]*+"
_RUN = re.compile(rf"{_BLANKS}(?:{'|'.join(pattern for _, pattern in _RUNS)})")
_LINE = re.compile("|".join([*(pattern for _, pattern in _LINES), *_FREE]))
_PLACE = re.compile("|".join(_PLACES))


def _by_sign() -> dict[str, re.Pattern[str]]:
    """Sign → the runs and lines that may begin with it, behind blanks."""
    signs = {sign for starts, _ in (*_RUNS, *_LINES) for sign in starts}
    found: dict[str, re.Pattern[str]] = {}
    for sign in signs:
        runs = [f"{_BLANKS}(?:{p})" for starts, p in _RUNS if sign in starts]
        lines = [p for starts, p in _LINES if sign in starts]
        found[sign] = re.compile("|".join([*runs, *lines, *_FREE]))
    return found


_BY_SIGN = _by_sign()
_OTHERS = re.compile("|".join(_FREE))
_SNIPPET = re.compile(r" +\d* *\|(?: |$)")
"""Source below a compiler's message; how much of it there is tells nothing."""

_DATA = frozenset('"}]<|')
"""How no such line begins, and lines of data do; tools' JSON lines begin with ``{``."""


def recognise(text: str) -> float:
    """Confidence that the text is output of a build, its tests or its installation."""
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        text = f"{text[:_HEAD_CHARS]}\n{text[-_TAIL_CHARS:]}"
    rows = [
        row
        for row in normalise(text).split("\n")
        if row and not row.isspace() and not _SNIPPET.match(row)
    ]
    if len(rows) < _MIN_LINES:
        return 0.0
    if len(rows) > _HEAD_LINES + _TAIL_LINES:
        rows = rows[:_HEAD_LINES] + rows[-_TAIL_LINES:]
    runs = hits = 0
    for row in rows:
        sign = row.lstrip()[0]
        if sign in _DATA:
            continue
        if _BY_SIGN.get(sign, _OTHERS).match(row):
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
    if ":" not in row and "(" not in row and ".py" not in row:
        return False
    word = row.partition(" ")[0]
    may_be = ":" in word or "(" in word or word.endswith(".py")
    return may_be and _PLACE.match(row) is not None

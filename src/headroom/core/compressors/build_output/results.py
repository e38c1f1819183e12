"""Lines that tell the results of single tests, as the test runners write them."""

import re
from collections import Counter

_PYTEST = re.compile(
    r"(?:\[gw\d+\] )?(\S+?\.\w+)::(.*?) (PASSED|SKIPPED|XFAIL|XPASS|FAILED|ERROR)\b.*"
)
_PYTEST_WORKER = re.compile(r"\[gw\d+\] (PASSED|SKIPPED|XFAIL|XPASS) (\S+?\.\w+)::.*")
_PYTEST_LISTED = re.compile(r"(PASSED|XFAIL) (\S+?\.\w+)::.*")
_DOTS = re.compile(r"(?:(\S+\.\w+) )?([.FEsxX]+)")
_LETTERS = {
    ".": "passed",
    "F": "failed",
    "E": "error",
    "s": "skipped",
    "x": "xfailed",
    "X": "xpassed",
}
# Since Python 3.11 the class is followed by the method's name again.
_UNITTEST = re.compile(r"(\w+) \(([\w.]+?)(?:\.\1)?\) \.\.\. (ok)")
_CTEST = re.compile(r" *\d+/\d+ Test +#\d+: \S+ \.+ +Passed +[\d.]+ sec")
_TAP = re.compile(r" *ok \d+ (?!.*# (?i:skip|todo)).*")
_CARGO = re.compile(r"test (?:(\S+)::)?\S+(?: - .*)? \.\.\. (ok)")


def read_result(line: str, told: set[str]) -> tuple[str, dict[str, int]] | None:
    """File or class and results of a line; ``None`` if it is no plain result."""
    if "::" in line:
        found = _PYTEST.fullmatch(line)
        if found:
            is_bad = found[3] in {"FAILED", "ERROR"}
            if is_bad and f"FAILED {found[1]}::{found[2]}" not in told:
                return None
            return found[1], {found[3]: 1}
        found = _PYTEST_WORKER.fullmatch(line)
        if found:
            return found[2], {found[1]: 1}
        found = _PYTEST_LISTED.fullmatch(line)
        if found:
            return f"{found[1]} {found[2]}", {"listed": 1}
    if line.endswith(" ok"):
        found = _UNITTEST.fullmatch(line)
        if found:
            return found[2], {found[3]: 1}
        found = _CARGO.fullmatch(line)
        if found:
            return found[1] or "tests", {found[2]: 1}
    if line.endswith(" sec") or line.startswith(("ok ", " ")):
        return _numbered(line)
    if line[-1:] in _LETTERS:
        found = _DOTS.fullmatch(line)
        if found and (found[1] or len(found[2]) > 3):
            letters = Counter(found[2])
            return found[1] or "", {_LETTERS[x]: n for x, n in letters.items()}
    return None


def _numbered(line: str) -> tuple[str, dict[str, int]] | None:
    """A test that went well, of a runner that numbers them and names no file."""
    if _CTEST.fullmatch(line):
        return "", {"passed": 1}
    return ("", {"ok": 1}) if _TAP.fullmatch(line) else None

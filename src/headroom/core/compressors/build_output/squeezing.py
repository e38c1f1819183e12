"""Results of tests side by side, runs of lines that come again, addresses cut.

``squeeze`` writes these as lines that begin with ``»``, all other lines stay:

::

    » tests/test_api.py:: test_get test_put[json] PASSED
    »| tests/test_api.py:: test_put[a b] | test_put[c d] PASSED
    » ok (tests.test_api.TestGet.): test_one test_two
    »3 FAILED tests/test_api.py::
    test_get - AssertionError: assert 1 == 2
    test_put[a b] - KeyError: 'c'
    TestDelete::test_all - AssertionError: assert 0
    » 80 lines again from: libc6 (2.36-9)
    » no blank after https://registry.example.org/

A number says for how many lines the beginning stands. The last says that the blank
behind this address was not in the source. ``» =`` is before source lines that begin
with ``»`` themselves.
"""

import re
from collections import Counter

MARK = "»"

_OPEN = "\n"
"""In place of a result: each test says why in its own words, on a line of its own."""

_MIN_REASONS = 4
"""Fewer tests that failed stand each with its file, as one would run them again."""

_MIN_AGAIN = 5
_MIN_AGAIN_CHARS = 150
_MIN_ADDRESSES = 8
_MAX_SIDE_BY_SIDE = 40
_RESULT = r"((?:PASSED|SKIPPED|XFAIL|XPASS)(?: \(.*\))?)"
_PYTEST = re.compile(r"(\S+?\.\w+::(?:\w+::)*)(\w+(?:\[.*\])?) " + _RESULT)
_SUMMARY = re.compile(r"(FAILED|ERROR) (\S+?\.\w+::)((?:\w+::)*\w+(?:\[\S*\])?)")
_REASONED = re.compile(r"((?:FAILED|ERROR) \S+?\.\w+::)(\w.*)")
_UNITTEST = re.compile(r"(\w+) \(([\w.]+)\) \.\.\. (ok)")
_ADDRESS = re.compile(r"https?://[^\s/\"'<>]+/")
_TELLING = re.compile(r"\w{3}")
"""A line that can name a run of lines; rulers and brackets cannot."""

_AGAIN = re.compile(r"» (\d{1,7}) lines again from: (.*)")
_SIDE_BY_SIDE = re.compile(rf"»(\|?) (\S+::) (.*?) {_RESULT}")
_SUMMED = re.compile(r"» (FAILED|ERROR) (\S+::) (.*)")
_REASONS = re.compile(r"»(\d{1,2}) ((?:FAILED|ERROR) \S+::)")
_CASES = re.compile(r"» (ok) \(([\w.]+?)(\.?)\): (.*)")
_GLUE = re.compile(r"» no blank after (https?://[^\s/\"'<>]+/)")


class SqueezeError(Exception):
    """The lines are none that ``squeeze`` writes."""


def squeeze(lines: list[str]) -> list[str]:
    """The lines with what repeats said once."""
    address = _common_address(lines)
    squeezed = _tests(_repeats(lines))
    if address:
        spaced = address + " "
        squeezed = [line.replace(address, spaced) for line in squeezed]
        squeezed.insert(0, f"{MARK} no blank after {address}")
    return squeezed


def _common_address(lines: list[str]) -> str:
    """The host that most addresses name, if it pays to cut it off them."""
    text = "\n".join(lines)
    if text.count("://") < _MIN_ADDRESSES:
        return ""
    [(address, count)] = Counter(_ADDRESS.findall(text)).most_common(1) or [("", 0)]
    if count < _MIN_ADDRESSES or address + " " in text or address + "\n" in text:
        return ""
    return "" if text.endswith(address) else address


def _repeats(lines: list[str]) -> list[str]:
    """Each run of lines that stood before becomes a reference by its first line."""
    shown: list[str] = []
    last: dict[str, int] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        before = last.get(line, -1)
        size = _run(lines, before, at) if before >= 0 else 0
        if size:
            shown.append(f"{MARK} {size} lines again from: {line}")
        else:
            shown.append(f"{MARK} ={line}" if line.startswith(MARK) else line)
            last[line] = at
            at += 1
            continue
        for index in range(at, at + size):
            last[lines[index]] = index
        at += size
    return shown


def _run(lines: list[str], before: int, at: int) -> int:
    """How many lines from ``at`` on are those from ``before`` on; 0 if too few."""
    if not _TELLING.search(lines[at]):
        return 0
    size = 0
    limit = min(at - before, len(lines) - at)
    while size < limit and lines[before + size] == lines[at + size]:
        size += 1
    if size < _MIN_AGAIN or sum(map(len, lines[at : at + size])) < _MIN_AGAIN_CHARS:
        return 0
    return size


def _tests(lines: list[str]) -> list[str]:
    """Neighbouring tests of one file or class with one result become one line."""
    shown: list[str] = []
    key: tuple[str, str] | None = None
    names: list[str] = []
    held: list[str] = []
    for line in lines:
        found, name = _test(line)
        if found is None or found != key or len(names) == _MAX_SIDE_BY_SIDE:
            shown += _together(key, names, held)
            key, names, held = found, [], []
        if found is None:
            shown.append(line)
        else:
            names.append(name)
            held.append(line)
    shown += _together(key, names, held)
    return shown


def _test(line: str) -> tuple[tuple[str, str] | None, str]:
    """What tests side by side have in common, and the test's own name."""
    if "::" in line:
        found = _SUMMARY.fullmatch(line)
        if found:
            return (f"{MARK} {found[1]} {found[2]}", ""), found[3]
        found = _REASONED.fullmatch(line)
        if found:
            return (found[1], _OPEN), found[2]
        found = _PYTEST.fullmatch(line)
        if found:
            mark = MARK + "|" if " " in found[2] else MARK
            return (f"{mark} {found[1]}", found[3]), found[2]
    elif line.endswith(" ... ok"):
        found = _UNITTEST.fullmatch(line)
        if found:
            owner, _, own = found[2].rpartition(".")
            if own == found[1] and owner:
                return (owner + ".", found[3]), found[1]
            return (found[2], found[3]), found[1]
    return None, ""


def _together(
    key: tuple[str, str] | None, names: list[str], held: list[str]
) -> list[str]:
    if key is None or len(names) == 1:
        return held
    where, result = key
    if result in {_OPEN, ""} and len(names) < _MIN_REASONS:
        return held
    if result == _OPEN:
        return [f"{MARK}{len(names)} {where}", *names]
    if result == "ok":
        return [f"{MARK} ok ({where}): {' '.join(names)}"]
    if not result:
        return [f"{where} {' '.join(names)}"]
    between = " | " if where.startswith(MARK + "|") else " "
    return [f"{where} {between.join(names)} {result}"]


def unsqueeze(lines: list[str], limit: int) -> list[str]:
    """The lines that squeezed ones stand for.

    Raises:
        SqueezeError: a line refers to what is not there, or all stand for more than
            ``limit`` characters.
    """
    if lines and (glue := _GLUE.fullmatch(lines[0])):
        lines = [line.replace(glue[1] + " ", glue[1]) for line in lines[1:]]
    told: list[str] = []
    last: dict[str, int] = {}
    beginning, left = "", 0
    for line in lines:
        start = len(told)
        if not left and not line.startswith((MARK, "FAILED ", "ERROR ")):
            told.append(line)
            last[line] = start
            limit -= len(line) + 1
            continue
        if left:
            told.append(beginning + line)
            left -= 1
        elif reasons := _REASONS.fullmatch(line):
            left, beginning = int(reasons[1]), reasons[2]
        elif not line.startswith(MARK):
            told.append(line)
        elif line.startswith(f"{MARK} ="):
            told.append(line[3:])
        else:
            told += _told(line, told, last)
        for index in range(start, len(told)):
            last[told[index]] = index
            limit -= len(told[index]) + 1
        if limit < 0:
            raise SqueezeError("stands for more text than is allowed")
    if left:
        raise SqueezeError("ends before the lines it announces")
    return told


def _told(line: str, told: list[str], last: dict[str, int]) -> list[str]:
    again = _AGAIN.fullmatch(line)
    if again:
        start = last.get(again[2], -1)
        end = start + int(again[1])
        if start < 0 or end > len(told):
            raise SqueezeError("repeats lines that are not there")
        return told[start:end]
    tests = _SIDE_BY_SIDE.fullmatch(line)
    if tests:
        names = tests[3].split(" | " if tests[1] else " ")
        return [f"{tests[2]}{name} {tests[4]}" for name in names]
    summed = _SUMMED.fullmatch(line)
    if summed:
        return [f"{summed[1]} {summed[2]}{name}" for name in summed[3].split(" ")]
    cases = _CASES.fullmatch(line)
    if cases:
        own = "." if cases[3] else ""
        return [
            f"{name} ({cases[2]}{own}{name if own else ''}) ... {cases[1]}"
            for name in cases[4].split(" ")
        ]
    raise SqueezeError("unknown mark")

"""Golden files: what each kind of text becomes, byte for byte.

Each case is a folder ``tests/golden/<kind>/<case>`` with ``input.txt``, what a
lossless and a lossy compression make of it (absent: it is left as it is), and the
account of what is missing. ``make golden`` rewrites them; the diff is reviewed.
"""

import os
from pathlib import Path

import pytest

import headroom

ROOT = Path(__file__).parent
CASES = sorted(path.parent for path in ROOT.glob("*/*/input.txt"))
IS_WRITING = bool(os.environ.get("HEADROOM_WRITE_GOLDEN"))


def compare(path: Path, actual: str | None) -> None:
    if IS_WRITING:
        if actual is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(actual.encode())
    expected = path.read_bytes().decode() if path.exists() else None
    assert actual == expected, f"{path.relative_to(ROOT)}: run `make golden` to review"


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_text_becomes_what_its_golden_file_says(case):
    text = (case / "input.txt").read_bytes().decode()
    lossless = headroom.compress_text(text)
    assert lossless.lossless
    compare(case / "lossless.txt", lossless.text if lossless.text != text else None)
    lossy = headroom.compress_text(text, lossy=True)
    compare(case / "lossy.txt", None if lossy.lossless else lossy.text)
    compare(case / "omitted.txt", None if lossy.lossless else f"{lossy.omitted}\n")


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_compressing_twice_changes_nothing(case):
    text = (case / "input.txt").read_bytes().decode()
    once = headroom.compress_text(text).text
    assert headroom.compress_text(once).text == once


def test_every_kind_has_its_cases():
    kinds = {case.parent.name for case in CASES}
    assert kinds >= {
        "build",
        "diff",
        "json",
        "listing",
        "log",
        "search",
        "table",
        "trace",
    }

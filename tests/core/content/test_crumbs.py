"""Only very many lines of very few characters are crumbs."""

import tracemalloc

import pytest

from headroom.core.compressors import diff, prose, search_results
from headroom.core.content.crumbs import is_crumbled
from headroom.core.types import Context


@pytest.mark.parametrize("line", ["", "a", "a/b.py:1:x"])
def test_very_many_short_lines_are_crumbs(line):
    assert is_crumbled(f"{line}\n" * 60_000)


@pytest.mark.parametrize(
    "text", ["", "a\n" * 40_000, "a line of usual length\n" * 60_000, "x" * 900_000]
)
def test_other_texts_are_none(text):
    assert not is_crumbled(text)


@pytest.mark.parametrize("module", [diff, prose, search_results])
@pytest.mark.parametrize(
    "unit", ["a\n", "1-a\n2:b\n3-c\n--\n", "@@ -1 +1 @@\n-a\n+b\n"]
)
def test_crumbs_take_no_more_memory_than_the_text(module, unit):
    text = unit * (1_000_000 // len(unit))
    tracemalloc.start()
    try:
        module.compress(text, Context(count=len, wants_lossy=True))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(text)

"""The page of measurements."""

import re

from headroom.workbench.items import Item
from headroom.workbench.page import render
from headroom.workbench.scoring import measure

EVIL = "</pre><script>alert(1)</script>" + "\nrow of data & more" * 40


def page(*items):
    return render({"lossless": list(measure(items, is_lossy=False))})


def test_nothing_of_a_text_becomes_part_of_the_page():
    found = page(Item("<b>name</b>", EVIL, "<i>"))
    assert "<script" not in found
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found
    assert "<b>name" not in found
    assert "<i>" not in found


def test_the_page_loads_nothing():
    found = page(Item("a", EVIL))
    assert not re.findall(r"(?:src|href)=|url\(|@import", found)


def test_long_texts_are_shown_in_part_and_say_so():
    found = page(Item("a", "word " * 30_000))
    assert "130,000 more characters" in found
    assert len(found) < 100_000

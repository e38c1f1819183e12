"""The page of measurements."""

import re

from headroom.workbench.items import Fact, Item
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
    assert not re.findall(r"src=|href=\"[^#]|url\(|@import", found)


def test_long_texts_are_shown_in_part_and_say_so():
    found = page(Item("a", "word " * 30_000))
    assert "130,000 more characters" in found
    assert len(found) < 100_000


def test_each_text_stands_there_once_beside_its_forms():
    rows = "\n".join(f"INFO worker {i % 7} finished job-{i:04}" for i in range(200))
    facts = (Fact(("job-0042",), "needle", "which job?"), Fact(("job-9999",), "id"))
    items = [Item("a", rows, "log", facts), Item("b", "no gain", "prose")]
    forms = {
        form: list(measure(items, is_lossy=form == "lossy"))
        for form in ("lossless", "lossy")
    }
    found = render(forms)
    assert found.count(rows) == 1
    assert found.count("<details") == 2
    assert found.count("the same as before") == 2
    assert "gone</span> id:  job-9999" in found
    assert found.index('id="k-log"') < found.index('id="k-prose"')
    assert all(
        f'id="{name}"' in found for name in re.findall(r'href="#([^"]+)"', found)
    )

"""Lossy forms and their markers: what is missing is said once, and known again."""

from pathlib import Path

import pytest

import headroom
from headroom.ccr.contract import StoreConfig
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.markers import account_of
from headroom.core.own_forms import AS_TOLD, is_own_form

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = sorted(
    path.parent
    for kind in ("build", "json", "listing", "log", "search", "table", "trace")
    for path in (GOLDEN / kind).glob("*/lossy.txt")
)


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_form_and_its_marker_say_once_what_is_missing_and_are_known_again(case):
    text = (case / "input.txt").read_text()
    store = MemoryStore(StoreConfig())
    found = headroom.compress_text(text, lossy=True, store=store)
    sent, account = found.text, account_of(found.text)
    assert bool(account) != found.lossless
    if found.lossless:  # a marker would have cost more than is left out
        return
    told = found.omitted if account == AS_TOLD else account
    assert sent.count(told) == 1
    assert is_own_form(sent)
    assert headroom.compress_text(sent, lossy=True, store=store).text == sent
    head, newline, rest = sent.partition("\n")
    assert not is_own_form(f"{head}{newline}1 or 2{newline}{rest}")

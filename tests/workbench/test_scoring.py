"""Scores of texts and of facts."""

import pytest

from headroom.workbench.items import Fact, Item
from headroom.workbench.scoring import by_fact_type, by_kind, measure, summarise

ROWS = "\n".join(f"INFO worker {i % 7} finished job-{i:04}" for i in range(400))
TEXT = f"{ROWS}\nERROR disk full on node-3\n"


def score(text=TEXT, *, kind="log", facts=(), lossy=False):
    return next(iter(measure([Item("x", text, kind, facts)], is_lossy=lossy)))


def test_a_score_tells_tokens_before_and_after():
    found = score()
    assert 0 < found.tokens_after < found.tokens_before
    assert found.reduction_pct == pytest.approx(
        100 - 100 * found.tokens_after / found.tokens_before
    )
    assert found.bytes_before == len(TEXT)
    assert found.seconds > 0


def test_facts_that_are_gone_are_counted_as_gone():
    facts = (
        Fact(("disk full", "node-3"), "error"),
        Fact(("disk full", "node-4"), "error"),
        Fact(("diskfull",), "needle"),
    )
    found = score(facts=facts)
    assert [(f.is_kept, f.is_kept_loosely) for f in found.facts] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    assert by_fact_type([found]) == {"error": (1, 2), "needle": (0, 1)}


def test_escaped_facts_count_as_kept():
    facts = (Fact(('say "hi"',)), Fact(("a &amp; b",)))
    found = score('{"say \\"hi\\"": "a & b"}', facts=facts)
    assert all(fact.is_kept for fact in found.facts)


def test_a_summary_is_a_mean_over_texts_and_names_the_worst():
    short = Item("short", "nothing to gain here", "log")
    scores = list(measure([Item("long", TEXT, "log"), short], is_lossy=False))
    found = summarise(scores)
    assert found.items == 2
    assert found.mean_reduction_pct == pytest.approx(scores[0].reduction_pct / 2)
    assert (found.worst_id, found.worst_reduction_pct) == ("short", 0)
    assert found.larger == 0


def test_kinds_are_the_corpus_own_or_else_detected():
    scores = [score(kind="log"), score("plain words", kind="")]
    assert list(by_kind(scores)) == ["log", "none"]

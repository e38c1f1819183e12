"""Compress, gate, account: one block at a time, and failures stay small."""

import pytest

from fakes import HALVE, count_words
from headroom.core import pipeline
from headroom.core.content.hints import Hint
from headroom.core.digest import content_digest
from headroom.core.pipeline import compress_block, ranked
from headroom.core.protocols import Compressor
from headroom.core.types import (
    BlockTask,
    Candidate,
    Compressed,
    Policy,
    Slot,
    Span,
)

TEXT = "".join(f"2026-01-01 line {i} of an ordinary log\n" for i in range(80))


def task(text=TEXT, *, lossy=False, is_tool=True, kind=""):
    return BlockTask(
        message_index=0,
        slot=Slot("0", 0, "tool_result", Span(0, 0), is_tool=is_tool),
        digest=content_digest(text),
        text=text,
        model="m",
        wants_lossy=lossy,
        kind=kind,
    )


def compressor(result, *, kind="log", confidence=1.0, name="made_up"):
    def compress(text, context):
        return result(text) if callable(result) else result

    return Compressor(name, kind, lambda _: confidence, compress)


@pytest.fixture
def use(monkeypatch):
    def use(*compressors):
        monkeypatch.setattr(pipeline, "COMPRESSORS", compressors)

    return use


def run(given=None, policy=None, **options):
    return compress_block(given or task(**options), policy or Policy(), count_words)


def test_an_accepted_form_has_fewer_tokens_and_bytes(use):
    use(HALVE)
    outcome = run()
    assert outcome.action == "compressed"
    assert outcome.compressed_tokens < outcome.original_tokens
    assert outcome.compressed_bytes < outcome.original_bytes
    assert (outcome.kind, outcome.strategy, outcome.is_lossy) == ("log", "halve", False)


@pytest.mark.parametrize("longer", [TEXT + "!", TEXT.replace("ordinary", "é" * 8)])
def test_a_form_that_is_not_smaller_is_rejected(use, longer):
    use(compressor(Compressed(lossless=Candidate(longer, "padded"))))
    outcome = run()
    assert (outcome.action, outcome.replacement) == ("rejected_not_smaller", None)


def test_a_form_that_reads_like_any_text_leaves_as_it_would_come_to_rest(use):
    use(compressor(Compressed(lossless=Candidate("few   \n\x1b[1mwords\x1b[0m", "f"))))
    assert run().replacement == "few\nwords"
    use(compressor(Compressed(lossless=Candidate("#table 1   \nwords", "f"))))
    assert run().replacement == "#table 1   \nwords"


def test_an_identical_form_is_no_compression(use):
    use(compressor(Compressed(lossless=Candidate(TEXT, "same"))))
    assert run().action == "no_compression_applied"


def test_a_compressor_that_fails_leaves_its_block_and_says_so(use):
    def fail(text):
        raise ZeroDivisionError("by accident")

    use(compressor(fail))
    outcome = run()
    assert (outcome.action, outcome.replacement) == ("compressor_error", None)
    assert "by accident" in outcome.reason


def test_after_a_failure_the_next_compressor_is_tried(use):
    def fail(text):
        raise RecursionError

    use(compressor(fail, name="first"), HALVE)
    assert run().strategy == "halve"


def test_the_surest_compressor_comes_first_and_the_named_kind_before_it(use):
    unsure = compressor(None, kind="log", confidence=0.6, name="unsure")
    sure = compressor(None, kind="json", confidence=0.9, name="sure")
    silent = compressor(None, kind="diff", confidence=0.2, name="silent")
    use(unsure, sure, silent)
    assert [c.name for c in ranked(TEXT)] == ["sure", "unsure"]
    assert [c.name for c in ranked(TEXT, kind="diff")] == ["silent", "sure", "unsure"]


def test_the_kind_that_the_call_expects_looks_first(use):
    first = compressor(None, kind="json", confidence=0.95, name="first")
    expected = compressor(None, kind="log", confidence=0.75, name="expected")
    unlike = compressor(None, kind="log", confidence=0.3, name="unlike")
    use(first, expected, unlike)
    assert [c.name for c in ranked(TEXT)] == ["first", "expected"]
    hint = Hint("log")
    assert [c.name for c in ranked(TEXT, hint=hint)] == ["expected", "first"]


def test_who_has_lossy_forms_alone_is_asked_only_where_they_may_be_used(use):
    outline = Compressor("outline", "code", lambda _: 1.0, None, is_lossy_only=True)
    sure = compressor(None, kind="json", confidence=0.9, name="sure")
    use(outline, sure)
    assert [c.name for c in ranked(TEXT)] == ["outline", "sure"]
    assert [c.name for c in ranked(TEXT, wants_lossy=False)] == ["sure"]


def test_of_what_people_wrote_only_machine_output_is_served(use):
    use(compressor(Compressed(lossless=Candidate("p", "p")), kind="prose"))
    assert run(is_tool=False).action == "no_compression_applied"
    assert run().action == "compressed"


def test_lossy_forms_need_permission(use):
    use(HALVE)
    assert not run().is_lossy
    outcome = run(lossy=True)
    assert outcome.is_lossy
    assert outcome.omitted == "3 of 4 parts"


def test_an_account_that_ends_a_form_stands_in_its_marker_alone(use):
    told = "omitted: 60 lines"
    lossy = Candidate(f"kept\n{told}", "short", omitted=told)
    use(compressor(Compressed(lossy=lossy)))
    outcome = run(lossy=True, policy=Policy(marker="tool"))
    assert outcome.replacement.startswith("kept\n<<ccr:")
    assert outcome.replacement.count(told) == 1


def test_the_marker_counts_towards_the_gate_and_names_the_original(use):
    use(HALVE)
    marked = run(lossy=True, policy=Policy(marker="tool"))
    plain = run(lossy=True)
    assert f"<<ccr:{content_digest(TEXT)}>>" in marked.replacement
    assert marked.compressed_tokens > plain.compressed_tokens
    assert marked.replacement.startswith(plain.replacement)


def test_a_lossy_form_that_saves_little_more_is_not_worth_it(use):
    lossless = Candidate(TEXT[:800], "lossless")
    lossy = Candidate(TEXT[:790], "lossy", omitted="the end")
    use(compressor(Compressed(lossless, lossy)))
    assert run(lossy=True).strategy == "lossless"


def test_small_blocks_stay_lossless(use):
    use(HALVE)
    assert not run(text=TEXT[:1000], lossy=True).is_lossy


def test_blocks_beyond_the_size_limit_are_left(use):
    use(HALVE)
    outcome = run(policy=Policy(max_block_bytes=100))
    assert outcome.action == "no_compression_applied"
    assert "max_block_bytes" in outcome.reason


def test_a_form_that_is_clearly_beaten_by_a_lossy_one_is_not_counted(use):
    counted = []

    def count(text):
        counted.append(text)
        return count_words(text)

    lossless, lossy = TEXT[:2000], TEXT[:1000]
    use(compressor(Compressed(Candidate(lossless, "all"), Candidate(lossy, "some"))))
    outcome = compress_block(task(lossy=True), Policy(), count)
    assert (outcome.strategy, outcome.is_lossy) == ("some", True)
    assert outcome.compressed_tokens == count_words(lossy)
    assert lossless not in counted


def test_what_was_read_as_one_document_is_not_cut_into_sections(use):
    rows = "[" + ",".join(['{"a": 1}'] * 40) + "]\n"
    text = f"{TEXT}{rows}{TEXT}"
    asked = []

    def halve(part):
        asked.append(part)
        return Compressed(lossless=Candidate(part[: len(part) // 2], "half"))

    use(compressor(halve, kind="table"))
    assert run(text=text).strategy == "half"
    assert asked == [text]
    use(compressor(halve, kind="log"))
    run(text=text)
    assert rows.strip() in asked

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.passages import spare, split_sentences

PLAIN = (
    "The store keeps what it was given for as long as somebody may still want it. "
    "Most people will find that this is quite enough for what they have in mind. "
    "The file /etc/store/limits.conf holds up to 4096 entries and must not be empty. "
    "It is also a fairly pleasant thing to have around on a slow and rainy afternoon."
)


def gone(question="", budget=200):
    left = spare([PLAIN], question, budget).get(0, [])
    return [PLAIN[start:end] for start, end in left]


def test_plain_sentences_go_before_those_with_something_to_quote():
    assert gone(budget=90) in (
        [PLAIN.split(". ")[1] + ". "],
        [PLAIN.split(". ")[3]],
    )
    assert not any("limits.conf" in text for text in gone())


def test_the_first_sentence_of_a_paragraph_stays():
    assert not any(text.startswith("The store") for text in gone(budget=10_000))


def test_what_answers_the_question_stays():
    assert not any(
        "rainy" in text for text in gone("what about a rainy afternoon?", 90)
    )


def test_nothing_goes_without_a_budget_or_from_short_paragraphs():
    assert spare([PLAIN], "", 10) == {}
    assert spare(["Short. Also short."], "", 1000) == {}


def test_references_stay_wherever_they_stand():
    text = PLAIN + " The whole story of how it came to be this way is told in #1234."
    spans = spare([text], "", 10_000)[0]
    assert not any("#1234" in text[start:end] for start, end in spans)


@given(st.text(alphabet="aB. !?\n)(", max_size=200))
def test_sentences_cover_a_text_without_gaps(text):
    spans = split_sentences(text)
    assert "".join(text[start:end] for start, end in spans) == text


@given(
    st.lists(st.sampled_from([PLAIN, PLAIN[:150], "", "Word."])), st.integers(0, 900)
)
def test_the_budget_is_kept_and_spans_are_in_order(paragraphs, budget):
    left = spare(paragraphs, "", budget)
    assert sum(end - start for spans in left.values() for start, end in spans) <= budget
    for spans in left.values():
        assert all(one[1] < other[0] for one, other in pairwise(spans))

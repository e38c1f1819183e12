from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.relevance import rank, words

PASSAGES = [
    "The server waits for a connection and then serves it.",
    "max_retries says how often a request is sent again.",
    "Colours can be changed in the settings of the terminal.",
]


def test_the_passage_that_answers_scores_highest():
    scores = rank("how many retries are made?", PASSAGES)
    assert max(scores) == scores[1] > 0
    assert scores[2] == 0.0


def test_rare_words_count_more_than_common_ones():
    scores = rank("alpha beta", ["alpha", "alpha", "alpha", "beta"])
    assert scores[3] > scores[0]


def test_a_question_without_words_scores_nothing():
    assert rank("the of and", PASSAGES) == [0.0, 0.0, 0.0]
    assert rank("", PASSAGES) == [0.0, 0.0, 0.0]
    assert rank("retries", []) == []


def test_identifiers_are_found_whole_and_by_their_parts():
    assert words("maxRetries") == ["maxretrie", "max", "retrie"]
    assert words("the class") == ["class"]


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=6))
def test_scores_are_never_negative_and_one_per_passage(question, passages):
    scores = rank(question, passages)
    assert len(scores) == len(passages)
    assert all(score >= 0 for score in scores)

import tomllib

import pytest

from headroom.learning import get_recommendation, publish, to_toml
from headroom.learning.observations import Key, Totals

KEY = Key("payg", "claude", "ab" * 8)


def hint(*outcomes, key=KEY, least=50):
    found = publish([(key, outcomes)], least)
    return found[0].strategy_hint if found else None


def test_what_never_got_smaller_is_skipped():
    assert hint(Totals("left", 60)) == "skip"


def test_the_kind_that_served_most_looks_first():
    outcomes = (Totals("json", 20, 900), Totals("log", 50, 900), Totals("left", 9))
    assert hint(*outcomes) == "log"


def test_no_majority_speaks_for_the_default():
    outcomes = (Totals("json", 20, 900), Totals("log", 25, 900), Totals("left", 20))
    assert hint(*outcomes) == "default"


def test_what_is_mostly_asked_back_stays_lossless():
    often = Totals("lossy:log", 60, 20_000, retrievals=9, retrieved_tokens=4_000)
    seldom = Totals("lossy:log", 60, 200_000, retrievals=9, retrieved_tokens=4_000)
    assert hint(often) == "lossless"
    assert hint(seldom) == "log"


def test_too_few_observations_say_nothing():
    assert hint(Totals("left", 49)) is None
    assert hint(Totals("left", 1), least=1) == "skip"
    with pytest.raises(ValueError, match="at least one"):
        publish([], 0)


def test_rows_are_sorted_and_survive_toml():
    keys = [
        Key("payg", "openai", "b"),
        Key("oauth", "claude", "c"),
        Key("payg", "claude", "a"),
    ]
    rows = publish([(key, [Totals("left", 60)]) for key in keys])
    assert [row.structure_hash for row in rows] == ["c", "a", "b"]
    found = tomllib.loads(to_toml(rows))["recommendation"]
    assert found[0] == {
        "auth_mode": "oauth",
        "model_family": "claude",
        "structure_hash": "c",
        "strategy_hint": "skip",
        "confidence": 1.0,
        "observations": 60,
    }
    assert to_toml(rows) == to_toml(list(rows))


def test_words_that_need_quoting_survive_toml():
    odd = Key('a"b', "c\\d\n", "é\u2028")
    rows = publish([(odd, [Totals("left", 60)])])
    found = tomllib.loads(to_toml(rows))["recommendation"][0]
    assert (found["auth_mode"], found["model_family"]) == ('a"b', "c\\d\n")


def test_nothing_is_asked_for_while_a_request_is_served():
    with pytest.warns(DeprecationWarning, match="once at start"):
        assert get_recommendation("payg", "claude") is None

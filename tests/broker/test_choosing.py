"""Conversations are shared out by weight and stay where they are."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headroom.broker.choosing import in_order
from headroom.broker.models_file import Limits, parse
from headroom.broker.registry import Model, Target, make_registry

NAMES = "abcde"
FILE = (
    "backends: {"
    + ", ".join(f"{n}: {{base_url: 'http://{n}'}}" for n in NAMES)
    + "}\nmodels: {m: {backends: [{backend: a}]}}"
)
BACKENDS = make_registry(parse(FILE.encode(), "m.yml"), {}, lambda _: None).backends


def model(weights, fallbacks=""):
    targets = tuple(Target(BACKENDS[n], "", w) for n, w in weights.items())
    spare = tuple(Target(BACKENDS[n], "", 1.0) for n in fallbacks)
    return Model("m", targets, spare, Limits())


def names(found):
    return "".join(target.backend.name for target in found)


@given(st.binary(max_size=40))
def test_the_same_conversation_has_the_same_order_and_fall_backs_come_last(said):
    made = model({"a": 1.0, "b": 2.0, "c": 0.5}, "de")
    order = names(in_order(made, said))
    assert order == names(in_order(made, said))
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order[3:] == "de"


def test_shares_are_those_of_the_weights():
    made = model({"a": 3.0, "b": 1.0})
    counts = Counter(in_order(made, b"%d" % n)[0].backend.name for n in range(4000))
    assert 0.72 < counts["a"] / 4000 < 0.78


def test_a_backend_that_is_added_moves_only_what_it_gains():
    before, after = model({"a": 1.0, "b": 1.0}), model({"a": 1.0, "b": 1.0, "c": 1.0})
    for n in range(500):
        old, new = (in_order(m, b"%d" % n)[0].backend.name for m in (before, after))
        assert new in {old, "c"}

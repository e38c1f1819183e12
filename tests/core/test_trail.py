import json

from headroom.core.trail import change_of, drift, first_difference, trail_of
from headroom.core.types import Decision, SlotEdit
from headroom.providers import PROVIDERS

PROVIDER = PROVIDERS["anthropic"]


def trail(*words, system="s", tools=("Bash",), edits=(), front=("",), model="m"):
    messages = [
        {"role": "assistant" if n % 2 else "user", "content": word}
        for n, word in enumerate(words)
    ]
    body = {
        "model": model,
        "system": system,
        "tools": [{"name": name} for name in tools],
        "messages": messages,
    }
    changes = [b""] * len(words)
    for index in edits:
        edit = SlotEdit("0", "d", "short", "log", "1")
        changes[index] = change_of(Decision((edit,)))
    return trail_of(PROVIDER.parse(json.dumps(body).encode()), changes, front)


def test_a_request_that_goes_on_differs_in_nothing():
    assert first_difference(trail("a"), trail("a", "b", "c")) is None
    assert first_difference(trail("a", "b", "c"), trail("a")) is None
    assert drift(trail("a"), trail("a", "b", "c")) == ()


def test_the_first_piece_that_differs_is_named():
    before = trail("a", "b", "c")
    assert first_difference(before, trail("a", "b", "C", "d")).place == "messages[2]"
    assert first_difference(before, trail("A", "b", "C")).place == "messages[0]"
    assert first_difference(before, trail("a", system="t")).place == "system"
    assert (
        first_difference(before, trail("a", tools=("X",), system="t")).place == "tools"
    )
    assert first_difference(before, trail("a", model="n")).place == "model"


def test_what_left_otherwise_is_our_doing():
    found = first_difference(trail("a", edits=[0]), trail("a", "b"))
    assert (found.place, found.is_ours) == ("messages[0]", True)
    assert not first_difference(trail("a"), trail("b")).is_ours
    assert first_difference(trail("a"), trail("a", front=("added",))).place == "tools"


def test_drift_names_every_dimension():
    before = trail("a", "b", "c", "d")
    assert drift(before, trail("a", "b", "c", "D")) == ()
    assert drift(before, trail("a", "B", "c", "d")) == ("messages",)
    assert drift(before, trail("a", "b", system="t")) == ("system",)
    changed = trail("A", system="t", tools=("Bash", "Read"))
    assert drift(before, changed) == ("system", "tools", "messages")


def test_tools_in_another_order_are_drift():
    before = trail("a", tools=("A", "B"))
    assert drift(before, trail("a", tools=("B", "A"))) == ("tools",)

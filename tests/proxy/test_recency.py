"""Bounded memory of what was used last."""

from headroom.proxy.recency import Recency


def test_the_longest_unused_makes_room():
    recent = Recency(3 * 400)
    for number in range(3):
        recent.put(str(number), "x" * 100)
    assert recent.get("0") == "x" * 100
    recent.put("3", "y" * 100)
    assert [name for name in "0123" if name in recent] == ["0", "2", "3"]
    assert recent.get("1") is None


def test_the_first_value_under_a_key_stays():
    recent = Recency(10_000)
    recent.put("a", "one")
    recent.put("a", "other")
    assert recent.get("a") == "one"


def test_one_value_is_always_kept():
    recent = Recency(10)
    recent.put("a", "x" * 1000)
    assert "a" in recent
    recent.put("b", "x" * 1000)
    assert "a" not in recent

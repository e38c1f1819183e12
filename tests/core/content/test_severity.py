import pytest

from headroom.core.content.severity import has_trouble, is_serious, level


@pytest.mark.parametrize(
    ("line", "stated"),
    [
        ("2024 ERROR disk full", "error"),
        ("[error] child died", "error"),
        ("level=warning msg=slow", "warning"),
        (" 1702  2395 W Tag: slow", "warning"),
        ("E/Tag( 12): broken", "error"),
        ("kernel: <notice> up", "info"),
        ("DEBUG cache", "debug"),
        ("no level in here", ""),
        ("terrors and informants", ""),
    ],
)
def test_the_stated_level_is_read(line, stated):
    assert level(line) == stated


def test_trouble_is_serious_unless_the_level_says_it_is_not():
    assert has_trouble("Connection refused by peer")
    assert is_serious("Connection refused by peer")
    assert not is_serious("INFO retry succeeded after timeout")
    assert not is_serious("session opened for user root")

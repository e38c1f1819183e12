"""A seal is right on the whole form alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.seal import is_sealed, is_stamped, sealed, stamped

TEXT = st.text(st.characters(codec="utf-8"), max_size=80)


@given(TEXT)
def test_what_was_sealed_is_known_again_line_ends_aside(rest):
    form = sealed("html", rest)
    assert is_sealed("html", form)
    assert is_sealed("html", f"{form}\n")
    assert not is_sealed("prose", form)


@given(TEXT)
def test_what_was_stamped_is_known_again_line_ends_aside(form):
    assert is_stamped(stamped(form))
    assert is_stamped(stamped(f"{form}\nmore") + "\n")


@pytest.mark.parametrize(
    "text", ["", "[html] x", "[html 0000] x", "[html 00", "[html 4f2a", "[html zzzz]x"]
)
def test_a_header_alone_is_no_seal(text):
    assert not is_sealed("html", text)
    assert not is_stamped(text)


def test_a_changed_form_has_no_seal():
    form = sealed("html", " Title\nwords\n")
    stamp = stamped("#ls 3; 1 line after\na b c\nend")
    for number in range(8, len(form) - 1):
        assert not is_sealed("html", form[:number] + form[number + 1 :])
    assert not is_stamped(f"{stamp}\nmore")
    assert not is_stamped(stamp.replace("a b", "a c"))

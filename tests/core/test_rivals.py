import msgspec
import pytest

from headroom.core.rivals import Rival, better, chosen, rather
from headroom.core.types import BlockOutcome


def form(tokens, *, is_lossy=False, replacement="shorter"):
    return BlockOutcome(
        "compressed" if replacement else "rejected_not_smaller",
        original_tokens=10_000,
        compressed_tokens=tokens,
        is_lossy=is_lossy,
        replacement=replacement,
    )


class Gate:
    """Counts a form and remembers that it was asked."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.outcome


def test_a_lossless_form_that_is_clearly_beaten_is_not_counted():
    lossless, lossy = Gate(form(1000)), Gate(form(300, is_lossy=True))
    assert chosen(lossless, 4000, Rival("log", 1200, lossy)) is lossy.outcome
    assert (lossless.calls, lossy.calls) == (0, 1)


def test_a_lossy_form_with_hardly_fewer_characters_is_not_counted():
    lossless, lossy = Gate(form(1000)), Gate(form(10, is_lossy=True))
    assert chosen(lossless, 4000, Rival("diff", 3800, lossy)) is lossless.outcome
    assert (lossless.calls, lossy.calls) == (1, 0)


def test_forms_of_about_one_length_are_both_counted():
    lossless = Gate(form(1000))
    lossy = Gate(form(890, is_lossy=True))
    assert chosen(lossless, 4000, Rival("diff", 3500, lossy)) is lossy.outcome
    near = Gate(form(910, is_lossy=True))
    assert chosen(lossless, 4000, Rival("diff", 3500, near)) is lossless.outcome
    assert (lossless.calls, lossy.calls, near.calls) == (2, 1, 1)


def test_a_lossless_form_that_may_not_be_sent_leaves_the_lossy_one():
    rejected = Gate(form(5000, replacement=None))
    lossy = Gate(form(900, is_lossy=True))
    assert chosen(rejected, 4000, Rival("diff", 3990, lossy)) is lossy.outcome


def test_a_lossy_form_that_may_not_be_sent_beats_nothing_clearly():
    lossless = Gate(form(1000))
    rejected = Gate(form(9000, is_lossy=True, replacement=None))
    assert chosen(lossless, 4000, Rival("log", 10, rejected)) is lossless.outcome
    assert (lossless.calls, rejected.calls) == (1, 1)


def test_without_a_lossy_form_there_is_the_lossless_one():
    lossless = Gate(form(1000))
    nothing = Rival("log", 0, lambda: None)
    assert not nothing.clearly_beats(4000)
    assert chosen(lossless, 4000, nothing) is lossless.outcome


@pytest.mark.parametrize(("tokens", "is_sent"), [(8999, True), (9300, False)])
def test_a_text_that_stays_as_it_is_counts_as_its_own_lossless_form(tokens, is_sent):
    left = BlockOutcome("no_compression_applied")
    lossy = form(tokens, is_lossy=True)
    assert rather(left, lossy) is (lossy if is_sent else left)
    assert rather(None, lossy) is (lossy if is_sent else None)


def test_what_stands_elsewhere_is_not_weighed_like_what_is_left_out():
    """It costs no look-up as long as it stands there, only a look back."""
    alone = form(100)
    standing = msgspec.structs.replace(
        form(80, is_lossy=True), is_standing=True, refers_to=("d",)
    )
    assert better(alone, standing) is standing
    assert better(alone, msgspec.structs.replace(standing, is_standing=False)) is alone
    hardly = msgspec.structs.replace(standing, compressed_tokens=95)
    assert better(alone, hardly) is alone
    assert better(standing, form(70, is_lossy=True)) is standing
    assert better(standing, form(20, is_lossy=True)).compressed_tokens == 20

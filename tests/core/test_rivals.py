"""Which of a lossless and a lossy result is sent."""

import pytest

from headroom.core.rivals import rather
from headroom.core.types import BlockOutcome


def outcome(tokens: int, *, of: int = 1000, text: str = "short") -> BlockOutcome:
    return BlockOutcome(
        "compressed", replacement=text, original_tokens=of, compressed_tokens=tokens
    )


@pytest.mark.parametrize(
    ("lossless", "lossy", "is_lossy"), [(800, 700, True), (800, 730, False)]
)
def test_a_lossy_result_must_save_a_tenth_of_the_lossless_one(
    lossless, lossy, is_lossy
):
    one, other = outcome(lossless), outcome(lossy)
    assert rather(one, other) is (other if is_lossy else one)


@pytest.mark.parametrize(("lossy", "is_lossy"), [(899, True), (930, False)])
def test_a_text_that_stays_as_it_is_counts_as_its_own_lossless_form(lossy, is_lossy):
    left = BlockOutcome("no_compression_applied")
    found = outcome(lossy)
    assert rather(left, found) is (found if is_lossy else left)
    assert rather(None, found) is (found if is_lossy else None)

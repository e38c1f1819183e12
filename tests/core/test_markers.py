"""Markers: written short, found wherever they stand, believed nowhere."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.digest import content_digest
from headroom.core.markers import (
    find_markers,
    is_digest,
    strip_marker,
    write_marker,
)

DIGEST = "a1b2c3d4e5f60718293a4b5c"
DIGESTS = st.text("0123456789abcdef", min_size=24, max_size=24)


@pytest.mark.parametrize("how", ["tool", "shell"])
def test_a_marker_says_what_is_missing_and_how_to_get_it(how):
    line = write_marker(DIGEST, "lines 3-9 omitted", how)
    assert line.startswith(f"<<ccr:{DIGEST}>> lines 3-9 omitted; ")
    command = f"headroom retrieve {DIGEST}"
    assert line.endswith(command if how == "shell" else "headroom_retrieve")
    assert "\n" not in line


def test_where_the_text_tells_what_is_missing_the_tool_needs_the_marker_alone():
    assert write_marker(DIGEST, "", "tool") == f"<<ccr:{DIGEST}>>"
    shell = write_marker(DIGEST, "", "shell")
    assert shell == f"<<ccr:{DIGEST}>>; full text: headroom retrieve {DIGEST}"
    assert strip_marker(f"text\n{shell}") == "text"


@given(digest=DIGESTS, before=st.text(), after=st.text(), how=st.sampled_from(["tool"]))
def test_a_written_marker_is_found_in_any_text(digest, before, after, how):
    line = write_marker(digest, "some", how)
    found = find_markers(f"{before}\n{line}\n{after}")
    assert digest in {marker.digest for marker in found}


@given(st.text(alphabet="<>cr:0af \n", max_size=200))
def test_markers_are_found_in_order_and_as_they_stand(text):
    at = 0
    for marker in find_markers(text):
        at = text.index(marker.text, at) + len(marker.text)
        assert is_digest(marker.digest)


@pytest.mark.parametrize(
    ("text", "digests"),
    [
        (f"<<ccr:{DIGEST}>>", [DIGEST]),
        ("<<ccr:0123456789ab>>", ["0123456789ab"]),
        ("<<ccr:0123456789ab 40_rows_offloaded>>", ["0123456789ab"]),
        ("<<ccr:0123456789a>>", []),
        (f"<<ccr:{DIGEST}0>>", []),
        (f"<<ccr:{DIGEST.upper()}>>", []),
        (f"<<ccr:{DIGEST}", []),
        (f"<<ccr:{DIGEST} {'x' * 80}>>", []),
        (f"<<ccr:<<ccr:{DIGEST}>>", [DIGEST]),
        ("<<ccr:>>", []),
        ("", []),
    ],
)
def test_only_whole_markers_count(text, digests):
    assert [marker.digest for marker in find_markers(text)] == digests


@given(digest=DIGESTS, text=st.text(max_size=50))
def test_a_marker_line_can_be_taken_off_again(digest, text):
    assert strip_marker(f"{text}\n{write_marker(digest, 'x', 'tool')}") == text


@pytest.mark.parametrize("text", ["", "a\nb", f"x <<ccr:{DIGEST}>>", "a\n<<ccr:>> b"])
def test_without_a_marker_line_nothing_is_taken_off(text):
    assert strip_marker(text) == text


def test_any_megabyte_is_searched_in_linear_time():
    start = time.perf_counter()
    for text in ("<<ccr:" * 170_000, "<" * 1_000_000, f"<<ccr:{'0' * 1_000_000}"):
        assert find_markers(text) == ()
    assert time.perf_counter() - start < 1


def test_the_digest_in_a_marker_is_the_texts_own():
    digest = content_digest("text")
    (marker,) = find_markers(write_marker(digest, "all", "tool"))
    assert marker.digest == digest

"""The law of tags: what a harness put into a result survives whatever is done to it.

Notes on lines of their own stand word for word; of tags elsewhere none is left without
its partner. Any number of them, whole or not, takes linear time.
"""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headroom
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.content.tags import find_wraps, is_unbalanced, lost_of
from joining import TEXTS

LONG = [text for _, text in TEXTS if 2_000 < len(text) < 40_000]
NOTES = [
    "<system-reminder>\nThe file was changed; do not revert it.\n</system-reminder>",
    '<note-to-agent id="7">keep calm</note-to-agent>',
    "<user_query>\n<system-reminder>\nnested\n</system-reminder>\n</user_query>",
    "<system-reminder>\r\nlines of a terminal\r\n</system-reminder>",
    "<system-reminder>\n" + "One of many sentences.\n" * 40 + "</system-reminder>",
]
LOOSE = [
    "<system-reminder>",
    "</system-reminder>",
    "<x-y/>",
    "<a-b c='d'>e</a-b>",
    "<x-",
]


def shortened(text, *, lossy):
    store = MemoryStore() if lossy else None
    return headroom.compress_text(text, lossy=lossy, store=store)


@settings(max_examples=150)
@given(st.sampled_from(LONG), st.sampled_from(NOTES), st.floats(0, 1), st.booleans())
def test_a_note_among_the_lines_stands_word_for_word(text, note, share, lossy):
    lines = text.rstrip("\n").split("\n")
    at = round(share * len(lines))
    result = shortened("\n".join([*lines[:at], note, *lines[at:]]), lossy=lossy)
    assert "\n".join(note.split("\r\n")) in "\n".join(result.text.split("\r\n"))


@settings(max_examples=100)
@given(st.sampled_from(LONG), st.lists(st.sampled_from(LOOSE), max_size=6), st.data())
def test_no_tag_is_left_without_its_partner(text, tags, data):
    lines = text.split("\n")
    for tag in tags:
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.sampled_from([f"{lines[at]} {tag}", tag]))
    text = "\n".join(lines)
    result = shortened(text, lossy=True)
    if not result.lossless:
        assert not is_unbalanced(text, result.text)


def test_a_pair_in_strings_of_json_is_not_torn_apart():
    said = "<system-reminder>" + "word " * 900 + "</system-reminder>"
    rows = [
        {"id": n, "name": f"n{n}", "text": said if n == 7 else "x"} for n in range(90)
    ]
    text = json.dumps(rows)
    assert not is_unbalanced(text, shortened(text, lossy=True).text)


@pytest.mark.parametrize(
    "unit",
    ["<system-reminder>\n", "</system-reminder>\n", "<a-{n}>\n", "<a-b>x</a-b>\n",
     "<a-{n}>\n</a-{n}>\n", "<x-", "</", "<system-reminder {n}"],
)  # fmt: skip
@pytest.mark.parametrize("lossy", [False, True])
def test_ten_thousand_tags_take_no_longer_than_other_lines(unit, lossy):
    tags = "".join(unit.replace("{n}", str(n)) for n in range(10_000))
    text = "line of a log\n" * 50 + tags + "\nline of a log" * 50
    started = time.process_time()
    result = shortened(text, lossy=lossy)
    assert time.process_time() - started < 3
    assert result.lossless or not is_unbalanced(text, result.text)


def test_a_frame_around_a_whole_result_is_no_note():
    output = "line of a log that goes on\n" * 400
    assert find_wraps(f"<untrusted_context>\n{output}</untrusted_context>") == []
    assert find_wraps("<a-b>\nx\n</a-b> and more") == []


def test_tags_that_a_form_goes_without_are_named_once():
    text = "<a-b>\nx\n</a-b>\n" * 3 + "<c-d>\ny\n</c-d>\n"
    lost = lost_of(text, "<c-d>\ny\n</c-d>")
    assert [tag.tag_preview for tag in lost] == ["<a-b>", "</a-b>"]

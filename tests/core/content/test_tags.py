import re

from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.tags import (
    MAX_PREVIEW_CHARS,
    MAX_TAG_CHARS,
    protect,
    restore,
)

NOTE = "before <system-reminder>keep <b>this</b></system-reminder> after"

PARTS = st.lists(
    st.sampled_from(
        ["<x-a>", "</x-a>", "<note id='1'>", "</note>", "<one/>", "<b>", "</", "<",
         "<x", "word ", "{{HEADROOM_TAG_0}}", "{{HEADROOM_TAG_", "}}", "\n", "<!-- -->"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


def names(text):
    """Opening and closing tags that match each other, by name."""
    counts = {}
    for slash, name in re.findall(r"<(/?)(x-a|note)\b[^<>]*>", text):
        counts.setdefault(name, [0, 0])[bool(slash)] += 1
    return counts


def test_custom_tags_are_swapped_and_come_back():
    protected = protect(NOTE)
    assert protected.text == (
        "before {{HEADROOM_TAG_0}}keep <b>this</b>{{HEADROOM_TAG_1}} after"
    )
    assert restore(protected.text, protected).text == NOTE


def test_a_lost_end_discards_the_wrap():
    protected = protect(NOTE)
    compressed = protected.text.replace("{{HEADROOM_TAG_1}}", "")
    restored = restore(compressed, protected)
    assert restored.text == "before keep <b>this</b> after"
    assert [lost.tag_preview for lost in restored.lost] == ["</system-reminder>"]
    assert restored.lost[0].compressed_length == len(compressed)


def test_a_text_that_lost_all_placeholders_stays_as_it_is():
    restored = restore("nothing left {{HEADROOM_TAG_7}}", protect(NOTE))
    assert restored.text == "nothing left {{HEADROOM_TAG_7}}"
    assert len(restored.lost) == 2


def test_ends_in_the_wrong_order_are_discarded():
    protected = protect("<a-b>x</a-b>")
    assert restore("{{HEADROOM_TAG_1}}x{{HEADROOM_TAG_0}}", protected).text == "x"


def test_a_placeholder_that_came_back_twice_is_one_tag():
    protected = protect("x <one/> y")
    assert restore("{{HEADROOM_TAG_0}} {{HEADROOM_TAG_0}}", protected).text == "<one/> "


def test_placeholders_in_the_source_are_text_and_switch_nothing_off():
    text = "a {{HEADROOM_TAG_3}} <q-q>b</q-q>"
    protected = protect(text)
    assert protected.text == (
        "a {{HEADROOM_TAG_3}} {{HEADROOM_TAG_4}}b{{HEADROOM_TAG_5}}"
    )
    assert restore(protected.text, protected).text == text


def test_a_text_that_uses_up_all_numbers_is_refused():
    assert protect("{{HEADROOM_TAG_999999999}} <q-q>") is None


def test_previews_are_short_and_long_tags_are_text():
    tag = f"<q-q a={'x' * 200}>"
    protected = protect(f"{tag} <q-q {'x' * MAX_TAG_CHARS}>")
    assert [one.text for one in protected.tags] == [tag]
    assert len(restore("", protected).lost[0].tag_preview) == MAX_PREVIEW_CHARS


def test_html_and_text_cut_off_in_a_tag_are_left_alone():
    for text in ("</", "<", "<x-a", "</x-a", "a < b > c", "<p>x</p>", "<!-- y -->"):
        assert protect(text).text == text


@given(PARTS)
def test_swapping_there_and_back_changes_nothing(text):
    protected = protect(text)
    restored = restore(protected.text, protected)
    assert restored.text == text
    assert restored.lost == ()


@given(PARTS, st.data())
def test_losing_placeholders_never_unbalances_tags_or_adds_text(text, data):
    protected = protect(text)
    compressed = protected.text
    for number in range(len(protected.tags)):
        if data.draw(st.booleans()):
            name = f"{{{{HEADROOM_TAG_{protected.start + number}}}}}"
            compressed = compressed.replace(name, "")
    restored = restore(compressed, protected).text
    before, after = names(text), names(restored)
    for name, (opened, closed) in after.items():
        assert opened - closed == before[name][0] - before[name][1] or (
            abs(opened - closed) <= abs(before[name][0] - before[name][1])
        )
    leftover = re.sub(r"\{\{HEADROOM_TAG_\d+\}\}", "", compressed)
    tags = {tag.text for tag in protected.tags}
    pattern = "|".join(map(re.escape, sorted(tags, key=len, reverse=True)))
    bare = re.sub(r"\{\{HEADROOM_TAG_\d+\}\}", "", restored)
    if pattern:
        assert re.sub(pattern, "", bare) == re.sub(pattern, "", leftover)
    else:
        assert bare == leftover

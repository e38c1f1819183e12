"""A reference points at lines that stand in full, and gives the same lines back."""

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.compressors import listing
from headroom.core.digest import content_digest
from headroom.core.repeats import (
    expand,
    given_sources,
    make_form_source,
    make_source,
    names_told_in,
    refer,
)
from headroom.core.types import Context, ToolCall


def source(text, ordinal=1, call=None):
    return make_source(str(ordinal), content_digest(text), text, call)


def code(count, start=0):
    return [f"    value_{i} = compute(argument_{i}, {i})" for i in range(start, count)]


def numbered(lines, first=1, width=6, separator="\t"):
    return "\n".join(
        f"{str(first + i).rjust(width)}{separator}{line}"
        for i, line in enumerate(lines)
    )


READ = ToolCall("a", "Read", b'{"file_path": "/src/app.py", "limit": 3}')


def test_the_same_read_again_is_one_reference():
    text = numbered(code(60))
    found = refer(text, [source(text, 7, READ)])
    assert found.text == "[repeats #7 Read /src/app.py]\n[#7:1-60]"
    assert found.refers_to == (content_digest(text),)
    assert expand(found.text, {"7": text}) == text


def test_what_is_known_of_a_source_is_not_said_again():
    text = numbered(code(60))
    first = refer(text, [source(text, 7, READ)])
    known = set(names_told_in(first.text))
    assert known == {"#7 Read /src/app.py"}
    again = refer(text, [source(text, 7, READ)], None, known)
    assert again.text == "[repeats #7:1-60]"
    assert expand(again.text, {"7": text}) == text
    late = refer(f"not before\n{text}", [source(text, 7, READ)], None, known)
    assert late.text == "[repeats]\nnot before\n[#7:1-60]"
    assert expand(late.text, {"7": text}) == f"not before\n{text}"


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("[repeats #1, #2c a of b; #3 c]\nx", ["#1 a of b", "#2c a of b", "#3 c"]),
        ("[repeats #1:1-2 numbers +2]", []),
        ("[repeats]\n[repeats #1 a]", []),
        ("[repeats #1 Bash echo [x)]", ["#1 Bash echo [x)"]),
        ("[repeats #1 a", []),
        ("[repeats #1a]", []),
        ("[repeats #", []),
        ("text", []),
    ],
)
def test_names_are_read_from_a_legend_alone(form, told):
    assert names_told_in(form) == told


def test_files_that_were_listed_before_are_not_listed_again():
    words = ("alpha", "beta", "gamma", "delta", "rho", "tau")
    inner = [f"test_inner_part_{word}.py" for word in words]
    outer = [f"test_outer_part_{word}.py" for word in words]
    entries = ["- /home/dev/project/", "  - README.md", "  - tests/"]
    entries += [f"    - {name}" for name in [*outer, "parts/"]]
    entries += [f"      - {name}" for name in inner]
    ls = "\n".join([*entries, "  - src/", *(f"    - source_{w}.py" for w in words)])
    paths = [f"/home/dev/project/tests/{name}" for name in outer]
    paths += [f"/home/dev/project/tests/parts/{name}" for name in inner]
    ctx = Context(count=len)
    earlier = listing.compress(ls, ctx).lossless.text
    known = make_form_source("1", content_digest(ls), earlier, "LS")
    later = listing.compress("\n".join(paths), ctx).lossless.text
    found = refer(later, [known])
    assert found.text.splitlines()[0] == "[repeats #1 LS]"
    assert re.fullmatch(r"\[#1:\d+ files #1:\d+ flush\]", found.text.splitlines()[-1])
    assert expand(found.text, {"1": earlier}) == later


def test_lines_that_look_like_a_head_come_back():
    text = "\n".join(["[repeats]", "[repeats #1:1-3]", "[#1:2]", *code(60)])
    earlier = "\n".join(code(60))
    for known in ((), {"#7 tool result"}):
        form = refer(text, [source(earlier, 7)], None, known)
        assert expand(form.text, {"7": earlier, "1": "a\nb\nc"}) == text


def test_after_an_edit_only_the_changed_lines_are_given_with_the_shift():
    before = code(60)
    after = [*before[:30], "    new_line = 1", "    another = 2", *before[31:]]
    old, new = numbered(before), numbered(after)
    found = refer(new, [source(old, 2, READ)])
    assert "numbers +1" in found.text
    assert "    31\t    new_line = 1\n    32\t    another = 2" in found.text
    assert expand(found.text, {"2": old}) == new
    assert len(found.text) < 200


def test_code_that_a_test_runner_quotes_further_right_refers_to_the_read():
    body = ["def test_it():", "", *code(30)]
    quoted = "\n".join(f"    {line}" if line else "" for line in body)
    text = f"=== FAILURES ===\n{quoted}\nE   AssertionError"
    found = refer(text, [source(numbered(body), 3, READ)])
    assert "[#3:1-32 indented]" in found.text
    assert expand(found.text, {"3": numbered(body)}) == text


def test_windows_whose_numbers_end_with_a_colon_are_compared_without_them():
    lines = ["class A:", "", *code(60)]
    old = "\n".join(f"{100 + i}:{line}" for i, line in enumerate(lines[2:40]))
    new = "\n".join(f"{98 + i}:{line}" for i, line in enumerate(lines))
    plain = "\n".join(lines)
    for earlier, later in ((old, new), (new, old), (new, plain)):
        found = refer(later, [source(earlier, 1)])
        assert found is not None
        assert expand(found.text, {"1": earlier}, ":") == later
    found = refer(new, [source(plain, 1)])
    again = expand(found.text, {"1": plain}, ":")
    assert [line.lstrip() for line in again.split("\n")] == new.split("\n")


def test_a_numbered_window_inside_a_message_refers_to_a_numbered_view():
    window = "\n".join(f"{i}:{line}" for i, line in enumerate(code(20), 1))
    said = "\n".join(f"a line of what the editor says, {i}" for i in range(40))
    for earlier, later in (
        (window, f"{said}\n{window}\n{said}"[: 3 * len(window)]),
        (f"{said}\n{window}", window),
    ):
        found = refer(later, [source(earlier, 1)])
        assert found is not None
        assert expand(found.text, {"1": earlier}, ":") == later


def test_of_a_path_its_end_is_named():
    call = ToolCall("a", "Read", b'{"file_path": "/home/me/project/src/app.py"}')
    text = numbered(code(60))
    assert refer(text, [source(text, 7, call)]).text.startswith(
        "[repeats #7 Read src/app.py]"
    )


def test_what_its_own_call_says_is_not_said_again_of_the_calls_it_refers_to():
    old, given = numbered(code(60)), "\n".join(code(90, start=60))
    sources = [source(old, 3, READ), *given_sources(edit(given), 100, "4")]
    shown = f"{old}\n{given}"
    same_path = ToolCall("b", "View", b'{"file_path": "/src/app.py"}')
    same_tool = ToolCall("b", "Read", b'{"file_path": "/src/other.py"}')
    neither = ToolCall("b", "Bash", b'{"command": "cat app.py"}')
    assert refer(f"{shown}\n+++ b/src/app.py", sources, neither).text.startswith(
        "[repeats #3 Read; #4c new_string of Edit]\n"
    )
    heads = [
        refer(shown, sources, call).text.partition("\n")[0]
        for call in (same_path, same_tool, neither)
    ]
    assert heads == [
        "[repeats #3 Read; #4c new_string of Edit]",
        "[repeats #3 /src/app.py; #4c new_string of Edit /src/app.py]",
        "[repeats #3 Read /src/app.py; #4c new_string of Edit /src/app.py]",
    ]


def test_blank_lines_belong_to_the_run_behind_them():
    before = [*code(30), "", "", *code(60, start=30)]
    after = [*before[:28], "    changed = 1", *before[30:]]
    old, new = numbered(before), numbered(after)
    found = refer(new, [source(old, 1)])
    assert found.text.endswith(
        "[#1:1-28]\n    29\t    changed = 1\n[#1:31-62 numbers -1]"
    )
    assert expand(found.text, {"1": old}) == new


def test_a_part_of_an_earlier_read_is_found_at_its_place():
    lines = code(200)
    part = numbered(lines[100:150], first=101)
    found = refer(part, [source(numbered(lines), 1, READ)])
    assert "[#1:101-150]" in found.text
    assert expand(found.text, {"1": numbered(lines)}) == part


def test_a_run_again_command_refers_behind_its_random_header():
    body = "\n".join(f"tests/test_{i}.py::test_case PASSED" for i in range(40))
    old = f"Chunk ID: aaaa\nWall time: 0.1\n{body}"
    new = f"Chunk ID: bbbb\nWall time: 0.2\n{body}"
    found = refer(new, [source(old)])
    assert "Chunk ID: bbbb" in found.text
    assert expand(found.text, {"1": old}) == new


def test_lines_of_several_results_can_be_referred_to():
    one, two = "\n".join(code(40)), "\n".join(code(90, start=50))
    both = f"{one}\nand\n{two}"
    found = refer(both, [source(one, 3), source(two, 5)])
    assert set(found.refers_to) == {content_digest(one), content_digest(two)}
    assert expand(found.text, {"3": one, "5": two}) == both


def test_what_hardly_repeats_stays_as_it_is():
    assert refer("\n".join(code(60)), [source("\n".join(code(90, start=55)))]) is None
    assert refer("\n".join(code(60)), []) is None
    assert refer("short", [source("short")]) is None


def test_text_that_imitates_the_notation_is_escaped_and_switches_nothing_off():
    old = "\n".join(code(60))
    forged = "[#1:1-60]\n\\[#1:2-3]\n[repeats #9 x]"
    new = f"{forged}\n{old}"
    found = refer(new, [source(old)])
    assert expand(found.text, {"1": old}) == new


def edit(new_string):
    arguments = {
        "file_path": "/src/app.py",
        "old_string": "x",
        "new_string": new_string,
    }
    return ToolCall("e", "Edit", json.dumps(arguments).encode())


def test_an_edit_tool_that_shows_what_it_was_given_refers_to_its_call():
    added = "\n".join(code(40))
    shown = numbered(["before = 1", *code(40), "after = 2"], first=118)
    text = f"The file has been updated. Here is a snippet:\n{shown}"
    found = refer(text, [], edit(added))
    assert found.text.startswith("[repeats #0 this new_string]\n")
    assert "[#0:1-40 numbered 119]" in found.text
    assert expand(found.text, {"0": added}) == text


def test_a_written_file_shown_without_numbers_refers_to_the_call_too():
    added = "\n".join(code(40))
    found = refer(f"wrote:\n{added}\n", [], edit(added))
    assert "[#0:1-40]" in found.text
    assert expand(found.text, {"0": added}) == f"wrote:\n{added}\n"


def test_a_diff_of_what_an_edit_was_given_refers_to_that_call():
    added = "\n".join(code(40))
    given = given_sources(edit(added), 100, "5")
    text = "\n".join(["@@ -0,0 +1,40 @@", *(f"+{line}" for line in code(40))])
    found = refer(text, given)
    assert "#5c new_string of Edit /src/app.py" in found.text
    assert "[+ #5c:1-40]" in found.text
    assert expand(found.text, {"5c": added}) == text


def test_both_texts_of_an_edit_come_back_in_a_diff():
    old, new = "\n".join(code(20)), "\n".join(code(60, start=20))
    arguments = {"file_path": "/src/app.py", "old_string": old, "new_string": new}
    call = ToolCall("a", "Edit", json.dumps(arguments).encode())
    signed = [
        *(f"-{line}" for line in code(20)),
        *(f"+{line}" for line in code(60, 20)),
    ]
    text = "\n".join(["@@ -1,20 +1,40 @@", *signed])
    found = refer(text, given_sources(call, 100, "5"))
    assert "[- #5d:1-20 + #5c:1-40]" in found.text
    assert expand(found.text, {"5c": new, "5d": old}) == text


LEGEND = [
    "build templates",
    "$a=tests/unit/test_a_long_name_of_a_file.py:9: AssertionError",
    "",
]
RUN = [
    *(f"E   AssertionError: assert {i} == 0 in {'x' * 20}" for i in range(9)),
    "$a",
    "» 3 lines again from: E   AssertionError: assert 0 == 0",
    *(f"E   AssertionError: assert {i} == 1 in {'x' * 20}" for i in range(9)),
    "<<ccr:a87fff9a20174b18b3c52ba1>> omitted; full text: headroom_retrieve",
]


def test_a_run_again_refers_to_the_form_of_the_run_before():
    before = "\n".join([*LEGEND, "1 failed, 3 passed in 2.97s", *RUN])
    after = "\n".join([*LEGEND, "1 failed, 4 passed in 4.14s", *RUN])
    found = refer(after, [make_form_source("7", "d", before, "Bash pytest")])
    assert found.text == (
        "[repeats #7 Bash pytest]\n[#7:1-3]\n1 failed, 4 passed in 4.14s\n[#7:5-14]\n"
        f"{RUN[10]}\n[#7:16-24]\n{RUN[-1]}"
    )
    assert found.refers_to == ("d",)
    assert expand(found.text, {"7": before}) == after


def test_codes_that_mean_something_else_are_not_referred_to():
    before = "\n".join([*LEGEND, *RUN])
    after = "\n".join([LEGEND[0], "$a=tests/test_b.py:7: KeyError", "", *RUN])
    found = refer(after, [make_form_source("7", "d", before, "Bash pytest")])
    assert "[#7:3-12]\n$a\n" in found.text
    assert "$a=tests/test_b.py:7: KeyError\n" in found.text
    assert expand(found.text, {"7": before}) == after


def test_a_diff_in_its_short_form_refers_to_what_edits_were_given():
    added = code(40)
    given = given_sources(edit("\n".join(added)), 100, "5")
    form = "\n".join(
        ["[diff]", "## src/app.py a1..b2", "@118 def f():", *(f"+{x}" for x in added)]
    )
    found = refer(form, given)
    assert found.text.endswith("@118 def f():\n[+ #5c:1-40]")
    assert expand(found.text, {"5c": "\n".join(added)}) == form


def test_a_blank_line_without_a_sign_does_not_take_lines_with_signs_along():
    file = ["def f():", "", *code(40)]
    hunk = ["@@ -1,40 +1,41 @@", "", *(f" {line}" for line in code(40)), "+    new = 1"]
    text = "\n".join(["diff --git a/x b/x", *hunk])
    found = refer(text, [source(numbered(file), 3, READ)])
    assert "[  #3:3-42]" in found.text
    assert expand(found.text, {"3": numbered(file)}) == text


def test_added_lines_of_a_diff_refer_to_what_was_read():
    file = code(60)
    text = "\n".join(
        ["diff --git a/x b/x", "--- /dev/null", "+++ b/x", "@@ -0,0 +1,60 @@"]
        + [f"+{line}" for line in file]
    )
    found = refer(text, [source(numbered(file), 3, READ)])
    assert "[+ #3:1-60]" in found.text
    assert expand(found.text, {"3": numbered(file)}) == text


def test_plain_output_refers_to_a_numbered_read_and_back():
    file = code(60)
    plain = "\n".join(file)
    found = refer(plain, [source(numbered(file), 3, READ)])
    assert found.text.endswith("[#3:1-60 bare]")
    assert expand(found.text, {"3": numbered(file)}) == plain
    found = refer(numbered(file, first=7), [source(plain, 3)])
    assert found.text.endswith("[#3:1-60 numbered 7]")
    assert expand(found.text, {"3": plain}) == numbered(file, first=7)


def test_context_around_an_edit_comes_from_the_read_before_it():
    file = code(80)
    added = [f"    added_{i} = make_something({i})" for i in range(20)]
    changed = [*file[:30], *added, *file[30:]]
    text = numbered(changed[20:62], first=21)
    found = refer(text, [source(numbered(file), 1, READ)], edit("\n".join(added)))
    assert set(re.findall(r"[\[ ]#(\d):", found.text)) == {"0", "1"}
    assert expand(found.text, {"0": "\n".join(added), "1": numbered(file)}) == text


LINES = st.lists(
    st.sampled_from([*code(30), "", "}", "[#1:1-2]", "\\[#1:1-2]", "   12\tx"]),
    max_size=60,
)


def signed(lines):
    signs = [" ", "+", "-"]
    hunk = [f"{signs[i // 5 % 3]}{line}" for i, line in enumerate(lines)]
    return "\n".join(["diff --git a/x b/x", "@@ -1,9 +1,9 @@", *hunk])


DRESS = st.sampled_from([numbered, "\n".join, signed])


@given(LINES, LINES, DRESS, DRESS, st.booleans())
def test_every_form_expands_to_its_text(earlier, later, old_dress, new_dress, is_known):
    old, new = old_dress(earlier), new_dress(later)
    known = source(old)
    named = {f"#{known.name} {known.label}"} if is_known else ()
    found = refer(new, [known], None, named)
    if found is not None:
        assert expand(found.text, {"1": old}) == new
        assert len(found.text) <= 0.8 * len(new)


@given(LINES, LINES, st.booleans())
def test_every_form_of_an_edit_expands_to_its_text(given_lines, shown, is_numbered):
    text = numbered(shown) if is_numbered else "\n".join(shown)
    added = "\n".join(given_lines)
    found = refer(text, [], edit(added))
    if found is not None:
        assert expand(found.text, {"0": added}) == text


@given(st.lists(LINES, min_size=1, max_size=4), LINES)
def test_the_form_is_the_same_whenever_it_is_made(texts, later):
    sources = [source("\n".join(t), i) for i, t in enumerate(texts, 1)]
    assert refer("\n".join(later), sources) == refer("\n".join(later), sources)


def test_degenerate_texts_end_after_a_bounded_number_of_steps():
    line = "the very same line of output again and again"
    old = "\n".join([line] * 4000)
    new = "\n".join([f"{line}{'' if i % 7 else ' but'}" for i in range(4000)])
    sources = [source(old, i) for i in range(1, 60)]
    assert refer(new, sources) == refer(new, sources)


MANY = [f"value_{i % 50} = compute_something({i}, 1, 2)" for i in range(12_000)]
TALL = "\n" * 50_000 + "a line that is long enough to be referred to " * 5


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (
            source(
                "\n".join(f"{i:6}\tvalue_{i % 50} = f(1, 2)" for i in range(12_000))
            ),
            "\n".join(f"{i}:value_{i % 50} = f(1, 2)" for i in range(12_000)),
        ),
        (
            source("\n".join(MANY)),
            "@@ -1,5 +1,5 @@\n"
            + "\n".join(f"{'+-'[i % 2]}{line}" for i, line in enumerate(MANY)),
        ),
        (
            make_form_source("1", "d" * 24, "\n".join(f"| {m} |" for m in MANY), "x"),
            "\n".join(f"| {line} |" for line in MANY),
        ),
        (source(f"{TALL}\n"), TALL),
    ],
    ids=["other separators", "changing signs", "lines of a form", "blank lines"],
)
def test_lines_that_are_compared_in_vain_take_no_more_than_linear_time(earlier, later):
    started = time.process_time()
    found = refer(later, [earlier])
    assert time.process_time() - started < 2
    if found is not None:
        assert expand(found.text, {"1": "\n".join(earlier.lines.raw)}) == later

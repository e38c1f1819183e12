"""A mixed text is cut where it changes its nature, and every section comes back."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.seal import is_sealed
from headroom.core.content.sections import split
from headroom.core.mixed import Section, compress_sections, decode_sections
from headroom.core.own_forms import is_own_form

ROWS = json.dumps([{"id": i, "state": "running"} for i in range(30)])
PROSE = "Some words about what was done and why it was done that way.\n" * 4


def upper(section):
    """A stand-in for a compressor: serves JSON and code only, and can be undone."""
    if section[0] in "[{" or section.startswith("def "):
        return Section("json", section.swapcase(), "")
    return None


def back(form):
    return "\n".join(decode_sections(form, lambda _, inner: inner.swapcase()))


def test_a_json_tail_is_a_section_of_its_own():
    text = f"< HTTP/1.1 200 OK\n< Server: x\n\n{ROWS}"
    assert split(text) == ["< HTTP/1.1 200 OK\n< Server: x\n\n", ROWS]


def test_json_in_the_middle_ends_where_the_document_ends():
    text = f"before\n{ROWS}\nafter\n"
    assert split(text) == ["before\n", ROWS, "\nafter\n"]


def test_titles_that_scripts_print_begin_sections():
    text = f"== disk\n{PROSE}== memory\n{PROSE}==> a.log <==\n{PROSE}"
    assert split(text) == [
        f"== disk\n{PROSE}",
        f"== memory\n{PROSE}",
        f"==> a.log <==\n{PROSE}",
    ]


def test_rulers_of_test_runners_and_comparisons_begin_none():
    text = f"{PROSE}=== FAILURES ===\n{PROSE}==\n{PROSE}"
    assert split(text) == [text]


def test_documents_on_lines_of_their_own_are_one_section():
    lines = "\n".join([ROWS, ROWS, '{"done": true}'])
    assert split(f"before\n{lines}\nafter\n") == ["before\n", lines, "\nafter\n"]


def test_a_fenced_block_is_cut_out_of_its_fences():
    code = "def f():\n    return 1\n" * 12
    text = f"{PROSE}```python\n{code}```\n{PROSE}"
    assert split(text) == [f"{PROSE}```python\n", code, f"```\n{PROSE}"]


TABLE = "".join(f"item {i}   count {i * 7}   state running\n" for i in range(20))
REPORTS = [
    ("<untrusted_context>\nOutput: ", "Exit Code: 1\nProcess Group PGID: 7\n</x>"),
    (
        "Command: make test\nDirectory: (root)\nOutput: ",
        "Error: (none)\nExit Code: 0\nSignal: 0\nProcess Group PGID: 7\n",
    ),
    ("Chunk ID: a1\nWall time: 0.1 seconds\nProcess exited with code 2\nOutput:\n", ""),
    ("Output: ", "Error: one line\n"),
]


@pytest.mark.parametrize(("head", "tail"), REPORTS)
def test_what_a_command_printed_is_cut_out_of_its_report(head, tail):
    parts = [head, TABLE, tail] if tail else [head, TABLE]
    assert split(head + TABLE + tail) == parts
    mixed = [head, PROSE, ROWS, "\n", *([tail] if tail else [])]
    assert split(f"{head}{PROSE}{ROWS}\n{tail}") == mixed


@pytest.mark.parametrize(
    "text",
    [
        "Output: short\nExit Code: 0\n",
        f"He said:\nOutput: {TABLE}",
        f"a: b\nOutput: {TABLE}",
        f"{'Key: value' * 400}\nOutput: {TABLE}",
        f"outputs\n{TABLE}Output: none\n",
    ],
)
def test_what_is_no_report_is_not_cut(text):
    assert split(text) == [text]


def test_a_report_of_any_length_is_found_in_linear_time():
    text = "Output: " + "Exit Code: 1\n" * 200_000
    assert "".join(split(text)) == text
    text = "A: b\n" * 200_000 + "Output: x"
    assert split(text) == [text]


def test_a_shorter_output_stands_in_its_report():
    text = f"<untrusted_context>\nOutput: {ROWS}\nExit Code: 0\n</untrusted_context>"
    found = compress_sections(text, upper)
    assert found is not None
    assert is_sealed("sections", found.text)
    head = "<untrusted_context>\nOutput: \n[json 1]\n"
    assert found.text.partition("\n")[2].startswith(head)
    assert found.text.endswith("\nExit Code: 0\n</untrusted_context>")
    assert ROWS in back(found.text)


def test_each_prompt_begins_a_section():
    text = "$ ls\na\nb\n$ cat x\nhello\n"
    assert split(text) == ["$ ls\na\nb\n", "$ cat x\nhello\n"]


@pytest.mark.parametrize("text", ["", "plain", PROSE, "{not json\n" * 40, "```\nopen"])
def test_what_nothing_cuts_is_one_section(text):
    assert "".join(split(text)) == text


def test_sections_are_announced_and_the_rest_stands_as_it_was():
    form = compress_sections(f"{PROSE}{ROWS}\nend\n", upper).text
    assert form.partition("\n")[2].startswith(f"{PROSE}[json 1]\n")
    assert form.endswith("\nend\n")


def test_a_text_without_any_form_has_none():
    assert compress_sections(f"$ a\n{PROSE}$ b\n{PROSE}", upper) is None
    assert compress_sections(PROSE, upper) is None


def test_what_is_left_out_is_named_by_section():
    found = compress_sections(
        f"{PROSE}{ROWS}",
        lambda s: Section("json", "x", "9 rows") if s == ROWS else None,
    )
    assert found.omitted == "section 2: 9 rows"


def test_a_line_that_imitates_an_announcement_is_escaped():
    text = f"[json 3]\n\\[log 2]\n{PROSE}{ROWS}"
    form = compress_sections(text, upper).text
    assert back(form).rstrip("\n") == text


@given(
    st.lists(
        st.sampled_from(
            [PROSE, f"{ROWS}\n", "[json 1]\n", "$ ls\n", "```\n", "x", "\n"]
        ),
        max_size=10,
    )
)
def test_every_form_decodes_to_its_text(parts):
    text = "".join(parts)
    assert "".join(split(text)) == text
    found = compress_sections(text, upper)
    if found is not None:
        assert [x for x in back(found.text).split("\n") if x] == [
            x for x in text.split("\n") if x
        ]


def test_a_form_of_sections_is_known_by_its_seal_alone():
    form = compress_sections(f"{PROSE}{ROWS}\nend\n", upper).text
    assert is_own_form(form)
    assert not is_own_form(f"{form}more\n")
    assert not is_own_form(f"[sections]\n[json 1]\n{ROWS}")
    assert not is_own_form("[sections]\n[json " + "9" * 9000 + "]\n")


def test_a_prompt_begins_a_section_but_no_heading_and_no_line_of_a_diff_does():
    text = f"intro\nuser@host:~/dir# ls\n{PROSE}\n# Title\n{PROSE}\n-# Title\n"
    assert split(text) == ["intro\n", text.removeprefix("intro\n")]
    assert len(split(f"a\n$ b\n{PROSE}")) == 2


def test_tables_one_below_the_other_are_sections_of_their_own():
    first = " id | name\n----+------\n  1 | a\n  2 | b\n(2 rows)\n\n"
    second = '      Table "x.y"\n id | kind\n----+------\n  1 | c\n(1 row)\n\n'
    third = "NAME   READY   STATUS   AGE\na      1/1     Running  3d\n"
    assert split(first + second) == [first, second]
    assert split(f"{third}\n{third}") == [f"{third}\n", third]
    assert split(first) == [first]


@pytest.mark.parametrize(
    "line", ["\n", "|\n", "a|b\n", "---+---\n", "A B C D \n", "\n\nA ", "|", "-", "A "]
)
def test_looking_for_tables_takes_linear_time(line):
    text = "x -+- y\n\n" + line * (400_000 // len(line)) + "\n---+---"
    start = time.process_time()
    assert "".join(split(text)) == text
    assert time.process_time() - start < 1

import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.prose import COMPRESSOR, shorten, squeeze
from headroom.core.content.seal import is_sealed
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context, ToolCall

CTX = Context(count=estimate_tokens, wants_lossy=True)

MANUAL = """\
FROB(1)                          User Commands                         FROB(1)

NAME
       frob - turn widgets around

SYNOPSIS
       frob [-q] [--size=N] FILE...

DESCRIPTION
       Frob reads each FILE in turn and turns the widgets it finds there until
       they  point the right way. Files that hold no widgets are passed over in
       silence.

       With more than one FILE the results are joined in the order in which the
       files were named on the command line.

OPTIONS
       -q, --quiet
              Say nothing while at work. Errors are still written to the stan-
              dard error stream, and the exit status tells how things went.

       --size=N
              Turn no more than N widgets at a time, which keeps the memory that
              is needed within bounds on small machines.

EXAMPLE
              o---o---o  main
                   \\
                    o---o  topic

SEE ALSO
       widget(5)
"""
MANUAL_FORM = """\
# FROB(1)                          User Commands                         FROB(1)

# NAME
frob - turn widgets around

# SYNOPSIS
frob [-q] [--size=N] FILE...

# DESCRIPTION
Frob reads each FILE in turn and turns the widgets it finds there until they  point \
the right way. Files that hold no widgets are passed over in silence.

With more than one FILE the results are joined in the order in which the files were \
named on the command line.

# OPTIONS
-q, --quiet
 Say nothing while at work. Errors are still written to the stan-
 dard error stream, and the exit status tells how things went.

--size=N
 Turn no more than N widgets at a time, which keeps the memory that is needed within \
bounds on small machines.

# EXAMPLE
 o---o---o  main
      \\
       o---o  topic

# SEE ALSO
widget(5)
"""
SENTENCES = [
    "The scheduler looks at every task that is waiting and picks one of them to run.",
    "It does so over and over again until there is nothing left that could be done.",
    "A task that was picked gets a slice of time and is put back when that is over.",
    "Nobody has to do anything for this to happen in the ordinary course of events.",
    "Set `max_tasks` in /etc/sched.conf to limit this; the default is 64 tasks.",
    "Some people like to watch what goes on while others would rather go for a walk.",
]
PARAGRAPH = " ".join(SENTENCES)
DOCUMENT = "\n\n".join(
    f"## Part {n}\n\n" + textwrap.fill(PARAGRAPH.replace("task", f"job{n}"), 72)
    for n in range(12)
)  # fmt: skip


def test_a_manual_becomes_its_units():
    assert shorten(MANUAL) == MANUAL_FORM
    assert COMPRESSOR.compress(MANUAL, CTX).lossless.text == MANUAL_FORM


def test_hard_wrapped_paragraphs_and_items_are_one_line_each():
    text = (
        "Title\n=====\n\n"
        "The quick brown fox jumps over the lazy dog and after that it goes home\n"
        "to sleep for the rest of the day, as it has always done before.\n\n"
        "- The first entry of the list is one that does not fit on a single line\n"
        "  and so it goes on here.\n"
        "- short\n"
    )
    assert shorten(text) == (
        "Title\n===\n\n"
        "The quick brown fox jumps over the lazy dog and after that it goes home"
        " to sleep for the rest of the day, as it has always done before.\n\n"
        "- The first entry of the list is one that does not fit on a single line"
        " and so it goes on here.\n"
        "- short\n"
    )


KEPT = {
    "fence": "Some words about what is shown below, so that it can be understood.\n\n"
    "```\nthis is a line of words inside a fence that is long enough to be taken for\n"
    "prose but must stay a line of its own\n```\n",
    "literal": "Words that lead to a sample::\n\n"
    "    this is a line of words inside a sample that is long enough to be taken\n"
    "    for prose but must stay a line of its own\n",
    "code": "x = compute(first_argument, second_argument, third_argument_of_many)\n"
    "y = another_function_with_a_long_name(first_argument, second_argument)\n",
    "verse": "The woods are lovely, dark and deep,\nbut I have promises to keep,\n"
    "and miles to go before I sleep.\n",
    "table": "name of the thing      what it costs      where it can be found today\n"
    "first one              12                 in the shop around the corner\n",
    "fields": "Package: frob\nVersion: 1.2\nDescription: turns widgets around\n",
    "sentences": "Each sentence of this text stands on a line of its own.\n"
    "That makes changes easy to review.\nSo the lines stay.\n",
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_lines_that_no_line_breaker_made_stay(name):
    assert shorten(KEPT[name]) == KEPT[name]


def test_overstrikes_colours_and_blanks_at_line_ends_go():
    assert shorten("N\bNA\bAM\bME\bE  \n_\bf_\bo\x1b[1mo\x1b[0m\n") == "NAME\nfoo\n"


WORDS = st.lists(
    st.sampled_from(
        ["alpha", "beta", "gamma", "the", "of", "a", "delta,", "epsilon.", "--opt",
         "/etc/x.y", "`code`", "don't", "(see"]
    ),
    min_size=1, max_size=60,
).map(" ".join)  # fmt: skip
BLOCKS = st.lists(
    st.one_of(
        WORDS.map(lambda t: textwrap.fill(t, 70)),
        WORDS.map(
            lambda t: textwrap.fill(
                t, 70, initial_indent="- ", subsequent_indent="  ")),
        WORDS.map(lambda t: textwrap.indent(textwrap.fill(t, 60), "       ")),
        st.sampled_from(["# Head", "Head\n====", "```\n code\n\n  x\n```", "",
                         "  art /\\", "\\# x", "NAME"]),
    ),
    max_size=8,
).map("\n\n".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_nothing_is_lost_and_the_form_of_a_form_is_itself(text):
    form = shorten(text)
    assert form is not None
    assert squeeze(form) == squeeze(text)
    assert shorten(form) == form


@settings(max_examples=100, deadline=None)
@given(WORDS, st.integers(60, 100))
def test_a_wrapped_paragraph_is_read_back_by_wrapping_it_again(text, width):
    lines = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
    form = shorten("\n".join(lines))
    again = [
        line
        for unit in form.split("\n")
        for line in textwrap.wrap(
            unit, width, break_on_hyphens=False, break_long_words=False
        )
    ]
    assert " ".join(again).split() == " ".join(lines).split()


def test_the_lossy_form_names_the_lines_it_left_out_and_keeps_what_is_quotable():
    found = settled(COMPRESSOR.compress(DOCUMENT, CTX))
    lossy = found.lossy.text
    assert is_sealed("prose", lossy)
    head = " […1-2]: parts of lines 1-2 left out\n## Part 0\n"
    assert lossy.partition("]")[2].startswith(head)
    assert "[…3-9]" in lossy
    assert all(f"## Part {n}\n" in lossy for n in range(12))
    assert lossy.count("/etc/sched.conf") == 12
    assert lossy.count("The scheduler looks") == 12
    assert found.lossy.omitted == "sentences in 10 paragraphs left out"


BADGE = "[![{0}](https://img.example.org/{0}.svg)](https://ci.example.org/{0})"
README = "\n".join(
    [
        "# kettle",
        "",
        *(BADGE.format(name) for name in ("build", "cover", "version", "chat")),
        "",
        "Kettle boils queues down.",
        "",
        *(f"- [Part {n}](#part-{n})" for n in range(6)),
        "",
        "```md",
        *(f"- [Part {n}](#part-{n})" for n in range(6)),
        "```",
        "",
        *(
            f"## Part {n}\n\nSee [the guide {n}][guide{n}] for more.\n"
            for n in range(40)
        ),
        *(f"[guide{n}]: https://example.org/kettle/guide/{n}.html" for n in range(40)),
        "",
    ]
)


def test_a_readme_loses_badges_contents_and_addresses_and_says_which_lines():
    assert README.count("\n") > 150
    found = settled(COMPRESSOR.compress(README, CTX))
    lines = found.lossy.text.split("\n")
    assert lines[0].endswith(
        "[…1-2]: parts of lines 1-2 left out; […all 5-6]: the whole of lines 5-6"
    )
    assert lines[1:8] == [
        "# kettle",
        "",
        "[…all 3-6]",
        "",
        "Kettle boils queues down.",
        "",
        "[…all 10-15]",
    ]
    assert lines[9:16] == README.split("\n")[16:23]
    assert lines[-2] == "[…all 186-225]"
    assert found.lossy.omitted == (
        "50 lines of badges, contents, addresses or checksums left out"
    )


def test_checksums_of_packages_go_unless_they_were_asked_for():
    text = "\n".join(
        f"Package: frob-{n}\nVersion: 2.{n}\nDescription: turns widgets around\n"
        f"MD5sum: {n:032x}\nSHA256: {n:064x}\nSize: {n * 7}\n"
        for n in range(30)
    )
    found = settled(COMPRESSOR.compress(text, CTX))
    assert f"{7:064x}" not in found.lossy.text
    assert "\nPackage: frob-7\nVersion: 2.7\n" in found.lossy.text
    assert "\n[…all 53-54]\nSize: 49\n" in found.lossy.text
    assert found.lossy.omitted.startswith("60 lines of badges, contents, addresses")
    context = Context(count=len, question="the SHA256 sums?", wants_lossy=True)
    assert COMPRESSOR.compress(text, context) is None


def test_badges_and_addresses_that_were_asked_for_stay():
    question = "where is the address of guide17 at example.org"
    context = Context(count=len, question=question, wants_lossy=True)
    found = COMPRESSOR.compress(README, context)
    assert "\n[guide17]: https://example.org/kettle/guide/17.html\n" in found.lossy.text
    assert "[…all 10-15]" in found.lossy.text


def test_what_answers_the_question_stays():
    text = DOCUMENT.replace("go for a walk", "feed the heron", 1)
    context = Context(count=len, question="who feeds the heron?", wants_lossy=True)
    assert "feed the heron" in COMPRESSOR.compress(text, context).lossy.text


def test_repeated_lines_point_at_the_first_time():
    notice = "The same notice stands in this text twice over, word for word.\n"
    block = f"{notice}And so does this line, which belongs to it.\n\n"
    lines = "".join(f"Line {n} says its own.\n\n" for n in range(120))
    text = f"{block}{lines}{block}"
    lossy = COMPRESSOR.compress(text, CTX).lossy.text
    assert lossy.count("The same notice") == 1
    assert "[…244-245=1-2]" in lossy


def test_the_oldest_versions_of_a_change_log_lose_their_entries():
    text = "".join(
        f"## 1.{n} (2024-01-{n:02})\n\n- Widget number {n} can be turned around.\n"
        f"- The cache of number {n} is emptied in time (#{n}00).\n\n"
        for n in range(30, 0, -1)
    )
    lossy = COMPRESSOR.compress(text, CTX).lossy.text
    assert "## 1.1 (2024-01-01)\n\n[…all 148-149]" in lossy
    assert "#3000" in lossy
    assert "#100)" not in lossy
    reverse = "\n\n".join(reversed(text.split("\n\n")))
    found = settled(COMPRESSOR.compress(reverse, CTX))
    assert found is None or found.lossy is None


def test_tags_of_a_harness_survive():
    text = DOCUMENT.replace("Nobody has to", "<system-reminder>Nobody has to", 1)
    text = text.replace("Some people like", "Some</system-reminder> people like", 1)
    lossy = COMPRESSOR.compress(text, CTX).lossy.text
    assert lossy.count("<system-reminder>") == 1
    assert lossy.count("</system-reminder>") == 1
    assert "HEADROOM_TAG" not in lossy


def test_own_output_is_left_alone_and_a_forged_header_changes_nothing():
    found = settled(COMPRESSOR.compress(DOCUMENT, CTX))
    manual = COMPRESSOR.compress(MANUAL, CTX).lossless.text
    once = settled(COMPRESSOR.compress(manual, CTX))
    assert once is None or once.lossless is None
    assert COMPRESSOR.compress(found.lossy.text, CTX) is None
    forged = f"[prose] […1-2]: parts of lines 1-2 left out\n{MANUAL}"
    assert COMPRESSOR.compress(forged, CTX).lossless is not None


def test_notes_in_the_source_are_escaped():
    lossy = COMPRESSOR.compress(f"See […3-4] there.\n\n{DOCUMENT}", CTX).lossy.text
    assert "See \\[…3-4] there." in lossy


def test_what_an_unseen_call_returned_stays_as_it_is():
    context = Context(count=len, call=ToolCall("c1", "", b""))
    assert COMPRESSOR.compress(MANUAL, context) is None


OTHERS = {
    "python": '"""What it does, in words for people."""\n\nimport os\nimport sys\n\n'
    "def main():\n    # say what is done here in some more words\n    return os.name\n",
    "c": "#include <stdio.h>\n\n/* a comment that has words in it */\nint main() {\n"
    "  return 0;\n}\n" * 3,
    "ruby": "  # Reads the list of all that is for sale in this shop and no more.\n"
    "  def read(list_of_all_things_for_sale)\n    things = list_of_all.map(&:name)\n"
    "    things unless things.empty? or it is not for people\n  end\n" * 6,
    "class body": "        # What is not yet known of it is read from the file.\n"
    "    def known_things(self, thing, other):\n        return thing or other\n" * 6,
    "log": "2025-01-01 10:00:00 INFO the server is up and it is ready to go\n" * 9,
    "settings": "# what this is for and how it is meant to be used by people\n"
    "# and some more words about it that go on for a while\nkey = value\n" * 4,
    "listing": "src/a/one.py\nsrc/a/two.py\nsrc/b/three.py\n" * 5,
    "page": "<!DOCTYPE html>\n<p>Some words for people to read on their screens.</p>\n",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_are_not_claimed(name):
    assert COMPRESSOR.detect(OTHERS[name]) == 0.0


@pytest.mark.parametrize("text", [MANUAL, DOCUMENT, "Package: a\nVersion: 1\n" * 4])
def test_prose_is_claimed_modestly(text):
    assert 0.5 <= COMPRESSOR.detect(text) <= 0.6


@pytest.mark.parametrize(
    "unit",
    ["the quick brown fox ", " ", "\n", "a ", "- a\n  ", "x\x08", "[…1]", "::\n  x\n",
     "1.0\n===\n\nfoo\n\n", "# ", "a. B", "==== \n", f"{'word ' * 14}\n", "<x-y>"],
)  # fmt: skip
def test_work_is_linear_in_the_size_of_the_text(unit):
    text = unit * (400_000 // len(unit))
    start = time.process_time()
    COMPRESSOR.detect(text)
    COMPRESSOR.compress(text, CTX)
    assert time.process_time() - start < 4

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.folding import (
    FormError,
    find_families,
    fold,
    normalise,
    read_lines,
    unfold,
    unfold_own,
)
from headroom.core.folding.templates import mine
from headroom.core.folding.writing import write


def folded(text: str) -> str | None:
    source = read_lines(normalise(text))
    return fold("log", source, find_families(source), {0})


def assert_round_trip(text: str) -> str | None:
    """What is written reads back, before ``fold`` could refuse it for not doing so."""
    source = read_lines(normalise(text))
    written = write("log", source, mine(find_families(source)), {0})
    if written is not None:
        assert unfold("log", written) == normalise(text)
    assert folded(text) == written
    return written


WORDS = ["up", "down", "retry", "~", "~1", "~t", "$a", "$b=x", "×3", "|", "+", "%s", ""]
MESSAGES = st.lists(
    st.sampled_from(WORDS)
    | st.integers(0, 40).map(str)
    | st.sampled_from(["user=root", "10.0.0.1:80", "job[7]", "(TID 9)", "a|b", "\tx"]),
    max_size=6,
).map(" ".join)
CLOCKS = st.tuples(st.integers(0, 3), st.integers(0, 59), st.integers(0, 59)).map(
    lambda t: f"{t[0]:02}:{t[1]:02}:{t[2]:02}"
)
LEADS = {
    "syslog": lambda c, d: f"Mar {d:2} {c} web1 app[{d}]:",
    "iso": lambda c, d: f"2024-03-{d:02}T{c}.25{d % 10}Z INFO",
    "ctime": lambda c, d: f"[Sun Dec {d:02} {c} 2005] [error]",
    "short": lambda c, d: f"03-{d:02} {c}.811  1702  {d}",
    "packed": lambda c, d: f"0811{d:02} {c.replace(':', '')} {d}",
    "access": lambda c, d: f"10.0.0.{d} - - [{d:02}/Oct/2000:{c} -0700]",
    "glog": lambda c, d: f"I03{d:02} {c}.123456       1 main.go:{d}]",
    "prefixed": lambda c, d: f"web-{d % 3} | 2024-03-{d:02} {c},003 -",
    "none": lambda c, d: f"[{d}]",
}


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(sorted(LEADS)),
    st.sampled_from([" ", "", "|", "$", "7"]),
    st.lists(
        st.tuples(CLOCKS, st.integers(1, 28), MESSAGES, st.booleans()),
        min_size=4,
        max_size=40,
    ),
)
def test_whatever_is_folded_unfolds_to_the_same_lines(lead, glue, entries):
    lines = [
        message if bare else f"{LEADS[lead](clock, day)}{glue}{message}"
        for clock, day, message, bare in sorted(entries, key=lambda e: (e[1], e[0]))
    ]
    assert_round_trip("\n".join(lines + lines[:7]))


@settings(max_examples=80, deadline=None)
@given(st.text(string.printable + "~$×|é", max_size=300), st.integers(1, 9))
def test_any_text_unfolds_to_itself_if_it_folds(text, times):
    assert_round_trip((text + "\n") * times)


@pytest.mark.parametrize("lead", sorted(LEADS))
def test_a_regular_log_of_any_notation_folds_to_less_than_half(lead):
    text = "\n".join(
        f"{LEADS[lead](f'03:{i // 60:02}:{i % 60:02}', 7)} worker finished the job"
        f" {i} of the queue default without any error in {i % 7} ms"
        for i in range(120)
    )
    form = assert_round_trip(text)
    assert form is not None
    assert len(form) < len(text) / 2


def test_the_clock_alone_is_shown_until_the_date_changes():
    lines = [f"Mar  3 10:00:0{i} web1 cron: tick of the hourly job" for i in range(5)]
    lines += [f"Mar  4 10:00:0{i} web1 cron: tick of the hourly job" for i in range(5)]
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert "\n10:00:01$a\n" in form
    assert "\nMar  4 10:00:00$a\n10:00:01$a\n" in form


def test_lines_that_always_come_together_share_one_row():
    lines = []
    for i in range(12):
        lines += [
            f"Mar  3 10:{i:02}:00 web1 sshd[{500 + i}]: opened for 10.0.0.{i}",
            f"Mar  3 10:{i:02}:00 web1 sshd[{500 + i}]: session of user root",
            f"Mar  3 10:{i:02}:09 web1 sshd[{500 + i}]: closed by 10.0.0.{i}",
        ]
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert "\n10:05:00$a 505 10.0.0.5 10:05:09\n" in form


def test_a_rare_word_is_not_hidden_in_a_frequent_template():
    lines = [f"service {word} is running well" for word in ["api", "web", "db"] * 20]
    lines[31] = "service mail is running well"
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert "service mail is running well" in form


def test_many_different_words_in_one_place_become_a_hole():
    names = [a + b for a in "abcdefgh" for b in "xyz"]
    lines = [f"accepted the public key of user {name} for login" for name in names]
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert "of user ~ for login" in form


def test_a_row_that_repeats_is_said_once_with_its_count():
    lines = ["start", *["the very same line of text"] * 9, "middle part"]
    lines += ["the very same line of text"] * 4
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert "$a×9\n" in form


def test_a_loop_of_rows_is_said_once_with_its_rounds():
    unit = ['  File "r.py", line 4, in walk', "    walk(tree, depth + 1, seen)"]
    form = assert_round_trip(
        "\n".join(["Traceback:", *unit * 50, "RecursionError: deep"])
    )
    assert form is not None
    assert len(form) < 200


def test_values_of_keys_are_holes_where_lines_are_lists_of_keys():
    lines = [
        f"level=info method=GET status=200 bytes={i * 37} ms={i} path=/api/v1/items"
        for i in range(40)
    ]
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert "$a=level=info method=GET status=200 bytes=~ ms=~ path=/api/v1/items" in form


def test_stack_frames_stay_whole():
    frame = "\tat com.shop.Orders.price(Orders.java:41)"
    lines = []
    for i in range(6):
        lines += [f"2024-03-01 10:00:0{i} ERROR order {i} failed", frame]
        lines += [f"\tat com.shop.Main.run(Main.java:{i})"]
    form = assert_round_trip("\n".join(lines))
    assert form is not None
    assert frame in form
    assert "\tat com.shop.Main.run(Main.java:3)" in form


@pytest.mark.parametrize(
    "form",
    [
        "",
        "log templates",
        "log templates; time nosuch\n\nx",
        "log templates; time iso outside\n\nx",
        "log templates\nx\n\ny",
        "log templates\n$a=x\n$a=y\n\n$a",
        "log templates\n$a=~ ~\n\n$a 1",
        "log templates\n$a=x\n\n$b",
        "log templates\n$a=x\n\n$a\n×3 of 2 rows",
        "other templates\n$a=x\n\n$a",
    ],
)
def test_what_is_no_form_is_refused(form):
    with pytest.raises(FormError):
        unfold("log", form)


@pytest.mark.parametrize(
    "body", ["$a×999999999", "$a\n" + "×999999999 of 1 rows\n" * 9]
)
def test_a_small_form_that_stands_for_very_much_is_not_unfolded(body):
    with pytest.raises(FormError, match="more text"):
        unfold_own("log", f"log templates\n$a={'x' * 99}\n\n{body}")


def test_normalising_folds_colours_progress_and_line_ends():
    text = "\x1b[31merror\x1b[0m: no\x1b[K  \r\n10%\r50%\r100%\r\nend \t\n\n"
    assert normalise(text) == "error: no\n100%\nend"


@pytest.mark.parametrize("ends", ["(1,)", "[a, ]", "f(,)", "(a, (b,), [c,])", "()|,)"])
def test_signs_that_stand_side_by_side_come_back_in_their_order(ends):
    lines = [f"2026-04-03 09:00:{i:02} took {i} of {ends}" for i in range(40)]
    assert assert_round_trip("\n".join(lines)) is not None

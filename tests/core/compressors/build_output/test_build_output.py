import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors import log
from headroom.core.compressors.build_output import COMPRESSOR, FormError, clean, decode
from headroom.core.repeats import expand, make_form_source, refer
from headroom.core.types import Compressed, Context

PYTEST = "\n".join(
    [
        "=" * 30 + " test session starts " + "=" * 30,
        "collected 62 items",
        "",
        *(
            f"tests/test_api.py::TestGet::test_get[{n}-page {n}] PASSED      [ {n}%]"
            for n in range(10, 30)
        ),
        *(
            f"tests/test_db.py::test_query_{n} PASSED      [ {n}%]"
            for n in range(40, 80)
        ),
        "tests/test_db.py::test_commit FAILED      [ 99%]",
        "tests/test_db.py::test_rollback FAILED      [100%]",
        "",
        "=" * 36 + " FAILURES " + "=" * 36,
        "_" * 30 + " test_commit " + "_" * 30,
        "tests/test_db.py:40: in test_commit",
        "    assert rows == 3",
        "E   AssertionError: assert 2 == 3",
        "_" * 30 + " test_rollback " + "_" * 30,
        "tests/test_db.py:40: in test_commit",
        "    assert rows == 3",
        "E   AssertionError: assert 2 == 3",
        "=" * 30 + " short test summary info " + "=" * 30,
        "FAILED tests/test_db.py::test_commit - AssertionError: assert 2 == 3",
        "FAILED tests/test_db.py::test_rollback - AssertionError: assert 2 == 3",
        "=" * 20 + " 2 failed, 60 passed in 1.20s " + "=" * 20,
    ]
)
LINT = "\n".join(
    [
        *(f"src/app/views.py:{n}:5: E701 Multiple statements" for n in range(10, 90)),
        "src/app/urls.py:7:1: F401 `os` imported but unused",
        "Found 81 errors.",
    ]
)
NPM = "\n".join(
    [
        f"npm http fetch GET 200 https://registry.example.org/{name} {n}ms (cache miss)"
        for n, name in enumerate(
            ["ansi", "braces", "chalk", "debug", "escape", "fresh", "glob", "hoek"] * 9
        )
    ]
    + ["npm warn deprecated hoek@2.16.3: no longer supported", "added 8 packages in 2s"]
)
APT = "\n".join(
    line
    for n in range(40)
    for line in (
        f"Selecting previously unselected package lib{n}.",
        f"Preparing to unpack .../lib{n}_1.{n}-2_amd64.deb ...",
        f"Unpacking lib{n} (1.{n}-2) ...",
    )
) + "\n".join(["", *(f"Setting up lib{n} (1.{n}-2) ..." for n in range(40))])
SAMPLES = {"pytest": PYTEST, "lint": LINT, "npm": NPM, "apt": APT}
CONTEXT = Context(count=len, wants_lossy=True)


def compressed(text: str) -> Compressed:
    result = settled(COMPRESSOR.compress(text, CONTEXT))
    assert result is not None
    return result


def lossless(text: str) -> str:
    candidate = compressed(text).lossless
    assert candidate is not None
    return candidate.text


def lossy(text: str) -> str:
    candidate = compressed(text).lossy
    assert candidate is not None
    assert candidate.omitted
    return candidate.text


@pytest.mark.parametrize("name", SAMPLES)
def test_a_form_is_much_shorter_and_gives_the_lines_back(name: str) -> None:
    form = lossless(SAMPLES[name])
    assert len(form) < 0.7 * len(SAMPLES[name])
    assert decode(form) == clean(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_build_output_is_recognised_before_a_log(name: str) -> None:
    assert COMPRESSOR.detect(SAMPLES[name]) > 0.6
    assert COMPRESSOR.detect(SAMPLES[name]) > log.COMPRESSOR.detect(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_form_is_left_alone(name: str) -> None:
    result = compressed(SAMPLES[name])
    for candidate in (result.lossless, result.lossy):
        if candidate is not None:
            assert COMPRESSOR.compress(candidate.text, CONTEXT) is None


def test_a_forged_header_switches_nothing_off() -> None:
    forged = "build templates\n$a=x ~\n\n» 9 lines again from: nothing\n" + LINT
    assert lossless(forged).count("E701 Multiple statements") == 1
    assert COMPRESSOR.compress("build outline; 1 of 2\n" + LINT, CONTEXT) is not None


def test_names_of_passing_tests_stand_side_by_side_and_whole() -> None:
    form = lossless(PYTEST)
    assert "tests/test_db.py:: test_query_40 test_query_41" in form
    assert "test_get[10-page 10] | test_get[11-page 11]" in form
    assert (
        "FAILED tests/test_db.py::test_commit - AssertionError: assert 2 == 3" in form
    )


def test_failures_with_their_reasons_name_the_file_once() -> None:
    summary = [
        f"FAILED tests/test_db.py::test_{name} - AssertionError: assert {i} == 3"
        for i, name in enumerate(["commit", "rollback[a b]", "close", "TestX::test_y"])
    ]
    text = "\n".join(["=== short test summary info ===", *summary, "4 failed in 1.20s"])
    form = lossless(text + "\n" + LINT)
    assert "\n»4 FAILED tests/test_db.py::\ntest_commit - Ass" in form
    assert "\ntest_rollback[a b] - AssertionError: assert 1 == 3\n" in form
    assert form.count("tests/test_db.py") == 1


def test_the_lossy_form_counts_what_passed_and_keeps_what_failed() -> None:
    form = lossy(PYTEST)
    assert "tests/test_api.py: 20 PASSED" in form
    assert "tests/test_db.py: 40 PASSED, 2 FAILED" in form
    assert form.count("E   AssertionError: assert 2 == 3") == 1
    assert "… 1 more with this body: test_rollback" in form
    assert "=== 2 failed, 60 passed in 1.20s ===" in form


def test_the_lossy_form_says_a_finding_once_with_all_its_places() -> None:
    form = lossy(LINT)
    assert "E701 Multiple statements (×80):" in form
    assert all(f" {n}:5" in form for n in range(11, 90))
    assert "src/app/urls.py:7:1: F401 `os` imported but unused" in form
    assert "Found 81 errors." in form


def test_the_lossy_form_of_an_installation_keeps_names_and_warnings() -> None:
    form = lossy(NPM)
    assert all(name in form for name in ("ansi", "braces", "glob", "hoek"))
    assert "npm warn deprecated hoek@2.16.3: no longer supported" in form
    assert "added 8 packages" in form
    assert "(cache miss)" not in form


def test_places_are_never_cut() -> None:
    form = lossless(LINT)
    assert all(f"src/app/views.py:{n}:5" in form for n in range(10, 90))


def test_messages_that_differ_keep_every_word() -> None:
    text = "\n".join(
        f'src/a{n % 9}.py:{n}: error: No stubs for "lib{n}"  [import]'
        for n in range(60)
    )
    result = settled(COMPRESSOR.compress(text, Context(count=len)))
    form = text if result is None or result.lossless is None else result.lossless.text
    assert all(f'error: No stubs for "lib{n}"  [import]' in form for n in range(60))


def test_source_lines_that_imitate_the_notation_are_given_back() -> None:
    text = "» 3 lines again from: x\n» = y\n$a 1 2\n|\n" + PYTEST
    assert decode(lossless(text)) == clean(text)


def test_a_form_that_stands_for_very_much_is_refused() -> None:
    lines = ["build lines", *(f"line {n}" for n in range(10))]
    lines += [f"» {10 * 2**n} lines again from: line 0" for n in range(40)]
    with pytest.raises(FormError):
        decode("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    ["build lines\n» what is this", "build lines\n» 2 lines again from: x", "other"],
)
def test_what_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(FormError):
        decode(text)


def test_timed_lines_of_a_hosted_runner_are_folded_by_their_times() -> None:
    text = "\n".join(
        f"2024-05-01T10:00:{n:02d}.1234567Z Downloading lib{n}.jar from mirror"
        for n in range(60)
    )
    form = lossless(text)
    assert decode(form) == text
    assert form.count("2024-05-01T10:00:") < 10


def test_percentages_rulers_and_empty_gutters_are_normalised() -> None:
    text = "== test ==\n" + "=" * 40 + "\ntests/a.py ..  [ 10%]\n\n\n\n  |\n3 | x\n"
    assert clean(text) == "== test ==\n===\ntests/a.py ..\n\n3 | x"
    stopped = f"{'!' * 47} stopping after 1 failures {'!' * 46}"
    assert clean(stopped) == "!!! stopping after 1 failures !!!"


def test_of_a_progress_bar_the_last_state_stays():
    bars = [
        "Map:   0%|          | 0/51 [00:00<?, ? examples/s]",
        "Map:  27%|██▋       | 14/51 [00:00<00:00, 45413.96 examples/s]",
        "Map: 100%|██████████| 51/51 [00:00<00:00, 46301.12 examples/s]",
        "  0%|          | 0/9 [00:00<?, ?it/s]",
        "",
        " 40%|████      | 4/10 [00:00<?, ?it/s]",
        " 20%|██        | 2/10 [00:00<?, ?it/s]",
        "Eval:  20%|##    | 2/10 [00:00<?, ?it/s]",
        "20%| of what | 3",
    ]
    kept = clean("\n".join(bars)).split("\n")
    assert kept == clean("\n".join(bars[2:])).split("\n")
    assert [line[:9] for line in kept[:2]] == ["Map: 100%", "  0%|    "]
    assert clean("\n".join(kept)) == "\n".join(kept)


@pytest.mark.parametrize("filler", [" ", "/", "5%|"])
def test_a_long_line_that_may_be_a_progress_bar_is_read_in_linear_time(filler):
    line = f"5%|x| 1{filler * 100_000}x%|"
    start = time.process_time()
    assert clean(f"{line}\n{line}") == f"{line}\n{line}"
    assert time.process_time() - start < 1.0


PROSE = (
    "The tests passed yesterday, and we found no errors in the report.\n"
    "Our plan for the next week is to build a house.\n" * 8
)
CODE = "def run(x):\n    if x:\n        return x + 1\n    raise ValueError(x)\n" * 10
LOG = "\n".join(
    f"2024-05-01 10:00:{n:02d} INFO worker {n} finished job {n * 7}" for n in range(50)
)


@pytest.mark.parametrize("text", [PROSE, CODE, LOG, "", "error"])
def test_other_texts_are_not_taken(text: str) -> None:
    assert COMPRESSOR.detect(text) < 0.5


WORDS = st.sampled_from(
    [
        "»",
        "»|",
        "=",
        "",
        "$a",
        "~",
        "a.py:3:1:",
        "error:",
        "FAILED",
        "PASSED",
        "(1.2)",
        "t.py::test_a",
        "t.py::T::test_b[x y]",
        "[3%]",
        "ok",
        "...",
        "\t",
        "|",
        "5",
        "x",
        "http://h/",
        "http://h/a",
        "lines",
        "again",
        "from:",
        "___",
        "=====",
        "test_c",
    ]
)
LINES = st.lists(WORDS, max_size=7).map(" ".join)
BLOCKS = st.lists(st.lists(LINES, min_size=1, max_size=4), max_size=5)


@given(BLOCKS, st.lists(st.integers(0, 4), max_size=30))
@settings(max_examples=120, deadline=None)
def test_any_lines_are_given_back(blocks: list[list[str]], order: list[int]) -> None:
    text = "\n".join(line for i in order if i < len(blocks) for line in blocks[i])
    result = settled(COMPRESSOR.compress(text, CONTEXT))
    if result is not None and result.lossless is not None:
        assert decode(result.lossless.text) == clean(text)
        assert len(result.lossless.text) < len(text)
        assert COMPRESSOR.compress(result.lossless.text, CONTEXT) is None


@given(st.text(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_text_is_given_back_and_cleaning_is_stable(text: str) -> None:
    result = settled(COMPRESSOR.compress(text, CONTEXT))
    if result is not None and result.lossless is not None:
        assert decode(result.lossless.text) == clean(text)
    assert clean(clean(text)) == clean(text)


HOSTILE = {
    "one line": "a" * 1_000_000,
    "rulers": "=" * 1_000_000,
    "spaced": "_ " * 500_000,
    "blanks": " " * 1_000_000,
    "colons": "a:1" * 330_000,
    "marks": "»\n" * 500_000,
    "names": ("a.py::" + "x" * 60 + "[[[[ \n") * 15_000,
    "gutters": "  |\n" * 250_000,
    "equal lines": "error: x\n" * 110_000,
    "periodic": "".join(f"line {n % 7}\n" for n in range(140_000)),
    "titles": "___ a ___\n" * 100_000,
    "sources": "    x = 1\n" * 50_000 + ">   y\n" * 50_000,
    "candidates": "a.h:1:2: note: candidate: x\n" * 36_000,
    "parens": " (" * 500_000,
    "numbers": "1." * 500_000,
    "bar": "x" + "=" * 1_000_000,
    "slashes": "a/" * 500_000 + "\n" + "b\n" * 9,
    "gaps": ("x" + " " * 999 + "y\n") * 1_000,
    "one gap": "x" + " " * 990_000 + "y\nerror: z\na\nb\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_linear_time(name: str) -> None:
    text = HOSTILE[name]
    start = time.process_time()
    COMPRESSOR.detect(text)
    COMPRESSOR.compress(text, CONTEXT)
    assert time.process_time() - start < 5


def test_satisfied_requirements_are_named_with_their_versions() -> None:
    where = "in /opt/envs/project/lib/python3.11/site-packages"
    lines = [
        "  Installing build dependencies: started",
        "  Installing build dependencies: finished with status 'done'",
        "  Getting requirements to build wheel: started",
        "  Getting requirements to build wheel: finished with status 'error'",
        *(
            f"Requirement already satisfied: part{i}<{i + 2},>={i}.0 {where} "
            f"(from whole=={i}.1->base) ({i}.1.{i})"
            for i in range(30)
        ),
        "ERROR: No matching distribution found for part99",
    ]
    form = lossy("\n".join(lines))
    assert all(f"part{i} {i}.1.{i}" in form for i in range(30))
    assert where not in form
    assert "finished with status 'error'" in form
    assert "finished with status 'done'" not in form
    assert "ERROR: No matching distribution found for part99" in form


def failing_alike(total: str) -> str:
    lines = [
        "=== short test summary info ===",
        *(
            f"FAILED tests/test_a.py::test_it[case{i}-x] - ValueError: too many"
            f" values to unpack from row {i * 7919} of the table{'...'[: i % 4]}"
            for i in range(60)
        ),
        "FAILED tests/test_a.py::test_it[odd] - KeyError: 'name'",
        total,
    ]
    return lossy("\n".join(lines))


def test_of_many_parameters_that_fail_alike_the_first_have_their_message() -> None:
    form = failing_alike("=== 61 failed in 1.02s ===")
    assert "… 58 more of FAILED tests/test_a.py::test_it with this message" in form
    assert all(f"test_it[case{i}-x]" in form for i in range(60))
    assert "test_it[odd] - KeyError: 'name'" in form
    assert "61 failed" in form


def test_many_names_stand_below_their_note_where_the_next_run_refers_to_them() -> None:
    first = failing_alike("=== 61 failed in 1.02s ===")
    again = failing_alike("=== 61 failed in 3.44s ===")
    names = " ".join(f"test_it[case{i}-x]" for i in range(2, 60))
    assert f" with this message:\n{names}\n" in first
    found = refer(again, [make_form_source("1", "d", first, "Bash pytest")])
    assert found is not None
    assert names not in found.text
    assert "=== 61 failed in 3.44s ===" in found.text
    assert expand(found.text, {"1": first}) == again


def test_failures_that_differ_by_addresses_alone_have_one_body() -> None:
    bodies = [
        f"___ test_it[{i}] ___\n\nstream = <app.Stream object at 0x7f52a16e{i:04x}>"
        "\n\n>   assert stream.is_open\nE   AssertionError\n\n"
        "tests/test_a.py:9: AssertionError"
        for i in range(40)
    ]
    text = "=== FAILURES ===\n" + "\n".join(bodies) + "\n=== 40 failed in 1.02s ==="
    assert "… 39 more with this body" in lossy(text)


def failing(name: str, given: str, error: str) -> str:
    return (
        f"___ {name} ___\n\ngiven = {given!r}\n\n    def test_it(given):\n"
        f"        first = {given!r}\n        second = given\n        third = given\n"
        f"        fourth = given\n        fifth = given\n"
        f">       parse(given)\n\ntests/test_a.py:9:\n_ _ _\n"
        f">       raise ValueError\nE       {error}\n\nsrc/a.py:70: ValueError"
    )


def test_parameters_that_fail_alike_at_one_place_are_named_with_the_first() -> None:
    same = [failing(f"test_it[a {i}]", f"case {i}", "ValueError: no") for i in range(9)]
    text = "\n".join(
        [
            "=== FAILURES ===",
            *same,
            failing("test_it[odd]", "odd", "KeyError: 'name'"),
            failing("test_other[a 1]", "case other", "ValueError: no"),
            "=== short test summary info ===",
            *(f"FAILED tests/test_a.py::test_it[a {i}]" for i in range(8)),
            "=== 11 failed in 1.02s ===",
        ]
    )
    form = lossy(text)
    named = ", ".join(f"[a {i}]" for i in range(1, 8))
    assert f"… 8 more with this error: {named}, test_it[a 8]\n" in form
    assert "given = 'case 0'" in form
    assert "given = 'case 5'" not in form
    assert form.count("E       ValueError: no") >= 1
    assert "E       KeyError: 'name'" in form
    assert "___ test_other[a 1] ___" in form
    assert form.count("… ") < 6


def test_of_ctest_what_failed_stays_and_what_passed_is_counted() -> None:
    rows = [
        line
        for n in range(1, 61)
        for line in (
            f"      Start {n:>2}: t{n}",
            f"{n:>2}/60 Test #{n}: t{n} ".ljust(40, ".")
            + ("***Failed    0.02 sec" if n == 9 else "   Passed    0.01 sec"),
        )
    ]
    summary = "98% tests passed, 1 tests failed out of 60"
    form = lossy("\n".join([*rows, "", summary]))
    assert "… 59 passed" in form
    assert " 9/60 Test #9: t9 ......................***Failed    0.02 sec" in form
    assert summary in form
    assert "Start 12" not in form


def test_findings_listed_below_their_file_are_put_together() -> None:
    rows = [f"  {n:>4}:5   error    Unexpected var  no-var" for n in range(10, 80)]
    rows[30] = "    40:9   warning  'x' is never used  no-unused-vars"
    text = "\n".join(["/app/src/cart.js", *rows, "", "✖ 70 problems (69 errors)"])
    form = lossy(text)
    assert form.count("Unexpected var") == 1
    assert "10:5 11:5 12:5" in form
    assert all(f" {n}:5" in form for n in range(41, 80))
    assert "'x' is never used" in form


def test_unittests_of_one_class_are_counted_whatever_follows_its_name() -> None:
    rows = [f"test_n{n} (app.Orders.test_n{n}) ... ok" for n in range(100)]
    text = "\n".join([*rows, "-" * 70, "Ran 100 tests in 0.010s", "", "OK"])
    assert "app.Orders: 100 ok" in lossy(text)


@pytest.mark.parametrize(
    "text",
    [
        "1..9\n" + "\n".join(f"ok {n} - orders keep line {n}" for n in range(1, 10)),
        "\n".join(f"/usr/bin/cmake -P mod{n}.cmake\ngmake[2]: '" for n in range(9)),
        "\n".join(f"\nIn a.sh line {n}:\ncp $x\n   ^-- SC2086 (info): Q" for n in "12"),
        "\n".join(f"{n} silly fetch manifest pkg{n}@^1.0" for n in range(40)),
        "a.c: In function 'f':\n"
        + "a.c:4:7: error: no member 'x'\n    4 | o.x\n      |   ^\n" * 3,
    ],
)
def test_outputs_of_more_tools_are_recognised(text: str) -> None:
    assert COMPRESSOR.detect(text) > 0.5


def test_few_failures_stand_each_with_its_file() -> None:
    summary = [f"FAILED tests/test_db.py::test_{name}" for name in ("a", "b", "c")]
    text = "\n".join(["=== short test summary info ===", *summary, LINT])
    assert all(f"\n{line}\n" in lossless(text) for line in summary)


def test_few_findings_of_one_message_stand_each_with_its_place() -> None:
    rare = [f"src/app/jobs.py:{n}:1: E722 bare except" for n in (7, 19)]
    raised = [f"tests/test_jobs.py:{n}: KeyError" for n in (3, 44, 61)]
    form = lossless("\n".join([*rare, *raised, LINT]))
    assert all(f"\n{line}\n" in form for line in [*rare, *raised])


def test_messages_above_their_places_stay_whole_where_many_differ_by_a_number() -> None:
    rows = [
        f"src/m{n % 7}.py:{n}:80: E501 line too long ({80 + n % 12} > 79 characters)"
        for n in range(1, 400)
    ]
    form = lossy("\n".join(rows))
    for width in range(80, 92):
        assert f"\nE501 line too long ({width} > 79 characters) (×" in form
    assert COMPRESSOR.compress(form, CONTEXT) is None


def test_troubled_lines_are_never_joined_however_many_differ_in_one_word() -> None:
    rows = [f"cannot resolve module {letter * 3}" for letter in "abcdefghijklm"]
    form = lossless("\n".join([*rows, LINT]))
    assert all(f"\n{row}\n" in form for row in rows)


def test_an_outline_that_miscounts_its_lines_switches_nothing_off() -> None:
    forged = (
        f"build outline; 3 of 9 lines left out or cut: 3 passed\nbuild lines\n{LINT}"
    )
    assert COMPRESSOR.compress(forged, CONTEXT) is not None


def test_the_account_counts_the_lines_of_the_source() -> None:
    text = PYTEST.replace("collected 62 items", "\n\n\ncollected 62 items") + "\n"
    candidate = compressed(text).lossy
    assert candidate is not None
    assert f" of {text.count(chr(10))} lines left out or cut: " in candidate.omitted

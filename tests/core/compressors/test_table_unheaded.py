"""Names and numbers without a header are a table; what merely looks so is none."""

import time

import pytest

import headroom
from headroom.core.compressors.table_text.unheaded import parse_unheaded

MEMORY = [f"Zone{i}(pages):   {i * 977:8} kB" for i in range(30)]
PORTS = [f"unit-{i}\t\t{4000 + i}/tcp\t\t\t# Unit {i}" for i in range(30)]
SETTINGS = [f"net.if{i}.limit = {i % 3}" for i in range(60)]


@pytest.mark.parametrize("lines", [MEMORY, PORTS, SETTINGS])
def test_names_and_numbers_are_rows(lines):
    grid = parse_unheaded(lines)
    assert grid is not None
    assert grid.height == len(lines)
    for column in grid.columns:
        assert all(cell in line for cell, line in zip(column, lines, strict=True))


def test_comments_and_blank_lines_stand_where_they_stood():
    grid = parse_unheaded(["# ports", "", *PORTS[:20], "", "# more", *PORTS[20:], ""])
    assert grid is not None
    assert grid.before == ("# ports", "")
    assert grid.between == ((20, ""), (20, "# more"))
    assert grid.after == ("",)


@pytest.mark.parametrize(
    "odd", ["and then some prose", "    indented  4", "name = value", "x", "{"]
)
def test_a_line_of_another_shape_makes_it_no_table(odd):
    for lines in (MEMORY, PORTS, SETTINGS):
        assert parse_unheaded([*lines[:10], odd, *lines[10:]]) is None


def test_few_lines_and_settings_of_programs_are_no_table():
    assert parse_unheaded(MEMORY[:20]) is None
    assert parse_unheaded(SETTINGS[:40]) is None
    assert parse_unheaded([f"key{i} = value" for i in range(90)]) is None
    assert parse_unheaded([f"app.key{i}=text {i}" for i in range(90)]) is None


def test_the_form_has_every_name_and_number_in_order():
    text = "\n".join(PORTS) + "\n"
    form = headroom.compress_text(text).text
    assert form.startswith("#table 30 rows")
    assert len(form) < len(text)
    places = [form.index(f"unit-{i} {4000 + i}/tcp") for i in range(30)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "piece", ["a.", "a ", "a  ", "1  ", "a  1 ", "\t1", ": 1", "a.b = ", "-+1", " 1/"]
)
def test_long_lines_take_linear_time(piece):
    line = piece * (200_000 // len(piece)) + "!"
    start = time.process_time()
    parse_unheaded([*PORTS, line])
    parse_unheaded([*SETTINGS, line])
    assert time.process_time() - start < 1

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.structure import structure_of
from headroom.core.types import ToolCall


def call(command, name="Bash"):
    return ToolCall("1", name, json.dumps({"command": command}).encode())


PYTEST = call("pytest -q tests/a.py")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 passed in 3.4s\n", "7 passed in 12.9s\n"),
        ('[{"id": 1, "name": "x"}]', '[{"name": "yy", "id": 22}, {"id": 3}]'),
        ('{"a": 1}', '{"a": [2, 3]}'),
        ("INFO started\nINFO done\nmore", "WARN ended\nWARN gone\nless"),
    ],
)
def test_the_same_shape_is_the_same_structure(one, other):
    assert structure_of(one, PYTEST) == structure_of(other, PYTEST)


def test_another_command_tool_or_shape_is_another_structure():
    found = {
        structure_of("1 a", None),
        structure_of("1 a", PYTEST),
        structure_of("1 a", call("ls -l")),
        structure_of("1 a", call("pytest -q tests/a.py", "Shell")),
        structure_of("a 1", PYTEST),
        structure_of('{"a": 1}', PYTEST),
        structure_of('{"b": 1}', PYTEST),
    }
    assert len(found) == 7


def test_options_do_not_count():
    assert structure_of("x", call("pytest -q")) == structure_of("x", call("pytest -x"))


@given(st.text(), st.binary())
def test_any_text_has_one(text, data):
    found = structure_of(text, ToolCall("", "t", data))
    assert len(found) == 16

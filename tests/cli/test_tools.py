import json

import pytest
from click.testing import CliRunner

from headroom.cli.main import main

TOOL = {
    "name": "Read",
    "description": "Reads a file.\n\n\n\n   All of it.   ",
    "input_schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": True,
    },
}


def run(value, *options):
    data = value if isinstance(value, str) else json.dumps(value)
    return CliRunner().invoke(main, ["tools", "-", *options], input=data)


@pytest.mark.parametrize(
    "body",
    [
        [TOOL],
        {"model": "claude-x", "tools": [TOOL], "messages": []},
        {"tools": [{"type": "function", "function": {**TOOL, "parameters": {}}}]},
        {"tools": [{"functionDeclarations": [TOOL]}]},
    ],
)
def test_every_tool_is_told_with_what_it_would_save(body):
    rows = json.loads(run(body, "--json").output)
    assert [row["tool"] for row in rows] == ["Read", "all"]
    assert 0 < rows[0]["tokens_compacted"] < rows[0]["tokens"]


def test_the_table_has_a_line_for_each():
    lines = run([TOOL, {"type": "web_search"}]).output.splitlines()
    assert [line.split()[0] for line in lines] == ["tool", "Read", "web_search", "all"]


@pytest.mark.parametrize("text", ["", "{}", "7", "[7]", '{"tools":1}', "\x00"])
def test_what_has_no_tools_is_told(text):
    done = run(text)
    assert done.exit_code == 1
    assert "no tool list" in done.output

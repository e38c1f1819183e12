import json

import pytest

from headroom.core.tool_list import compacted, rewritten, sorted_keys
from headroom.core.types import Span, ToolSpan
from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError


def sort(value: str) -> str:
    body = value.encode()
    return sorted_keys(body, json_spans.whole(body)).decode()


def test_keys_are_sorted_at_every_level_and_values_copied():
    text = '{"b": 1.50, "a": [{"z": 1e400, "y": null}], "c": "\\u00e9"}'
    assert sort(text) == '{"a":[{"y":null,"z":1e400}],"b":1.50,"c":"\\u00e9"}'


def test_arrays_keep_their_order():
    text = '{"oneOf":[{"type":"string"},{"type":"null"}],"enum":[3,1,2]}'
    assert sort(text) == '{"enum":[3,1,2],"oneOf":[{"type":"string"},{"type":"null"}]}'


def test_a_second_sort_changes_nothing():
    once = sort('{"b":{"d":1,"c":2},"a":3}')
    assert sort(once) == once


def test_what_is_nested_too_deeply_is_left():
    schema = b'{"a":' * 100 + b"{}" + b"}" * 100
    with pytest.raises(MalformedBodyError):
        sorted_keys(schema, Span(0, len(schema)))
    tool = b'{"name":"x","input_schema":' + schema + b"}"
    start = tool.index(schema)
    spans = [ToolSpan(Span(0, len(tool)), "x", Span(start, start + len(schema)))]
    assert rewritten(tool, spans, ("schema_sort", "tool_compact")).edits == ()


def test_redundant_words_of_a_schema_go_and_meaning_stays():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ReadArguments",
        "type": "object",
        "additionalProperties": True,
        "properties": {
            "file_path": {
                "title": "File Path",
                "type": "string",
                "description": "Where it is.  \n\n\n\n  Absolute.",
                "deprecated": False,
            },
            "title": {"title": "Heading", "type": "string", "default": False},
            "required": {"type": "array", "items": {"type": "string", "title": ""}},
        },
        "required": ["file_path"],
    }
    tool = {"name": "Read", "description": "\n Reads.\n\n\n    All.\n", "x": [1, 2]}
    found = json.loads(compacted(json.dumps({**tool, "input_schema": schema}).encode()))
    assert found == {
        "name": "Read",
        "description": "Reads.\n\nAll.",
        "x": [1, 2],
        "input_schema": {
            "title": "ReadArguments",
            "type": "object",
            "properties": {
                "file_path": {
                    "type": "string",
                    "description": "Where it is.\n\nAbsolute.",
                },
                "title": {"title": "Heading", "type": "string", "default": False},
                "required": {"type": "array", "items": {"type": "string", "title": ""}},
            },
            "required": ["file_path"],
        },
    }


def test_an_enum_or_a_default_that_looks_like_a_schema_is_kept():
    schema = {"enum": [{"deprecated": False}], "default": {"required": []}}
    tool = {"name": "x", "description": "d " * 9, "parameters": schema}
    found = json.loads(compacted(json.dumps({"function": tool}, indent=4).encode()))
    assert found["function"]["parameters"] == schema


def test_indentation_that_says_something_stays():
    text = "Use it so:\n\n    - first\n        - inner\n    - second"
    tool = json.dumps({"name": "x", "description": text + "  \n\n\n"}).encode()
    assert json.loads(compacted(tool))["description"] == (
        "Use it so:\n\n- first\n    - inner\n- second"
    )


def test_compacting_twice_changes_nothing():
    tool = json.dumps({"name": "x", "description": " a\n\n\n b \n"}, indent=2).encode()
    once = compacted(tool)
    assert compacted(once) == once


@pytest.mark.parametrize("tool", [b"[]", b"7", b'{"a":1,"a":2}', b"{", b'"x"', b"{}"])
def test_what_is_no_definition_is_left(tool):
    assert compacted(tool) == tool


def test_a_member_is_added_to_the_tool_that_comes_last():
    body = b'[ {"name":"b"} , {"name":"a"} ]'
    spans = [
        ToolSpan(s, n)
        for s, n in zip(json_spans.elements(body, Span(0, 31)), "ba", strict=True)
    ]
    found = rewritten(body, spans, ("tool_sort",), b'"mark":1')
    assert [e.replacement for e in found.edits] == [
        b'{"name":"a"}',
        b'{"name":"b","mark":1}',
    ]
    assert found.names == ("tool_sort",)


def test_tools_without_a_name_are_ordered_all_the_same():
    tools = {
        b'{"type":"web_search"}': "",
        b'{"type":"shell"}': "",
        b'{"name":"a"}': "a",
    }
    orders = {
        tuple(_ordered(list(tools), tools)),
        tuple(_ordered(list(tools)[::-1], tools)),
    }
    assert len(orders) == 1
    assert set(orders.pop()) == set(tools)


def _ordered(listed: list[bytes], names: dict[bytes, str]) -> list[bytes]:
    """The elements of a tool list as they leave."""
    body = b"[%b]" % b",".join(listed)
    elements = json_spans.elements(body, Span(0, len(body)))
    spans = [ToolSpan(s, names[s.of(body)]) for s in elements]
    edits = rewritten(body, spans, ("tool_sort",)).edits
    placed = {edit.span: edit.replacement for edit in edits}
    return [placed.get(span, span.of(body)) for span in elements]

"""The memory tools' definitions are bytes that never change."""

import json
from pathlib import Path

import pytest

from headroom.core.memory_tools import LIST, NAMES, SAVE, SEARCH, TOOLS
from headroom.core.own_tools import definitions
from headroom.core.tool_shapes import shapes
from headroom.inference.tokens import counter_for

FIXTURES = Path(__file__).parent.parent / "fixtures" / "memory_tool_definitions"
APIS = ("anthropic", "openai_chat", "openai_responses", "gemini")


def listed(api):
    return b"[" + b",".join(TOOLS[name][api] for name in NAMES) + b"]\n"


@pytest.mark.parametrize("api", APIS)
def test_memory_definitions_match_their_golden_bytes(api):
    """Other bytes re-bill every running conversation: change them with a reason."""
    assert listed(api) == (FIXTURES / f"{api}.json").read_bytes()


@pytest.mark.parametrize("api", APIS)
def test_memory_save_definition_byte_stable(api):
    golden = json.loads((FIXTURES / f"{api}.json").read_text())[NAMES.index(SAVE)]
    assert json.dumps(golden, separators=(",", ":")).encode() == TOOLS[SAVE][api]


@pytest.mark.parametrize("api", APIS)
def test_memory_search_definition_byte_stable(api):
    golden = json.loads((FIXTURES / f"{api}.json").read_text())[NAMES.index(SEARCH)]
    assert json.dumps(golden, separators=(",", ":")).encode() == TOOLS[SEARCH][api]


def test_each_shape_is_what_its_api_expects():
    for name in NAMES:
        anthropic, chat, responses, gemini = (
            json.loads(TOOLS[name][api]) for api in APIS
        )
        assert set(anthropic) == {"name", "description", "input_schema"}
        assert set(chat["function"]) == {"name", "description", "parameters"}
        assert responses["strict"] is False
        schema = anthropic["input_schema"]
        assert chat["function"]["parameters"] == responses["parameters"] == schema
        types = {p["type"] for p in gemini["parameters"]["properties"].values()}
        assert types <= {"STRING", "INTEGER"}
        found = (anthropic, chat["function"], responses, gemini)
        assert {tool["name"] for tool in found} == {name}


def test_all_five_definitions_cost_at_most_three_hundred_tokens():
    assert counter_for("gpt-4o")(listed("anthropic").decode()) <= 300


def test_a_list_of_names_becomes_what_stands_behind_the_last_tool():
    added = definitions("anthropic", ["headroom_retrieve", LIST])
    assert [t["name"] for t in json.loads(b"[0" + added + b"]")[1:]] == [
        "headroom_retrieve",
        LIST,
    ]
    assert definitions("anthropic", []) == b""


def test_a_name_that_this_version_does_not_know_adds_nothing():
    assert definitions("gemini", ["memory_dream"]) == b""


def test_shapes_alter_types_of_the_schema_alone():
    made = shapes(b'"name":"object","description":"string"', b'{"type":"string"}')
    assert made["gemini"] == (
        b'{"name":"object","description":"string","parameters":{"type":"STRING"}}'
    )

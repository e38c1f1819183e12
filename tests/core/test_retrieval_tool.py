"""The tool's definition is bytes that never change."""

import json

import pytest

from headroom.core.digest import content_digest
from headroom.core.retrieval_tool import (
    NAME,
    TOOL_ANTHROPIC,
    TOOL_GEMINI,
    TOOL_OPENAI_CHAT,
    TOOL_OPENAI_RESPONSES,
    TOOLS,
)
from headroom.core.tool_choice import is_retrieval_tool
from headroom.core.types import RETRIEVAL_TOOL
from headroom.inference.tokens import counter_for

SNAPSHOTS = {
    "anthropic": "1b5cb942c679631f78b01831",
    "openai_chat": "309c0d95e6f6c474aa46c041",
    "openai_responses": "e35aa0135f34fdc0562182dc",
    "gemini": "93e6f5fcdb35ecc154427f29",
    "bedrock_converse": "38c821669a3170db57be2698",
}
"""Another digest re-bills every running conversation: change it only with a reason."""


@pytest.mark.parametrize("api", sorted(TOOLS))
def test_the_bytes_of_each_shape_are_pinned(api):
    assert content_digest(TOOLS[api]) == SNAPSHOTS[api]


def test_the_anthropic_definition_costs_at_most_ninety_tokens():
    assert counter_for("gpt-4o")(TOOL_ANTHROPIC.decode()) <= 90


def test_where_conversations_are_kept_the_model_is_told_of_numbers():
    told = [api for api in TOOLS if b"or of result #N" in TOOLS[api]]
    assert told == ["openai_responses"]
    assert counter_for("gpt-4o")(TOOL_OPENAI_RESPONSES.decode()) <= 90


def test_each_shape_is_what_its_api_expects():
    anthropic = json.loads(TOOL_ANTHROPIC)
    chat = json.loads(TOOL_OPENAI_CHAT)
    responses = json.loads(TOOL_OPENAI_RESPONSES)
    gemini = json.loads(TOOL_GEMINI)
    assert set(anthropic) == {"name", "description", "input_schema"}
    assert chat["type"] == responses["type"] == "function"
    assert responses["strict"] is False
    schema = anthropic["input_schema"]
    assert chat["function"]["parameters"] == responses["parameters"] == schema
    assert gemini["parameters"]["type"] == "OBJECT"
    assert schema["required"] == ["hash"]
    assert set(schema["properties"]) == {"hash", "lines", "query", "rows"}
    names = {t["name"] for t in (anthropic, chat["function"], responses, gemini)}
    assert names == {NAME} == {RETRIEVAL_TOOL}
    assert is_retrieval_tool(NAME)

"""The library's face."""

import json

import pytest

import headroom
from fakes import DictStore
from headroom.core.digest import content_digest
from headroom.errors import ConfigError, OriginalNotFoundError

ROWS = [
    {"id": i, "name": f"service-{i}", "region": "eu-central-1", "status": "running"}
    for i in range(60)
]
TEXT = json.dumps(ROWS, indent=2)


def test_a_lossless_result_stores_nothing_and_has_no_marker():
    store = DictStore()
    result = headroom.compress_text(TEXT, store=store)
    assert result.lossless
    assert result.tokens_after < result.tokens_before
    assert (result.marker, result.omitted, result.original) == ("", "", None)
    assert store.originals == {}
    assert result.kind == "json"
    assert "service-59" in result.text


def test_a_lossy_result_without_a_store_carries_its_original():
    text = log(400)
    result = headroom.compress_text(text, lossy=True)
    assert not result.lossless
    assert result.original == text
    assert result.marker == ""
    assert result.omitted


def test_a_lossy_result_with_a_store_can_be_fetched_back():
    store, text = DictStore(), log(400)
    result = headroom.compress_text(text, lossy=True, store=store)
    assert result.marker == f"<<ccr:{content_digest(text)}>>"
    assert result.original is None
    assert headroom.retrieve(result.marker, store=store) == text
    assert headroom.retrieve(content_digest(text), store=store) == text


def test_an_unknown_hash_is_an_error_of_its_own():
    with pytest.raises(OriginalNotFoundError):
        headroom.retrieve("0" * 24, store=DictStore())


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="json"):
        headroom.compress_text("x", kind="yaml")


@pytest.mark.parametrize("text", ["", "x", "hello\n" * 3, "\x00\x01", "é" * 10, "{"])
def test_what_cannot_be_shortened_comes_back_as_it_is(text):
    result = headroom.compress_text(text)
    assert result.text == text
    assert result.tokens_before == result.tokens_after


def test_a_lone_surrogate_comes_back_as_it_is():
    text = "\ud800" + TEXT
    assert headroom.compress_text(text).text == text


@pytest.mark.parametrize("text", [b"x", None, 3])
def test_what_is_no_text_is_a_type_error(text):
    with pytest.raises(TypeError, match="expected str"):
        headroom.compress_text(text)


def test_what_is_no_message_is_a_type_error():
    with pytest.raises(TypeError, match=r"messages\[0\]"):
        headroom.compress([1])


def log(count):
    return "".join(
        f"2026-01-01 10:{i // 60:02}:{i % 60:02} INFO worker-{i % 7} handled request"
        f" {i * 7919 % 10007} in {i % 90} ms\n"
        for i in range(count)
    )


ANTHROPIC = [
    {"role": "user", "content": "please look"},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": TEXT},
            {
                "type": "tool_result",
                "tool_use_id": "b",
                "content": [{"type": "text", "text": TEXT}, {"type": "image"}],
            },
        ],
    },
]
CHAT = [
    {"role": "system", "content": TEXT},
    {"role": "user", "content": "please look"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "a",
                "function": {"name": "Bash", "arguments": "{}"},
                "type": "function",
            }
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": TEXT},
]


def test_anthropic_tool_results_of_both_shapes_are_compressed():
    result = headroom.compress(ANTHROPIC)
    blocks = result.messages[2]["content"]
    assert len(blocks[0]["content"]) < len(TEXT)
    assert blocks[1]["content"][0]["text"] == blocks[0]["content"]
    assert blocks[1]["content"][1] == {"type": "image"}
    assert result.messages[:2] == ANTHROPIC[:2]
    assert result.tokens_after < result.tokens_before


def test_chat_tool_messages_are_compressed_and_system_is_not():
    result = headroom.compress(CHAT)
    assert result.messages[0] is CHAT[0]
    assert len(result.messages[3]["content"]) < len(TEXT)
    assert result.messages[3]["tool_call_id"] == "a"


def test_a_prefix_compresses_to_the_same_messages_on_every_turn():
    shorter = headroom.compress(ANTHROPIC)
    longer = headroom.compress([*ANTHROPIC, *ANTHROPIC[1:]])
    assert longer.messages[: len(ANTHROPIC)] == shorter.messages


@pytest.mark.parametrize(
    "calls",
    [
        [7],
        [{}],
        [{"function": "Bash"}],
        [{"id": "a", "function": {"arguments": "\ud83d"}}],
    ],
)
def test_calls_of_an_odd_shape_change_nothing_about_their_results(calls):
    odd = {"role": "assistant", "content": None, "tool_calls": calls}
    result = headroom.compress([*CHAT[:2], odd, CHAT[3]])
    assert result.messages[2] is odd
    assert len(result.messages[3]["content"]) < len(TEXT)


def test_the_callers_messages_are_never_changed():
    before = json.dumps(ANTHROPIC)
    headroom.compress(ANTHROPIC, lossy=True)
    assert json.dumps(ANTHROPIC) == before


def test_the_answer_to_a_retrieval_is_left_alone():
    call = {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "a", "name": "headroom_retrieve", "input": {}}
        ],
    }
    answer = ANTHROPIC[2]["content"][:1]
    result = headroom.compress([call, {"role": "user", "content": answer}], lossy=True)
    assert result.messages[1]["content"] == answer


def test_tokens_are_counted_exactly_for_openai_models():
    count = headroom.count_tokens("hello world", model="gpt-4o")
    assert (count.tokens, count.is_exact) == (2, True)
    assert not headroom.count_tokens("hello world", model="claude-sonnet-4-5").is_exact

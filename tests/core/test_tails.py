import json

import pytest

from fakes import DictStore, forward
from headroom.core.tails import MAX_QUESTION_CHARS, target_of
from headroom.core.types import Policy
from headroom.providers import PROVIDERS

POLICY = Policy(cache_minimum_tokens=0, appends=True)
FACTS = 'line "one"\nline ☂ two'


def view(*messages, api="anthropic", **members):
    body = {"model": "m", "messages": list(messages), **members}
    return PROVIDERS[api].parse(json.dumps(body).encode())


def user(content):
    return {"role": "user", "content": content}


def found(*messages, api="anthropic", live_from=0):
    return target_of(view(*messages, api=api), PROVIDERS[api], live_from)


def remember(body, store, text, policy=POLICY):
    """What leaves when a text fits what the user says newly."""
    return forward(body, store, policy=policy, remembered=lambda _: text)


def test_the_newest_words_are_the_question():
    target = found(user("old"), {"role": "assistant", "content": "x"}, user("new"))
    assert (target.index, target.address, target.question) == (2, "0", "new")


def test_reminders_of_harnesses_are_no_question():
    blocks = [
        {"type": "text", "text": "<system-reminder>mind it</system-reminder>"},
        {"type": "text", "text": "why?"},
    ]
    target = found(user(blocks))
    assert (target.address, target.question) == ("0", "why?")
    assert found(user(blocks[:1])) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "  \n",
        [],
        [{"type": "tool_result", "tool_use_id": "t", "content": "words"}],
        [{"type": "image", "source": {}}],
    ],
)
def test_where_nobody_says_anything_nothing_is_appended(content):
    assert found(user(content)) is None


def test_a_message_that_was_sent_is_never_appended_to():
    assert found(user("old"), live_from=1) is None


def test_results_of_chat_tools_are_not_what_a_user_says():
    call = {"id": "c", "type": "function", "function": {"name": "x", "arguments": ""}}
    turns = [
        user("q"),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]
    assert found(*turns, api="openai_chat", live_from=2) is None


def test_long_questions_are_cut():
    assert len(found(user("x" * 99_999)).question) == MAX_QUESTION_CHARS


def test_what_is_appended_is_repeated_whatever_fits_later():
    store = DictStore()
    first, _ = remember({"model": "m", "messages": [user("why?")]}, store, FACTS)
    assert json.loads(first)["messages"] == [user(f"why?\n\n{FACTS}")]
    turns = [user("why?"), {"role": "assistant", "content": "so"}, user("and?")]
    again, rewrite = remember({"model": "m", "messages": turns}, store, "other")
    assert json.loads(again)["messages"] == [
        user(f"why?\n\n{FACTS}"),
        turns[1],
        user("and?\n\nother"),
    ]
    assert "memory_injection" in rewrite.reasons
    off = Policy(cache_minimum_tokens=0)
    third, _ = remember({"model": "m", "messages": turns}, store, "x", policy=off)
    assert third == again


def test_what_is_appended_stays_where_the_same_text_is_compressed():
    store = DictStore()
    log = json.dumps([{"id": i, "name": "n", "state": "running"} for i in range(90)])
    body = {"model": "m", "messages": [user([{"type": "text", "text": log}])]}
    sent, rewrite = remember(body, store, FACTS)
    (message,) = json.loads(sent)["messages"]
    assert message["content"][0]["text"].endswith(f"\n\n{FACTS}")
    assert len(sent) < len(log)
    assert rewrite.decisions[0].edits


def test_a_ledger_that_cannot_be_read_lets_nothing_be_appended():
    store = DictStore()
    store.is_down = True
    body = {"model": "m", "messages": [user("why?")]}
    sent, _ = remember(body, store, FACTS)
    assert sent == json.dumps(body).encode()


def test_without_reapplying_nothing_is_appended():
    body = {"model": "m", "messages": [user("why?")]}
    policy = Policy(cache_minimum_tokens=0, appends=True, is_reapplying=False)
    sent, _ = remember(body, DictStore(), FACTS, policy=policy)
    assert sent == json.dumps(body).encode()


def test_a_tail_whose_text_is_not_there_is_told_and_never_put_elsewhere():
    store = DictStore()
    body = {"model": "m", "messages": [user("why?")]}
    remember(body, store, FACTS)
    for key, decision in list(store.records.items()):
        tail = type(decision.tail)("7", "x")
        store.records[key] = type(decision)(tail=tail)
    sent, rewrite = remember(body, store, FACTS)
    assert sent == json.dumps(body).encode()
    assert rewrite.unfit == {0}
    assert [failed.error for failed in rewrite.failures] == ["compression_error"]
    assert "no slot '7'" in rewrite.failures[0].text

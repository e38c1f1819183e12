import pytest

from headroom.cachelab.prefix import lay_out
from headroom.cachelab.thinking import ThinkingLedger
from headroom.providers.models import model_named

PRESERVING = model_named("claude-opus-5-5")
OTHER = model_named("claude-sonnet-4-5")
BOUND = "The block is bound to a different conversation."


def units(request):
    return lay_out(request, lambda _digest, text: len(text))


@pytest.fixture
def case():
    """A ledger, and the request that replays a thought it signed."""
    ledger = ThinkingLedger()
    first = {
        "system": "You are careful.",
        "tools": [{"name": "Bash", "input_schema": {}}],
        "messages": [{"role": "user", "content": "Why is it slow?"}],
    }
    signature = ledger.issue(units(first), "Look at the loop.")
    thought = {
        "type": "thinking",
        "thinking": "Look at the loop.",
        "signature": signature,
    }
    answer = {"role": "assistant", "content": [thought, {"type": "text", "text": "x"}]}
    more = {"role": "user", "content": "Go on."}
    return ledger, {**first, "messages": [*first["messages"], answer, more]}


def said(ledger, request, model=PRESERVING):
    return [text for _, text in ledger.mismatches(request, units(request), model)]


def test_thinking_is_accepted_where_it_was_produced(case):
    ledger, request = case
    assert said(ledger, request) == []


def test_markers_and_later_messages_do_not_matter(case):
    ledger, request = case
    request["system"] = [
        {
            "type": "text",
            "text": "You are careful.",
            "cache_control": {"type": "ephemeral"},
        }
    ]
    request["messages"][2]["content"] = "Stop."
    assert said(ledger, request) == []


@pytest.mark.parametrize("part", ["system", "tools", "messages"])
def test_a_changed_prefix_is_refused(case, part):
    ledger, request = case
    if part == "system":
        request["system"] = "You are quick."
    elif part == "tools":
        request["tools"] = [*request["tools"], {"name": "Read", "input_schema": {}}]
    else:
        request["messages"][0] = {"role": "user", "content": "Why is it so slow?"}
    (text,) = said(ledger, request)
    assert BOUND in text
    assert said(ledger, request, OTHER) == []


def test_dropping_earlier_thinking_keeps_later_thinking_valid(case):
    ledger, request = case
    signature = ledger.issue(units(request), "And the query.")
    thought = {"type": "thinking", "thinking": "And the query.", "signature": signature}
    request["messages"].append({"role": "assistant", "content": [thought]})
    assert said(ledger, request) == []
    del request["messages"][1]["content"][0]
    assert said(ledger, request) == []


def test_a_changed_thought_is_refused_by_every_model(case):
    ledger, request = case
    request["messages"][1]["content"][0]["thinking"] = "Look at the loops."
    (text,) = said(ledger, request, OTHER)
    assert "in the latest assistant message cannot be modified" in text


def test_foreign_signatures_are_accepted_unless_strict(case):
    _, request = case
    assert said(ThinkingLedger(), request) == []
    strict = ThinkingLedger(is_strict=True)
    assert said(strict, request) == ["Invalid `signature` in `thinking` block"]

import copy

import pytest

from headroom.cachelab.shape import refusals

MARK = {"type": "ephemeral"}
LONG = {"type": "ephemeral", "ttl": "1h"}


def text(words="hello", **more):
    return {"type": "text", "text": words, **more}


def call(name="a"):
    return {"type": "tool_use", "id": name, "name": "Bash", "input": {}}


def answer(name="a", **more):
    return {"type": "tool_result", "tool_use_id": name, "content": "done", **more}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def model(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def request(*messages, **more):
    body = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": list(messages)}
    return {**body, **more}


def first(body):
    before = copy.deepcopy(body)
    found = next(refusals(body), "")
    assert body == before
    return found


def test_a_conversation_with_parallel_calls_is_accepted():
    body = request(
        user(text()),
        model(text("I look."), call("a"), call("b")),
        user(answer("b"), answer("a"), text("and hurry")),
        model(text("Done.")),
        {"role": "user", "content": "thanks"},
        system=[text("You are careful.", cache_control=MARK)],
        tools=[{"name": "Bash", "input_schema": {}, "cache_control": MARK}],
    )
    assert first(body) == ""


def test_results_of_one_turn_may_come_in_two_user_messages():
    body = request(
        user(text()), model(call("a"), call("b")), user(answer("a")), user(answer("b"))
    )
    assert first(body) == ""


@pytest.mark.parametrize("name", ["model", "max_tokens", "messages"])
def test_required_fields_are_required(name):
    body = request(user(text()))
    del body[name]
    assert first(body) == f"{name}: Field required"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "messages: at least one message is required"),
        (
            [user()],
            "messages.0: user messages must have non-empty content",
        ),
        (
            [{"role": "user", "content": ""}],
            "messages.0: user messages must have non-empty content",
        ),
        ([model(text())], 'messages: first message must use the "user" role'),
        ([user(text(""))], "messages: text content blocks must be non-empty"),
        (
            [user(text("", cache_control=MARK))],
            (
                "messages.0.content.0.text: cache_control cannot be set for empty text "
                "blocks"
            ),
        ),
        (
            [{"role": "system", "content": "x"}],
            (
                'messages: Unexpected role "system". The Messages API accepts a '
                'top-level `system` parameter, not "system" as an input message role.'
            ),
        ),
        (
            [{"role": "tool", "content": "x"}],
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (
            [user(text()), model(text("The answer is "))],
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (
            [user(text()), model(), user(text())],
            (
                "messages.1: all messages must have non-empty content except for the "
                "optional final assistant message"
            ),
        ),
    ],
)
def test_messages_that_the_api_refuses(messages, said):
    assert first(request(*messages)) == said


def test_later_models_take_a_system_message_in_mid_conversation():
    body = request(user(text()), {"role": "system", "content": "Be brief."})
    assert first({**body, "model": "claude-opus-5"}) == ""


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (
            [user(text()), model(call("a"), call("b")), user(answer("a"))],
            (
                "messages.1: `tool_use` ids were found without `tool_result` blocks "
                "immediately after: b. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            ),
        ),
        (
            [user(text()), model(call("a")), user(text("wait")), model(text("ok"))],
            (
                "messages.1: `tool_use` ids were found without `tool_result` blocks "
                "immediately after: a. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            ),
        ),
        (
            [user(text()), model(call("a")), user(text("so:"), answer("a"))],
            (
                "messages.1: `tool_use` ids were found without `tool_result` blocks "
                "immediately after: a. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            ),
        ),
        (
            [user(answer("a"))],
            (
                "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` "
                "blocks: a. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message."
            ),
        ),
        (
            [user(text()), model(call("a")), user(answer("a"), answer("a"))],
            (
                "messages.2.content.1: each tool_use must have a single result. Found "
                "multiple `tool_result` blocks with id: a"
            ),
        ),
        (
            [user(text()), model(call("a"), call("a")), user(answer("a"))],
            "messages.1.content.1: `tool_use` ids must be unique",
        ),
        (
            [
                user(text()),
                model(call()),
                user(answer()),
                model(call()),
                user(answer()),
            ],
            "messages.3.content.0: `tool_use` ids must be unique",
        ),
        (
            [user(call("a"))],
            (
                "messages.0.content.0: `tool_use` blocks can only be in `assistant` "
                "messages"
            ),
        ),
        (
            [user(text()), model(answer("a"))],
            "messages.1.content.0: `tool_result` blocks can only be in `user` messages",
        ),
    ],
)
def test_calls_and_results_that_do_not_pair(messages, said):
    assert first(request(*messages)) == said


def test_at_most_four_breakpoints():
    marked = [text(f"{n}", cache_control=MARK) for n in range(4)]
    body = request(user(*marked))
    assert first(body) == ""
    body["system"] = [text("You are careful.", cache_control=MARK)]
    assert first(body) == (
        "A maximum of 4 blocks with cache_control may be provided. Found 5."
    )


def test_markers_on_parts_of_a_result_count_as_breakpoints():
    parts = [text(f"{n}", cache_control=MARK) for n in range(5)]
    body = request(user(text()), model(call()), user(answer(content=parts)))
    assert first(body).endswith("Found 5.")


def test_the_top_level_marker_counts_unless_its_block_is_marked():
    marked = [text(f"{n}", cache_control=MARK) for n in range(4)]
    body = request(user(*marked), cache_control=MARK)
    assert first(body) == ""
    body["messages"].append(model(text("x")))
    assert first(body).endswith("Found 5.")


def test_the_top_level_marker_must_agree_with_its_block():
    body = request(user(text(cache_control=LONG)), cache_control=MARK)
    assert first(body).startswith(
        "Top-level cache_control has ttl='5m' but the target block already has "
        "cache_control with ttl='1h'."
    )


def test_long_lifetimes_come_before_short_ones():
    system = [text("You are careful.", cache_control=MARK)]
    body = request(user(text(cache_control=LONG)), system=system)
    assert first(body) == (
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must "
        "not come after a ttl='5m' cache_control block. Note that blocks are processed "
        "in the following order: `tools`, `system`, `messages`."
    )
    body = request(
        user(text(cache_control=MARK)), system=[text("x", cache_control=LONG)]
    )
    assert first(body) == ""


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ({"type": "ephemeral", "ttl": "2h"}, ".ephemeral.ttl: Input should be '5m' or"),
        ({"type": "forever"}, ".type: Input tag should be 'ephemeral'"),
        ("yes", ": Input should be a valid dictionary"),
    ],
)
def test_markers_of_an_unknown_form(marker, said):
    body = request(user(text(cache_control=marker)))
    assert first(body).startswith(f"messages.0.content.0.cache_control{said}")


def test_thinking_blocks_carry_no_marker():
    thought = {"type": "thinking", "thinking": "x", "signature": "y"}
    body = request(user(text()), model({**thought, "cache_control": MARK}, text()))
    assert first(body) == (
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted"
    )


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        ({"type": "enabled", "budget_tokens": 2048}, "`max_tokens` must be greater"),
        (
            {"type": "enabled", "budget_tokens": 10},
            "thinking.enabled.budget_tokens: In",
        ),
        ({"type": "enabled"}, "thinking.enabled.budget_tokens: Field required"),
        ({"type": "adaptive"}, ""),
    ],
)
def test_the_thinking_budget_is_checked(thinking, said):
    found = first(request(user(text()), thinking=thinking))
    assert found.startswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([{"name": "a", "input_schema": {}}] * 2, "tools: Tool names must be unique."),
        ([{"name": "a"}], "tools.0.custom.input_schema: Field required"),
        ([{"input_schema": {}}], "tools.0.custom.name: Field required"),
        ([{"type": "web_search_20250305", "name": "web_search"}], ""),
    ],
)
def test_tools_are_checked(tools, said):
    assert first(request(user(text()), tools=tools)) == said


@pytest.mark.parametrize(
    "body",
    [
        {"messages": 7},
        {"messages": [7]},
        {"messages": [{"role": "user"}]},
        {"messages": [user(7)]},
        {"messages": [user({"text": "x"})]},
        {"messages": [user({"type": "tool_result", "tool_use_id": 1, "content": 7})]},
        {"messages": [user({"type": "text", "text": 7})]},
        {"messages": [user(text())], "system": 7},
        {"messages": [user(text())], "system": [7]},
        {"messages": [user(text())], "tools": 7},
        {"messages": [user(text())], "tools": [7]},
        {"messages": [user(text())], "max_tokens": "many"},
        {"messages": [user(text())], "max_tokens": 0},
        {"messages": [user(text())], "model": 7},
    ],
)
def test_any_shape_is_refused_and_none_fails(body):
    assert first({"model": "claude-sonnet-4-5", "max_tokens": 9, **body})

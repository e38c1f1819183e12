import json

import pytest

from headroom.core.splice import splice
from headroom.core.tool_list import rewritten
from headroom.providers.anthropic.request import AnthropicMessages

PROVIDER = AnthropicMessages()
TOOLS = [{"name": "Bash", "input_schema": {}}]


def marked(body, *, limit=4, reshaped=frozenset()):
    """The request with its markers, and where they stand."""
    raw = json.dumps(body).encode()
    view = PROVIDER.parse(raw)
    found = PROVIDER.breakpoints(view, reshaped, limit)
    edits = list(found.edits)
    if found.tool_member:
        edits += rewritten(raw, PROVIDER.front(view).tools, (), found.tool_member).edits
    return list(_places(json.loads(splice(raw, edits))))


def _places(request):
    for number, tool in enumerate(request.get("tools", [])):
        if "cache_control" in tool:
            yield f"tools.{number}"
    if isinstance(request.get("system"), list):
        for number, block in enumerate(request["system"]):
            if "cache_control" in block:
                yield f"system.{number}"
    for number, message in enumerate(request["messages"]):
        if isinstance(message["content"], list):
            for index, block in enumerate(message["content"]):
                if "cache_control" in block:
                    assert block["cache_control"] == {"type": "ephemeral"}
                    yield f"messages.{number}.{index}"


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def said(text="go on"):
    return {"type": "text", "text": text}


def result(number):
    return {"type": "tool_result", "tool_use_id": f"t{number}", "content": "x"}


def used(*numbers):
    uses = [
        {"type": "tool_use", "id": f"t{n}", "name": "Bash", "input": {}}
        for n in numbers
    ]
    return {"role": "assistant", "content": uses}


def request(*messages, **extra):
    first = {"role": "user", "content": "help"}
    return {
        "system": "Be careful.",
        "tools": TOOLS,
        "messages": [first, *messages],
    } | extra


def test_a_first_request_is_cached_behind_tools_system_and_question():
    assert marked(request()) == ["tools.0", "system.0", "messages.0.0"]


def test_later_the_end_of_the_last_request_is_marked_too():
    found = marked(request(used(1), user(result(1)), used(2), user(result(2), said())))
    assert found == ["tools.0", "system.0", "messages.2.0", "messages.4.1"]


def test_a_place_that_is_kept_free_is_taken_from_the_tools():
    body = request(used(1), user(result(1)))
    assert marked(body, limit=3) == ["system.0", "messages.0.0", "messages.2.0"]


@pytest.mark.parametrize("count", [25, 45])
def test_one_stands_between_where_the_last_end_is_out_of_reach(count):
    numbers = range(1, count)
    body = request(used(*numbers), user(*(result(n) for n in numbers)))
    found = marked(body)
    assert found[0] == "system.0"
    assert "tools.0" not in found
    assert found[-1] == f"messages.2.{count - 2}"
    index = int(found[-2].split(".")[2])
    assert found[-2].startswith("messages.2.")
    assert count - 2 - index <= 19


def test_nothing_stands_between_where_all_is_within_reach():
    numbers = range(1, 9)
    body = request(used(*numbers), user(*(result(n) for n in numbers)))
    assert marked(body)[0] == "tools.0"


def test_empty_texts_and_thinking_carry_none():
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    body = request(
        {"role": "assistant", "content": [thinking, said("ok")]},
        user(result(1), said(" "), said("")),
        system=[said("a"), said("")],
    )
    assert marked(body) == ["tools.0", "system.0", "messages.0.0", "messages.2.0"]
    assert marked(request(system="")) == ["tools.0", "messages.0.0"]
    assert marked({"tools": TOOLS, "messages": [user()]}) == ["tools.0"]


def test_one_question_without_tools_is_not_written_to_the_cache():
    body = request()
    del body["tools"]
    assert marked(body) == []
    body["messages"] += [{"role": "assistant", "content": "yes"}, user(said())]
    assert marked(body) == ["system.0", "messages.0.0", "messages.2.0"]


def test_a_request_for_a_structured_answer_is_not_written_to_the_cache():
    assert marked(request(tool_choice={"type": "tool", "name": "Bash"})) == []
    assert marked(request(tool_choice={"type": "auto"})) != []


def test_a_string_that_another_edit_makes_a_list_gets_none():
    found = marked(request(used(1), user(result(1))), reshaped=frozenset({0}))
    assert found == ["tools.0", "system.0", "messages.2.0"]


def test_a_started_answer_is_not_marked():
    body = request(used(1), user(result(1)), {"role": "assistant", "content": "So"})
    assert marked(body)[-1] == "messages.2.0"

"""The law with everything on, and settings that change in mid-conversation.

For every API: whatever an operator switches on or off while a conversation runs (lossy
forms, retrieval, stabilisers, compression at all), and in whatever order a client lists
its tools by then, each message leaves as it left before, and so does what stands in
front of the messages: its first request decided about that.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.repeats import SourceMemo
from headroom.core.stabilise import STABILISERS
from headroom.core.types import Policy
from remembering import LINES, Provider

NAMES = ("shell", "read", "grep")
SCHEMA = {"type": "object", "required": [], "properties": {"b": {}, "a": {}}}


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def anthropic(turns, names):
    messages = [{"role": "user", "content": "please help"}]
    for number, output in enumerate(turns):
        use = {"type": "tool_use", "id": f"t{number}", "name": "shell", "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}"}
        messages += [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{**result, "content": output}]},
        ]
    tools = [{"name": n, "input_schema": SCHEMA} for n in names]
    return {
        "model": "claude-x",
        "system": "Mind it.",
        "tools": tools,
        "messages": messages,
    }


def openai_chat(turns, names):
    messages = [
        {"role": "system", "content": "Mind it."},
        {"role": "user", "content": "please help"},
    ]
    for number, output in enumerate(turns):
        function = {"name": "shell", "arguments": "{}"}
        use = {"id": f"t{number}", "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [use]},
            {"role": "tool", "tool_call_id": f"t{number}", "content": output},
        ]
    functions = [{"name": n, "parameters": SCHEMA} for n in names]
    tools = [{"type": "function", "function": f} for f in functions]
    return {"model": "gpt-x", "tools": tools, "messages": messages}


def openai_responses(turns, names):
    items = [{"role": "user", "content": "please help"}]
    for number, output in enumerate(turns):
        call = {"call_id": f"t{number}", "id": f"i{number}"}
        items += [
            {"type": "function_call", **call, "name": "shell", "arguments": "{}"},
            {"type": "function_call_output", **call, "output": output},
        ]
    tools = [{"type": "function", "name": n, "parameters": SCHEMA} for n in names]
    return {"model": "gpt-x", "tools": tools, "input": items, "store": False}


def gemini(turns, names):
    contents = [{"role": "user", "parts": [{"text": "please help"}]}]
    for output in turns:
        result = {"name": "shell", "response": {"output": output}}
        contents += [
            {"role": "model", "parts": [{"functionCall": {"name": "shell"}}]},
            {"role": "user", "parts": [{"functionResponse": result}]},
        ]
    functions = [{"name": n, "parameters": SCHEMA} for n in names]
    return {"contents": contents, "tools": [{"functionDeclarations": functions}]}


SHAPES = {f.__name__: f for f in (anthropic, openai_chat, openai_responses, gemini)}
POLICIES = st.builds(
    Policy,
    cache_minimum_tokens=st.just(0),
    allow_lossy=st.booleans(),
    retrieval=st.sampled_from(["tool", "off"]),
    marker=st.just("tool"),
    may_refer=st.booleans(),
    min_lossless_bytes=st.sampled_from([256, 10**9]),
    min_lossy_bytes=st.just({"log": 0}),
    stabilisers=st.sampled_from([(), STABILISERS, STABILISERS[:1], STABILISERS[2:]]),
)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.just("retry"), LINES, LINES, st.integers(0, 9)),
        POLICIES,
        st.permutations(NAMES),
        st.booleans(),
    ),
    min_size=2,
    max_size=9,
)


def front(api, forwarded):
    """What stands in front of the messages, cache markers aside."""
    body = json.loads(forwarded)
    tools = body["tools"]
    for tool in tools:
        tool.pop("cache_control", None)
    system = body.get("system")
    if isinstance(system, list):
        system = "".join(block["text"] for block in system)
    return json.dumps([tools, system, body.get("prompt_cache_key") is None])


def shuffled_away(api, stabilisers, names):
    """Whether the client's own order shows: nothing sorts it."""
    is_sorting = api != "gemini" and "tool_sort" in stabilisers
    return "" if is_sorting else " ".join(names)


@pytest.mark.parametrize("api", sorted(SHAPES))
@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_nothing_that_is_switched_in_the_middle_changes_what_was_sent(api, steps):
    store, provider, memo = DictStore(), Provider(api), SourceMemo(max_chars=2_000)
    turns: list[str] = []
    fronts: dict[str, str] = {}
    for number, (step, policy, names, is_same_worker) in enumerate(steps):
        match step:
            case int():
                del turns[step:]
            case str() if step != "retry" and number:
                turns.append(step)
        forwarded, rewrite = forward(
            json.dumps(SHAPES[api](turns, names)).encode(),
            store,
            policy=policy,
            api=api,
            memo=memo if is_same_worker else None,
        )
        provider.receive(rewrite, forwarded)
        assert forwarded.count(b'"cache_control"') <= 4
        where = shuffled_away(api, rewrite.made_plan.stabilisers, names)
        found = front(api, forwarded)
        assert fronts.setdefault(where, found) == found

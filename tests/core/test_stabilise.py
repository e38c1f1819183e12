import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.stabilise import STABILISERS
from headroom.core.types import Policy
from headroom.providers import PROVIDERS

ALL = Policy(cache_minimum_tokens=0, stabilisers=STABILISERS)
NONE = Policy(cache_minimum_tokens=0)
LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(60))
MARK = {"type": "ephemeral"}


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def tool(name, **extra):
    schema = {"type": "object", "required": ["b"], "properties": {"b": {}, "a": {}}}
    return {
        "name": name,
        "description": f"Runs {name}.",
        "input_schema": schema,
    } | extra


def request(turns, tools=("Read", "Bash"), **extra):
    messages = [{"role": "user", "content": "please help"}]
    for turn in range(turns):
        call = {"type": "tool_use", "id": f"toolu_{turn}", "name": "Bash", "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}"}
        messages += [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{**result, "content": f"{turn}\n{LONG}"}]},
        ]
    listed = [tool(name) for name in tools]
    body = {"model": "claude-x", "system": "Be careful.", "tools": listed}
    return {**body, "messages": messages, **extra}


def names(forwarded):
    return [tool["name"] for tool in json.loads(forwarded)["tools"]]


def unmarked(value):
    """The same without markers, strings read as the text blocks they mean."""
    if isinstance(value, dict):
        found = {k: unmarked(v) for k, v in value.items() if k != "cache_control"}
        for key in ("content", "system"):
            if isinstance(found.get(key), str):
                found[key] = [{"type": "text", "text": found[key]}]
        return found
    return [unmarked(v) for v in value] if isinstance(value, list) else value


def test_tools_are_sorted_by_name_whatever_order_the_client_has():
    store = DictStore()
    first, _ = forward(request(0), store, policy=ALL)
    second, _ = forward(request(1, tools=("Bash", "Read")), store, policy=ALL)
    assert names(first) == names(second) == ["Bash", "Read"]


def test_a_second_sort_changes_nothing():
    first, _ = forward(request(0), DictStore(), policy=ALL)
    again, _ = forward(first, DictStore(), policy=ALL)
    assert again == first


def test_tools_with_the_clients_marker_keep_their_order_but_not_their_keys():
    body = request(0)
    body["tools"][1]["cache_control"] = MARK
    forwarded, rewrite = forward(body, DictStore(), policy=ALL)
    assert names(forwarded) == ["Read", "Bash"]
    assert rewrite.reasons == ("schema_sort",)
    schema = json.loads(forwarded)["tools"][0]["input_schema"]
    assert list(schema) == ["properties", "required", "type"]
    assert list(schema["properties"]) == ["a", "b"]


def test_a_client_that_sets_markers_gets_none_of_ours():
    system = [{"type": "text", "text": "Be careful.", "cache_control": MARK}]
    forwarded, rewrite = forward(request(1, system=system), DictStore(), policy=ALL)
    assert forwarded.count(b"cache_control") == 1
    assert "breakpoints" not in rewrite.reasons


def test_bytes_outside_the_edits_are_copied():
    body = json.dumps(request(1), indent=1).replace('"please help"', '"h\\u00e9lp"')
    forwarded, _ = forward(body.encode(), DictStore(), policy=ALL)
    assert b'"h\\u00e9lp"' in forwarded


def test_a_conversation_that_began_without_stays_without():
    store = DictStore()
    bare, _ = forward(request(0), store, policy=NONE)
    later, rewrite = forward(request(1), store, policy=ALL)
    assert names(bare) == names(later) == ["Read", "Bash"]
    assert "breakpoints" not in rewrite.reasons


def test_a_conversation_that_began_elsewhere_stays_as_it_is():
    forwarded, rewrite = forward(request(2), DictStore(), policy=ALL)
    assert names(forwarded) == ["Read", "Bash"]
    assert rewrite.made_plan.stabilisers == ()


def test_only_keys_of_allowed_credentials_decide():
    store = DictStore()
    forward(request(0), store, policy=NONE, auth_mode="oauth")
    forwarded, _ = forward(request(0), store, policy=ALL, auth_mode="payg")
    assert names(forwarded) == ["Bash", "Read"]


def test_small_requests_get_no_marker():
    policy = Policy(cache_minimum_tokens=4096, stabilisers=("breakpoints",))
    body = json.dumps(request(0)).encode()
    assert forward(body, DictStore(), policy=policy)[0] == body


def test_a_chat_request_gets_a_key_that_depends_on_the_prompt_alone():
    policy = Policy(cache_minimum_tokens=0, stabilisers=("cache_key",))
    system = {"role": "system", "content": "Be careful."}
    body = {"model": "gpt-x", "messages": [system, {"role": "user", "content": "a"}]}
    other = {**body, "messages": [system, {"role": "user", "content": "b"}]}
    keys = {
        json.loads(forward(b, DictStore(), policy=policy, api="openai_chat")[0])[
            "prompt_cache_key"
        ]
        for b in (body, other)
    }
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    own = {**body, "prompt_cache_key": "mine"}
    kept, _ = forward(own, DictStore(), policy=policy, api="openai_chat")
    assert kept == json.dumps(own).encode()


TURNS = st.lists(
    st.tuples(
        st.booleans(),
        st.permutations(["Read", "Bash", "Grep"]),
        st.sampled_from([None, {"type": "auto"}, {"type": "tool", "name": "Bash"}]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300)
@given(TURNS)
def test_settings_switched_in_the_middle_never_change_what_was_sent(turns):
    store = DictStore()
    sent: list = []
    fronts = set()
    for number, (is_on, order, choice) in enumerate(turns):
        body = request(number, tools=order)
        if choice:
            body["tool_choice"] = choice
        forwarded, _ = forward(body, store, policy=ALL if is_on else NONE)
        found = unmarked(json.loads(forwarded))
        assert forwarded.count(b'"cache_control"') <= 4
        assert found["messages"][: len(sent)] == sent
        assert found["system"] == [{"type": "text", "text": "Be careful."}]
        sent = found["messages"]
        if turns[0][0]:
            fronts.add(json.dumps(found["tools"]))
        else:
            assert found["tools"] == body["tools"]
            assert b"cache_control" not in forwarded
    assert len(fronts) <= 1


@pytest.mark.parametrize("api", sorted(PROVIDERS))
def test_every_provider_tells_its_front(api):
    provider = PROVIDERS[api]
    bodies = {
        "openai_responses": {"input": "x"},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
        "bedrock_converse": {
            "messages": [{"role": "user", "content": [{"text": "x"}]}]
        },
    }
    messages = {
        "anthropic_version": "1",
        "messages": [{"role": "user", "content": "x"}],
    }
    view = provider.parse(json.dumps(bodies.get(api, messages)).encode())
    assert provider.front(view).tools == ()
    found = provider.breakpoints(view, frozenset(), 4)
    assert found.edits == ()

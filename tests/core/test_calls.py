"""The calls that results answer, each message read once."""

import json

import pytest

from fakes import DictStore, forward
from headroom.core.calls import Calls
from headroom.core.types import Policy
from headroom.providers import PROVIDERS

RESULTS = 40


def parallel(api):
    """A request with many parallel calls and their results."""
    numbers = range(RESULTS)
    output = "one line that is long enough to be looked at, said twice.\n" * 6
    if api == "gemini":
        called = [{"functionCall": {"name": "run", "args": {"n": n}}} for n in numbers]
        results = [
            {"functionResponse": {"name": "run", "response": {"output": output}}}
            for _ in numbers
        ]
        return {
            "contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                {"role": "model", "parts": called},
                {"role": "user", "parts": results},
            ]
        }
    function = {"name": "run", "arguments": "{}"}
    called = [
        {"id": f"c{n}", "type": "function", "function": function} for n in numbers
    ]
    results = [
        {"role": "tool", "tool_call_id": f"c{n}", "content": f"{n}\n{output}"}
        for n in numbers
    ]
    asked = {"role": "assistant", "content": None, "tool_calls": called}
    return {"messages": [{"role": "user", "content": "go"}, asked, *results]}


@pytest.mark.parametrize("api", ["openai_chat", "gemini"])
def test_the_calls_of_a_message_are_read_once_however_many_results_there_are(
    api, monkeypatch
):
    provider = type(PROVIDERS[api])
    tool_calls, read = provider.tool_calls, []

    def counted(self, view, index):
        read.append(index)
        return tool_calls(self, view, index)

    monkeypatch.setattr(provider, "tool_calls", counted)
    forward(parallel(api), DictStore(), policy=Policy(cache_minimum_tokens=0), api=api)
    assert 0 < len(read) <= 3


def test_calls_are_those_of_the_nearest_message_before():
    provider = PROVIDERS["openai_chat"]
    view = provider.parse(json.dumps(parallel("openai_chat")).encode())
    calls = Calls(view, provider)
    assert calls.before(0) is None
    assert calls.before(1) is None
    assert calls.before(2) is calls.before(RESULTS + 1)
    assert len(calls.before(2)) == RESULTS

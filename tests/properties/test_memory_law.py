"""The law with memory: switched on, off and over in the middle of conversations.

The conversations of the other laws (hidden calls in several rounds, retries, rewinds,
forks, any worker), of all five APIs. Before every request the settings may have become
others, and facts others too: each question would get another text than last time. The
provider checks every prefix, and that the tools of a conversation never change.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import conversing
from conversing import ask, converse
from fakes import HALVE, DictStore
from headroom.core import pipeline
from headroom.core.memory_tools import NAMES
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from properties import (
    test_cache_law,
    test_chat_hidden_law,
    test_converse_hidden_law,
    test_gemini_hidden_law,
    test_hidden_law,
    test_responses_hidden_law,
)
from remembering import Provider as RememberingProvider
from scripted import TOOL

MODES = ["off", "tool", "auto_tail"]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


class Memory(conversing.Memory):
    """A memory whose mode and facts are others in every request.

    Attributes:
        appended: texts that were appended.
    """

    def __init__(self, choose):
        self._choose = choose
        self.appended = []

    def policy(self, policy):
        mode = self._choose(MODES)
        return replace(
            policy,
            more_tools=() if mode == "off" else NAMES,
            appends=mode == "auto_tail",
        )

    def remembered(self, question):
        assert question
        text = self._choose(["", f'fact {len(self.appended)} "said"\n☂ again'])
        self.appended.append(text)
        return text

    def called(self, own):
        return self._choose(sorted(own))


def watched(kind):
    """A provider that also checks the tools of what begins alike."""

    class Provider(kind):
        def receive(self, rewrite, forwarded):
            super().receive(rewrite, forwarded)
            value = json.loads(forwarded)
            tools = json.dumps(value.get("tools") or value["toolConfig"])
            before = self.sent.setdefault((rewrite.keys[0], "tools"), tools)
            assert before == tools, "the tools have changed"

    return Provider


def run(steps, data, provider, client):
    client.memory = Memory(lambda options: data.draw(st.sampled_from(options)))
    return converse(steps, data, provider, client)


@settings(max_examples=400, deadline=None)
@given(test_hidden_law.STEPS, st.data())
def test_no_generated_conversation_with_memory_breaks_a_prefix(steps, data):
    law = test_hidden_law
    assert run(steps, data, watched(law.Provider)(), law.Client()) > sum(
        step[0] == "ask" for step in steps
    )


@settings(max_examples=300, deadline=None)
@given(test_chat_hidden_law.STEPS, test_chat_hidden_law.WAYS, st.data())
def test_no_generated_chat_with_memory_breaks_a_prefix(steps, way, data):
    law = test_chat_hidden_law
    assert run(steps, data, watched(law.Provider)(), law.Client(way)) > sum(
        step[0] == "ask" for step in steps
    )


@settings(max_examples=300, deadline=None)
@given(test_responses_hidden_law.STEPS, test_responses_hidden_law.WAYS, st.data())
def test_no_generated_response_with_memory_breaks_a_prefix(steps, way, data):
    law = test_responses_hidden_law
    provider = watched(law.Provider)(keeps_thoughts=way != "bare")
    assert run(steps, data, provider, law.Client(way)) > sum(
        step[0] == "ask" for step in steps
    )


@settings(max_examples=300, deadline=None)
@given(test_gemini_hidden_law.STEPS, st.booleans(), st.booleans(), st.data())
def test_no_generated_gemini_conversation_with_memory_breaks_a_prefix(
    steps, joins, keeps_thoughts, data
):
    law = test_gemini_hidden_law
    client = law.Client(joins=joins, keeps_thoughts=keeps_thoughts)
    assert run(steps, data, watched(law.Provider)(), client) > sum(
        step[0] == "ask" for step in steps
    )


@settings(max_examples=200, deadline=None)
@given(test_converse_hidden_law.STEPS, st.data())
def test_no_generated_converse_conversation_with_memory_breaks_a_prefix(steps, data):
    law = test_converse_hidden_law
    assert run(steps, data, watched(law.Provider)(), law.Client()) > sum(
        step[0] == "ask" for step in steps
    )


@settings(max_examples=400, deadline=None)
@given(test_cache_law.STEPS, st.data())
def test_no_history_that_clients_edit_breaks_a_prefix_with_memory(steps, data):
    """Compaction, changed tools, parallel results, other workers."""
    law = test_cache_law
    store, provider, client = (
        DictStore(),
        RememberingProvider("anthropic"),
        law.Client(),
    )
    memory = Memory(lambda options: data.draw(st.sampled_from(options)))
    memo = SourceMemo(max_chars=2_000)
    client.say("please help", as_blocks=data.draw(st.booleans()))
    for step in [("retry",), *steps]:
        law.take_step(client, step)
        forwarded, rewrite = conversing.forward(
            client.body(data.draw(law.MARKERS)),
            store,
            policy=memory.policy(Policy(cache_minimum_tokens=0)),
            memo=data.draw(st.sampled_from([memo, None])),
            remembered=memory.remembered,
        )
        provider.receive(rewrite, forwarded)
        assert json.loads(forwarded)["system"][0]["text"] == client.system


def test_the_generated_conversations_do_have_tails_and_memory_calls():
    store, client = DictStore(), test_hidden_law.Client()
    provider = watched(test_hidden_law.Provider)()
    client.memory = Memory(lambda options: options[-1])
    way = {"markers": 1, "memo": None, "is_stream": True}
    for _ in range(2):
        blocks, drive = ask(client, provider, store, ["r", "x"], **way)
        client.take(blocks, "ok")
    sent = json.loads(drive.bodies[-1])
    assert [t["name"] for t in sent["tools"]][-6:] == [TOOL, *NAMES]
    assert json.dumps(sent).count("fact 0") == json.dumps(sent).count("fact 1") == 1
    assert json.dumps(sent["messages"]).count('"memory_update"') == 2


def test_the_check_notices_a_tail_that_is_not_sent_again():
    store, client = DictStore(), test_hidden_law.Client()
    provider = watched(test_hidden_law.Provider)()
    client.memory = Memory(lambda options: options[-1])
    way = {"markers": 1, "memo": None, "is_stream": True}
    ask(client, provider, store, ["x"], **way)
    for key, decision in store.records.items():
        store.records[key] = replace(decision, tail=None)
    with pytest.raises(AssertionError, match="has changed"):
        ask(client, provider, store, ["x"], **way)


def test_the_check_notices_tools_that_change():
    store, client = DictStore(), test_hidden_law.Client()
    provider = watched(test_hidden_law.Provider)()
    client.memory = Memory(lambda options: options[-1])
    way = {"markers": 1, "memo": None, "is_stream": True}
    ask(client, provider, store, ["x"], **way)
    for key, decision in store.records.items():
        store.records[key] = replace(decision, more_tools=NAMES[:2])
    with pytest.raises(AssertionError, match="tools have changed"):
        ask(client, provider, store, ["x"], **way)


def test_conversations_of_two_users_are_never_one():
    store, client = DictStore(), test_hidden_law.Client()
    seen = set()
    for user in ("", "ann", "bob"):
        body = client.body(1)
        _, rewrite = conversing.forward(body, store, user=user)
        seen |= set(rewrite.keys)
        assert rewrite.is_first
    assert len(seen) == 3

"""How a chain goes on from an answer, and comes out the same when all is sent again."""

import json

import pytest

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.hidden import Answer, Part, encode_answer, note_keys
from headroom.core.threads import (
    MAX_INPUT_BYTES,
    Thread,
    decode_thread,
    encode_thread,
    follow,
    note_key,
)
from headroom.core.types import Policy, ToolCall
from headroom.providers.openai_responses.answer import read_message, reply_of

LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(80))
POLICY = Policy(cache_minimum_tokens=0)


@pytest.fixture
def halving(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))


class Server:
    """A provider that keeps conversations, and the proxy in front of it."""

    def __init__(self):
        self.store = DictStore()
        self.threads = {}
        self.kept = {"": []}

    def send(self, items, *, after="", answer=(), name="r", **more):
        """Send a request; what the provider then has, as it was sent to it."""
        body = {"model": "gpt-5.5", "input": items, "store": False, **more}
        if after:
            body["previous_response_id"] = after
        sent, rewrite = forward(
            body,
            self.store,
            policy=POLICY,
            api="openai_responses",
            thread=self.threads.get(after),
        )
        response = {"id": name, "status": "completed", "output": list(answer)}
        reply = reply_of(read_message(json.dumps(response).encode()))
        self.threads[name] = decode_thread(encode_thread(rewrite.thread_after(reply)))
        got = json.loads(sent)["input"]
        got = [{"role": "user", "content": got}] if isinstance(got, str) else got
        self.kept[name] = [*self.kept[after], *got]
        return self.kept[name], rewrite


def call(call_id, **more):
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": "exec",
        "arguments": '{"cmd": "make"}',
        **more,
    }


def result(call_id, text=LONG):
    return {"type": "function_call_output", "call_id": call_id, "output": text}


THOUGHT = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"}
SAID = {"type": "message", "role": "assistant", "content": [], "id": "msg"}


def test_a_delta_s_edits_are_repeated_when_all_is_sent_again(halving):
    server = Server()
    go = {"role": "user", "content": "go"}
    server.send([go], answer=[THOUGHT, SAID, call("a", id="fc", status="x")], name="1")
    server.send([result("a")], after="1", answer=[call("b"), call("c")], name="2")
    kept, _ = server.send([result("b"), result("c", "x" + LONG)], after="2", name="3")
    assert sum(item.get("output", "")[:1] == "~" for item in kept) == 3
    everything = [go, THOUGHT, call("a"), result("a"), call("b"), call("c")]
    everything += [result("b"), result("c", "x" + LONG)]
    again, rewrite = server.send(everything, name="4")
    outputs = [item["output"] for item in again if "output" in item]
    assert outputs == [item["output"] for item in kept if "output" in item]
    assert rewrite.made_plan.frontier == len(rewrite.keys) - 1


def test_a_delta_goes_on_from_a_full_request(halving):
    server = Server()
    go = {"role": "user", "content": "go"}
    server.send([go, call("a"), result("a")], answer=[call("b")], name="1")
    kept, _ = server.send([result("b")], after="1", name="2")
    everything = [go, call("a"), result("a"), call("b"), result("b")]
    again, rewrite = server.send(everything, name="3")
    assert [i.get("output") for i in again if "output" in i] == [
        i.get("output") for i in kept if "output" in i
    ]
    assert rewrite.made_plan.frontier == len(rewrite.keys) - 1


def test_a_prewarm_and_what_follows_are_one_chain(halving):
    server = Server()
    base = {"role": "developer", "content": "rules"}
    go = {"role": "user", "content": "go"}
    server.send([base], name="0", generate=False)
    server.send([go], after="0", answer=[call("a")], name="1")
    server.send([result("a")], after="1", name="2")
    _, rewrite = server.send([base, go, call("a"), result("a")], name="3")
    assert rewrite.made_plan.frontier == len(rewrite.keys) - 1


def test_a_retry_of_a_delta_is_forwarded_the_same(halving):
    server = Server()
    server.send([{"role": "user", "content": "go"}], answer=[call("a")], name="1")
    one, _ = server.send([result("a")], after="1", name="2")
    other, _ = server.send([result("a")], after="1", name="2b")
    assert one == other


def test_behind_an_unknown_answer_only_what_is_sent_is_known(halving):
    server = Server()
    server.kept["lost"] = []
    one, _ = server.send([result("a")], after="lost", name="2")
    assert one[0]["output"].startswith("~")
    other, rewrite = server.send([result("a")], after="lost", name="3")
    assert one == other
    assert rewrite.made_plan.frontier == 0


def test_a_delta_knows_the_call_that_its_result_answers(halving):
    server = Server()
    go = {"role": "user", "content": "go"}
    retrieving = call("a", name="headroom_retrieve")
    server.send([go], answer=[retrieving, call("b")], name="1")
    kept, rewrite = server.send([result("a"), result("b")], after="1", name="2")
    assert kept[1]["output"] == LONG
    assert kept[2]["output"].startswith("~")
    assert [task.call.name for task in rewrite.made_plan.tasks] == ["exec"]


def test_what_was_sent_before_counts_towards_the_cache_s_minimum(halving):
    server = Server()
    first = {"role": "user", "content": "x" * 4000}
    server.send([first], answer=[call("a")], name="1")
    assert server.threads["1"].prefix_bytes > 4000
    server.send([result("a")], after="1", answer=[call("b")], name="2")
    assert server.threads["2"].prefix_bytes > 5000


HIDDEN = result("h", "an answer to a retrieval")
RESULTS = json.dumps(HIDDEN).encode()


@pytest.mark.parametrize("given", [[result("a")], LONG])
def test_results_that_the_client_did_not_see_go_in_front_of_what_comes(halving, given):
    body = {"input": given, "previous_response_id": "1", "store": False}
    thread = Thread(b"k", results=RESULTS)
    sent, rewrite = forward(
        body, DictStore(), policy=POLICY, api="openai_responses", thread=thread
    )
    first, second = json.loads(sent)["input"]
    assert first == HIDDEN
    words = second["content"] if isinstance(given, str) else second["output"]
    assert words.startswith("~2026")
    assert "retrieval_result" in rewrite.reasons


def test_hidden_results_stand_where_a_full_request_puts_them(halving):
    """The provider's own memory and what is sent again have the same order."""
    answer = [call("h", name="headroom_retrieve"), call("a")]
    answered = Answer(
        (Part("call", data=json.dumps(answer[0]).encode()), Part("seen", "call:a")),
        RESULTS,
    )
    tools = [{"type": "function", "name": "exec"}]
    policy = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
    way = {"policy": policy, "api": "openai_responses"}
    store = DictStore()
    go = {"role": "user", "content": "go"}
    first = {"type": "response.create", "input": [go], "store": False, "tools": tools}
    sent, rewrite = forward(first, store, **way)
    assert b"headroom_retrieve" in sent
    response = {"id": "1", "status": "completed", "output": answer[1:]}
    reply = reply_of(read_message(json.dumps(response).encode()))
    thread = rewrite.thread_after(reply, answered.results)
    store.remember({note_keys("", rewrite.keys[-1])[0]: encode_answer(answered)})
    delta = {**first, "input": [result("a")], "previous_response_id": "1"}
    sent, _ = forward(delta, store, thread=thread, **way)
    kept = [go, *answer, *json.loads(sent)["input"]]
    again = {**first, "input": [go, call("a"), result("a")]}
    sent, _ = forward(again, store, **way)
    assert json.loads(sent)["input"] == kept


def test_a_tool_is_not_added_where_nobody_answers_its_calls(halving):
    tools = [{"type": "function", "name": "exec"}]
    policy = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
    way = {"policy": policy, "api": "openai_responses"}
    body = {"input": [{"role": "user", "content": "go"}], "tools": tools}
    store = DictStore()
    sent, rewrite = forward({**body, "store": False}, store, **way)
    assert rewrite.own_tools
    more = [*body["input"], call("a"), result("a")]
    for unanswered in ({"background": True}, {"store": True}):
        asked = {**body, "store": False, "input": more, **unanswered}
        sent, rewrite = forward(asked, DictStore(), **way)
        assert not rewrite.own_tools
        # A conversation that had the tool: its calls would reach the client.
        sent, rewrite = forward(asked, store, **way)
        assert not rewrite.own_tools
        assert b"headroom_retrieve" not in sent


def test_long_inputs_are_not_noted():
    calls = (ToolCall("a", "f", b"1"), ToolCall("b", "g", b"x" * MAX_INPUT_BYTES))
    found = decode_thread(encode_thread(Thread(b"k", "added", calls, 7)))
    assert found == Thread(
        b"k", "added", (calls[0], ToolCall("b", "g", b"null")), prefix_bytes=7
    )


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x91\xa1k\x00", b"\x93\x01\x02\x03"])
def test_a_note_that_is_none_is_no_thread(data):
    assert decode_thread(data) is None


def test_tenants_have_threads_of_their_own():
    assert note_key("one", "resp") != note_key("other", "resp")
    assert follow(b"k", ()) == b"k"
    assert follow(follow(b"k", [b"a"]), [b"b"]) == follow(b"k", [b"a", b"b"])

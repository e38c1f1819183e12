"""Retrievals that are answered in the middle of an answer over a WebSocket."""

import asyncio
import json

from headroom.cachelab import responses_answer
from headroom.cachelab.cache import Usage
from headroom.core.memory_tools import NAMES
from headroom.providers.models import cache_rules
from loopback import proxy
from sockets import dial, socket_provider

PATH = "/v1/responses"
KEY = {"authorization": "Bearer sk-abc"}
TOOL = "headroom_retrieve"
TOOLS = [{"type": "function", "name": "exec", "description": "x " * 4000}]
RULES = cache_rules("gpt-5.5", "openai_responses")
USER = {"role": "user", "content": "go"}
LOG = "".join(
    f"2026-03-01T12:{i // 60:02d}:{i % 60:02d}Z INFO worker-{i % 8} took job {i * 7919}"
    f" in {i * 31 % 97} ms\n"
    for i in range(900)
)


def text(words):
    return {"type": "text", "text": words}


def call(number, name="exec", **arguments):
    found = {"type": "tool_use", "id": f"c{number}", "name": name}
    return {**found, "input": arguments or {"cmd": "journalctl"}}


def retrieval(number, digest="a" * 24):
    return call(number, TOOL, hash=digest)


def result(number, output=LOG):
    kind = "function_call_output"
    return {"type": kind, "call_id": f"c{number}", "output": output}


def create(items, previous="", **more):
    body = {"type": "response.create", "model": "gpt-5.5", "input": items}
    if previous:
        body["previous_response_id"] = previous
    return json.dumps({**body, "tools": TOOLS, "store": False, **more})


def response(number, blocks):
    usage = responses_answer.usage_of(Usage(10, 0, 0, 1024), 7, RULES)
    return responses_answer.response(
        {"model": "gpt-5.5"}, blocks, usage, answer_id=f"resp_{number}"
    )


class Model:
    """Answers each message with the next blocks of a script, in its lane."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []

    async def __call__(self, provider, socket):
        async for message in socket:
            event = json.loads(message)
            self.asked.append(event)
            lane = {k: v for k, v in event.items() if k == "stream_id"}
            said = self.script[len(self.asked) - 1]
            if isinstance(said, dict):
                await socket.send(json.dumps({**said, **lane}))
                continue
            for sent in responses_answer.events(response(len(self.asked), said)):
                await socket.send(json.dumps({**sent, **lane}, indent=1))


async def receive(socket):
    """The messages of one answer, and what a careful client makes of them."""
    messages = []
    while True:
        message = await asyncio.wait_for(socket.recv(), 10)
        messages.append(json.loads(message))
        kind = messages[-1]["type"]
        if kind.rpartition(".")[2] in {"completed", "failed", "error"}:
            break
    frames = b"".join(b"data: %b\n\n" % json.dumps(m).encode() for m in messages)
    return messages, responses_answer.read_stream(frames)


async def test_a_retrieval_is_answered_over_the_same_socket():
    model = Model([text("so"), retrieval(1)], [text("done"), call(2)])
    async with (
        socket_provider(model) as up,
        proxy(up.url) as px,
        dial(px, PATH, additional_headers=KEY) as ws,
    ):
        await ws.send(create([USER]))
        messages, (blocks, problem) = await receive(ws)
        counted = px.count("headroom_retrievals_total", outcome="original_not_found")
    assert problem == ""
    assert blocks == [text("so"), text("done"), call(2)]
    assert TOOL not in json.dumps(messages)
    assert messages[-1]["response"]["id"] == "resp_2"
    assert messages[-1]["response"]["usage"]["output_tokens"] == 14
    first, second = model.asked
    assert first["tools"][-1]["name"] == TOOL
    assert second["previous_response_id"] == "resp_1"
    assert [i["call_id"] for i in second["input"]] == ["c1"]
    assert second["tools"] == first["tools"]
    assert counted == 1


async def test_memory_is_answered_and_appended_over_the_same_socket(tmp_path):
    save = call(1, "memory_save", content="The runner is called kestrel.")
    find = call(3, "memory_search", query="runner")
    model = Model([save], [call(2)], [find], [text("ok")])
    again = {"role": "user", "content": "What is the runner called?"}
    async with (
        socket_provider(model) as up,
        proxy(up.url, DATA_DIR=tmp_path, MEMORY_MODE="auto_tail") as px,
        dial(px, PATH, additional_headers=KEY) as ws,
    ):
        await ws.send(create([USER]))
        messages, (blocks, problem) = await receive(ws)
        assert (blocks, problem) == ([call(2)], "")
        await ws.send(create([result(2), again], previous="resp_2"))
        messages += (await receive(ws))[0]
    assert "memory_" not in json.dumps(messages)
    assert model.asked[0]["input"] == [USER]
    names = [tool["name"] for tool in model.asked[0]["tools"]]
    assert names == ["exec", TOOL, *NAMES]
    assert model.asked[1]["input"][0]["output"] == "Kept as [1]."
    assert model.asked[2]["tools"] == model.asked[0]["tools"]
    told = model.asked[2]["input"][-1]["content"]
    assert told.startswith(again["content"] + "\n\n<headroom_memory>")
    assert "kestrel" in told
    assert model.asked[3]["input"][0]["output"].endswith("called kestrel.")


async def test_hidden_results_go_in_front_of_the_clients():
    """Over the socket, and at the same place when everything is sent again."""
    model = Model([retrieval(1), call(2)], [text("k")], [text("k")])
    async with (
        socket_provider(model) as up,
        proxy(up.url) as px,
        dial(px, PATH, additional_headers=KEY) as ws,
    ):
        await ws.send(create([USER]))
        _, (blocks, problem) = await receive(ws)
        assert (blocks, problem) == ([call(2)], "")
        await ws.send(create([result(2)], previous="resp_1"))
        await receive(ws)
        seen = {
            "type": "function_call",
            "call_id": "c2",
            "name": "exec",
            "arguments": "{}",
        }
        await ws.send(create([USER, seen, result(2)]))
        await receive(ws)
    delta, full = model.asked[1:]
    assert [i["call_id"] for i in delta["input"]] == ["c1", "c2"]
    kinds = [i.get("call_id") for i in full["input"]]
    assert kinds == [None, "c1", "c2", "c1", "c2"]
    assert full["input"][-2:] == delta["input"]
    assert full["tools"] == delta["tools"]


async def test_what_was_left_out_of_a_result_comes_back():
    model = Model([call(1)], [retrieval(2)], [text("k")])
    async with (
        socket_provider(model) as up,
        proxy(up.url) as px,
        dial(px, PATH, additional_headers=KEY) as ws,
    ):
        await ws.send(create([USER]))
        await receive(ws)

        model.script[1] = _Late(model)
        await ws.send(create([result(1)], previous="resp_1"))
        _, (blocks, problem) = await receive(ws)
    assert (blocks, problem) == ([text("k")], "")
    assert LOG[:200] in model.asked[2]["input"][0]["output"]


class _Late(list):
    """Blocks that are known when the request has come."""

    def __init__(self, model):
        super().__init__()
        self._model = model

    def __iter__(self):
        sent = self._model.asked[1]["input"][0]["output"]
        digest = sent.partition("<<ccr:")[2][:24]
        assert len(digest) == 24
        return iter([retrieval(2, digest)])


async def test_lanes_are_answered_apart():
    model = Model([retrieval(1)], [retrieval(2)], [text("a")], [text("b")])
    async with (
        socket_provider(model) as up,
        proxy(up.url) as px,
        dial(px, PATH, additional_headers=KEY) as ws,
    ):
        await ws.send(create([USER], stream_id="A"))
        await ws.send(create([{**USER, "content": "other"}], stream_id="B"))
        lanes = {"A": [], "B": []}
        ended = 0
        while ended < 2:
            message = json.loads(await ws.recv())
            lanes[message["stream_id"]].append(message)
            ended += message["type"] == "response.completed"
    assert {m["stream_id"] for m in model.asked} == {"A", "B"}
    for messages in lanes.values():
        numbers = [message["sequence_number"] for message in messages]
        assert numbers == list(range(len(numbers)))
        assert messages[-1]["response"]["output"][0]["type"] == "message"


async def test_an_error_in_a_later_round_is_told_and_the_socket_goes_on():
    error = {"type": "error", "status": 500, "error": {"code": "x", "message": "no"}}
    model = Model([text("so"), retrieval(1)], error, [text("again")])
    async with (
        socket_provider(model) as up,
        proxy(up.url) as px,
        dial(px, PATH, additional_headers=KEY) as ws,
    ):
        await ws.send(create([USER]))
        messages, _ = await receive(ws)
        assert messages[-1]["type"] == "error"
        assert messages[-1]["error"] == error["error"]
        await ws.send(create([{**USER, "content": "more"}]))
        _, (blocks, problem) = await receive(ws)
    assert (blocks, problem) == ([text("again")], "")


async def test_a_client_that_leaves_in_a_later_round_leaves_nothing_behind():
    model = Model([text("so"), retrieval(1)], [text("word " * 2000)])
    async with socket_provider(model) as up, proxy(up.url) as px:
        async with dial(px, PATH, additional_headers=KEY) as ws:
            await ws.send(create([USER]))
            await ws.recv()
        async with dial(px, PATH, additional_headers=KEY) as ws:
            model.script.append([text("k")])
            model.script[len(model.asked) :] = [[text("k")]] * 5
            await ws.send(create([USER]))
            _, (_, problem) = await receive(ws)
    assert problem == ""

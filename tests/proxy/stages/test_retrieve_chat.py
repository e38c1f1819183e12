"""Retrievals answered inside Chat streams, and what fails behind the first round."""

import json

import pytest

import loopback
from headroom.cachelab.chat import message_of
from headroom.cachelab.chat_answer import read_stream, read_whole
from scripted import TOOL, call, chat_sse, completion, retrieval, text

PATH = b"/v1/chat/completions"
KEY = b"authorization: Bearer sk-proj-test"
TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {}}}]
QUESTION = {"role": "user", "content": "help"}


def request(*messages, is_stream=True):
    found = {"model": "gpt-5", "stream": is_stream, "tools": TOOLS}
    return json.dumps({**found, "messages": [QUESTION, *messages]}).encode()


class Script:
    """Answers requests by what the list says: blocks, or a coroutine function."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)

    async def __call__(self, received, writer):
        due = self.rounds.pop(0)
        if callable(due):
            await due(received, writer)
            return
        answer = completion(due, number=len(self.rounds))
        if json.loads(received.body)["stream"]:
            data, kind = chat_sse(answer), b"text/event-stream"
        else:
            data, kind = json.dumps(answer).encode(), b"application/json"
        await loopback.answer(writer, data, headers=[b"content-type: " + kind])


async def refuse(received, writer):
    body = {"error": {"message": "busy", "type": "rate_limit_error", "code": None}}
    data = json.dumps(body).encode()
    await loopback.answer(writer, data, status=b"429 Slow down")


async def refuse_oddly(received, writer):
    page = [b"content-type: text/html"]
    await loopback.answer(writer, b"<html>", status=b"502 Bad", headers=page)


async def break_off(received, writer):
    await loopback.start_chunked(writer)
    await loopback.send_chunk(writer, chat_sse(completion([text("half " * 50)]))[:900])
    writer.transport.abort()


async def hang_up(received, writer):
    writer.transport.abort()


async def exchange(proxy, body):
    async with loopback.client(proxy) as client:
        await client.send(loopback.post(body, path=PATH, headers=[KEY]))
        return await client.response()


@pytest.mark.parametrize("is_stream", [True, False])
async def test_the_exchange_is_hidden_and_put_back_byte_for_byte(is_stream):
    script = Script(
        [text("a "), retrieval(1)],
        [text("b"), retrieval(2), call(3, c="ls")],
        [text("end")],
        [text("end")],
    )
    read = read_stream if is_stream else read_whole
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        status, _, out = await exchange(proxy, request(is_stream=is_stream))
        assert status == 200
        blocks, _ = read(out)
        assert blocks == [text("a b"), call(3, c="ls")]
        assert TOOL.encode() not in out
        result = {"role": "tool", "tool_call_id": "toolu_3", "content": "ok"}
        body = request(message_of(blocks), result, is_stream=is_stream)
        for _ in range(2):
            await exchange(proxy, body)
        first, second, third, fourth = (r.body for r in provider.requests)
        assert TOOL.encode() in first
        before = json.loads(second)["messages"]
        after = json.loads(third)["messages"]
        assert after[: len(before)] == before
        assert after[3]["content"] == "b"
        ids = [c["id"] for c in after[3]["tool_calls"]]
        assert ids == ["toolu_2", "toolu_3"]
        assert [m["tool_call_id"] for m in after[4:]] == ["toolu_2", "toolu_3"]
        assert fourth == third
        assert proxy.count("headroom_prefix_breaks_total") == 0


@pytest.mark.parametrize("failing", [refuse, refuse_oddly, hang_up, break_off])
async def test_a_failure_behind_the_first_round_is_told_in_the_apis_shape(failing):
    script = Script([text("a"), retrieval(1)], failing)
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        status, _, out = await exchange(proxy, request())
        assert status == 200
        assert b"[DONE]" not in out
        last = out.split(b"\n\n")[-2]
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert error["message"]
        assert (error["message"] == "busy") is (failing is refuse)
        assert b'"finish_reason":"tool_calls"' not in out
        health = proxy.app.stages[-1].health()
        assert health["failures"] == 1 or failing is break_off


@pytest.mark.parametrize(
    ("failing", "expected"), [(refuse, 429), (refuse_oddly, 502), (hang_up, 502)]
)
async def test_a_failure_of_a_json_answer_has_its_status(failing, expected):
    script = Script([text("a"), retrieval(1)], failing)
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        status, _, _ = await exchange(proxy, request(is_stream=False))
        assert status == expected

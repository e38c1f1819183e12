"""The provider's own SDK, unmodified, through the proxy: it notices no retrieval."""

import contextlib
import json

import anthropic
import pytest
from anthropic import beta_async_tool

import loopback
from scripted import call, message, retrieval, sse, text, thinking

pytestmark = pytest.mark.e2e
QUESTION = {"role": "user", "content": "what is in the box?"}
TOOL = {
    "name": "look",
    "description": "Look into something.",
    "input_schema": {"type": "object", "properties": {"what": {"type": "string"}}},
}


class Script:
    """Answers with one block list after the other, in the shape asked for."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)

    async def __call__(self, received, writer):
        answer = message(self.rounds.pop(0))
        if json.loads(received.body).get("stream"):
            kind, data = b"text/event-stream", sse(answer)
        else:
            kind, data = b"application/json", json.dumps(answer).encode()
        await loopback.answer(writer, data, headers=[b"content-type: " + kind])


@contextlib.asynccontextmanager
async def client(*rounds):
    async with (
        loopback.provider(Script(*rounds)) as provider,
        loopback.proxy(provider.url) as proxy,
        anthropic.AsyncAnthropic(
            api_key="sk-ant-api03-test", base_url=proxy.url, max_retries=0
        ) as made,
    ):
        yield made, provider


def asked(provider, number):
    return json.loads(provider.requests[number].body)["messages"]


async def test_the_streaming_helper_sees_one_message():
    rounds = [thinking("hm"), text("Let me see. "), retrieval(1)], [text("A cat.")]
    async with (
        client(*rounds) as (sdk, provider),
        sdk.messages.stream(
            model="claude-opus-5-5", max_tokens=99, messages=[QUESTION], tools=[TOOL]
        ) as stream,
    ):
        words = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(words) == "Let me see. A cat."
    assert [block.type for block in final.content] == ["thinking", "text", "text"]
    assert final.content[0].signature == thinking("hm")["signature"]
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 20
    assert len(provider.requests) == 2


async def test_a_plain_answer_is_one_message_too():
    async with client([text("a"), retrieval(1)], [text("b")]) as (sdk, _):
        final = await sdk.messages.create(
            model="claude-opus-5-5", max_tokens=99, messages=[QUESTION], tools=[TOOL]
        )
    assert [block.text for block in final.content] == ["a", "b"]
    assert final.usage.output_tokens == 20


@pytest.mark.parametrize("is_stream", [True, False])
async def test_the_tool_runner_runs_its_own_tools_only(is_stream):
    looked = []

    @beta_async_tool
    async def look(what: str) -> str:
        """Look into something."""
        looked.append(what)
        return f"a {what} with a cat"

    rounds = (
        [thinking("first"), retrieval(1)],
        [thinking("then"), retrieval(2), call(3, "look", what="box")],
        [text("A cat.")],
    )
    async with client(*rounds) as (sdk, provider):
        runner = sdk.beta.messages.tool_runner(
            model="claude-opus-5-5",
            max_tokens=99,
            messages=[QUESTION],
            tools=[look],
            stream=is_stream,
            thread=False,
        )
        await runner.until_done()
        tools = json.loads(provider.requests[2].body)["tools"]
        history = asked(provider, 2)
    assert looked == ["box"]
    assert tools[-1]["name"] == "headroom_retrieve"
    assert history[: len(asked(provider, 1))] == asked(provider, 1)
    assert [m["role"] for m in history] == ["user", "assistant"] * 2 + ["user"]
    kinds = [block["type"] for block in history[3]["content"]]
    assert kinds == ["thinking", "tool_use", "tool_use"]
    results = [block["tool_use_id"] for block in history[4]["content"]]
    assert results == ["toolu_2", "toolu_3"]


async def test_a_conversation_that_the_provider_keeps_is_not_offered_the_tool():
    @beta_async_tool
    async def look(what: str) -> str:
        """Look into something."""
        return f"a {what} with a cat"

    rounds = [call(3, "look", what="box")], [text("A cat.")]
    async with client(*rounds) as (sdk, provider):
        runner = sdk.beta.messages.tool_runner(
            model="claude-opus-5-5", max_tokens=99, messages=[QUESTION], tools=[look]
        )
        final = await runner.until_done()
    assert final.content[0].text == "A cat."
    bodies = [json.loads(request.body) for request in provider.requests]
    assert [body["thread"]["type"] for body in bodies] == ["create", "continue"]
    assert [tool["name"] for tool in bodies[0]["tools"]] == ["look"]


async def test_an_error_behind_the_first_round_is_the_sdks_own_error():
    async with client([text("a"), retrieval(1)], []) as (sdk, provider):
        serve = provider.respond

        async def respond(received, writer):
            if len(provider.requests) == 1:
                await serve(received, writer)
                return
            error = {"type": "overloaded_error", "message": "busy"}
            data = json.dumps({"type": "error", "error": error}).encode()
            await loopback.answer(writer, data, status=b"529 Overloaded")

        provider.respond = respond
        with pytest.raises(anthropic.APIStatusError, match="busy"):
            async with sdk.messages.stream(
                model="claude-opus-5-5",
                max_tokens=99,
                messages=[QUESTION],
                tools=[TOOL],
            ) as stream:
                await stream.get_final_message()

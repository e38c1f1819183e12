"""The official Anthropic SDK, as it comes, through the proxy to a billing provider.

Its streaming helpers and its tool runner see what they would see without the proxy:
what the model asked back in between leaves no trace.
"""

import asyncio
import contextlib
import json
import random

import anthropic
import pytest
from anthropic import beta_async_tool, beta_tool

from headroom.cachelab.lab import Lab, Reply, TokenCounter
from headroom.cachelab.prefix import as_blocks
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from loopback import proxy

pytestmark = pytest.mark.e2e

MODEL = "claude-opus-5"
ANSWERS = [
    [
        {"type": "text", "text": "I look at the log of part 0 first."},
        {
            "type": "tool_use",
            "id": "toolu_01first",
            "name": "read_log",
            "input": {"part": 0},
        },
    ],
    [
        {"type": "text", "text": "And at the next part, “1” — with its ids."},
        {
            "type": "tool_use",
            "id": "toolu_02second",
            "name": "read_log",
            "input": {"part": 1},
        },
    ],
    [{"type": "text", "text": "Job 1 failed: the disk is full."}],
]
TOOL = {
    "name": "read_log",
    "description": "The log of one part",
    "input_schema": {
        "type": "object",
        "properties": {"part": {"type": "integer"}},
        "required": ["part"],
    },
}
# Long enough that what follows is cached whatever becomes of it.
RUNBOOK = "".join(
    f"{i}. Look at worker {i} before you restart it.\n" for i in range(99)
)
QUESTION = {"role": "user", "content": f"Why are the jobs slow?\n{RUNBOOK}"}


def log(part):
    rng = random.Random(part)
    lines = [
        f"2026-03-0{1 + part}T12:{i // 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(500)
    ]
    lines[rng.randrange(500)] = f"2026-03-01T12:00:00Z ERROR job {part} failed: disk\n"
    return "".join(lines)


class FailingLab(Lab):
    """A provider that is overloaded whenever the model is to go on after retrieving."""

    def messages(self, headers, body):
        if any(
            block.get("name") == "headroom_retrieve"
            for message in json.loads(body)["messages"]
            for block in as_blocks(message["content"])
        ):
            error = {"type": "overloaded_error", "message": "Overloaded"}
            return Reply(529, "req_busy", {"type": "error", "error": error})
        return super().messages(headers, body)


@contextlib.asynccontextmanager
async def provider(kind=Lab, **settings):
    """A lab, its proxy, and the SDK's clients for them, asynchronous and not."""
    lab = kind(TokenCounter(), script=Script(retrieve_every=1), keeps_requests=True)
    lab.script.register("sdk", ANSWERS)
    async with (
        serving(make_app(lab)) as url,
        proxy(url, **settings) as px,
        anthropic.AsyncAnthropic(
            api_key="sk-ant-cachelab-sdk", base_url=px.url, max_retries=0
        ) as client,
    ):
        with anthropic.Anthropic(
            api_key="sk-ant-cachelab-sdk", base_url=px.url, max_retries=0
        ) as blocking:
            yield lab, client, blocking


def plain(message):
    """What a message says, as the script has it."""
    fields = {"text": ("type", "text"), "tool_use": ("type", "id", "name", "input")}
    return [
        {name: getattr(block, name) for name in fields[block.type]}
        for block in message.content
    ]


def assert_retrieved(lab):
    """The model asked back every lossy block, and the provider saw it stand there."""
    assert not [record.error for record in lab.records if record.error]
    assert sum(record.retrievals for record in lab.records) == 2
    names = [
        block.get("name")
        for message in lab.last_requests["sdk"]["messages"]
        for block in as_blocks(message["content"])
        if block["type"] == "tool_use"
    ]
    assert names == ["read_log", "headroom_retrieve"] * 2


def results(message):
    """The client's answers to a message's calls; empty if there are none."""
    return [
        {
            "type": "tool_result",
            "tool_use_id": block.id,
            "content": log(block.input["part"]),
        }
        for block in message.content
        if block.type == "tool_use"
    ]


async def streamed(client, messages):
    async with client.messages.stream(
        model=MODEL, max_tokens=1000, tools=[TOOL], messages=messages
    ) as stream:
        return await stream.get_final_message()


async def whole(client, messages):
    return await client.messages.create(
        model=MODEL, max_tokens=1000, tools=[TOOL], messages=messages
    )


async def test_streaming_helpers_run_unmodified_and_see_no_retrieval():
    async with provider() as (lab, client, _):
        messages = [QUESTION]
        for number in range(3):
            async with client.messages.stream(
                model=MODEL, max_tokens=1000, tools=[TOOL], messages=messages
            ) as stream:
                said = "".join([piece async for piece in stream.text_stream])
                message = await stream.get_final_message()
            assert said == ANSWERS[number][0]["text"]
            assert plain(message) == ANSWERS[number]
            is_last = number == 2
            assert message.stop_reason == ("end_turn" if is_last else "tool_use")
            usage = message.usage
            assert usage.input_tokens + usage.cache_creation_input_tokens > 0
            messages.append({"role": "assistant", "content": message.content})
            if answered := results(message):
                messages.append({"role": "user", "content": answered})
    assert_retrieved(lab)


async def test_the_event_order_is_what_the_helpers_expect():
    async with provider() as (lab, client, _):
        first = await whole(client, [QUESTION])
        messages = [QUESTION, {"role": "assistant", "content": first.content}]
        messages.append({"role": "user", "content": results(first)})
        async with client.messages.stream(
            model=MODEL, max_tokens=1000, tools=[TOOL], messages=messages
        ) as stream:
            events = [event async for event in stream]
        assert sum(record.retrievals for record in lab.records) == 1
    kinds = [event.type for event in events]
    assert kinds.count("message_start") == kinds.count("message_stop") == 1
    starts = [e.index for e in events if e.type == "content_block_start"]
    stops = [e.index for e in events if e.type == "content_block_stop"]
    assert starts == stops == [0, 1]
    assert "headroom" not in "".join(event.model_dump_json() for event in events)


async def test_messages_that_are_not_streamed_see_no_retrieval():
    async with provider() as (lab, client, _):
        messages = [QUESTION]
        for number in range(3):
            message = await client.messages.create(
                model=MODEL, max_tokens=1000, tools=[TOOL], messages=messages
            )
            assert plain(message) == ANSWERS[number]
            messages.append({"role": "assistant", "content": message.content})
            if answered := results(message):
                messages.append({"role": "user", "content": answered})
    assert_retrieved(lab)


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("threads", [{}, {"thread": False}])
async def test_the_tool_runner_runs_unmodified(is_stream, threads):
    calls = []

    @beta_async_tool
    async def read_log(part: int) -> str:
        """The log of one part."""
        calls.append(part)
        return log(part)

    async with provider() as (lab, client, _):
        runner = client.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=1000,
            tools=[read_log],
            messages=[QUESTION],
            stream=is_stream,
            **threads,
        )
        seen = []
        async for item in runner:
            message = await item.get_final_message() if is_stream else item
            seen.append(plain(message))
    assert seen == ANSWERS
    assert calls == [0, 1]
    if threads:
        assert_retrieved(lab)
    else:
        # A conversation that the provider keeps is never offered the tool.
        assert len(lab.records) == 3
        assert not [record.error for record in lab.records if record.error]
        assert "headroom" not in str(lab.last_requests["sdk"])


async def test_the_blocking_client_runs_its_tools_as_well():
    @beta_tool
    def read_log(part: int) -> str:
        """The log of one part."""
        return log(part)

    async with provider() as (lab, _, blocking):

        def run():
            runner = blocking.beta.messages.tool_runner(
                model=MODEL,
                max_tokens=1000,
                tools=[read_log],
                messages=[QUESTION],
                thread=False,
            )
            return runner.until_done()

        message = await asyncio.to_thread(run)
    assert plain(message) == ANSWERS[-1]
    assert_retrieved(lab)


async def test_refusals_reach_the_client_as_the_providers_own():
    async with provider() as (_, client, _):
        stray = {"type": "tool_result", "tool_use_id": "toolu_x", "content": "x"}
        with pytest.raises(anthropic.BadRequestError, match="tool_use_id") as raised:
            await streamed(client, [{"role": "user", "content": [stray]}])
    assert raised.value.body["error"]["type"] == "invalid_request_error"


async def test_a_provider_that_is_gone_is_an_error_of_the_server():
    async with (
        proxy("http://127.0.0.1:1") as px,
        anthropic.AsyncAnthropic(
            api_key="sk-ant-cachelab-sdk", base_url=px.url, max_retries=0
        ) as client,
    ):
        with pytest.raises(anthropic.InternalServerError) as raised:
            await client.messages.create(
                model=MODEL, max_tokens=10, messages=[QUESTION]
            )
    assert raised.value.status_code == 502


@pytest.mark.parametrize("is_stream", [True, False])
async def test_an_error_behind_a_retrieval_is_raised_by_the_sdk(is_stream):
    ask = streamed if is_stream else whole
    async with provider(FailingLab) as (_, client, _):
        first = await ask(client, [QUESTION])
        messages = [QUESTION, {"role": "assistant", "content": first.content}]
        messages.append({"role": "user", "content": results(first)})
        with pytest.raises(anthropic.APIStatusError) as raised:
            await ask(client, messages)
    assert raised.value.body["error"]["type"] == "overloaded_error"

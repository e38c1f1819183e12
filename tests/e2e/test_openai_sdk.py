"""The official OpenAI SDK, as it comes, through the proxy to a billing provider."""

import contextlib
import json

import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from jobs import ANSWERS, log
from loopback import answer, proxy
from loopback import provider as scripted

pytestmark = pytest.mark.e2e

MODEL = "gpt-5"
TOOL = {
    "type": "function",
    "function": {
        "name": "read_log",
        "description": "The log of one part",
        "parameters": {
            "type": "object",
            "properties": {"part": {"type": "integer"}},
            "required": ["part"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
SYSTEM = {"role": "system", "content": "You are careful. " * 400}
QUESTION = {"role": "user", "content": "Why are the jobs slow?"}


@contextlib.asynccontextmanager
async def provider(prefix="/v1", **settings):
    """A lab, its proxy, and the SDK's client for it."""
    lab = Lab(TokenCounter(), script=Script(), keeps_requests=True)
    lab.script.register("sdk", ANSWERS)
    async with (
        serving(make_app(lab)) as url,
        proxy(url, **settings) as px,
        openai.AsyncOpenAI(
            api_key="sk-cachelab-sdk", base_url=px.url + prefix, max_retries=0
        ) as client,
    ):
        yield lab, client


def plain(message):
    """What a message says, as the script has it."""
    found = [{"type": "text", "text": message.content}] if message.content else []
    return found + [
        {
            "type": "tool_use",
            "id": call.id,
            "name": call.function.name,
            "input": json.loads(call.function.arguments),
        }
        for call in message.tool_calls or ()
    ]


def results(message):
    return [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": log(json.loads(call.function.arguments)["part"]),
        }
        for call in message.tool_calls or ()
    ]


def assert_compressed(lab):
    """All results arrived, in their places, shorter than they were; no prefix broke."""
    assert not [record.error for record in lab.records if record.error]
    sent = [m for m in lab.last_requests["sdk"]["messages"] if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in sent] == ["call_1", "call_2", "call_3"]
    for part, message in enumerate(sent):
        assert 0 < len(message["content"]) < 0.8 * len(log(part))
    first, second, third = (record.usage for record in lab.records)
    assert first.total >= 1024
    assert second.read == first.read + first.write_5m
    assert third.read == second.read + second.write_5m


async def test_streaming_and_tools_run_unmodified():
    async with provider() as (lab, client):
        messages = [SYSTEM, QUESTION]
        for number in range(3):
            async with client.chat.completions.stream(
                model=MODEL,
                messages=messages,
                tools=[TOOL],
                stream_options={"include_usage": True},
            ) as stream:
                kinds = [event.type async for event in stream]
                whole = await stream.get_final_completion()
            message = whole.choices[0].message
            assert plain(message) == ANSWERS[number]
            assert "content.delta" in kinds
            assert whole.usage.prompt_tokens == lab.records[-1].usage.total
            messages += [message.model_dump(exclude_none=True), *results(message)]
    assert_compressed(lab)


@pytest.mark.parametrize("is_stream", [True, False])
async def test_retrievals_are_answered_out_of_the_sdks_sight(is_stream):
    async with provider() as (lab, client):
        lab.script.retrieve_every = 1
        messages = [SYSTEM, QUESTION]
        for number in range(3):
            asked = {"model": MODEL, "messages": messages, "tools": [TOOL]}
            if is_stream:
                options = {"include_usage": True}
                async with client.chat.completions.stream(
                    **asked, stream_options=options
                ) as stream:
                    whole = await stream.get_final_completion()
            else:
                whole = await client.chat.completions.create(**asked)
            message = whole.choices[0].message
            assert plain(message) == ANSWERS[number]
            messages += [message.model_dump(exclude_none=True), *results(message)]
        sent = lab.last_requests["sdk"]["messages"]
    assert not [record.error for record in lab.records if record.error]
    hidden = [
        call["id"]
        for message in sent
        for call in message.get("tool_calls", ())
        if call["function"]["name"] == "headroom_retrieve"
    ]
    answers = {m["tool_call_id"]: m["content"] for m in sent if m["role"] == "tool"}
    assert len(hidden) == 3
    assert [answers[call_id] for call_id in hidden] == [log(n) for n in range(3)]
    reads = [record.usage.read for record in lab.records]
    cached = [record.usage.read + record.usage.write_5m for record in lab.records]
    assert reads[1:] == cached[:-1]


async def test_raw_chunks_arrive_as_they_were_sent():
    async with provider() as (_, client):
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model=MODEL,
                messages=[SYSTEM, QUESTION],
                tools=[TOOL],
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason == "tool_calls"


async def test_answers_that_are_not_streamed_arrive_whole():
    async with provider() as (lab, client):
        messages = [SYSTEM, QUESTION]
        for number in range(3):
            whole = await client.chat.completions.create(
                model=MODEL, messages=messages, tools=[TOOL]
            )
            assert isinstance(whole, ChatCompletion)
            message = whole.choices[0].message
            assert plain(message) == ANSWERS[number]
            messages += [message.model_dump(exclude_none=True), *results(message)]
    assert_compressed(lab)
    assert whole.usage.prompt_tokens_details.cached_tokens > 1024


class Verdict(BaseModel):
    failed: int
    reason: str


async def test_structured_output_is_parsed():
    async with provider() as (lab, client):
        said = '{"failed": 1, "reason": "the disk is full"}'
        lab.script.register("sdk", [[{"type": "text", "text": said}]])
        found = await client.chat.completions.parse(
            model=MODEL, messages=[QUESTION], response_format=Verdict
        )
        request = lab.last_requests["sdk"]
    assert found.choices[0].message.parsed == Verdict(
        failed=1, reason="the disk is full"
    )
    assert request["response_format"]["json_schema"]["name"] == "Verdict"


async def test_several_answers_are_asked_for_untouched():
    async with provider() as (lab, client):
        call = {"id": "c", "type": "function"}
        function = {"name": "read_log", "arguments": "{}"}
        messages = [
            QUESTION,
            {"role": "assistant", "tool_calls": [{**call, "function": function}]},
            {"role": "tool", "tool_call_id": "c", "content": log(0)},
        ]
        whole = await client.chat.completions.create(
            model=MODEL, messages=messages, n=3
        )
        assert [choice.index for choice in whole.choices] == [0, 1, 2]
        assert lab.last_requests["sdk"]["messages"] == messages


@pytest.mark.parametrize("stream", [True, False])
async def test_refusals_reach_the_sdk_as_the_provider_words_them(stream):
    async with provider() as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "tool", "tool_call_id": "x", "content": "y"}],
                stream=stream,
            )
    assert "must be a response to a preceeding message" in caught.value.message
    upstream_id = caught.value.response.headers["headroom-upstream-request-id"]
    assert upstream_id.startswith("req_")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (b"429 Too Many Requests", openai.RateLimitError),
        (b"401 Unauthorized", openai.AuthenticationError),
        (b"500 Internal Server Error", openai.InternalServerError),
    ],
)
async def test_errors_have_the_sdks_own_classes(status, error):
    body = b'{"error":{"message":"no","type":"t","param":null,"code":"c"}}'

    async def refuse(_request, writer):
        await answer(writer, body, status=status, headers=[b"x-request-id: req_9"])

    async with (
        scripted(refuse) as up,
        proxy(up.url) as px,
        openai.AsyncOpenAI(api_key="sk-x", base_url=f"{px.url}/v1", max_retries=0) as c,
    ):
        with pytest.raises(error) as caught:
            await c.chat.completions.create(
                model=MODEL, messages=[QUESTION], stream=True
            )
    assert caught.value.response.headers["headroom-upstream-request-id"] == "req_9"
    assert caught.value.code == "c"


async def test_a_provider_that_is_gone_is_told_in_its_own_shape():
    async with (
        proxy("http://127.0.0.1:1") as px,
        openai.AsyncOpenAI(api_key="sk-x", base_url=f"{px.url}/v1", max_retries=0) as c,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await c.chat.completions.create(model=MODEL, messages=[QUESTION])
    assert caught.value.status_code == 502
    assert caught.value.body["message"]

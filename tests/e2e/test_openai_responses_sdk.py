"""The official OpenAI SDK's Responses, as it comes, through the proxy to a lab."""

import contextlib
import json

import openai
import pytest
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
    "name": "read_log",
    "description": "The log of one part",
    "parameters": {
        "type": "object",
        "properties": {"part": {"type": "integer"}},
        "required": ["part"],
        "additionalProperties": False,
    },
    "strict": True,
}
INSTRUCTIONS = "You are careful. " * 400
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


def plain(response):
    """What a response says, as the script has it."""
    found = []
    for item in response.output:
        if item.type == "message":
            found.append({"type": "text", "text": item.content[0].text})
        elif item.type == "function_call":
            block = {"type": "tool_use", "id": item.call_id, "name": item.name}
            found.append({**block, "input": json.loads(item.arguments)})
    return found


def results(response):
    return [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": log(json.loads(item.arguments)["part"]),
        }
        for item in response.output
        if item.type == "function_call"
    ]


def assert_compressed(lab):
    """All results arrived, in their places, shorter than they were; no prefix broke."""
    assert not [record.error for record in lab.records if record.error]
    items = lab.last_requests["sdk"]["input"]
    sent = [i for i in items if i.get("type") == "function_call_output"]
    assert [item["call_id"] for item in sent] == ["call_1", "call_2", "call_3"]
    for part, item in enumerate(sent):
        assert 0 < len(item["output"]) < 0.8 * len(log(part))
    first, second, third = (record.usage for record in lab.records)
    assert first.total >= 1024
    assert second.read == first.read + first.write_5m
    assert third.read == second.read + second.write_5m


@pytest.mark.parametrize("store", [True, False])
async def test_streaming_and_tools_run_unmodified(store):
    async with provider() as (lab, client):
        items = [QUESTION]
        for number in range(3):
            async with client.responses.stream(
                model=MODEL,
                instructions=INSTRUCTIONS,
                input=items,
                tools=[TOOL],
                store=store,
            ) as stream:
                kinds = [event.type async for event in stream]
                whole = await stream.get_final_response()
            assert plain(whole) == ANSWERS[number]
            assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
            assert whole.usage.input_tokens == lab.records[-1].usage.total
            said = [item.model_dump(exclude_none=True) for item in whole.output]
            for item in said:
                item.pop("parsed_arguments", None)
                for part in item.get("content", ()):
                    part.pop("parsed", None)
            items += [*said, *results(whole)]
    assert_compressed(lab)


async def test_the_streaming_helper_sees_no_retrieval():
    async with provider() as (lab, client):
        lab.script.retrieve_every = 1
        items = [QUESTION]
        for number in range(3):
            async with client.responses.stream(
                model=MODEL,
                instructions=INSTRUCTIONS,
                input=items,
                tools=[TOOL],
                store=False,
            ) as stream:
                whole = await stream.get_final_response()
            assert plain(whole) == ANSWERS[number]
            said = [item.model_dump(exclude_none=True) for item in whole.output]
            for item in said:
                item.pop("parsed_arguments", None)
                for part in item.get("content", ()):
                    part.pop("parsed", None)
            items += [*said, *results(whole)]
        assert sum(record.retrievals for record in lab.records) == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_the_provider_keeps_the_conversation(stream):
    """Only what is new is sent, and what was sent compressed stays compressed."""
    async with provider() as (lab, client):
        items, previous = [QUESTION], None
        for number in range(3):
            more = {"previous_response_id": previous} if previous else {}
            whole = await client.responses.create(
                model=MODEL,
                instructions=INSTRUCTIONS,
                input=items,
                tools=[TOOL],
                stream=stream,
                **more,
            )
            if stream:
                events = [event async for event in whole]
                whole = events[-1].response
            assert plain(whole) == ANSWERS[number]
            items, previous = results(whole), whole.id
        assert_compressed(lab)
        before = [
            item["output"]
            for item in lab.last_requests["sdk"]["input"]
            if item.get("type") == "function_call_output"
        ]
        # A client that has lost its place sends everything again.
        again = [QUESTION]
        for number, blocks in enumerate(ANSWERS[:2]):
            calls = [b for b in blocks if b["type"] == "tool_use"]
            again += [
                {"role": "assistant", "content": f"answer {number}"},
                *(
                    {
                        "type": "function_call",
                        "call_id": b["id"],
                        "name": b["name"],
                        "arguments": json.dumps(b["input"]),
                    }
                    for b in calls
                ),
                *(
                    {
                        "type": "function_call_output",
                        "call_id": b["id"],
                        "output": log(b["input"]["part"]),
                    }
                    for b in calls
                ),
            ]
        await client.responses.create(
            model=MODEL, instructions=INSTRUCTIONS, input=again, tools=[TOOL]
        )
        after = [
            item["output"]
            for item in lab.last_requests["sdk"]["input"]
            if item.get("type") == "function_call_output"
        ]
        assert after == before


class Verdict(BaseModel):
    failed: int
    reason: str


@pytest.mark.parametrize("stream", [True, False])
async def test_structured_output_is_parsed(stream):
    async with provider() as (lab, client):
        said = '{"failed": 1, "reason": "the disk is full"}'
        lab.script.register("sdk", [[{"type": "text", "text": said}]])
        if stream:
            async with client.responses.stream(
                model=MODEL, input="Why?", text_format=Verdict
            ) as events:
                found = await events.get_final_response()
        else:
            found = await client.responses.parse(
                model=MODEL, input="Why?", text_format=Verdict
            )
        request = lab.last_requests["sdk"]
    assert found.output_parsed == Verdict(failed=1, reason="the disk is full")
    assert request["text"]["format"]["name"] == "Verdict"


@pytest.mark.parametrize("stream", [True, False])
async def test_refusals_reach_the_sdk_as_the_provider_words_them(stream):
    async with provider() as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(
                model=MODEL,
                input=[{"type": "function_call_output", "call_id": "x", "output": "y"}],
                stream=stream,
            )
        assert "No tool call found" in caught.value.message
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(
                model=MODEL, input="x", previous_response_id="resp_unknown"
            )
    assert caught.value.code == "previous_response_not_found"
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
            await c.responses.create(model=MODEL, input="x", stream=True)
    assert caught.value.response.headers["headroom-upstream-request-id"] == "req_9"
    assert caught.value.code == "c"

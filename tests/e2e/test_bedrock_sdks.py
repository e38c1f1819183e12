"""AWS's own client and Anthropic's for Bedrock, as they come, through the proxy."""

import asyncio
import json
import re

import anthropic
import botocore.exceptions
import pytest

from bedrock_clients import (
    bedrock,
    call,
    called,
    conversation,
    created,
    envelope,
    noisy_log,
    rows,
    sdk,
    streamed,
    use_credentials,
)
from clouds import (
    CLAUDE,
    Bedrock,
    converse_block,
    exception,
    message_events,
    text,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The proxy's own credentials, and nothing of the machine's."""
    use_credentials(monkeypatch, tmp_path)


# The official clients.


async def test_boto3_invokes_and_streams():
    body = json.dumps(envelope(conversation(1)))
    async with bedrock() as (double, px):
        arguments = {"modelId": CLAUDE, "body": body}
        whole = await asyncio.to_thread(called, px, "invoke_model", **arguments)
        operation = "invoke_model_with_response_stream"
        stream = await asyncio.to_thread(called, px, operation, **arguments)
    events = [json.loads(event["chunk"]["bytes"]) for event in stream["body"]]
    assert whole["body"]["content"] == [text("Hello from Bedrock.")]
    assert [e["type"] for e in events][-1] == "message_stop"
    assert events == list(message_events([text("Hello from Bedrock.")]))
    assert all(len(sent.body) < len(body) for sent in double.requests)
    assert not double.problems


def converse_tool(name):
    schema = {"json": {"type": "object"}}
    return {"toolSpec": {"name": name, "inputSchema": schema}}


class Forgetful(Bedrock):
    """Asks for what was left out of the first result it gets, then answers."""

    async def respond(self, request, writer):
        if b"toolResult" in request.body and b"toolu_r" not in request.body:
            digest = re.search(rb"ccr:([0-9a-f]{24})", request.body)[1].decode()
            name = "headroom_retrieve"
            asked = {"type": "tool_use", "id": "toolu_r", "name": name}
            asked["input"] = {"hash": digest}
            self.answers = [[text("Let me see."), asked], [text("The disk is full.")]]
        await super().respond(request, writer)


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
async def test_boto3_gets_one_answer_with_its_retrievals_answered_inside(operation):
    call = {"type": "tool_use", "id": "t1", "name": "read_log", "input": {}}
    question = {"role": "user", "content": [{"text": "Why did it fail? " * 200}]}
    part = {"text": noisy_log()}
    result = {"toolResult": {"toolUseId": "t1", "content": [part]}}
    messages = [
        question,
        {"role": "assistant", "content": [converse_block(call)]},
        {"role": "user", "content": [result]},
    ]
    arguments = {
        "modelId": CLAUDE,
        "toolConfig": {"tools": [converse_tool("read_log")]},
    }
    double = Forgetful([call])
    async with bedrock(double, AUTH_OAUTH="compress,lossy") as (_, px):
        for sent in ([question], messages):
            found = await asyncio.to_thread(
                called, px, operation, messages=sent, **arguments
            )
    if operation == "converse":
        content = found["output"]["message"]["content"]
        words = "".join(block["text"] for block in content)
        reason, usage = found["stopReason"], found["usage"]
    else:
        events = [next(iter(event.items())) for event in found["stream"]]
        deltas = [v["delta"] for n, v in events if n == "contentBlockDelta"]
        words = "".join(delta["text"] for delta in deltas)
        (reason,) = (v["stopReason"] for n, v in events if n == "messageStop")
        (usage,) = (v["usage"] for n, v in events if n == "metadata")
    assert words == "Let me see.The disk is full."
    assert (reason, usage["outputTokens"], usage["totalTokens"]) == ("end_turn", 18, 44)
    assert len(double.requests) == 3
    assert not double.problems
    asked = [json.loads(sent.body) for sent in double.requests]
    names = [
        [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]]
        for sent in asked
    ]
    assert names == [["read_log", "headroom_retrieve"]] * 3
    assert asked[2]["messages"][:3] == asked[1]["messages"]
    retrieved = asked[2]["messages"][-1]["content"][0]["toolResult"]
    assert retrieved["toolUseId"] == "toolu_r"
    assert noisy_log()[1000:1200] in retrieved["content"][0]["text"]


async def test_converse_stays_lossless_unless_its_operator_says_otherwise():
    call = {"type": "tool_use", "id": "t1", "name": "read_log", "input": {}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": noisy_log()}]}}
    messages = [
        {"role": "user", "content": [{"text": "Why? " * 400}]},
        {"role": "assistant", "content": [converse_block(call)]},
        {"role": "user", "content": [result]},
    ]
    tools = {"tools": [converse_tool("read_log")]}
    async with bedrock() as (double, px):
        await asyncio.to_thread(
            called,
            px,
            "converse",
            modelId=CLAUDE,
            messages=messages,
            toolConfig=tools,
        )
    (sent,) = double.requests
    assert b"headroom_retrieve" not in sent.body
    assert b"ccr:" not in sent.body


async def test_boto3_converses_and_streams():
    messages = [
        {"role": "user", "content": [{"text": "Which hosts are loaded? " * 400}]},
        {
            "role": "assistant",
            "content": [
                {
                    "toolUse": {
                        "toolUseId": "t1",
                        "name": "list_hosts",
                        "input": {"z": 1},
                    }
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": rows(60)}]}},
                {"cachePoint": {"type": "default"}},
            ],
        },
    ]
    async with bedrock() as (double, px):
        arguments = {"modelId": CLAUDE, "messages": messages}
        whole = await asyncio.to_thread(called, px, "converse", **arguments)
        stream = await asyncio.to_thread(called, px, "converse_stream", **arguments)
    events = stream["stream"]
    said = [{"text": "Hello from Bedrock."}]
    assert whole["output"]["message"]["content"] == said
    assert whole["usage"]["cacheReadInputTokens"] == 5
    assert [next(iter(event)) for event in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    for sent in double.requests:
        found = json.loads(sent.body)["messages"]
        result = found[2]["content"][0]["toolResult"]["content"][0]["text"]
        assert len(result) < len(rows(60))
        assert found[:2] == messages[:2]
        assert found[2]["content"][1] == messages[2]["content"][1]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ((429, "ThrottlingException", "Too many"), "ThrottlingException"),
        ((400, "ValidationException", "Malformed"), "ValidationException"),
    ],
)
async def test_boto3_is_told_bedrocks_errors(failure, kind):
    async with bedrock() as (double, px):
        double.failure = failure
        for operation in ("invoke_model", "invoke_model_with_response_stream"):
            with pytest.raises(botocore.exceptions.ClientError) as caught:
                await asyncio.to_thread(
                    called, px, operation, modelId=CLAUDE, body=b"{}"
                )
            error = caught.value.response["Error"]
            assert (error["Code"], error["Message"]) == (kind, failure[2])


async def test_boto3_is_told_our_own_errors(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with bedrock() as (_, px):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            await asyncio.to_thread(
                called, px, "invoke_model", modelId=CLAUDE, body=b"{}"
            )
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailableException"
    assert "credentials" in caught.value.response["Error"]["Message"]


async def test_an_exception_in_a_stream_reaches_every_client():
    double = Bedrock()
    double.breaks_with = [exception("throttlingException", "Slow down")]
    async with bedrock(double) as (_, px):

        def run_sdk():
            with sdk(px) as client:
                streamed(client)

        operation = "invoke_model_with_response_stream"
        with pytest.raises(botocore.exceptions.EventStreamError, match="Slow down"):
            await asyncio.to_thread(called, px, operation, modelId=CLAUDE, body=b"{}")
        with pytest.raises(anthropic.APIStatusError, match="Slow down"):
            await asyncio.to_thread(run_sdk)
        _, _, said = await call(
            px,
            b"{}",
            operation="invoke-with-response-stream",
            headers=[b"accept: text/event-stream"],
        )
    assert said.endswith(
        b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error",'
        b'"message":"Slow down"}}\n\n'
    )


async def test_the_anthropic_sdks_bedrock_client_runs_unmodified():
    async with bedrock() as (double, px):

        def run():
            with sdk(px) as client:
                whole = created(client, conversation(1))
                return whole, streamed(client, conversation(1))

        whole, stream = await asyncio.to_thread(run)
    for found in (whole, stream):
        assert found.content[0].text == "Hello from Bedrock."
        assert found.usage.output_tokens == 9
        assert found.stop_reason == "end_turn"
    full = len(json.dumps(conversation(1), separators=(",", ":")))
    assert all(len(sent.body) < full for sent in double.requests)
    assert not double.problems


async def test_the_anthropic_sdks_asynchronous_bedrock_client_and_its_api_key():
    async with bedrock() as (double, px):
        client = anthropic.AsyncAnthropicBedrock(
            api_key="ABSKkey", aws_region="eu-west-1", base_url=px.url, max_retries=0
        )
        async with (
            client,
            client.messages.stream(
                model=CLAUDE, max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
            ) as stream,
        ):
            said = "".join([part async for part in stream.text_stream])
    assert said == "Hello from Bedrock."
    assert double.requests[0].get(b"authorization") == b"Bearer ABSKkey"


async def test_the_anthropic_sdk_is_told_bedrocks_errors():
    async with bedrock() as (double, px):
        double.failure = (429, "ThrottlingException", "Too many")
        with sdk(px) as client, pytest.raises(anthropic.RateLimitError):
            await asyncio.to_thread(streamed, client)

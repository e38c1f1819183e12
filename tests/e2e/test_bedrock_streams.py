"""Bedrock's streams: frames byte for byte, as events, damaged, with retrievals."""

import asyncio
import json
import re

import pytest

from bedrock_clients import (
    bedrock,
    call,
    conversation,
    created,
    envelope,
    noisy_log,
    sdk,
    streamed,
    use_credentials,
)
from clouds import Bedrock, chunk, frame, message_events, text
from headroom.core.wire.event_stream import FrameReader

pytestmark = pytest.mark.e2e

FRAMES = b"application/vnd.amazon.eventstream"


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The proxy's own credentials, and nothing of the machine's."""
    use_credentials(monkeypatch, tmp_path)


async def test_stop_sequence_null_only_when_present():
    events = list(message_events([text("x")]))
    del events[0]["message"]["stop_sequence"]
    double = Bedrock()
    async with bedrock(double) as (_, px):
        double.breaks_with = [chunk(event) for event in events]
        _, _, raw = await call(
            px,
            json.dumps(envelope([])).encode(),
            operation="invoke-with-response-stream",
        )
        assert raw == double.sent
        _, _, said = await call(
            px,
            json.dumps(envelope([])).encode(),
            operation="invoke-with-response-stream",
            headers=[b"accept: text/event-stream"],
        )
    starts = [line for line in said.split(b"\n\n") if b"message_start" in line]
    assert b'"stop_sequence":null' in starts[0]
    assert b"stop_sequence" not in starts[1]


# Streams.


@pytest.mark.parametrize("chunk_bytes", [0, 1, 7, 1000])
async def test_frames_pass_byte_for_byte_and_are_read_along(chunk_bytes):
    async with bedrock() as (double, px):
        double.chunk_bytes = chunk_bytes
        status, headers, raw = await call(
            px,
            json.dumps(envelope(conversation(1))).encode(),
            operation="invoke-with-response-stream",
        )
        assert (status, headers[b"content-type"]) == (200, FRAMES)
        assert headers[b"headroom-upstream-request-id"] == b"3b1c"
        assert raw == double.sent
        frames = len(FrameReader().feed(raw))
        labels = {"model": "anthropic.claude-sonnet-4-5-20250929-v1:0"}
        labels["region"] = "us-east-1"
        for _ in range(100):
            if px.count("bedrock_invoke_count_total", **labels):
                break
            await asyncio.sleep(0.01)
        assert px.count("bedrock_invoke_count_total", **labels) == 1
        assert px.count("bedrock_invoke_latency_seconds_count", **labels) == 1
        assert px.count("bedrock_eventstream_message_count_total", **labels) == frames
        assert (
            px.count("headroom_usage_tokens_total", **{"class": "output_tokens"}) == 9
        )


@pytest.mark.parametrize(
    "operation", ["invoke-with-response-stream", "converse-stream"]
)
@pytest.mark.parametrize("chunk_bytes", [0, 1, 1000])
async def test_client_can_choose_eventstream_or_sse(operation, chunk_bytes):
    body = json.dumps(envelope([{"role": "user", "content": [{"text": "x"}]}])).encode()
    async with bedrock() as (double, px):
        double.chunk_bytes = chunk_bytes
        for accept, kind in [
            (FRAMES, FRAMES),
            (b"*/*", FRAMES),
            (b"application/json", FRAMES),
            (b"text/event-stream", b"text/event-stream"),
        ]:
            _, headers, raw = await call(
                px, body, operation=operation, headers=[b"accept: " + accept]
            )
            assert headers[b"content-type"] == kind
            assert double.requests[-1].get(b"accept") in {accept, FRAMES}
            if kind == FRAMES:
                assert raw == double.sent
            else:
                assert raw.startswith(b"event: message")
                assert raw.count(b"\n\n") == len(FrameReader().feed(double.sent))


async def test_usage_is_read_from_translated_streams_too():
    async with bedrock() as (_, px):
        for operation in ("invoke-with-response-stream", "converse-stream", "converse"):
            await call(
                px,
                b'{"anthropic_version":"bedrock-2023-05-31","messages":[]}',
                operation=operation,
                headers=[b"accept: text/event-stream"],
            )
        await asyncio.sleep(0.05)
        classes = {"class": "cache_read_input_tokens"}
        assert px.count("headroom_usage_tokens_total", **classes) == 15


async def test_a_damaged_frame_passes_raw_and_is_told_in_events():
    damaged = bytearray(chunk({"type": "ping"}))
    damaged[-1] ^= 1
    double = Bedrock()
    double.breaks_with = [bytes(damaged), chunk({"type": "message_stop"})]
    body = json.dumps(envelope([])).encode()
    operation = "invoke-with-response-stream"
    accept = [b"accept: text/event-stream"]
    async with bedrock(double) as (_, px):
        _, _, raw = await call(px, body, operation=operation)
        assert raw == double.sent
        _, _, said = await call(px, body, operation=operation, headers=accept)
    assert said.count(b"\n\n") == 4
    assert b'{"type":"error","error":{"type":"api_error"' in said.split(b"\n\n")[3]
    unchecked = {"PROXY_BEDROCK_VALIDATE_EVENTSTREAM_CRC": "false"}
    async with bedrock(double, **unchecked) as (_, px):
        _, _, said = await call(px, body, operation=operation, headers=accept)
    assert b"event: message_stop" in said
    assert b"error" not in said


# Retrieval, where the operator allows lossy forms under cloud accounts.


class Forgetful(Bedrock):
    """Asks for what was left out of the first result it gets, then answers."""

    async def respond(self, request, writer):
        if b"tool_result" in request.body and b"toolu_r" not in request.body:
            digest = re.search(rb"ccr:([0-9a-f]{24})", request.body)[1].decode()
            asked = {"hash": digest}
            name = "headroom_retrieve"
            call = {"type": "tool_use", "id": "toolu_r", "name": name, "input": asked}
            self.answers = [[text("Let me see."), call], [text("The disk is full.")]]
        await super().respond(request, writer)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_retrievals_are_answered_inside_frames(is_stream):
    tool = {"name": "read_log", "input_schema": {"type": "object"}}
    call = {"type": "tool_use", "id": "toolu_1", "name": "read_log", "input": {}}
    question = {"role": "user", "content": "Why did the job fail? " * 200}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": noisy_log()}
    messages = [
        question,
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    run = streamed if is_stream else created
    double = Forgetful([call])
    async with bedrock(double, AUTH_OAUTH="compress,lossy") as (_, px):
        with sdk(px) as client:
            await asyncio.to_thread(run, client, [question], tools=[tool])
            found = await asyncio.to_thread(run, client, messages, tools=[tool])
    assert "".join(b.text for b in found.content) == "Let me see.The disk is full."
    assert [block.type for block in found.content] == ["text", "text"]
    assert found.stop_reason == "end_turn"
    assert len(double.requests) == 3
    assert not double.problems
    asked = [json.loads(sent.body) for sent in double.requests]
    names = [[tool["name"] for tool in sent["tools"]] for sent in asked]
    assert names == [["read_log", "headroom_retrieve"]] * 3
    assert asked[2]["messages"][:3] == asked[1]["messages"]
    retrieved = asked[2]["messages"][-1]["content"][0]
    assert retrieved["tool_use_id"] == "toolu_r"
    assert noisy_log()[1000:1200] in json.dumps(retrieved).replace("\\n", "\n")


async def test_frames_that_hide_nothing_keep_their_bytes_where_retrievals_could_be():
    settings = {"AUTH_OAUTH": "compress,lossy"}
    body = json.dumps(envelope(conversation(1))).encode()
    for extra in ([], [frame("chunk", {"type": "message_stop"})]):
        double = Bedrock()
        if extra:
            double.breaks_with = extra
        async with bedrock(double, **settings) as (_, px):
            _, _, raw = await call(px, body, operation="invoke-with-response-stream")
        assert raw[: len(double.sent)] == double.sent

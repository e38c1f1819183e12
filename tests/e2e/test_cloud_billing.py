"""Claude behind Bedrock and Vertex, billed by a provider that keeps a prefix cache.

A whole tool loop with thinking whose signatures are checked: what the model asked back
in between stands again in every later request, and every token that the provider had in
its cache is read from there, lossless and lossy, streamed and not.
"""

import asyncio
import contextlib
import json
import random

import anthropic
import pytest

from bedrock_clients import use_credentials
from clouds import chunk, signature_problem
from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.stream import events
from headroom.proxy.google_tokens import Token
from loopback import answer, provider, proxy, send_chunk, start_chunked

pytestmark = pytest.mark.e2e

TURNS = 4
TOOL = {
    "name": "read_log",
    "description": "The log of one part",
    "input_schema": {"type": "object", "properties": {"part": {"type": "integer"}}},
}
QUESTION = "Why are the jobs slow?\n" + "".join(
    f"{i}. Look at worker {i} before you restart it.\n" for i in range(99)
)
# In the provider's order, which is part of a prefix for the lab.
FIELDS = {
    "thinking": ("thinking", "signature"),
    "text": ("text",),
    "tool_use": ("id", "name", "input"),
}
EVENT_STREAM = (b"content-type: application/vnd.amazon.eventstream",)


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The proxy's own credentials, and nothing of the machine's."""
    use_credentials(monkeypatch, tmp_path)


def log(part):
    rng = random.Random(part)
    lines = [
        f"2026-03-0{1 + part}T12:{i // 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(500)
    ]
    lines[rng.randrange(500)] = f"2026-03-01T12:00:00Z ERROR job {part} failed: disk\n"
    return "".join(lines)


def script_of(retrieves):
    script = Script(retrieve_every=int(retrieves), thinks=True)
    answers = [
        [
            {"type": "text", "text": f"I look at part {part}."},
            {
                "type": "tool_use",
                "id": f"toolu_{part:02d}part",
                "name": "read_log",
                "input": {"part": part},
            },
        ]
        for part in range(TURNS)
    ]
    script.register("cloud", [*answers, [{"type": "text", "text": "It is the disk."}]])
    return script


class Cloud:
    """A lab behind the wire format of a cloud."""

    def __init__(self, retrieves):
        self.lab = Lab(
            TokenCounter(),
            script=script_of(retrieves),
            is_strict_thinking=True,
            keeps_requests=True,
        )
        self.problems = []

    def _reply(self, request, model):
        body = json.loads(request.body)
        assert body.pop("anthropic_version")
        headers = {
            "x-api-key": "sk-ant-cachelab-cloud",
            "anthropic-version": "2023-06-01",
        }
        named = json.dumps({"model": model, **body}).encode()
        return self.lab.messages(headers, named)

    async def bedrock(self, request, writer):
        if problem := signature_problem(request):
            self.problems.append(problem)
        reply = self._reply(request, "claude-opus-5-5")
        if reply.status != 200 or not request.target.endswith(b"-stream"):
            await answer(writer, reply.data(), status=b"%d X" % reply.status)
            return
        await start_chunked(writer, headers=EVENT_STREAM)
        for event in events(reply.message):
            await send_chunk(writer, chunk(event))
        await send_chunk(writer, b"")

    async def vertex(self, request, writer):
        if request.get(b"authorization") != b"Bearer ya29.good":
            self.problems.append("no token")
        reply = self._reply(request, "claude-opus-5-5")
        if reply.status != 200 or b":streamRawPredict" not in request.target:
            await answer(writer, reply.data(), status=b"%d X" % reply.status)
            return
        await start_chunked(writer)
        await send_chunk(writer, b"".join(reply.pieces(reply.message)))
        await send_chunk(writer, b"")


def client_of(name, px):
    if name == "bedrock":
        return anthropic.AnthropicBedrock(
            aws_access_key="AKIDCLIENT",
            aws_secret_key="client",
            aws_region="eu-west-1",
            base_url=px.url,
            max_retries=0,
        )
    return anthropic.AnthropicVertex(
        region="us-east5",
        project_id="acme",
        access_token="ya29.good",
        base_url=f"{px.url}/v1",
        max_retries=0,
    )


def loop(client, model, *, is_stream):
    """The client's whole tool loop; what the model said in each turn."""
    messages = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    said = []
    while True:
        for message in messages:
            for block in message["content"] if message["role"] == "user" else ():
                block.pop("cache_control", None)
        messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        arguments = {
            "model": model,
            "max_tokens": 2000,
            "thinking": {"type": "adaptive"},
            "tools": [TOOL],
            "messages": messages,
        }
        if is_stream:
            with client.messages.stream(**arguments) as stream:
                answered = stream.get_final_message()
        else:
            answered = client.messages.create(**arguments)
        said.append("".join(b.text for b in answered.content if b.type == "text"))
        calls = [block for block in answered.content if block.type == "tool_use"]
        content = [
            {name: getattr(block, name) for name in ("type", *FIELDS[block.type])}
            for block in answered.content
        ]
        messages.append({"role": "assistant", "content": content})
        if not calls:
            return said
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": log(call.input["part"]),
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})


@pytest.mark.parametrize("is_stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("words", ["compress", "compress,lossy"])
@pytest.mark.parametrize("name", ["bedrock", "vertex"])
async def test_every_cached_token_is_read_again(name, words, is_stream):
    cloud = Cloud(retrieves=True)
    model = "anthropic.claude-opus-5-5" if name == "bedrock" else "claude-opus-5-5"
    async with (
        provider(getattr(cloud, name)) as made,
        proxy(
            made.url,
            token_source=lambda: Token("ya29.good", 4e9),
            AUTH_OAUTH=words,
        ) as px,
    ):
        with contextlib.closing(client_of(name, px)) as client:
            said = await asyncio.to_thread(loop, client, model, is_stream=is_stream)
        assert px.count("headroom_prefix_breaks_total") == 0
    assert said == [f"I look at part {part}." for part in range(TURNS)] + [
        "It is the disk."
    ]
    records = cloud.lab.records
    assert not cloud.problems
    assert not [record.error for record in records if record.error]
    assert not [record for record in records if record.thinking_dropped]
    is_lossy = "lossy" in words
    retrievals = sum(record.retrievals for record in records)
    assert len(records) == TURNS + 1 + retrievals
    assert retrievals >= TURNS - 1 if is_lossy else retrievals == 0
    cached = 0
    for record in records:
        assert record.usage.read >= cached
        cached = record.cached_tokens
    sent = json.dumps(cloud.lab.last_requests["cloud"]["messages"])
    if not is_lossy:  # else what was retrieved stands in it as well
        assert len(sent) < 0.8 * sum(len(log(part)) for part in range(TURNS))

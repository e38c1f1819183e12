"""The official google-genai SDK, as it comes, through the proxy to a billing lab."""

import contextlib
import json
import random

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from loopback import answer, proxy
from loopback import provider as scripted
from scripted_gemini import TOOL

pytestmark = [
    pytest.mark.e2e,
    # The SDK's own: it subclasses aiohttp's session.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]

MODEL = "gemini-3.1-pro-preview"
ANSWERS = [
    [
        {"type": "text", "text": "I look at the log of part 0 first."},
        {"type": "tool_use", "id": "1", "name": "read_log", "input": {"part": 0}},
        {"type": "tool_use", "id": "2", "name": "read_log", "input": {"part": 1}},
    ],
    [
        {"type": "text", "text": "And at the next part, “2” — with its ids."},
        {"type": "tool_use", "id": "3", "name": "read_log", "input": {"part": 2}},
    ],
    [{"type": "text", "text": "Job 1 failed: the disk is full."}],
]
CONFIG = types.GenerateContentConfig(
    system_instruction="You are careful. " * 1500,
    tools=[
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(
                    name="read_log",
                    description="The log of one part",
                    parameters_json_schema={
                        "type": "object",
                        "properties": {"part": {"type": "integer"}},
                    },
                )
            ]
        )
    ],
)
QUESTION = "Why are the jobs slow?"


def log(part):
    rng = random.Random(part)
    lines = [
        f"2026-03-0{1 + part}T12:{i // 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(500)
    ]
    return "".join(lines)


@contextlib.contextmanager
def sdk(url, key="sk-cachelab-sdk"):
    options = types.HttpOptions(base_url=url, timeout=20_000)
    with genai.Client(api_key=key, http_options=options) as client:
        yield client


@contextlib.asynccontextmanager
async def provider(retrieve_every=0, **settings):
    """A lab, its proxy, and the SDK's client for it."""
    script = Script(retrieve_every=retrieve_every)
    lab = Lab(TokenCounter(), script=script, keeps_requests=True)
    lab.script.register("sdk", ANSWERS)
    async with serving(make_app(lab)) as url, proxy(url, **settings) as px:
        with sdk(px.url) as client:
            yield lab, client.aio


def plain(parts):
    """What parts say, as the script has it: texts as one, then calls."""
    found = []
    for part in parts:
        if part.text:
            if found and found[-1]["type"] == "text":
                found[-1]["text"] += part.text
            else:
                found.append({"type": "text", "text": part.text})
        if part.function_call:
            call = part.function_call
            found.append({"type": "tool_use", "name": call.name, "input": call.args})
    return found


def scripted_answer(number):
    return [{k: v for k, v in b.items() if k != "id"} for b in ANSWERS[number]]


def results(parts):
    return [
        types.Part.from_function_response(
            name=part.function_call.name,
            response={"output": log(part.function_call.args["part"])},
        )
        for part in parts
        if part.function_call
    ]


def assert_compressed(lab):
    """All results arrived, in their places, shorter than they were; no prefix broke."""
    assert not [record.error for record in lab.records if record.error]
    sent = [
        part["functionResponse"]["response"]["output"]
        for content in lab.last_requests["sdk"]["contents"]
        for part in content["parts"]
        if part.get("functionResponse", {}).get("name") == "read_log"
    ]
    assert len(sent) == 3
    for part, text in enumerate(sent):
        assert 0 < len(text) < 0.8 * len(log(part))
    for before, after in zip(lab.records, lab.records[1:], strict=False):
        assert before.usage.total >= 4096
        assert after.usage.read == before.usage.read + before.usage.write_5m


async def test_answers_that_are_not_streamed_arrive_whole():
    async with provider(RETRIEVAL="off") as (lab, client):
        contents = [types.UserContent(QUESTION)]
        for number in range(3):
            whole = await client.models.generate_content(
                model=MODEL, contents=contents, config=CONFIG
            )
            parts = whole.candidates[0].content.parts
            assert plain(parts) == scripted_answer(number)
            usage = whole.usage_metadata
            assert usage.prompt_token_count == lab.records[-1].usage.total
            assert (usage.cached_content_token_count or 0) == lab.records[-1].usage.read
            contents.append(whole.candidates[0].content)
            if number < 2:
                contents.append(types.UserContent(results(parts)))
    assert_compressed(lab)


async def test_streams_and_tools_run_unmodified():
    async with provider(RETRIEVAL="off") as (lab, client):
        contents = [types.UserContent(QUESTION)]
        for number in range(3):
            stream = await client.models.generate_content_stream(
                model=MODEL, contents=contents, config=CONFIG
            )
            chunks = [chunk async for chunk in stream]
            parts = [p for c in chunks for p in c.candidates[0].content.parts or ()]
            assert plain(parts) == scripted_answer(number)
            assert chunks[-1].candidates[0].finish_reason == "STOP"
            assert chunks[-1].usage_metadata.candidates_token_count > 0
            kept = [part for part in parts if part.text != ""]
            contents.append(types.ModelContent(kept))
            if number < 2:
                contents.append(types.UserContent(results(parts)))
    assert_compressed(lab)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_chats_ask_originals_back_without_the_sdk_noticing(is_stream):
    async with provider(retrieve_every=1) as (lab, client):
        chat = client.chats.create(model=MODEL, config=CONFIG)
        message = QUESTION
        for number in range(3):
            if is_stream:
                stream = await chat.send_message_stream(message)
                chunks = [chunk async for chunk in stream]
            else:
                chunks = [await chat.send_message(message)]
            parts = [p for c in chunks for p in c.candidates[0].content.parts or ()]
            assert plain(parts) == scripted_answer(number)
            message = results(parts)
        names = [
            call.name
            for content in chat.get_history()
            for call in (part.function_call for part in content.parts or ())
            if call
        ]
    assert TOOL not in names
    assert not [record.error for record in lab.records if record.error]
    assert sum(record.retrievals for record in lab.records) == 3


class Verdict(BaseModel):
    failed: int
    reason: str


async def test_structured_output_is_parsed():
    async with provider() as (lab, client):
        said = '{"failed": 1, "reason": "the disk is full"}'
        lab.script.register("sdk", [[{"type": "text", "text": said}]])
        found = await client.models.generate_content(
            model=MODEL,
            contents=QUESTION,
            config=types.GenerateContentConfig(
                response_mime_type="application/json", response_schema=Verdict
            ),
        )
    assert found.parsed == Verdict(failed=1, reason="the disk is full")


@pytest.mark.parametrize("is_stream", [False, True])
async def test_refusals_reach_the_sdk_as_the_provider_words_them(is_stream):
    part = types.Part.from_function_response(name="f", response={"output": "x"})
    async with provider() as (_, client):
        with pytest.raises(errors.ClientError) as caught:
            await ask(client, types.UserContent([part]), is_stream=is_stream)
    assert caught.value.code == 400
    assert caught.value.status == "INVALID_ARGUMENT"
    assert "immediately after a function call turn" in caught.value.message


async def ask(client, contents, *, is_stream):
    if not is_stream:
        return await client.models.generate_content(model=MODEL, contents=contents)
    stream = await client.models.generate_content_stream(model=MODEL, contents=contents)
    return [chunk async for chunk in stream]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("status", "word", "error"),
    [
        (b"429 Too Many Requests", "RESOURCE_EXHAUSTED", errors.ClientError),
        (b"503 Service Unavailable", "UNAVAILABLE", errors.ServerError),
    ],
)
async def test_errors_have_the_sdks_own_classes(status, word, error, is_stream):
    code = int(status[:3])
    body = json.dumps({"error": {"code": code, "message": "no", "status": word}})

    async def refuse(_request, writer):
        await answer(writer, body.encode(), status=status)

    async with scripted(refuse) as up, proxy(up.url) as px:
        with sdk(px.url) as client, pytest.raises(error) as caught:
            await ask(client.aio, QUESTION, is_stream=is_stream)
    assert (caught.value.code, caught.value.status) == (code, word)


async def test_a_provider_that_is_gone_is_told_in_its_own_shape():
    async with proxy("http://127.0.0.1:1") as px:
        with sdk(px.url) as client, pytest.raises(errors.ServerError) as caught:
            await ask(client.aio, QUESTION, is_stream=False)
    assert (caught.value.code, caught.value.status) == (502, "UNAVAILABLE")


async def test_tokens_are_counted_of_what_was_written():
    counted = b'{"totalTokens": 7}'

    async def count(_request, writer):
        await answer(writer, counted)

    async with scripted(count) as up, proxy(up.url) as px:
        with sdk(px.url) as client:
            found = await client.aio.models.count_tokens(model=MODEL, contents=log(0))
    assert found.total_tokens == 7
    sent = json.loads(up.requests[0].body)
    assert sent["contents"][0]["parts"][0]["text"] == log(0)

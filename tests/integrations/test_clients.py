"""``with_headroom``: the official SDKs' clients, straight to a billing provider."""

import asyncio
import contextlib
import itertools
import json

import anthropic
import httpx2
import openai
import pytest

import headroom
from headroom.cachelab.lab import Lab, Reply, TokenCounter
from headroom.cachelab.prefix import as_blocks
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from headroom.integrations.clients import with_headroom
from jobs import ANSWERS, log
from loopback import answer, send_chunk, start_chunked
from loopback import provider as scripted

pytestmark = pytest.mark.e2e

SCHEMA = {
    "type": "object",
    "properties": {"part": {"type": "integer"}},
    "required": ["part"],
    "additionalProperties": False,
}
RULES = "You are careful. " * 400
QUESTION = {"role": "user", "content": "Why are the jobs slow?"}
STREAMS = pytest.mark.parametrize("is_stream", [True, False])


OPEN = []
"""Clients to close after each test."""


@pytest.fixture(autouse=True)
async def closed():
    yield
    while OPEN:
        found = OPEN.pop().close()
        if found is not None:
            await found


class BusyLab(Lab):
    """A provider that is overloaded whenever the model is to go on after retrieving."""

    def messages(self, headers, body):
        if is_retrieving(json.loads(body)):
            error = {"type": "overloaded_error", "message": "Overloaded"}
            return Reply(529, "req_busy", {"type": "error", "error": error})
        return super().messages(headers, body)


def is_retrieving(request):
    return any(
        block.get("name") == "headroom_retrieve"
        for message in request["messages"]
        for block in as_blocks(message["content"])
    )


@contextlib.asynccontextmanager
async def provider(kind=Lab, *, retrieves=True):
    script = Script(retrieve_every=1 if retrieves else 0)
    lab = kind(TokenCounter(), script=script, keeps_requests=True)
    lab.script.register("sdk", ANSWERS)
    async with serving(make_app(lab)) as url:
        yield lab, url


class Anthropic:
    """A conversation through the Messages API."""

    sdk = anthropic
    is_threaded = False

    def __init__(self, url, *, is_async=True, **more):
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        made = kind(
            api_key="sk-ant-cachelab-sdk", base_url=url, max_retries=0, timeout=20
        )
        OPEN.append(made)
        self.plain_client = made
        self.client = with_headroom(made, **more)
        self.history = [QUESTION]

    def asked(self):
        return {
            "model": "claude-opus-5",
            "max_tokens": 1000,
            "system": RULES,
            "tools": [{"name": "read_log", "input_schema": SCHEMA}],
            "messages": self.history,
        }

    async def turn(self, is_stream):
        if is_stream:
            async with self.client.messages.stream(**self.asked()) as stream:
                message = await stream.get_final_message()
        else:
            message = await self.client.messages.create(**self.asked())
        return self.take(message)

    def blocking_turn(self, is_stream):
        if is_stream:
            with self.client.messages.stream(**self.asked()) as stream:
                return self.take(stream.get_final_message())
        return self.take(self.client.messages.create(**self.asked()))

    def take(self, message):
        said = [b.model_dump(exclude_none=True) for b in message.content]
        results = [
            {
                "type": "tool_result",
                "tool_use_id": block.id,
                "content": log(block.input["part"]),
            }
            for block in message.content
            if block.type == "tool_use"
        ]
        # The SDK's own objects go back as they are.
        self.history = [
            *self.history,
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": results or "Thanks. And now?"},
        ]
        fields = {"text": ("type", "text"), "tool_use": ("type", "id", "name", "input")}
        return [{name: b[name] for name in fields[b["type"]]} for b in said]


class Chat:
    """A conversation through Chat Completions."""

    sdk = openai
    is_threaded = False

    def __init__(self, url, *, is_async=True, **more):
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        made = kind(
            api_key="sk-cachelab-sdk", base_url=f"{url}/v1", max_retries=0, timeout=20
        )
        OPEN.append(made)
        self.plain_client = made
        self.client = with_headroom(made, **more)
        self.history = [{"role": "system", "content": RULES}, QUESTION]

    def asked(self):
        function = {"name": "read_log", "parameters": SCHEMA, "strict": True}
        return {
            "model": "gpt-5",
            "messages": self.history,
            "tools": [{"type": "function", "function": function}],
        }

    async def turn(self, is_stream):
        if is_stream:
            async with self.client.chat.completions.stream(**self.asked()) as stream:
                whole = await stream.get_final_completion()
        else:
            whole = await self.client.chat.completions.create(**self.asked())
        return self.take(whole)

    def blocking_turn(self, is_stream):
        if is_stream:
            with self.client.chat.completions.stream(**self.asked()) as stream:
                return self.take(stream.get_final_completion())
        return self.take(self.client.chat.completions.create(**self.asked()))

    def take(self, whole):
        message = whole.choices[0].message
        text = [{"type": "text", "text": message.content}] if message.content else []
        calls = [
            {
                "type": "tool_use",
                "id": call.id,
                "name": call.function.name,
                "input": json.loads(call.function.arguments),
            }
            for call in message.tool_calls or ()
        ]
        results = [
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "content": log(call["input"]["part"]),
            }
            for call in calls
        ]
        self.history = [
            *self.history,
            message.model_dump(exclude_none=True),
            *(results or [{"role": "user", "content": "Thanks. And now?"}]),
        ]
        return text + calls


class Responses:
    """A conversation through the Responses API, sent in full every time."""

    sdk = openai
    is_threaded = False

    def __init__(self, url, **more):
        Chat.__init__(self, url, **more)
        self.history = [QUESTION]

    def asked(self):
        tool = {"type": "function", "name": "read_log", "parameters": SCHEMA}
        return {
            "model": "gpt-5",
            "instructions": RULES,
            "input": self.history,
            "tools": [{**tool, "strict": True}],
            "store": False,
        }

    async def turn(self, is_stream):
        if is_stream:
            async with self.client.responses.stream(**self.asked()) as stream:
                return self.take(await stream.get_final_response())
        return self.take(await self.client.responses.create(**self.asked()))

    def blocking_turn(self, is_stream):
        if is_stream:
            with self.client.responses.stream(**self.asked()) as stream:
                return self.take(stream.get_final_response())
        return self.take(self.client.responses.create(**self.asked()))

    def take(self, response):
        found, results = [], []
        for item in response.output:
            if item.type == "message":
                found.append({"type": "text", "text": item.content[0].text})
            elif item.type == "function_call":
                given = json.loads(item.arguments)
                block = {"type": "tool_use", "id": item.call_id, "name": item.name}
                found.append({**block, "input": given})
                results.append(
                    {
                        "type": "function_call_output",
                        "call_id": item.call_id,
                        "output": log(given["part"]),
                    }
                )
        said = [item.model_dump(exclude_none=True) for item in response.output]
        for item in said:
            item.pop("parsed_arguments", None)
            for part in item.get("content", ()):
                part.pop("parsed", None)
        self.go_on(response, said, results)
        return found

    def go_on(self, response, said, results):
        thanks = [{"role": "user", "content": "Thanks. And now?"}]
        self.history = [*self.history, *said, *(results or thanks)]


class Kept(Responses):
    """The same, where the provider keeps the conversation."""

    is_threaded = True
    previous = None

    def asked(self):
        more = {"previous_response_id": self.previous} if self.previous else {}
        return {**super().asked(), "store": True, **more}

    def go_on(self, response, said, results):
        self.previous = response.id
        self.history = results or [{"role": "user", "content": "Thanks. And now?"}]


ALL = pytest.mark.parametrize("kind", [Anthropic, Chat, Responses, Kept])


def assert_kept(lab, *, retrieved):
    """Nothing was refused, prefixes were read from the cache, calls were answered."""
    assert not [record.error for record in lab.records if record.error]
    assert sum(r.retrievals for r in lab.records) == retrieved


@STREAMS
@ALL
async def test_conversations_are_compressed_and_retrievals_not_seen(kind, is_stream):
    async with provider() as (lab, url):
        run = kind(url)
        for number in range(3):
            assert await run.turn(is_stream) == ANSWERS[number]
        # Where the provider keeps answers nothing is left out: others may fetch them.
        assert_kept(lab, retrieved=0 if run.is_threaded else 3)
        await run.client.close()


@STREAMS
@ALL
async def test_blocking_clients_do_the_same(kind, is_stream):
    import asyncio

    async with provider() as (lab, url):
        run = kind(url, is_async=False)
        for number in range(3):
            said = await asyncio.to_thread(run.blocking_turn, is_stream)
            assert said == ANSWERS[number]
        assert_kept(lab, retrieved=0 if run.is_threaded else 3)
        run.client.close()


@pytest.mark.parametrize("kind", [Chat, Responses])
async def test_the_providers_cache_is_kept(kind):
    async with provider(retrieves=False) as (lab, url):
        run = kind(url)
        for _ in range(3):
            await run.turn(is_stream=True)
        used = [record.usage for record in lab.records]
    assert len(used) == 3
    for before, after in itertools.pairwise(used):
        assert after.read == before.read + before.write_5m


@ALL
async def test_it_costs_less_than_without(kind):
    costs = []
    for make in (lambda client: client, with_headroom):
        async with provider(retrieves=False) as (lab, url):
            run = kind(url)
            run.client = make(run.plain_client)
            for _ in range(3):
                await run.turn(is_stream=False)
            costs.append(sum(record.cost for record in lab.records))
    assert costs[1] < 0.75 * costs[0]


async def test_a_session_of_ones_own_survives_the_client(tmp_path):
    url_of_store = f"sqlite://{tmp_path}/store.db"
    async with provider() as (lab, url):
        with headroom.Session(url_of_store, retrieval="tool") as session:
            run = Anthropic(url, session=session)
            for number in range(2):
                assert await run.turn(is_stream=True) == ANSWERS[number]
        with headroom.Session(url_of_store, retrieval="tool") as session:
            run.client = with_headroom(run.plain_client, session=session)
            for number in range(2, 3):
                assert await run.turn(is_stream=False) == ANSWERS[number]
        assert_kept(lab, retrieved=3)


async def test_a_lossless_session_leaves_the_tool_list_alone():
    async with provider() as (lab, url):
        run = Anthropic(url, session=headroom.Session())
        for number in range(3):
            assert await run.turn(is_stream=True) == ANSWERS[number]
        sent = lab.last_requests["sdk"]
    assert [tool["name"] for tool in sent["tools"]] == ["read_log"]
    assert len(json.dumps(sent)) < 0.8 * sum(len(log(n)) for n in range(3))


async def test_under_an_accounts_token_nothing_is_left_out_and_no_tool_added():
    seen = []

    async def keep(request, writer):
        seen.append(json.loads(request.body))
        await answer(writer, b'{"type":"message","content":[],"role":"assistant"}')

    async with scripted(keep) as target:
        made = anthropic.AsyncAnthropic(
            auth_token="sk-ant-oat01-x", base_url=target.url
        )
        OPEN.append(made)
        use = {"type": "tool_use", "id": "a", "name": "read_log", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "a", "content": log(0)}
        await with_headroom(made).messages.create(
            model="claude-opus-5",
            max_tokens=10,
            tools=[{"name": "read_log", "input_schema": SCHEMA}],
            messages=[
                QUESTION,
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [result]},
            ],
        )
    assert [tool["name"] for tool in seen[0]["tools"]] == ["read_log"]
    sent = seen[0]["messages"][2]["content"][0]["content"]
    assert "ccr:" not in sent
    assert len(sent) < len(log(0))


@STREAMS
async def test_refusals_are_raised_as_without(is_stream):
    async with provider() as (_, url):
        run = Anthropic(url)
        stray = {"type": "tool_result", "tool_use_id": "toolu_x", "content": "x"}
        run.history = [{"role": "user", "content": [stray]}]
        with pytest.raises(anthropic.BadRequestError, match="tool_use_id"):
            await run.turn(is_stream)


@STREAMS
async def test_an_error_behind_a_retrieval_is_raised_by_the_sdk(is_stream):
    async with provider(BusyLab) as (_, url):
        run = Anthropic(url)
        await run.turn(is_stream)
        with pytest.raises(anthropic.APIStatusError) as raised:
            await run.turn(is_stream)
    assert raised.value.body["error"]["type"] == "overloaded_error"


@ALL
async def test_a_provider_that_is_gone_is_a_connection_error(kind):
    run = kind("http://127.0.0.1:1")
    with pytest.raises(run.sdk.APIConnectionError):
        await run.turn(is_stream=False)


async def test_a_stream_that_breaks_off_raises_what_it_raises_without():
    async def break_off(request, writer):
        await start_chunked(writer)
        await send_chunk(writer, b'data: {"id":"x","choices":[],"created":1}\n\n')
        writer.transport.abort()

    async with scripted(break_off) as target:
        run, errors = Chat(target.url), []
        for client in (run.plain_client, run.client):
            run.client = client
            with pytest.raises(Exception) as raised:
                await run.turn(is_stream=True)
            errors.append(type(raised.value))
    assert errors[0] is errors[1]


async def test_a_program_that_leaves_a_stream_leaves_the_provider():
    async def trickle(request, writer):
        await start_chunked(writer)
        while not request.closed.is_set():
            await send_chunk(writer, b": waiting\n\n")
            await send_chunk(
                writer,
                b'data: {"id":"x","object":"chat.completion.chunk","created":1,'
                b'"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
            )

    async with scripted(trickle) as target:
        run = Chat(target.url)
        async with run.client.chat.completions.stream(**run.asked()) as stream:
            async for _ in stream:
                break
        await run.client.close()
        await asyncio.wait_for(target.requests[0].closed.wait(), 10)
        assert target.requests[0].closed.is_set()


async def test_what_is_not_compressed_leaves_byte_for_byte():
    seen = []

    async def keep(request, writer):
        seen.append((request.target, request.body))
        await answer(
            writer, b'{"object":"list","data":[{"embedding":[],"index":0}],"model":"m"}'
        )

    async with scripted(keep) as target:
        run = Chat(target.url)
        for client in (run.plain_client, run.client):
            await client.embeddings.create(model="m", input=log(0))
            await client.post(
                "/chat/completions",
                cast_to=object,
                content=b'{"messages": [ "odd" ]}',
                options={"headers": {"content-type": "application/json"}},
            )
    assert seen[:2] == seen[2:]


async def test_hooks_and_limits_of_the_original_http_client_hold():
    paths = []

    async def hook(request):
        paths.append(request.url.path)

    async with provider() as (_, url):
        http = openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [hook]}, limits=httpx2.Limits(max_connections=3)
        )
        made = openai.AsyncOpenAI(
            api_key="sk-cachelab-sdk", base_url=f"{url}/v1", http_client=http
        )
        client = with_headroom(made)
        await client.models.list()
        await client.close()
    assert paths == ["/v1/models"]


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="expected a client of"):
        with_headroom(object())

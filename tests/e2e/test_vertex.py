"""Vertex AI through the proxy: its official clients as they come, a checking double."""

import asyncio
import contextlib
import itertools
import json
import random

import anthropic
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from google.oauth2.credentials import Credentials

from bedrock_clients import rows
from clouds import Vertex, message_events, text
from headroom.errors import VertexTokenError
from headroom.proxy.google_tokens import Token
from loopback import client, get, post, provider, proxy

pytestmark = pytest.mark.e2e

MODEL = "claude-sonnet-4-5@20250929"
PLACE = b"/v1/projects/acme/locations/us-east5"
CLAUDE = PLACE + b"/publishers/anthropic/models/claude-sonnet-4-5%4020250929:rawPredict"
STREAM = CLAUDE.replace(b":raw", b":streamRaw")


class Tokens:
    """A source of tokens that are good for an hour; fails while ``is_down``."""

    def __init__(self, value="ya29.good", quota_project=""):
        self.value = value
        self.quota_project = quota_project
        self.is_down = False
        self.fetched = 0

    def __call__(self):
        self.fetched += 1
        if self.is_down:
            raise VertexTokenError("Google gave no access token: RefreshError")
        return Token(self.value, 4e9, self.quota_project)


@contextlib.asynccontextmanager
async def vertex(double=None, tokens=None, **settings):
    double = double or Vertex()
    async with (
        provider(double.respond) as made,
        proxy(made.url, token_source=tokens or Tokens(), **settings) as px,
    ):
        yield double, px


def envelope(messages, **more):
    """A Messages body as Vertex takes it."""
    body = {
        "anthropic_version": "vertex-2023-10-16",
        "messages": messages,
        "max_tokens": 100,
        "tools": [{"name": "list_hosts", "input_schema": {"type": "object"}}],
    }
    return {**body, **more}


def conversation(turns):
    messages = [{"role": "user", "content": "Which hosts are loaded? " * 200}]
    for turn in range(turns):
        call_id = f"toolu_{turn}"
        call = {"type": "tool_use", "id": call_id, "name": "list_hosts", "input": {}}
        result = {"type": "tool_result", "tool_use_id": call_id}
        result["content"] = rows(60, turn)
        messages += [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
    return messages


async def call(px, body, *, path=CLAUDE, headers=()):
    async with client(px) as raw:
        await raw.send(post(body, path=path, headers=headers))
        return await raw.response()


async def test_native_envelope_round_trip_byte_equal():
    body = (
        b'{ "anthropic_version" : "vertex-2023-10-16",\n "max_tokens":1e2,'
        b'"messages":[{"role":"user","content":"caf\\u00e9 \xe2\x80\x94 \\/"}],'
        b'"temperature":1.10 }'
    )
    async with vertex() as (double, px):
        status, _, answered = await call(px, body)
    assert status == 200
    assert double.requests[0].body == body
    assert double.requests[0].target == CLAUDE
    assert json.loads(answered)["content"] == [text("Hello from Vertex.")]


async def test_adc_bearer_token_signed_correctly():
    tokens = Tokens(quota_project="billing-project")
    body = json.dumps(envelope(conversation(1))).encode()
    async with vertex(tokens=tokens) as (double, px):
        for _ in range(3):
            assert (await call(px, body))[0] == 200
    for sent in double.requests:
        assert sent.all(b"authorization") == [b"Bearer ya29.good"]
        assert sent.get(b"x-goog-user-project") == b"billing-project"
        assert len(sent.body) < len(body)
        assert sent.body.startswith(b'{"anthropic_version": "vertex-2023-10-16"')
    assert tokens.fetched == 1


async def test_stream_raw_predict_sse_handled():
    body = json.dumps(envelope(conversation(1), stream=True)).encode()
    async with vertex() as (double, px):
        status, headers, raw = await call(px, body, path=STREAM)
        await asyncio.sleep(0.05)
        counted = px.count("headroom_usage_tokens_total", **{"class": "output_tokens"})
    events = [
        json.loads(line[6:]) for line in raw.split(b"\n") if line[:6] == b"data: "
    ]
    assert (status, headers[b"content-type"]) == (200, b"text/event-stream")
    assert events == list(message_events([text("Hello from Vertex.")]))
    assert len(double.requests[0].body) < len(body)
    assert counted == 9


async def test_adc_failure_returns_5xx_no_silent_forward():
    tokens = Tokens()
    tokens.is_down = True
    body = json.dumps(envelope([])).encode()
    async with vertex(tokens=tokens) as (double, px):
        status, headers, said = await call(px, body)
        assert (status, headers[b"x-headroom-error"]) == (
            502,
            b"vertex_adc_fetch_failed",
        )
        assert json.loads(said)["error"]["status"] == "UNAVAILABLE"
        assert not double.requests
        tokens.is_down = False
        assert (await call(px, body))[0] == 200


async def test_without_any_credentials_of_googles_nothing_is_sent(
    monkeypatch, tmp_path
):
    """The real chain, on a machine that has nothing in it."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    double = Vertex()
    async with provider(double.respond) as made, proxy(made.url) as px:
        status, headers, _ = await call(px, json.dumps(envelope([])).encode())
    assert (status, headers[b"x-headroom-error"]) == (502, b"vertex_adc_fetch_failed")
    assert not double.requests


async def test_a_client_that_brings_its_own_token_keeps_it():
    tokens = Tokens()
    own = [b"authorization: Bearer ya29.client"]
    async with vertex(Vertex(token="ya29.client"), tokens) as (double, px):
        assert (await call(px, json.dumps(envelope([])).encode(), headers=own))[
            0
        ] == 200
    assert double.requests[0].all(b"authorization") == [b"Bearer ya29.client"]
    assert tokens.fetched == 0


async def test_an_api_key_of_googles_is_a_credential_too():
    tokens = Tokens()
    path = b"/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent"
    body = b'{"contents":[{"role":"user","parts":[{"text":"x"}]}]}'
    async with vertex(tokens=tokens) as (double, px):
        await call(px, body, path=path, headers=[b"x-goog-api-key: AIza"])
        await call(px, body, path=path + b"?key=AIza&alt=json")
    assert [sent.get(b"authorization") for sent in double.requests] == [None, None]
    assert double.requests[0].get(b"x-goog-api-key") == b"AIza"
    assert tokens.fetched == 0


async def test_keys_of_other_apis_are_replaced_and_stay_here():
    keys = [b"authorization: Bearer sk-ant-oat01-x", b"x-api-key: sk-ant-api03-x"]
    async with vertex() as (double, px):
        assert (await call(px, json.dumps(envelope([])).encode(), headers=keys))[
            0
        ] == 200
    sent = b"".join(value for _, value in double.requests[0].headers)
    assert b"sk-ant" not in sent


async def test_web_pages_cannot_spend_the_operators_money():
    evil = [b"origin: https://evil.test"]
    async with vertex() as (double, px):
        assert (await call(px, b"{}", headers=evil))[0] == 403
    assert not double.requests


@pytest.mark.parametrize(
    "path",
    [
        PLACE + b"/publishers/anthropic/models/claude-opus-4:generateContent",
        PLACE + b"/publishers/anthropic/models/claude-opus-4:rawPredict:other",
        b"/v1/projects/p/locations/evil.test/publishers/google/models/m:generateContent",
        b"/v1/projects/p/locations/us-east5.evil/publishers/google/models/m:x",
        b"/v1/projects/p/locations/x%2f..%2fy/publishers/google/models/m:x",
        b"/v1/projects/p/locations/us-east5%40evil.test/endpoints/1:predict",
    ],
)
async def test_methods_and_locations_that_are_not_there_are_answered_404(path):
    async with vertex() as (double, px):
        assert (await call(px, b"{}", path=path))[0] == 404
    assert not double.requests


async def test_calls_of_other_models_pass_untouched_with_a_token():
    body = json.dumps({"instances": rows(60)}).encode()
    paths = [
        PLACE + b"/publishers/meta/models/llama-4:rawPredict",
        PLACE + b"/publishers/google/models/gemini-2.5-pro:countTokens",
        PLACE + b"/publishers/anthropic/models/count-tokens:rawPredict",
    ]
    async with vertex() as (double, px):
        for path in paths:
            assert (await call(px, body, path=path))[0] == 200
        assert [request.body for request in double.requests] == [body] * len(paths)


async def test_what_is_no_call_of_a_model_gets_no_token_and_passes_with_the_clients():
    body = json.dumps({"instances": rows(60)}).encode()
    paths = [
        PLACE + b"/endpoints/123:deployModel",
        PLACE + b"/cachedContents",
        PLACE + b"/publishers/google/models/..%2F..%2Fjobs:countTokens",
        b"/v1/projects/../locations/us-east5/endpoints/1:generateContent",
    ]
    tokens = Tokens()
    own = b"authorization: Bearer ya29.good"
    async with vertex(tokens=tokens) as (double, px):
        for path in paths:
            status, _, answer = await call(px, body, path=path)
            assert (status, double.requests) == (401, [])
            assert "credentials of your own" in json.loads(answer)["error"]["message"]
        async with client(px) as raw:
            await raw.send(get(CLAUDE))
            assert (await raw.response())[0] == 401
        for path in paths:
            assert (await call(px, body, path=path, headers=[own]))[0] == 200
        assert [request.body for request in double.requests] == [body] * len(paths)
    assert tokens.fetched == 0


@pytest.mark.parametrize(
    "change", [{"model": MODEL}, {"anthropic_version": None}], ids=["model", "version"]
)
async def test_an_envelope_that_is_not_vertexs_passes_untouched(change):
    body = {**envelope(conversation(1)), **change}
    body = {name: value for name, value in body.items() if value is not None}
    sent = json.dumps(body).encode()
    async with vertex() as (double, px):
        await call(px, sent)
    assert double.requests[0].body == sent


async def test_what_was_sent_once_is_sent_the_same_way_again():
    async with vertex() as (double, px):
        for turns in range(1, 5):
            body = json.dumps(envelope(conversation(turns))).encode()
            assert (await call(px, body))[0] == 200
    for before, after in itertools.pairwise(double.requests):
        shared = before.body[: before.body.rindex(b'], "max_tokens"')]
        assert after.body.startswith(shared)
    assert len(double.requests[-1].body) < 0.75 * len(body)


# The official clients.


def anthropic_client(px, **options):
    return anthropic.AnthropicVertex(
        region="us-east5",
        project_id="acme",
        access_token="ya29.good",
        base_url=f"{px.url}/v1",
        max_retries=0,
        **options,
    )


def created(client, messages):
    return client.messages.create(model=MODEL, max_tokens=100, messages=messages)


def streamed(client, messages):
    with client.messages.stream(
        model=MODEL, max_tokens=100, messages=messages
    ) as stream:
        return stream.get_final_message()


async def test_the_anthropic_sdks_vertex_client_runs_unmodified():
    messages = conversation(1)
    async with vertex() as (double, px):
        with anthropic_client(px) as client:
            whole = await asyncio.to_thread(created, client, messages)
            stream = await asyncio.to_thread(streamed, client, messages)
            count = await asyncio.to_thread(
                client.messages.count_tokens, model=MODEL, messages=messages
            )
    for found in (whole, stream):
        assert found.content[0].text == "Hello from Vertex."
        assert found.usage.output_tokens == 9
    assert count is not None
    full = len(json.dumps(messages, separators=(",", ":")))
    sizes = [len(sent.body) < full for sent in double.requests]
    assert sizes == [True, True, False]  # what is counted leaves as it came
    assert double.requests[0].target.endswith(b":rawPredict")
    assert double.requests[1].target.endswith(b":streamRawPredict")


async def test_the_anthropic_sdk_is_told_vertexs_errors_and_ours():
    async with vertex() as (double, px):
        with anthropic_client(px) as client:
            double.failure = (429, "RESOURCE_EXHAUSTED", "Quota exceeded")
            for run in (created, streamed):
                with pytest.raises(anthropic.RateLimitError, match="Quota exceeded"):
                    await asyncio.to_thread(run, client, conversation(1))


async def test_retrievals_are_answered_inside_vertexs_streams():
    rng = random.Random(7)
    log = "\n".join(
        f"2026-03-01T12:{i // 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms"
        for i in range(500)
    )
    use = {"type": "tool_use", "id": "toolu_1", "name": "read_log", "input": {}}
    question = {"role": "user", "content": "Why did the job fail? " * 200}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": log}
    messages = [
        question,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    tools = [{"name": "read_log", "input_schema": {"type": "object"}}]

    async def respond(request, writer):
        if b"tool_result" in request.body and b"toolu_r" not in request.body:
            marked = request.body.index(b"ccr:") + 4
            asked = {"hash": request.body[marked : marked + 24].decode()}
            call = {"type": "tool_use", "id": "toolu_r", "name": "headroom_retrieve"}
            double.answers = [[text("So. "), {**call, "input": asked}], [text("Disk.")]]
        await double.respond(request, writer)

    double = Vertex([use])
    async with (
        provider(respond) as made,
        proxy(made.url, token_source=Tokens(), AUTH_OAUTH="compress,lossy") as px,
        anthropic.AsyncAnthropicVertex(
            region="us-east5",
            project_id="acme",
            access_token="ya29.good",
            base_url=f"{px.url}/v1",
            max_retries=0,
        ) as client,
    ):
        for sent in ([question], messages):
            async with client.messages.stream(
                model=MODEL, max_tokens=99, messages=sent, tools=tools
            ) as stream:
                found = await stream.get_final_message()
    assert "".join(block.text for block in found.content) == "So. Disk."
    assert len(double.requests) == 3


def gemini_client(px):
    return genai.Client(
        vertexai=True,
        project="acme",
        location="us-central1",
        credentials=Credentials(token="ya29.good"),
        http_options=types.HttpOptions(base_url=px.url),
    )


async def test_google_genai_runs_unmodified_on_vertex():
    call = types.FunctionCall(name="list_hosts", args={"zone": 1})
    answer = types.FunctionResponse(name="list_hosts", response={"result": rows(60)})
    contents = [
        types.Content(role="user", parts=[types.Part(text="Which hosts? " * 2000)]),
        types.Content(role="model", parts=[types.Part(function_call=call)]),
        types.Content(role="user", parts=[types.Part(function_response=answer)]),
    ]
    model = "gemini-2.5-pro"
    async with vertex() as (double, px):
        with gemini_client(px) as client:

            def run():
                whole = client.models.generate_content(model=model, contents=contents)
                stream = client.models.generate_content_stream(
                    model=model, contents=contents
                )
                return whole.text, "".join(part.text for part in stream)

            assert await asyncio.to_thread(run) == ("Hello from Vertex.",) * 2
            double.failure = (429, "RESOURCE_EXHAUSTED", "Quota exceeded")
            with pytest.raises(genai_errors.ClientError, match="Quota exceeded"):
                await asyncio.to_thread(run)
    for sent in double.requests[:2]:
        result = json.loads(sent.body)["contents"][-1]["parts"][0]["functionResponse"]
        assert len(result["response"]["result"]) < len(rows(60))
        place = b"/v1beta1/projects/acme/locations/us-central1/publishers/google/"
        assert sent.target.startswith(place)

"""LiteLLM's own client and router, with a billing provider behind."""

import itertools
import json

import litellm
import pytest
from litellm import Router

import headroom
from examples import blocks, run
from examples import lab as provider
from headroom.integrations.litellm import HeadroomCallback
from jobs import ANSWERS, log

# LiteLLM's own modules warn of each other, and leave their clients to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")

TOOL = {
    "type": "function",
    "function": {
        "name": "read_log",
        "parameters": {
            "type": "object",
            "properties": {"part": {"type": "integer"}},
        },
    },
}
START = [
    {"role": "system", "content": "You are careful. " * 400},
    {"role": "user", "content": "Why are the jobs slow?"},
]


@pytest.fixture(autouse=True)
def callbacks():
    litellm.callbacks = []
    yield
    litellm.callbacks = []


async def test_what_was_left_out_is_asked_back_by_a_tool_of_ones_own_loop():
    async with provider(retrieve_every=1) as (lab, url):
        with headroom.Session(retrieval="mcp") as session:
            litellm.callbacks = [HeadroomCallback(session)]
            tools = [TOOL, session.retrieval_tool("openai_chat")]
            messages, calls = list(START), True
            while calls:
                answer = await plain(url)(messages=messages, tools=tools)
                message = answer.choices[0].message
                messages.append(message.model_dump(exclude_none=True))
                calls = message.tool_calls or ()
                for call in calls:
                    given = json.loads(call.function.arguments)
                    is_ours = call.function.name == "headroom_retrieve"
                    text = session.retrieve(given) if is_ours else log(given["part"])
                    messages.append(
                        {"role": "tool", "tool_call_id": call.id, "content": text}
                    )
        assert not [record.error for record in lab.records if record.error]
        used = [record.usage for record in lab.records]
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    assert message.content == ANSWERS[2][0]["text"]
    outputs = [m["content"] for m in messages if m["role"] == "tool"]
    # Each log, as the tool returned it and as it was asked back.
    assert sorted(outputs) == sorted([log(n) for n in range(3)] * 2)


async def converse(ask):
    messages = list(START)
    for number in range(3):
        answer = await ask(messages=messages, tools=[TOOL])
        message = answer.choices[0].message
        assert message.content == ANSWERS[number][0]["text"]
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            part = json.loads(call.function.arguments)["part"]
            result = {"role": "tool", "tool_call_id": call.id, "content": log(part)}
            messages.append(result)
    return messages


def plain(url):
    async def ask(**given):
        return await litellm.acompletion(
            model="openai/gpt-5",
            api_base=f"{url}/v1",
            api_key="sk-cachelab-sdk",
            num_retries=0,
            **given,
        )

    return ask


def streamed(url):
    ask = plain(url)

    async def ask_streamed(**given):
        chunks = [chunk async for chunk in await ask(stream=True, **given)]
        return litellm.stream_chunk_builder(chunks, messages=given["messages"])

    return ask_streamed


def routed(url):
    params = {
        "model": "openai/gpt-5",
        "api_base": f"{url}/v1",
        "api_key": "sk-cachelab-sdk",
    }
    router = Router([{"model_name": "mine", "litellm_params": params}])

    async def ask(**given):
        return await router.acompletion(model="mine", **given)

    return ask


@pytest.mark.parametrize("make", [plain, streamed, routed])
async def test_the_provider_is_sent_less_and_keeps_its_cache(make):
    async with provider() as (lab, url):
        with headroom.Session() as session:
            litellm.callbacks = [HeadroomCallback(session)]
            messages = await converse(make(url))
        assert not [record.error for record in lab.records if record.error]
        short = sum(record.cost for record in lab.records)
        used = [record.usage for record in lab.records]
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    litellm.callbacks = []
    async with provider() as (lab, url):
        assert await converse(make(url)) == messages
        assert short < 0.75 * sum(record.cost for record in lab.records)


async def test_what_it_cannot_read_leaves_as_it_is():
    callback = HeadroomCallback(headroom.Session())
    for kwargs in [{}, {"messages": None}, {"messages": [{"content": object()}]}]:
        kind = litellm.types.utils.CallTypes.acompletion
        assert await callback.async_pre_call_deployment_hook(kwargs, kind) is None
    kind = litellm.types.utils.CallTypes.aembedding
    given = {"messages": START}
    assert await callback.async_pre_call_deployment_hook(given, kind) is None


async def test_the_example_of_its_page_runs_as_it_stands(tmp_path):
    async with provider() as (lab, url):
        for code in blocks("litellm.md"):
            assert (await run(code, url, tmp_path)).strip()
    assert not [record.error for record in lab.records if record.error]

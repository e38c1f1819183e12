"""The OpenAI Agents SDK with a billing provider behind, over both of its APIs."""

import itertools

import openai
import pytest
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from agents.run import CallModelData, ModelInputData

import headroom
from examples import lab as provider
from headroom.integrations.clients import with_headroom
from headroom.integrations.openai_agents import headroom_filter, retrieval_tool
from jobs import ANSWERS, log


@function_tool
def read_log(part: int) -> str:
    """The log of one part."""
    return log(part)


async def converse(
    url, kind, config, *, wrap=lambda client: client, is_stream=False, tools=()
):
    client = wrap(
        openai.AsyncOpenAI(
            api_key="sk-cachelab-sdk", base_url=f"{url}/v1", max_retries=0
        )
    )
    agent = Agent(
        name="clerk",
        instructions="You are careful. " * 400,
        tools=[read_log, *tools],
        model=kind("gpt-5", client),
    )
    question = "Why are the jobs slow?"
    if is_stream:
        result = Runner.run_streamed(agent, question, run_config=config)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, question, run_config=config)
    await client.close()
    return result


MODELS = pytest.mark.parametrize(
    "kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel]
)
STREAMS = pytest.mark.parametrize("is_stream", [True, False])
PLAIN = RunConfig(tracing_disabled=True)


@MODELS
@STREAMS
async def test_the_provider_is_sent_less_and_keeps_its_cache(kind, is_stream):
    async with provider() as (lab, url):
        with headroom.Session() as session:
            config = RunConfig(
                tracing_disabled=True,
                call_model_input_filter=headroom_filter(session),
            )
            result = await converse(url, kind, config, is_stream=is_stream)
        assert result.final_output == ANSWERS[2][0]["text"]
        assert not [record.error for record in lab.records if record.error]
        short = sum(record.cost for record in lab.records)
        used = [record.usage for record in lab.records]
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    async with provider() as (lab, url):
        await converse(url, kind, PLAIN)
        assert short < 0.75 * sum(record.cost for record in lab.records)
    # The run's own history is what the tools returned.
    outputs = [i["output"] for i in result.to_input_list() if "output" in i]
    assert outputs == [log(n) for n in range(3)]


@STREAMS
async def test_a_wrapped_client_answers_retrievals_as_well(is_stream):
    async with provider(retrieve_every=1) as (lab, url):
        result = await converse(
            url,
            OpenAIChatCompletionsModel,
            PLAIN,
            wrap=with_headroom,
            is_stream=is_stream,
        )
        assert result.final_output == ANSWERS[2][0]["text"]
        assert sum(record.retrievals for record in lab.records) == 3
        assert not [record.error for record in lab.records if record.error]


@MODELS
@STREAMS
async def test_what_was_left_out_is_asked_back_by_a_tool_that_the_sdk_runs(
    kind, is_stream
):
    async with provider(retrieve_every=1) as (lab, url):
        with headroom.Session(retrieval="mcp") as session:
            config = RunConfig(
                tracing_disabled=True,
                call_model_input_filter=headroom_filter(session),
            )
            result = await converse(
                url, kind, config, is_stream=is_stream, tools=[retrieval_tool(session)]
            )
        used = [record.usage for record in lab.records]
        assert not [record.error for record in lab.records if record.error]
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    assert result.final_output == ANSWERS[2][0]["text"]
    outputs = [i["output"] for i in result.to_input_list() if "output" in i]
    # Each log, as the tool returned it and as it was asked back.
    assert sorted(outputs) == sorted([log(n) for n in range(3)] * 2)


async def test_what_no_json_can_hold_is_for_the_sdk_to_refuse():
    data = CallModelData(
        model_data=ModelInputData(
            input=[{"role": "user", "content": object()}], instructions=None
        ),
        agent=Agent(name="clerk"),
        context=None,
    )
    assert await headroom_filter()(data) is data.model_data

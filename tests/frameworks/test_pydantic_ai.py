"""Pydantic AI's agents with a billing provider behind."""

import itertools

import openai
import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import headroom
from examples import lab as provider
from headroom.integrations.pydantic_ai import HeadroomModel, retrieval_tool
from jobs import ANSWERS, log


def agent_of(model, *tools):
    agent = Agent(model, system_prompt="You are careful. " * 400, tools=tools)

    @agent.tool_plain
    def read_log(part: int) -> str:
        """The log of one part."""
        return log(part)

    return agent


OPEN = []
"""Clients to close after each test."""


@pytest.fixture(autouse=True)
async def closed():
    yield
    while OPEN:
        await OPEN.pop().close()


def inner(url):
    client = openai.AsyncOpenAI(api_key="sk-cachelab-sdk", base_url=f"{url}/v1")
    OPEN.append(client)
    provider = OpenAIProvider(openai_client=client)
    return OpenAIChatModel("gpt-5", provider=provider)


async def asked(agent):
    result = await agent.run("Why are the jobs slow?")
    return result.output, result.all_messages()


async def streamed(agent):
    async with agent.run_stream("Why are the jobs slow?") as result:
        return await result.get_output(), result.all_messages()


@pytest.mark.parametrize("ask", [asked, streamed])
async def test_the_provider_is_sent_less_and_keeps_its_cache(ask):
    async with provider() as (lab, url):
        with headroom.Session() as session:
            output, messages = await ask(agent_of(HeadroomModel(inner(url), session)))
        used = [record.usage for record in lab.records]
        assert not [record.error for record in lab.records if record.error]
        short = sum(record.cost for record in lab.records)
    if ask is asked:
        assert output == ANSWERS[2][0]["text"]
        assert len(used) == 3
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
        async with provider() as (lab, url):
            await ask(agent_of(inner(url)))
            assert short < 0.75 * sum(record.cost for record in lab.records)
        # The history that the agent keeps is what its tools returned.
        parts = [p for m in messages for p in m.parts if isinstance(p, ToolReturnPart)]
        assert [part.content for part in parts] == [log(n) for n in range(3)]
    else:
        # Text before a call ends a streamed run, by Pydantic AI's own rule.
        assert output


async def test_tools_that_return_values_are_shortened_as_their_json():
    rows = [{"id": i, "name": f"service-{i}", "status": "running"} for i in range(200)]
    async with provider() as (lab, url):
        agent = Agent(HeadroomModel(inner(url)), system_prompt="Careful. " * 800)

        @agent.tool_plain
        def read_log(part: int) -> list[dict[str, object]]:
            """The services of one part."""
            return rows

        result = await agent.run("Which services run?")
        sent = [m for m in lab.last_requests["sdk"]["messages"] if m["role"] == "tool"]
    assert result.output == ANSWERS[2][0]["text"]
    assert "service-199" in sent[0]["content"]
    assert len(sent[0]["content"]) < 0.6 * len(str(rows))


async def test_what_was_left_out_is_asked_back_by_a_tool_that_the_agent_runs():
    async with provider(retrieve_every=1) as (lab, url):
        with headroom.Session(retrieval="mcp") as session:
            model = HeadroomModel(inner(url), session)
            output, messages = await asked(agent_of(model, retrieval_tool(session)))
        used = [record.usage for record in lab.records]
        assert not [record.error for record in lab.records if record.error]
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    assert output == ANSWERS[2][0]["text"]
    parts = [p for m in messages for p in m.parts if isinstance(p, ToolReturnPart)]
    # Each log, as the tool returned it and as it was asked back.
    assert sorted(p.content for p in parts) == sorted([log(n) for n in range(3)] * 2)

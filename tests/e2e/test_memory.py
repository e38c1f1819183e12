"""Memory through the official SDKs, as they come, to a billing provider.

The model keeps a fact, looks for it and goes on, all inside one answer; the SDK sees
the answer alone, and the provider a history that only ever grows.
"""

import contextlib
import itertools
import json

import anthropic
import openai
import pytest

from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from headroom.core.memory_tools import NAMES
from headroom.memory.facts import Owner
from headroom.memory.store import MemoryStore
from loopback import proxy
from scripted import text

pytestmark = pytest.mark.e2e

FACT = "The staging database is called heron."
SYSTEM = "You are careful. " * 2500
SCHEMA = {"type": "object", "properties": {"part": {"type": "integer"}}}


def use(number, name, **arguments):
    return {
        "type": "tool_use",
        "id": f"toolu_{number:024}",
        "name": name,
        "input": arguments,
    }


ANSWERS = [
    [text("I note it. "), use(1, "memory_save", content=FACT)],
    [use(2, "memory_search", query="staging database")],
    [text("It is heron."), use(3, "read_log", part=1)],
    [use(4, "memory_list"), use(5, "read_log", part=2)],
    [text("All is well.")],
]


@contextlib.asynccontextmanager
async def lab(tmp_path, **settings):
    made = Lab(TokenCounter(), script=Script(), keeps_requests=True)
    made.script.register("sdk", ANSWERS)
    async with (
        serving(make_app(made)) as url,
        proxy(url, DATA_DIR=tmp_path, **settings) as px,
    ):
        yield made, px


def check(made, tmp_path):
    """What the provider saw: a fact kept and found, and its cache read each time."""
    assert not [record.error for record in made.records if record.error]
    store = MemoryStore(tmp_path / "memory")
    assert [fact.content for fact in store.newest(Owner())] == [FACT]
    store.close()
    sent = json.dumps(made.last_requests["sdk"]["messages"])
    for name in ("memory_save", "memory_search", "memory_list"):
        assert sent.count(f'"{name}"') == 1
    assert sent.count(f"[1] {FACT}") >= 2
    assert len(made.records) == 5
    for earlier, later in itertools.pairwise(
        record.bill.usage for record in made.records
    ):
        assert later.read >= max(1, earlier.read)


def anthropic_results(message):
    return [
        {"type": "tool_result", "tool_use_id": block.id, "content": "quiet"}
        for block in message.content
        if block.type == "tool_use"
    ]


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("mode", ["tool", "auto_tail"])
async def test_the_anthropic_sdk_sees_no_memory_call(tmp_path, is_stream, mode):
    tool = {"name": "read_log", "input_schema": SCHEMA}
    system = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
    request = {"model": "claude-opus-5", "max_tokens": 500, "tools": [tool]}
    async with (
        lab(tmp_path, MEMORY_MODE=mode) as (made, px),
        anthropic.AsyncAnthropic(
            api_key="sk-ant-cachelab-sdk", base_url=px.url, max_retries=0
        ) as client,
    ):
        messages = [{"role": "user", "content": "Which staging database do we use?"}]
        seen = []
        for _ in range(3):
            sent = {**request, "system": system, "messages": messages}
            if is_stream:
                async with client.messages.stream(**sent) as stream:
                    message = await stream.get_final_message()
            else:
                message = await client.messages.create(**sent)
            seen.append([block.type for block in message.content])
            assert not set(NAMES) & {getattr(b, "name", "") for b in message.content}
            messages.append({"role": "assistant", "content": message.content})
            if answered := anthropic_results(message):
                messages.append({"role": "user", "content": answered})
    assert seen == [["text", "text", "tool_use"], ["tool_use"], ["text"]]
    check(made, tmp_path)


@pytest.mark.parametrize("is_stream", [True, False])
async def test_the_openai_sdk_sees_no_memory_call(tmp_path, is_stream):
    tool = {"type": "function", "function": {"name": "read_log", "parameters": SCHEMA}}
    async with (
        lab(tmp_path, MEMORY_MODE="tool") as (made, px),
        openai.AsyncOpenAI(
            api_key="sk-cachelab-sdk", base_url=f"{px.url}/v1", max_retries=0
        ) as client,
    ):
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "Which staging database do we use?"},
        ]
        said = []
        for _ in range(3):
            sent = {"model": "gpt-5", "tools": [tool], "messages": messages}
            if is_stream:
                async with client.chat.completions.stream(**sent) as stream:
                    async for _event in stream:
                        pass
                    completion = await stream.get_final_completion()
            else:
                completion = await client.chat.completions.create(**sent)
            message = completion.choices[0].message
            said.append(message.content or "")
            calls = message.tool_calls or []
            assert {call.function.name for call in calls} <= {"read_log"}
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": "quiet"}
                for call in calls
            ]
    assert said == ["I note it. It is heron.", "", "All is well."]
    check(made, tmp_path)


RESPONSES = {
    "model": "gpt-5",
    "instructions": SYSTEM,
    "tools": [{"type": "function", "name": "read_log", "parameters": SCHEMA}],
}
QUESTION = {"role": "user", "content": "Which staging database do we use?"}


def responses_client(px):
    return openai.AsyncOpenAI(
        api_key="sk-cachelab-sdk", base_url=f"{px.url}/v1", max_retries=0
    )


def plain_item(item):
    found = item.model_dump(exclude_none=True)
    found.pop("parsed_arguments", None)
    for part in found.get("content", ()):
        part.pop("parsed", None)
    return found


async def test_the_openai_sdks_responses_see_no_memory_call(tmp_path):
    async with (
        lab(tmp_path, MEMORY_MODE="tool") as (made, px),
        responses_client(px) as client,
    ):
        items, said = [QUESTION], []
        for _ in range(3):
            async with client.responses.stream(
                **RESPONSES, input=items, store=False
            ) as stream:
                async for _event in stream:
                    pass
                whole = await stream.get_final_response()
            said.append(whole.output_text)
            calls = [i for i in whole.output if i.type == "function_call"]
            assert {call.name for call in calls} <= {"read_log"}
            items += map(plain_item, whole.output)
            items += [
                {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": "quiet",
                }
                for call in calls
            ]
    assert said == ["I note it. It is heron.", "", "All is well."]
    assert not [record.error for record in made.records if record.error]
    names = [item.get("name") for item in made.last_requests["sdk"]["input"]]
    assert [name for name in names if name] == [
        "memory_save", "memory_search", "read_log", "memory_list", "read_log"
    ]  # fmt: skip
    usages = [record.bill.usage for record in made.records]
    for earlier, later in itertools.pairwise(usages):
        assert later.read >= max(1, earlier.read)


async def test_a_kept_conversation_has_its_tail_when_all_is_sent_again(tmp_path):
    """What the provider keeps with the tail, a full resend brings with the tail."""
    store = MemoryStore(tmp_path / "memory")
    store.put(Owner(), FACT)
    store.close()
    again = {"role": "user", "content": "Sure?"}
    async with (
        lab(tmp_path, MEMORY_MODE="auto_tail") as (made, px),
        responses_client(px) as client,
    ):
        made.script.register("sdk", [[text("one")], [text("two")], [text("three")]])
        first = await client.responses.create(**RESPONSES, input=[QUESTION])
        second = await client.responses.create(
            **RESPONSES, input=[again], previous_response_id=first.id
        )
        items = [QUESTION, *map(plain_item, first.output), again]
        items += [*map(plain_item, second.output), {"role": "user", "content": "Go."}]
        await client.responses.create(**RESPONSES, input=items)
    assert not [record.error for record in made.records if record.error]
    sent = made.last_requests["sdk"]["input"]
    assert sent[0]["content"].startswith(QUESTION["content"] + "\n\n<headroom_memory>")
    assert [tool["name"] for tool in made.last_requests["sdk"]["tools"]] == ["read_log"]
    usages = [record.bill.usage for record in made.records]
    for earlier, later in itertools.pairwise(usages):
        assert later.read >= earlier.total - 128, "caches grow in steps"

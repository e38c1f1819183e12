"""LangChain's own chat models, retrievers and tools, with a billing provider behind."""

import itertools

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

import headroom
from examples import lab as provider
from headroom.ccr.stores import open_store
from headroom.core import markers
from headroom.integrations.langchain import (
    HeadroomChatModel,
    HeadroomDocumentCompressor,
    compress_tool,
    retrieval_tool,
)
from jobs import ANSWERS, log

START = [SystemMessage("You are careful. " * 400), HumanMessage("Why so slow?")]


@tool
def read_log(part: int) -> str:
    """The log of one part."""
    return log(part)


def inner(url):
    return ChatOpenAI(
        model="gpt-5", base_url=f"{url}/v1", api_key="sk-cachelab-sdk", max_retries=0
    )


async def converse(model, ask):
    """A conversation to its end; the messages as the application has them."""
    messages = list(START)
    for number in range(3):
        answer = await ask(model.bind_tools([read_log]), messages)
        assert answer.text == ANSWERS[number][0]["text"]
        messages.append(answer)
        messages += [read_log.invoke(call) for call in answer.tool_calls]
    return messages


async def asked(model, messages):
    return await model.ainvoke(messages)


async def blocking(model, messages):
    import asyncio

    return await asyncio.to_thread(model.invoke, messages)


async def streamed(model, messages):
    whole = None
    async for chunk in model.astream(messages):
        whole = chunk if whole is None else whole + chunk
    return AIMessage(whole.content, tool_calls=whole.tool_calls)


async def blocking_streamed(model, messages):
    import asyncio

    def run():
        whole = None
        for chunk in model.stream(messages):
            whole = chunk if whole is None else whole + chunk
        return AIMessage(whole.content, tool_calls=whole.tool_calls)

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("ask", [asked, blocking, streamed, blocking_streamed])
async def test_the_provider_is_sent_less_and_keeps_its_cache(ask):
    async with provider() as (lab, url):
        with headroom.Session() as session:
            model = HeadroomChatModel(inner=inner(url), session=session)
            messages = await converse(model, ask)
        used = [record.usage for record in lab.records]
        assert not [record.error for record in lab.records if record.error]
        short = sum(record.cost for record in lab.records)
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    async with provider() as (lab, url):
        same = await converse(inner(url), ask)
        assert short < 0.75 * sum(record.cost for record in lab.records)
    # The application's own messages stay what they are.
    for mine, direct in zip(messages, same, strict=True):
        assert mine.content == direct.content


async def test_a_model_that_cannot_stream_answers_in_one_piece():
    model = HeadroomChatModel(inner=GenericFakeChatModel(messages=iter(["a b c"])))
    assert [c.content for c in model.stream("hello") if c.content]
    assert model._llm_type.startswith("headroom-")


async def test_what_was_left_out_is_asked_back_by_a_tool_that_the_application_runs():
    async with provider(retrieve_every=1) as (lab, url):
        with headroom.Session(retrieval="mcp") as session:
            inside = HeadroomChatModel(inner=inner(url), session=session)
            tools = {"read_log": read_log, "headroom_retrieve": retrieval_tool(session)}
            model = inside.bind_tools(list(tools.values()))
            messages, answer = list(START), None
            while answer is None or answer.tool_calls:
                answer = await model.ainvoke(messages)
                messages.append(answer)
                messages += [
                    await tools[c["name"]].ainvoke(c) for c in answer.tool_calls
                ]
        used = [record.usage for record in lab.records]
        assert not [record.error for record in lab.records if record.error]
        for before, after in itertools.pairwise(used):
            assert after.read == before.read + before.write_5m
    assert answer.text == ANSWERS[2][0]["text"]
    outputs = [m.content for m in messages if isinstance(m, ToolMessage)]
    # Each log, as the tool returned it and as it was asked back.
    assert sorted(outputs) == sorted([log(n) for n in range(3)] * 2)


def test_tools_of_any_providers_package_are_told_by_their_names():
    model = GenericFakeChatModel(messages=iter(["so"]))
    call = {"name": "read_log", "args": {}, "id": "c1", "type": "tool_call"}
    given = [*START, AIMessage("", tool_calls=[call])]
    result = ToolMessage(log(0), tool_call_id="c1")
    for offered in (
        {"name": "headroom_retrieve", "input_schema": {"type": "object"}},
        {"type": "function", "function": {"name": "headroom_retrieve"}},
    ):
        with headroom.Session(retrieval="mcp") as session:
            chat = HeadroomChatModel(inner=model, session=session)
            chat._shorter(START, {"tools": [offered]})
            found = chat._shorter([*given, result], {"tools": [offered]})
            assert markers.find_markers(found[-1].content)


def test_content_that_no_json_can_hold_reaches_the_model():
    model = HeadroomChatModel(inner=GenericFakeChatModel(messages=iter(["so"])))
    message = HumanMessage([{"type": "image", "raw": b"\x00\xff"}])
    assert model._shorter([message], {}) == [message]


def test_parts_that_are_no_text_stay():
    with headroom.Session(retrieval="elsewhere") as session:
        model = HeadroomChatModel(
            inner=GenericFakeChatModel(messages=iter(["so"])), session=session
        )
        call = {
            "name": "read_log",
            "args": {"part": 0},
            "id": "c1",
            "type": "tool_call",
        }
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
        parts = [{"type": "text", "text": log(0)}, image]
        given = [
            *START,
            AIMessage("", tool_calls=[call]),
            ToolMessage(parts, tool_call_id="c1"),
        ]
        found = model._shorter(given, {})
    assert found[:3] == given[:3]
    assert found[3].content[1] == image
    assert len(found[3].content[0]["text"]) < 0.2 * len(log(0))
    assert given[3].content[0]["text"] == log(0)


async def test_a_tools_output_is_shortened_and_can_be_fetched_back():
    store = open_store("memory://")
    short = compress_tool(read_log, lossy=True, store=store)
    assert (short.name, short.args) == (read_log.name, read_log.args)
    for found in (short.invoke({"part": 0}), await short.ainvoke({"part": 0})):
        assert len(found) < 0.2 * len(log(0))
        (marker,) = markers.find_markers(found)
        assert headroom.retrieve(marker.digest, store=store) == log(0)
    call = {"name": "read_log", "args": {"part": 1}, "id": "c1", "type": "tool_call"}
    message = compress_tool(read_log).invoke(call)
    assert message.tool_call_id == "c1"
    assert len(message.content) < 0.9 * len(log(1))
    with pytest.raises(ValueError, match="store"):
        compress_tool(read_log, lossy=True)


class Logs(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        found = [Document(log(n), metadata={"part": n}, id=str(n)) for n in range(3)]
        return [*found, Document("short")]


async def test_retrieved_documents_are_shortened():
    retriever = ContextualCompressionRetriever(
        base_compressor=HeadroomDocumentCompressor(), base_retriever=Logs()
    )
    for found in (retriever.invoke("x"), await retriever.ainvoke("x")):
        assert [d.metadata.get("part") for d in found] == [0, 1, 2, None]
        assert all(len(d.page_content) < 0.9 * len(log(0)) for d in found)
    with pytest.raises(ValueError, match="store"):
        HeadroomDocumentCompressor(lossy=True)
    store = open_store("memory://")
    lossy = HeadroomDocumentCompressor(lossy=True, store=store)
    assert len(lossy.compress_documents([Document(log(0))], "x")[0].page_content) < 2000

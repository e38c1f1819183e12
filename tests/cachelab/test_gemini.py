"""Gemini in the words of the Messages API, and back; its answers, made and read."""

import json

import aiohttp
import pytest

from headroom.cachelab import gemini, gemini_answer
from headroom.cachelab.cache import Usage
from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.prefix import lay_out
from headroom.cachelab.server import make_app, serving
from headroom.core.wire.json_array import ArrayFramer
from headroom.providers.gemini.stream import StreamReader, read_message

USER = {"role": "user", "parts": [{"text": "hi"}]}
BLOCKS = [
    {"type": "text", "text": "Läs “allt” 🦀. " * 10},
    {"type": "tool_use", "id": "f#1", "name": "f", "input": {"path": "x" * 60}},
    {"type": "tool_use", "id": "f#2", "name": "f", "input": {}},
]
CALLS = {"role": "model", "parts": gemini.parts_of(BLOCKS)}
TOOLS = [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]


def result(name="f", **response):
    return {"functionResponse": {"name": name, "response": response}}


RESULTS = {"role": "user", "parts": [result(output="one"), result(error="two")]}


def request(*contents, **more):
    return {"model": "gemini-3.1-pro", "contents": list(contents), **more}


def keys(asked):
    asked = gemini.as_messages(asked)
    return [unit.key for unit in lay_out(asked, lambda _, text: len(text))]


def test_every_part_of_a_request_is_a_unit():
    system = {"parts": [{"text": "be careful"}]}
    asked = request(USER, CALLS, RESULTS, tools=TOOLS, systemInstruction=system)
    units = lay_out(gemini.as_messages(asked), lambda _, text: len(text))
    assert [(u.kind, u.name) for u in units] == [
        ("tool", "f"),
        ("tool", "googleSearch"),
        ("system", ""),
        ("text", ""),
        ("text", ""),
        ("tool_use", "f"),
        ("rest", ""),
        ("tool_use", "f"),
        ("tool_result", "f"),
        ("tool_result", "f"),
    ]
    assert units[-2].tokens == len("one")


@pytest.mark.parametrize(
    "changed",
    [
        request(USER, CALLS, {**RESULTS, "parts": RESULTS["parts"][::-1]}),
        request(USER, CALLS, {**RESULTS, "parts": [result(output="1"), result()]}),
        request(USER, {**CALLS, "parts": CALLS["parts"][1:]}, RESULTS),
        request({**USER, "parts": [{"text": "ho"}]}, CALLS, RESULTS),
        request(USER, CALLS, RESULTS, systemInstruction=USER),
        request(USER, CALLS, RESULTS, tools=TOOLS),
    ],
)
def test_whatever_changes_breaks_the_prefix(changed):
    assert keys(changed)[-1] != keys(request(USER, CALLS, RESULTS))[-1]


def test_events_kept_apart_and_thoughts_are_the_same_prefix():
    first, *rest = CALLS["parts"]
    half = len(first["text"]) // 2
    apart = [
        {"role": "model", "parts": [{"text": "hm", "thought": True}]},
        {"role": "model", "parts": [{"text": first["text"][:half]}]},
        {"role": "model", "parts": [{"text": first["text"][half:]}]},
        *({"role": "model", "parts": [part]} for part in rest),
    ]
    assert keys(request(USER, *apart, RESULTS)) == keys(request(USER, CALLS, RESULTS))


def test_a_messages_conversation_becomes_one_that_is_accepted():
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    given = {"type": "tool_result", "tool_use_id": "t1", "content": "no"}
    found = gemini.from_messages(
        {
            "system": "be careful",
            "tools": [{"name": "f", "description": "d", "input_schema": {"x": 1}}],
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [{"type": "text", "text": "I"}, use]},
                {"role": "user", "content": [{**given, "is_error": True}]},
                {"role": "assistant", "content": "done"},
            ],
        }
    )
    contents = found["contents"]
    assert contents[2]["parts"] == [result(error="no")]
    assert found["system"] == {"parts": [{"text": "be careful"}]}
    assert found["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]
    assert gemini.turn_ends(contents) == [1, 3]
    said = gemini.answers(contents)
    assert said[0][1] == {**use, "id": "f#1"}
    assert list(gemini.refusals(request(*contents[:3]))) == []
    cut = [*contents[:2], *gemini.follow_up(contents[:2], "stop")]
    assert list(gemini.refusals(request(*cut))) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request(), "contents is not specified"),
        (request({"role": "user", "parts": []}), "must not be empty"),
        (request({"role": "user", "parts": [{}]}), "must be set"),
        (request({"role": "tool", "parts": [{"text": "x"}]}), "valid role"),
        (request(RESULTS), "immediately after a function call turn"),
        (request(USER, CALLS), "comes immediately after a user turn"),
        (
            request(USER, CALLS, {"role": "user", "parts": RESULTS["parts"][:1]}),
            "is equal to the number of function call parts",
        ),
        (
            request(USER, tools=[{"functionDeclarations": [{"name": "f"}] * 2}]),
            "Duplicate function declaration",
        ),
        (
            request(
                USER,
                {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
                {"role": "user", "parts": [result()]},
            ),
            "missing a thought_signature",
        ),
    ],
)
def test_what_the_api_refuses_is_refused(asked, words):
    assert words in next(gemini.refusals(asked))


def test_only_the_running_turn_has_to_be_signed():
    call = {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}
    answer = {"role": "user", "parts": [result()]}
    assert list(gemini.refusals(request(USER, call, answer, USER))) == []


def whole(usage=Usage(10, 0, 0, 100)):  # noqa: B008 - a value
    told = gemini_answer.usage_of(usage, 7)
    return gemini_answer.answer({"model": "g"}, BLOCKS, told, answer_id="a")


def test_streamed_and_whole_answers_say_the_same():
    stream = b"".join(gemini_answer.chunks(whole()))
    array = b"".join(gemini_answer.array_chunks(whole()))
    assert gemini_answer.read_stream(stream) == (BLOCKS, "")
    assert gemini_answer.read_whole(array) == (BLOCKS, "")
    assert gemini_answer.read_whole(json.dumps(whole()).encode()) == (BLOCKS, "")


def test_the_proxys_reader_agrees():
    read = read_message(json.dumps(whole()).encode())
    for reader, chunks in (
        (StreamReader(), gemini_answer.chunks),
        (StreamReader(framer=ArrayFramer()), gemini_answer.array_chunks),
    ):
        reader.feed(b"".join(chunks(whole())))
        streamed = reader.close()
        assert streamed.usage == read.usage
        assert streamed.finish_reason == read.finish_reason == "STOP"
        assert [p.name for p in streamed.parts if p.is_call] == ["f", "f"]
    assert read.usage.cache_read_input_tokens == 100
    assert read.usage.input_tokens == 10


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b": ping\r\n\r\n", "a line that is no data"),
        (b'data: {"candidates":[{\r\n\r\n', "incomplete JSON segment"),
        (b'data: {"error":{"code":500}}\r\n\r\n', "error event"),
        (b"", "without a finishReason"),
    ],
)
def test_clients_trip_over_what_real_ones_trip_over(stream, problem):
    assert problem in gemini_answer.read_stream(stream)[1]


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("generateContent", "application/json"),
        ("streamGenerateContent", "application/json"),
        ("streamGenerateContent?alt=sse", "text/event-stream"),
    ],
)
async def test_prompts_are_cached_from_the_models_minimum_on(method, kind):
    lab = Lab(TokenCounter())
    system = {"parts": [{"text": "be careful. " * 1500}]}
    body = {"contents": [USER], "systemInstruction": system}
    async with serving(make_app(lab)) as url, aiohttp.ClientSession(url) as session:
        for _ in range(2):
            path = f"/v1beta/models/gemini-2.5-pro:{method}"
            headers = {"x-goog-api-key": "sk-cachelab-x"}
            async with session.post(path, json=body, headers=headers) as response:
                assert response.status == 200
                assert response.content_type == kind
                await response.read()
    first, second = lab.records
    assert (first.conversation, first.model) == ("x", "gemini-2.5-pro")
    assert first.usage.write_5m == second.usage.read > 2048


async def test_a_request_without_a_key_is_refused_in_the_apis_shape():
    path = "/v1beta/models/gemini-2.5-pro:generateContent"
    app = make_app(Lab(TokenCounter()))
    async with (
        serving(app) as url,
        aiohttp.ClientSession(url) as session,
        session.post(path, json={"contents": []}) as response,
    ):
        assert response.status == 401
        assert (await response.json())["error"]["status"] == "UNAUTHENTICATED"

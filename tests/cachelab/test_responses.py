"""Responses in the words of the Messages API, and back; answers made and read."""

import json

import pytest

from headroom.cachelab import responses, responses_answer
from headroom.cachelab.cache import Usage
from headroom.cachelab.lab import Lab, TokenCounter
from headroom.cachelab.prefix import lay_out
from headroom.providers.models import cache_rules

RULES = cache_rules("gpt-5", "openai_responses")


def call(call_id, name="f", arguments='{"a":1}', **more):
    item = {"type": "function_call", "call_id": call_id, "name": name}
    return {**item, "arguments": arguments, **more}


def result(call_id, output):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def request(*items, **more):
    return {"model": "gpt-5", "input": list(items), **more}


USER = {"role": "user", "content": "hi"}
CALLS = [call("a"), call("b")]
RESULTS = [result("a", "one"), result("b", [{"type": "input_text", "text": "two"}])]
TOOLS = [{"type": "function", "name": "f", "parameters": {"x": 1}}]

CUSTOM = {"type": "tool_use", "id": "b", "name": "p", "input": "x"}
CUSTOM["kind"] = "custom_tool_call"


def units(asked):
    return lay_out(responses.as_messages(asked), lambda _, text: len(text))


def keys(asked):
    return [unit.key for unit in units(asked)]


def test_every_part_of_a_request_is_a_unit():
    system = {"role": "developer", "content": "be careful"}
    thought = {"type": "reasoning", "encrypted_content": "gA"}
    found = units(
        request(system, USER, thought, *CALLS, *RESULTS, tools=TOOLS, instructions="x")
    )
    assert [(u.kind, u.name) for u in found] == [
        ("tool", "f"),
        ("system", ""),
        ("text", ""),
        ("text", ""),
        ("reasoning", ""),
        ("tool_use", "f"),
        ("tool_use", "f"),
        ("tool_result", "f"),
        ("tool_result", "f"),
    ]


def test_ids_and_breakpoints_are_no_part_of_the_prefix():
    bare = request(USER, *CALLS, *RESULTS)
    marked = {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"m": 1}}
    full = request(
        {"type": "message", "id": "m", "status": "x", "role": "user", "content": "hi"},
        *({**item, "id": "i", "status": "completed"} for item in CALLS),
        *RESULTS,
    )
    assert keys(full) == keys(bare)
    asked = request({"role": "user", "content": [marked]}, *CALLS, *RESULTS)
    assert keys(asked) == keys(bare)
    assert units(asked)[0].marker == {"m": 1}


@pytest.mark.parametrize(
    "changed",
    [
        request({**USER, "role": "developer"}, *CALLS, *RESULTS),
        request(USER, call("a", arguments='{"a": 1}'), call("b"), *RESULTS),
        request(USER, call("a", namespace="n"), call("b"), *RESULTS),
        request(USER, *CALLS, result("a", "1"), RESULTS[1]),
        request(USER, *CALLS, *RESULTS, instructions="be good"),
    ],
)
def test_every_other_member_is_part_of_the_prefix(changed):
    assert keys(changed)[-1] != keys(request(USER, *CALLS, *RESULTS))[-1]


def test_blocks_and_items_are_each_other():
    blocks = [
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"a": [1, "é"]}},
        CUSTOM,
    ]
    items = responses.items_of(blocks, "resp_1")
    assert responses.blocks_of(items) == blocks
    assert len({item["id"] for item in items}) == 3
    thought = responses.items_of([{"type": "thinking", "thinking": "hm"}], "resp_1")
    assert responses.blocks_of(thought) == []


def test_a_messages_conversation_becomes_a_responses_one():
    found = responses.from_messages(
        {
            "system": "be careful",
            "tools": [{"name": "f", "input_schema": {"x": 1}}],
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "text", "text": "so"},
                        {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                        {"type": "text", "text": "and?"},
                        {"type": "image", "source": {}},
                    ],
                },
            ],
        }
    )
    kinds = [responses.kind_of(item) for item in found["input"]]
    assert kinds == [
        "message",
        "message",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert responses.turn_ends(found["input"]) == [2]
    assert responses.answers(found["input"])[0][1]["input"] == {"a": 1}
    assert list(responses.refusals({"model": "m", **found})) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"input": "x"}, "'model'"),
        ({"model": "m"}, "'input'"),
        (request(7), "input[0]"),
        (request({"role": "robot", "content": "x"}), "input[0].role"),
        (request({"type": "function_call_output"}), "input[0].call_id"),
        (request(USER, RESULTS[0]), "No tool call found"),
        (request(USER, *CALLS, RESULTS[0]), "No tool output found for function call b"),
        (request(USER, tools=[{}]), "tools[0].type"),
        (request(USER, tools=[{"type": "function"}]), "tools[0].name"),
    ],
)
def test_what_the_api_refuses_is_refused_in_its_words(asked, words):
    assert words in next(responses.refusals(asked))


def test_a_cut_conversation_goes_on_with_its_calls_answered():
    items = [USER, call("a")]
    more = responses.follow_up(items, "stop")
    assert list(responses.refusals(request(*items, *more))) == []


BLOCKS = [
    {"type": "thinking", "thinking": "I think about it."},
    {"type": "text", "text": "Läs först 🦀, and then some more words."},
    {"type": "tool_use", "id": "a", "name": "f", "input": {"path": "x" * 60}},
    CUSTOM,
    {"type": "tool_use", "id": "c", "name": "s", "input": {}, "kind": "shell_call"},
]


def answer(blocks=BLOCKS):
    usage = responses_answer.usage_of(Usage(10, 0, 0, 1024), 7, RULES)
    return responses_answer.response(request(USER), blocks, usage, answer_id="resp_1")


def test_a_stream_is_read_as_it_was_meant():
    blocks, problem = responses_answer.read_stream(
        b"".join(responses_answer.chunks(answer()))
    )
    assert problem == ""
    assert blocks == responses.blocks_of(answer()["output"])
    whole = json.dumps(answer()).encode()
    assert responses_answer.read_whole(whole) == (blocks, "")


def frames(data):
    return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f[:-1], "ended before"),
        (lambda f: f[:5] + f[6:], "has number"),
        (lambda f: [*f, f[-1]], "has number"),
        (lambda f: [*f[:-1], f[-1].replace(b"gA", b"gB")], "does not hold"),
        (lambda f: [f[0].replace(b"created", b"queued"), *f[1:]], "began 0 times"),
        (lambda f: [*f[:-1], b'data: {"type":"error","message":"m"}\n\n'], "error"),
        (
            lambda f: [
                *f[:-1],
                f[-1].replace(b'"usage":{', b'"usage":null,"u":{'),
            ],
            "no usage",
        ),
    ],
)
def test_a_careful_client_notices(change, words):
    stream = frames(b"".join(responses_answer.chunks(answer())))
    _, problem = responses_answer.read_stream(b"".join(change(stream)))
    assert words in problem


KEY = {"authorization": "Bearer sk-cachelab-c"}


def test_the_lab_keeps_answers_for_who_goes_on_from_them():
    lab = Lab(TokenCounter(), keeps_requests=True)
    lab.script.register("c", [[BLOCKS[2]], [BLOCKS[1]]])
    first = lab.responses(KEY, json.dumps(request(USER)).encode())
    asked = request(result("a", "done"), previous_response_id=first.message["id"])
    second = lab.responses(KEY, json.dumps(asked).encode())
    assert (first.status, second.status) == (200, 200)
    assert len(lab.last_requests["c"]["input"]) == 3
    assert second.message["previous_response_id"] == first.message["id"]


def test_the_lab_does_not_keep_what_is_not_to_be_stored():
    lab = Lab(TokenCounter())
    first = lab.responses(KEY, json.dumps(request(USER, store=False)).encode())
    asked = request(USER, previous_response_id=first.message["id"])
    reply = lab.responses(KEY, json.dumps(asked).encode())
    assert reply.status == 400
    assert reply.message["error"]["code"] == "previous_response_not_found"


def test_only_what_the_client_marks_is_kept_where_it_says_so():
    words = "the parcel left the depot before noon " * 400
    part = {"type": "input_text", "text": words}
    explicit = {"prompt_cache_options": {"mode": "explicit"}, "model": "gpt-5.6"}
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}

    def billed(lab, *parts):
        asked = request({"role": "user", "content": list(parts)}, **explicit)
        lab.responses(KEY, json.dumps(asked).encode())
        return lab.records[-1].usage

    lab = Lab(TokenCounter())
    assert billed(lab, part).write_5m == 0
    first = billed(lab, {**part, **mark}, {**part, "text": "x " + words})
    assert first.write_5m > 1024
    assert first.uncached > 1024
    second = billed(lab, {**part, **mark}, {**part, "text": "y " + words})
    assert second.read == first.write_5m
    assert second.write_5m == 0

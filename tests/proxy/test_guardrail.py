"""LiteLLM's Generic Guardrail API: whole conversations in, their texts out."""

import asyncio
import json

import pytest

from gateways import CODE, NOWHERE, QUESTION, SYSTEM, TOOL, call, chat_step
from headroom.providers.gateway import GatewayMessages
from headroom.proxy import guardrail
from loopback import get, post, proxy
from scripted import noisy_log

PATH = b"/beta/litellm_basic_guardrail_api"


def texts_of(messages):
    """All texts of messages, in order, as LiteLLM lists them."""
    found = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            found.append(content)
        elif content is not None:
            found += [part["text"] for part in content]
    return found


def asked(messages, **fields):
    """A call as LiteLLM 1.106.2 makes it, with what it sends beside."""
    return {
        "input_type": "request",
        "litellm_call_id": "c2381583-4639-4b6d-9993-d08bf81c8035",
        "litellm_trace_id": None,
        "structured_messages": messages,
        "images": None,
        "tools": None,
        "texts": texts_of(messages),
        "request_data": {"user_api_key_hash": "k"},
        "request_headers": {"host": "127.0.0.1"},
        "litellm_version": "1.106.2",
        "additional_provider_specific_params": {},
        "tool_calls": None,
        "model": "gpt-5",
        **fields,
    }


async def guard(px, body, headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = (b"user-agent: litellm/1.106.2", *headers)
    return await call(px, post(data, path=PATH, headers=headers))


async def test_over_fifty_turns_every_text_comes_back_as_it_came_back_first():
    async with proxy(NOWHERE) as px:
        history, before = [SYSTEM, QUESTION], []
        for number in range(50):
            history += chat_step(number)
            status, found = await guard(px, asked(history))
            assert status == 200
            given = texts_of(history)
            texts = found.get("texts", given)
            assert texts[: len(before)] == before
            assert len(texts) == len(given)
            before = texts
        assert px.count("headroom_prefix_breaks_total") == 0
    assert texts[:2] == given[:2]
    assert sum(map(len, texts[2:])) < 0.7 * sum(map(len, given[2:]))


async def test_what_is_read_again_is_told_by_its_call():
    """Equal texts: the first stays, the second is told by it."""
    history = [SYSTEM, QUESTION, *chat_step(1, CODE), *chat_step(2, CODE)]
    async with proxy(NOWHERE) as px:
        _, found = await guard(px, asked(history))
    lines = CODE.count("\n") + 1
    assert found["action"] == "GUARDRAIL_INTERVENED"
    assert found["texts"][:3] == texts_of(history)[:3]
    assert found["texts"][3].split("\n")[1:] == [f"[#1:1-{lines}]"]
    assert "read_log" in found["texts"][3].split("\n")[0]


async def test_parts_of_a_result_are_texts_of_their_own():
    history = [SYSTEM, QUESTION, *chat_step(1)]
    parts = [{"type": "text", "text": t} for t in ("in short", noisy_log(1))]
    history[-1]["content"] = parts
    async with proxy(NOWHERE) as px:
        _, found = await guard(px, asked(history))
    assert found["texts"][:3] == texts_of(history)[:3]
    assert len(found["texts"][3]) < len(noisy_log(1))


async def test_parts_are_left_out_only_if_the_client_offers_the_tool():
    """The plug-in answers no retrievals, whatever the setting for gateways says."""
    history = [SYSTEM, QUESTION, *chat_step(3)]
    for setting in ("client", "gateway"):
        async with proxy(NOWHERE, SIDECAR_RETRIEVAL=setting) as px:
            _, found = await guard(px, asked(history))
            assert "headroom_retrieve" not in found["texts"][-1]
            other = [SYSTEM, {"role": "user", "content": "And 8?"}, *chat_step(4)]
            await guard(px, asked(other[:2], tools=[TOOL]))
            _, found = await guard(px, asked(other, tools=[TOOL]))
            assert "headroom_retrieve" in found["texts"][-1]


async def test_answers_of_models_are_not_looked_at():
    history = [SYSTEM, QUESTION, *chat_step(1)]
    async with proxy(NOWHERE) as px:
        _, found = await guard(px, asked(history, input_type="response"))
        assert found == {"action": "NONE"}
        _, found = await guard(px, asked(history))
        assert found["action"] == "GUARDRAIL_INTERVENED"


def body_of(contents):
    rows = [{"role": "tool", "content": content} for content in contents]
    return json.dumps({"messages": rows}).encode()


def answered(texts, before, after):
    given = json.dumps({"texts": texts}).encode()
    return json.loads(guardrail.answer(given, body_of(before), body_of(after)))


@pytest.mark.parametrize(
    ("texts", "before", "after", "expected"),
    [
        (["a", "b"], ["a", "b"], ["a", "B"], ["a", "B"]),
        (["b", "a"], ["a", "b"], ["a", "B"], ["B", "a"]),
        (["b", "b"], ["b"], ["B"], ["B", "b"]),
        (["b", "b"], ["b", "b"], ["b", "B"], ["b", "B"]),
        (["b"], ["a", "b"], ["a", "B"], ["B"]),
        (
            ["b"],
            ["b", None, 7, [{"text": 7}, 7]],
            ["B", None, 7, [{"text": 7}, 7]],
            ["B"],
        ),
    ],
)
def test_every_text_goes_back_where_it_stood(texts, before, after, expected):
    found = answered(texts, before, after)
    assert found == {"action": "GUARDRAIL_INTERVENED", "texts": expected}


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b"]])
def test_where_results_are_no_texts_the_messages_come_back(texts):
    """As for the Responses API; then no text is changed beside them."""
    found = answered(texts, ["a", "b", "b"], ["A", "B", "B"])
    assert found["texts"] == texts
    assert [m["content"] for m in found["structured_messages"]] == ["A", "B", "B"]


def test_what_cannot_be_put_back_is_let_through():
    assert answered(["b", None], ["b"], ["B"]) == {"action": "NONE"}
    assert answered(["b"], ["b"], ["b"]) == {"action": "NONE"}


@pytest.mark.parametrize(
    "body",
    [
        asked([SYSTEM, QUESTION], input_type="response"),
        asked([]),
        asked([SYSTEM], texts=None),
        asked([SYSTEM], structured_messages=None),
        asked([SYSTEM], structured_messages={"a": 1}),
        {"input_type": "request", "texts": ["hello"]},
        {},
        b'{"input_type":"request","structured_messages":[{"role":"\\ud800"}]}',
    ],
)
async def test_what_has_nothing_to_compress_is_let_through(body):
    async with proxy(NOWHERE) as px:
        assert await guard(px, body) == (200, {"action": "NONE"})


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'"request"', b"[" * 9999])
async def test_what_is_no_call_is_refused(body):
    async with proxy(NOWHERE) as px:
        status, found = await guard(px, body)
    assert status == 400
    assert found["error"]["code"] == "malformed_body"


async def test_the_token_comes_as_a_header_of_the_configuration():
    body = asked([SYSTEM, QUESTION])
    async with proxy(NOWHERE, PROXY_TOKEN="secret") as px:
        status, _ = await guard(px, body)
        assert status == 401
        status, _ = await guard(px, body, (b"x-headroom-token: secret",))
        assert status == 200
        status, _ = await call(px, get(PATH, headers=(b"x-headroom-token: secret",)))
        assert status == 405


@pytest.mark.parametrize(
    ("module", "name"), [(GatewayMessages, "parse"), (guardrail, "_texts")]
)
async def test_whatever_fails_inside_the_request_is_let_through(
    monkeypatch, module, name
):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(module, name, fail)
    history = [SYSTEM, QUESTION, *chat_step(1)]
    async with proxy(NOWHERE) as px:
        assert await guard(px, asked(history)) == (200, {"action": "NONE"})


async def test_equal_calls_at_once_get_equal_answers():
    body = asked([SYSTEM, QUESTION, *chat_step(1)])
    async with proxy(NOWHERE) as px:
        found = await asyncio.gather(*(guard(px, body) for _ in range(12)))
    assert found[0][1]["action"] == "GUARDRAIL_INTERVENED"
    assert all(one == found[0] for one in found)


async def test_a_text_that_was_cut_inside_an_emoji_takes_no_other_along():
    history = [SYSTEM, QUESTION, *chat_step(1), *chat_step(2)]
    question = {"role": "user", "content": "and this \ud83d?"}
    async with proxy(NOWHERE) as px:
        _, before = await guard(px, asked(history))
        _, after = await guard(px, asked([*history, question]))
    assert before["texts"] != texts_of(history)
    assert after["texts"] == [*before["texts"], question["content"]]

"""``/v1/compress``: what gateways' plug-ins send, and what they rely on."""

import asyncio
import gzip
import json

import pytest

from gateways import CODE, NOWHERE, QUESTION, SYSTEM, TOOL, call, chat_step
from headroom.errors import StoreUnavailableError
from headroom.providers.gateway import GatewayMessages
from loopback import client, get, post, proxy
from scripted import noisy_log

ALL_RESULTS = b"/tool-results/v1/compress"


async def compress(px, messages, *, path=b"/v1/compress", headers=(), **fields):
    body = json.dumps({"messages": messages, "model": "gpt-5", **fields}).encode()
    return await call(px, post(body, path=path, headers=headers))


def messages_step(number):
    """The same as the Messages API has it."""
    call_id = f"toolu_{number}"
    use = {"type": "tool_use", "id": call_id, "name": "read_log", "input": {"n": 1}}
    block = {"type": "tool_result", "tool_use_id": call_id}
    return [
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{**block, "content": noisy_log(number)}]},
    ]


@pytest.mark.parametrize("step", [chat_step, messages_step])
async def test_over_fifty_turns_every_message_comes_back_as_it_came_back_first(step):
    async with proxy(NOWHERE) as px:
        history, before = [SYSTEM, QUESTION], []
        for number in range(50):
            history += step(number)
            status, found = await compress(px, history)
            assert status == 200
            assert found["messages"][: len(before)] == before
            assert len(found["messages"]) == len(history)
            before = found["messages"]
        assert px.count("headroom_prefix_breaks_total") == 0
    assert found["tokens_after"] < 0.7 * found["tokens_before"]
    assert found["tokens_saved"] == found["tokens_before"] - found["tokens_after"]
    assert found["compression_ratio"] < 0.7
    assert found["transforms_applied"]
    assert found["ccr_hashes"] == []  # nobody said that it could be asked back


async def test_a_conversation_that_begins_with_words_alone_is_the_same_one_later():
    pasted = {"role": "user", "content": f"Look:\n\n```\n{noisy_log(1)}\n```\n"}
    async with proxy(NOWHERE) as px:
        for step in (chat_step, messages_step):
            _, first = await compress(px, [SYSTEM, pasted])
            _, second = await compress(px, [SYSTEM, pasted, *step(2)])
            assert second["messages"][:2] == first["messages"]


async def test_what_is_left_out_can_be_asked_back_as_the_plug_ins_ask():
    async with proxy(NOWHERE) as px:
        text = noisy_log(3)
        history = [SYSTEM, QUESTION, *chat_step(3, text)]
        await compress(px, history[:2], tools=[TOOL])
        _, found = await compress(px, history, tools=[TOOL])
        (digest,) = found["ccr_hashes"]
        assert digest in found["messages"][-1]["content"]
        for base in (b"", b"/tool-results"):
            path = base + b"/v1/retrieve/" + digest.encode()
            status, original = await call(px, get(path))
            assert status == 200
            assert original["original_content"] == text
            _, part = await call(px, get(path + b"?query=worker-3"))
            assert "worker-3" in part["original_content"]
            assert len(part["original_content"]) < len(text)
        _, again = await compress(px, [*history, *chat_step(4)], tools=[TOOL])
        assert again["messages"][: len(history)] == found["messages"]
        assert again["ccr_hashes"][0] == digest


async def test_where_the_gateway_adds_the_tool_markers_say_hash():
    async with proxy(NOWHERE, SIDECAR_RETRIEVAL="gateway") as px:
        _, found = await compress(px, [SYSTEM, QUESTION, *chat_step(3)])
    (digest,) = found["ccr_hashes"]
    assert f"hash={digest}" in found["messages"][-1]["content"]


async def test_nothing_is_left_out_where_that_is_switched_off():
    async with proxy(NOWHERE, SIDECAR_RETRIEVAL="off") as px:
        history = [SYSTEM, QUESTION, *chat_step(3)]
        await compress(px, history[:2], tools=[TOOL])
        _, found = await compress(px, history, tools=[TOOL])
    assert found["ccr_hashes"] == []
    assert found["decision"] == "compressed"


class TestLiteLLM:
    """The rows that LiteLLM 1.106 sends: nothing the assistant said, no system prompt.

    By default the newest question and the newest results are held back as well, and
    come a turn later, when they have been forwarded; with ``scan_only_tool_results``
    all results come, each before it is forwarded.
    """

    AGENT = (b"user-agent: litellm/1.106.2", b"authorization: Bearer sk-x")

    async def test_a_recorded_exchange_is_answered_as_the_plug_in_wants_it(self):
        """Recorded from LiteLLM 1.106.2: two text parts arrive as one string."""
        recorded = (
            b'{"messages":[{"role":"tool","tool_call_id":"c1",'
            b'"content":"line one \xc3\xa9\\n\\n\\nline two"}],"model":"gpt-5"}'
        )
        headers = (
            *(b"accept: */*", b"accept-encoding: gzip, deflate"),
            *(b"user-agent: litellm/1.106.2", b"authorization: Bearer sk-headroom"),
        )
        async with proxy(NOWHERE, PROXY_TOKEN="sk-headroom") as px:
            status, found = await call(
                px, post(recorded, path=ALL_RESULTS, headers=headers)
            )
            assert status == 200
            assert found["messages"] == json.loads(recorded)["messages"]
            for name in ("tokens_before", "tokens_after", "tokens_saved"):
                assert isinstance(found[name], int)
            assert found["compression_ratio"] == 1.0
            assert found["transforms_applied"] == found["ccr_hashes"] == []
            path = b"/tool-results/v1/retrieve/%b?query=worker+7" % (b"a" * 24)
            status, _ = await call(px, get(path, headers=headers))
            assert status == 404  # the model is then told that it is gone

    async def test_rows_that_were_forwarded_before_are_left(self):
        async with proxy(NOWHERE) as px:
            for headers in (self.AGENT, ()):
                rows = [QUESTION] if headers else []
                for number in range(4):
                    rows.append(chat_step(number)[1])
                    status, found = await compress(px, rows, headers=headers)
                    assert status == 200
                    assert found["messages"] == rows
                    assert found["reason"] == "sent_before"
                    assert found["tokens_saved"] == 0

    async def test_all_results_are_compressed_at_first_sight_and_stay_so(self):
        async with proxy(NOWHERE) as px:
            rows, before = [], []
            for number in range(50):
                rows.append(chat_step(number)[1])
                _, found = await compress(
                    px, rows, path=ALL_RESULTS, headers=self.AGENT
                )
                assert found["messages"][: len(before)] == before
                before = found["messages"]
                assert [m["role"] for m in before] == ["tool"] * len(rows)
                assert [m["tool_call_id"] for m in before] == [
                    m["tool_call_id"] for m in rows
                ]
            assert found["tokens_after"] < 0.7 * found["tokens_before"]

    async def test_a_repeat_is_told_by_a_line_of_the_result_it_repeats(self):
        log = "2026-11-21 12:00:00 starting\n" + noisy_log(1)
        async with proxy(NOWHERE) as px:
            rows = [chat_step(n, text)[1] for n, text in enumerate((CODE, log, CODE))]
            _, first = await compress(px, rows[:2], path=ALL_RESULTS)
            _, found = await compress(px, rows, path=ALL_RESULTS, headers=self.AGENT)
        assert found["messages"][:2] == first["messages"]
        assert found["messages"][0] == rows[0]
        lines = CODE.count("\n") + 1
        assert found["messages"][2]["content"].split("\n") == [
            f'[repeats #1 "import os" {lines} lines]',
            f"[#1:1-{lines}]",
        ]

    async def test_results_that_are_told_alike_are_not_referred_to(self):
        other = CODE.replace("total", "sum of")
        async with proxy(NOWHERE) as px:
            rows = [chat_step(n, t)[1] for n, t in enumerate((CODE, other, CODE))]
            _, found = await compress(px, rows, path=ALL_RESULTS, headers=self.AGENT)
        assert found["messages"] == rows

    async def test_a_repeat_whose_source_is_held_back_leaves_as_it_left(self):
        async with proxy(NOWHERE) as px:
            rows = [chat_step(n, t)[1] for n, t in enumerate((CODE, "short", CODE))]
            _, found = await compress(px, rows, path=ALL_RESULTS, headers=self.AGENT)
            assert found["messages"][2] != rows[2]
            _, fewer = await compress(px, rows[1:], path=ALL_RESULTS)
        assert fewer["messages"] == found["messages"][1:]

    async def test_results_that_were_held_back_keep_the_form_of_their_call(self):
        async with proxy(NOWHERE) as px:
            rows = [chat_step(n)[1] for n in range(8)]
            _, found = await compress(px, rows, path=ALL_RESULTS)
            _, fewer = await compress(px, rows[3:], path=ALL_RESULTS)
        assert found["messages"][3:] != rows[3:]
        assert fewer["messages"] == found["messages"][3:]


async def test_a_session_is_named_by_header_field_or_metadata_else_derived():
    history = [SYSTEM, QUESTION]
    async with proxy(NOWHERE) as px:
        header = (b"x-headroom-session-id: first",)
        asked = [
            ("first", {"headers": header, "session_id": "second"}),
            ("second", {"session_id": "second"}),
            ("third", {"metadata": {"session_id": " third "}}),
            ("fourth", {"litellm_metadata": {"litellm_session_id": "fourth"}}),
        ]
        for name, fields in asked:
            _, found = await compress(px, history, **fields)
            assert found["session_id"] == name
        for fields in ({}, {"session_id": 7}, {"metadata": [1]}, {"session_id": " "}):
            _, found = await compress(px, history, **fields)
            assert len(found["session_id"]) > 20
            derived = found["session_id"]
        _, found = await compress(px, [*history, *chat_step(1)])
    assert found["session_id"] == derived


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"model":"gpt-5"}',
        b'{"messages":"hello"}',
        b'{"messages":["hello"]}',
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"messages":' + b"[" * 100_000,
        b'{"messages":[{"content":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    ],
)
async def test_what_is_no_request_is_refused_with_what_was_expected(body):
    async with proxy(NOWHERE) as px:
        status, found = await call(px, post(body, path=b"/v1/compress"))
    assert status == 400
    assert found["error"]["code"] == "malformed_body"
    assert '{"messages"' in found["error"]["message"]


@pytest.mark.parametrize(
    "messages",
    [
        b"[]",
        b'[{"role":"tool"}]',
        b'[{"role":"user","content":1.50}]',
        b'[{"role":"user","content":"a","content":"b"}]',
        b'[{"role":"user","content":[{"type":"text","text":7},null,"x"]}]',
        b'[{"role":"user","content":[{"type":"tool_result","content":{"a":1}}]}]',
        b'[{"role":"assistant","tool_calls":[{"id":1},null,7],"content":null}]',
    ],
)
@pytest.mark.parametrize("path", [b"/v1/compress", ALL_RESULTS])
async def test_what_is_odd_goes_back_byte_for_byte(messages, path):
    async with proxy(NOWHERE) as px, client(px) as c:
        await c.send(post(b'{"messages": %b}' % messages, path=path))
        status, _, body = await c.response()
    assert status == 200
    assert body.startswith(b'{"messages":%b,' % messages)
    assert json.loads(body)["tokens_saved"] == 0


async def test_half_a_surrogate_pair_goes_back_as_it_came():
    async with proxy(NOWHERE) as px:
        for path in (b"/v1/compress", ALL_RESULTS):
            messages = [{"role": "tool", "tool_call_id": "x", "content": "\ud83d"}]
            status, found = await compress(px, messages, path=path)
            assert (status, found["messages"]) == (200, messages)


async def test_only_texts_change_and_all_other_bytes_stay():
    text = noisy_log(1)
    rest = b', "x":1.50e+3,"y":{"b":1,"a":"\\u00e9"} }'
    tool = b'{"role":"tool" ,"tool_call_id":"c1","content":'
    first = json.dumps({"role": "user", "content": SYSTEM["content"]}).encode()
    mine = json.dumps(text).encode()
    body = b'{"model":"gpt-5","messages":[%b,%b%b%b]}' % (first, tool, mine, rest)
    async with proxy(NOWHERE) as px, client(px) as c:
        await c.send(post(body, path=ALL_RESULTS))
        _, _, answer = await c.response()
    assert answer.startswith(b'{"messages":[' + first + b"," + tool)
    assert rest + b"]," in answer
    assert len(answer) < len(body) - 0.3 * len(mine)


async def test_a_body_may_be_encoded_and_is_bounded():
    request = json.dumps({"messages": [SYSTEM, QUESTION]}).encode()
    zipped = (b"content-encoding: gzip",)
    bomb = gzip.compress(b" " * 4_000_000)
    async with proxy(NOWHERE, PROXY_MAX_BODY_BYTES="100000") as px:
        path = b"/v1/compress"
        status, found = await call(
            px, post(gzip.compress(request), path=path, headers=zipped)
        )
        assert (status, found["messages"]) == (200, [SYSTEM, QUESTION])
        status, found = await call(px, post(bomb, path=path, headers=zipped))
        assert status in {400, 413}
        assert "message" in found["error"]
        status, _ = await call(px, post(b"no gzip", path=path, headers=zipped))
        assert status == 400
        status, found = await compress(px, [{"role": "user", "content": "x" * 200_000}])
        assert status == 413
        assert found["error"]["code"] == "limit_exceeded"


@pytest.mark.parametrize(
    "settings", [{"PROXY_COMPRESSION": "false"}, {"PROXY_COMPRESSION_MODE": "off"}]
)
async def test_where_compression_is_off_messages_go_back_as_they_came(settings):
    history = [SYSTEM, QUESTION, *chat_step(1)]
    async with proxy(NOWHERE, **settings) as px:
        status, found = await compress(px, history)
    assert (status, found["messages"]) == (200, history)


async def test_a_request_that_asks_to_be_left_alone_is():
    history = [SYSTEM, QUESTION, *chat_step(1)]
    async with proxy(NOWHERE) as px:
        headers = (b"x-headroom-bypass: true",)
        _, found = await compress(px, history, headers=headers)
    assert (found["messages"], found["reason"]) == (history, "bypass_header")


async def test_whatever_fails_inside_the_messages_go_back(monkeypatch):
    history = [SYSTEM, QUESTION, *chat_step(1)]

    def fail(*_):
        raise ZeroDivisionError

    async with proxy(NOWHERE) as px:
        monkeypatch.setattr(px.app.stages[0], "_rewrite", fail)
        status, found = await compress(px, history)
        assert (status, found["messages"]) == (200, history)
        assert px.count("headroom_stage_failures_total", stage="compress") == 1
        monkeypatch.setattr(GatewayMessages, "parse", fail)
        status, found = await compress(px, history)
        assert (status, found["messages"]) == (200, history)


async def test_without_the_store_nothing_is_left_out(monkeypatch):
    def down(*_, **__):
        raise StoreUnavailableError("down")

    async with proxy(NOWHERE, SIDECAR_RETRIEVAL="gateway") as px:
        store = px.app._source._store
        monkeypatch.setattr(store, "save", down)
        status, found = await compress(px, [SYSTEM, QUESTION, *chat_step(3)])
    assert status == 200
    assert found["ccr_hashes"] == []


class TestWhoMayCall:
    async def test_the_token_is_taken_as_plug_ins_send_it(self):
        async with proxy(NOWHERE, PROXY_TOKEN="secret") as px:
            for path in (b"/v1/compress", ALL_RESULTS):
                status, _ = await compress(px, [QUESTION], path=path)
                assert status == 401
                for name in (b"authorization: Bearer ", b"x-headroom-token: "):
                    status, _ = await compress(
                        px, [QUESTION], path=path, headers=(name + b"secret",)
                    )
                    assert status == 200
            status, _ = await call(px, get(b"/tool-results/v1/retrieve/" + b"0" * 24))
            assert status == 401

    async def test_web_pages_may_not(self):
        async with proxy(NOWHERE) as px:
            headers = (b"origin: https://example.org",)
            status, _ = await compress(px, [QUESTION], headers=headers)
            assert status == 403

    @pytest.mark.parametrize("path", [b"/v1/compress", ALL_RESULTS])
    async def test_only_post_is_served(self, path):
        async with proxy(NOWHERE) as px:
            status, _ = await call(px, get(path))
        assert status == 405


async def test_equal_requests_at_once_get_equal_answers():
    history = [SYSTEM, QUESTION, *chat_step(1), *chat_step(2)]
    async with proxy(NOWHERE) as px:
        found = await asyncio.gather(*(compress(px, history) for _ in range(8)))
    assert len({json.dumps(one["messages"]) for _, one in found}) == 1

"""Responses requests through the running proxy: what arrives, what is told of it."""

import json
import logging

import pytest

from headroom.cachelab import responses_answer
from headroom.cachelab.cache import Usage
from headroom.providers.models import cache_rules
from loopback import (
    answer,
    client,
    get,
    post,
    provider,
    proxy,
    send_chunk,
    start_chunked,
)

LOG = "".join(
    f"2026-03-01T12:{i // 60:02d}:{i % 60:02d}Z INFO worker-{i % 8} took job {i * 7919}"
    f" in {i % 97} ms\n"
    for i in range(400)
)
PATCH = (
    "*** Begin Patch\n*** Update File: a.py\n@@ def f():\n-  return  1\n+\treturn 2\n"
    "*** End Patch\n"
)
TOOLS = [{"type": "function", "name": "exec", "description": "x " * 4000}]
RULES = cache_rules("gpt-5.5", "openai_responses")


def response(answer_id="resp_1", blocks=(), **more):
    usage = responses_answer.usage_of(Usage(10, 0, 0, 1024), 7, RULES)
    blocks = list(blocks) or [{"type": "text", "text": "ok"}]
    made = responses_answer.response(
        {"model": "gpt-5.5"}, blocks, usage, answer_id=answer_id
    )
    return {**made, **more}


async def answer_whole(_request, writer):
    await answer(writer, json.dumps(response()).encode())


def call(call_id="c1"):
    arguments = '{"cmd": "journalctl  -u x"}'
    found = {"type": "function_call", "call_id": call_id, "name": "exec"}
    return {**found, "arguments": arguments, "id": "fc_1", "status": "completed"}


def result(call_id="c1", output=LOG, kind="function_call_output"):
    return {"type": kind, "call_id": call_id, "output": output}


USER = {"role": "user", "content": [{"type": "input_text", "text": "go"}]}


async def sent(*items, path=b"/v1/responses", respond=answer_whole, **more):
    """The body as the provider got it, and as the client sent it."""
    body = {"model": "gpt-5.5", "input": list(items), "store": False, "tools": TOOLS}
    raw = json.dumps({**body, **more}).encode()
    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(raw, path=path, headers=[b"authorization: Bearer sk-x"]))
        status, _, _ = await c.response()
    assert status == 200
    return up.requests[0].body, raw


async def assert_stays(item, *after):
    """The item arrives byte for byte while a result beside it is compressed."""
    got, raw = await sent(USER, item, *after, result("z"))
    assert json.dumps(item).encode() in got
    assert len(got) < len(raw) - len(LOG) // 2


async def test_v4a_patch_byte_equal_through_proxy():
    custom = {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch"}
    await assert_stays({**custom, "input": PATCH * 50})


async def test_local_shell_call_command_argv_array_preserved():
    argv = ["bash", "-lc", "rg  -n 'a b' | head -5", "", "é", LOG]
    action = {"type": "exec", "command": argv, "env": {"B": "1", "A": "2"}}
    await assert_stays({"type": "local_shell_call", "call_id": "c1", "action": action})


def said_in(phase):
    part = {"type": "output_text", "text": LOG, "annotations": []}
    return {"type": "message", "role": "assistant", "phase": phase, "content": [part]}


@pytest.mark.parametrize("phase", ["commentary", "final_answer"])
async def test_codex_phase_preserved(phase):
    await assert_stays(said_in(phase))


async def test_codex_phase_commentary_preserved():
    got, _ = await sent(USER, said_in("commentary"), result("z"))
    assert b'"phase": "commentary"' in got


async def test_codex_phase_final_answer_preserved():
    got, _ = await sent(USER, said_in("final_answer"), result("z"))
    assert b'"phase": "final_answer"' in got


async def test_compaction_item_byte_equal():
    await assert_stays({"type": "compaction", "id": "c", "encrypted_content": LOG})


async def test_reasoning_encrypted_content_byte_equal():
    summary = [{"type": "summary_text", "text": LOG}]
    item = {"type": "reasoning", "summary": summary, "content": None}
    await assert_stays({**item, "encrypted_content": LOG})


async def test_function_call_arguments_string_preserved():
    await assert_stays({**call(), "arguments": f'{{"a" :1.0, "b": "{PATCH}'})


async def test_mcp_tool_call_byte_equal():
    item = {"type": "mcp_call", "id": "m", "name": "f", "server_label": "s"}
    await assert_stays({**item, "arguments": "{ }", "output": LOG})


async def test_computer_call_byte_equal():
    action = {"type": "type", "text": LOG}
    shot = {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}
    await assert_stays(
        {"type": "computer_call", "id": "c", "call_id": "c1", "action": action},
        {"type": "computer_call_output", "call_id": "c1", "output": shot},
    )


async def test_unknown_item_type_logged_warning_byte_equal(caplog):
    item = {"type": "from_2031", "secret": LOG}
    await assert_stays(item, item)
    logged = [r for r in caplog.records if r.message == "unknown_responses_item_type"]
    assert [(r.item_type, r.levelno) for r in logged] == [
        ("from_2031", logging.WARNING)
    ]


async def test_an_unknown_type_is_reported_once(caplog):
    body = json.dumps({"model": "gpt-5.5", "input": [{"type": "from_2032"}, USER]})
    async with provider(answer_whole) as up, proxy(up.url) as px, client(px) as c:
        for _ in range(3):
            await c.send(post(body.encode(), path=b"/v1/responses"))
            await c.response()
    logged = [r for r in caplog.records if r.message == "unknown_responses_item_type"]
    assert len(logged) == 1


@pytest.mark.parametrize(
    "path", [b"/v1/responses", b"/openai/v1/responses", b"/api/x/responses"]
)
async def test_results_are_compressed_under_any_base_url(path):
    got, raw = await sent(USER, call(), result(), path=path)
    assert len(got) < len(raw) - len(LOG) // 2
    output = json.loads(got)["input"][2]["output"]
    assert len(output) < len(LOG) // 2


async def test_compaction_requests_are_untouched():
    got, raw = await sent(USER, call(), result(), path=b"/v1/responses/compact")
    assert got == raw


async def test_a_request_that_is_fetched_later_is_lossless_and_served():
    got, raw = await sent(USER, call(), result(), background=True)
    assert len(got) < len(raw)
    assert b"headroom_retrieve" not in got


async def test_conversation_id_present_skips_compression_warns(caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    body = {"model": "gpt-5.5", "input": [result()], "conversation": {"id": "conv_9"}}
    raw = json.dumps(body).encode()
    async with provider(answer_whole) as up, proxy(up.url) as px, client(px) as c:
        for _ in range(2):
            await c.send(post(raw, path=b"/v1/responses"))
            await c.response()
        assert px.count("proxy_conversations_api_request_count_total") == 2
    assert [request.body for request in up.requests] == [raw, raw]
    warned = [r for r in caplog.records if r.message == "conversation_id_present"]
    assert [r.conversation_id for r in warned] == ["conv_9", "conv_9"]
    decided = [r for r in caplog.records if r.message == "compression_decision"]
    assert {r.reason for r in decided} == {"conversation_state"}


CONVERSATIONS = [
    (b"POST", b"/v1/conversations"),
    (b"GET", b"/v1/conversations/conv_1"),
    (b"POST", b"/v1/conversations/conv_1"),
    (b"DELETE", b"/v1/conversations/conv_1"),
    (b"POST", b"/v1/conversations/conv_1/items"),
    (b"GET", b"/v1/conversations/conv_1/items?limit=2&after=x%20y"),
    (b"GET", b"/v1/conversations/conv_1/items/msg_1"),
    (b"DELETE", b"/v1/conversations/conv_1/items/msg_1"),
]


@pytest.mark.parametrize(("method", "path"), CONVERSATIONS)
async def test_conversations_pass_both_ways_as_they_are(method, path):
    raw = json.dumps({"items": [USER, result()]}).encode() if method == b"POST" else b""
    back = b'{ "id":"conv_1" , "x": 1.0 }'

    async def respond(_request, writer):
        await answer(writer, back)

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(raw, path=path).replace(b"POST", method, 1))
        status, _, body = await c.response()
    assert (status, body) == (200, back)
    request = up.requests[0]
    assert (request.method, request.target, request.body) == (method, path, raw)


async def test_a_conversation_s_items_are_never_held():
    """The provider gets the first bytes of a body before the last ones are sent."""
    head = post(b"", path=b"/v1/conversations/conv_1/items", length=20_000)
    async with provider(answer_whole) as up, proxy(up.url) as px, client(px) as c:
        up.reads_body = False
        await c.send(head + b"x" * 10_000)
        await up.arrived.wait()
        assert not up.requests[0].is_complete


async def test_errors_of_conversations_pass():
    body = b'{"error":{"message":"No conversation","type":"invalid_request_error"}}'

    async def respond(_request, writer):
        await answer(writer, body, status=b"404 Not Found")

    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(get(b"/v1/conversations/conv_0"))
        status, _, got = await c.response()
    assert (status, got) == (404, body)


async def test_pictures_are_logged_by_size_only(caplog):
    caplog.set_level(logging.DEBUG)
    picture = "iVBORw0KGgoAAAANSUhEUg" * 500
    item = {"type": "image_generation_call", "id": "ig", "result": picture}
    got, _ = await sent(USER, item, result("z"))
    assert picture.encode() in got
    assert not any(picture[:60] in str(r.__dict__) for r in caplog.records)


@pytest.mark.parametrize("is_stream", [True, False])
async def test_usage_and_the_end_are_read_beside_the_bytes(is_stream, caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    whole = response()
    events = b"".join(responses_answer.chunks(whole))

    async def respond(_request, writer):
        if not is_stream:
            await answer(writer, json.dumps(whole).encode())
            return
        await start_chunked(writer)
        for at in range(0, len(events), 37):
            await send_chunk(writer, events[at : at + 37])
        await send_chunk(writer, b"")

    raw = json.dumps({"model": "gpt-5.5", "input": "hi", "stream": is_stream}).encode()
    async with provider(respond) as up, proxy(up.url) as px, client(px) as c:
        await c.send(post(raw, path=b"/v1/responses"))
        _, _, body = await c.response()
        counted = px.count(
            "headroom_usage_tokens_total", **{"class": "cache_read_input_tokens"}
        )
    assert body == (events if is_stream else json.dumps(whole).encode())
    assert counted == 1024


async def test_streams_can_be_left_unread():
    """They pass as they are, and nothing is left out that could be asked for there."""
    events = b"".join(responses_answer.chunks(response()))

    async def respond(_request, writer):
        await start_chunked(writer)
        await send_chunk(writer, events)
        await send_chunk(writer, b"")

    body = {"model": "gpt-5.5", "tools": TOOLS, "store": False, "stream": True}
    raw = json.dumps({**body, "input": [USER, call(), result()]}).encode()
    off = {"PROXY_ENABLE_RESPONSES_STREAMING": "false"}
    async with provider(respond) as up, proxy(up.url, **off) as px, client(px) as c:
        await c.send(post(raw, path=b"/v1/responses"))
        _, _, got = await c.response()
        names = {"class": "cache_read_input_tokens"}
        assert px.count("headroom_usage_tokens_total", **names) == 0
    assert got == events
    assert len(up.requests[0].body) < len(raw) - len(LOG) // 4
    assert b"headroom_retrieve" not in up.requests[0].body


async def test_conversations_can_be_refused():
    off = {"PROXY_ENABLE_CONVERSATIONS_PASSTHROUGH": "false"}
    async with provider() as up, proxy(up.url, **off) as px, client(px) as c:
        await c.send(get(b"/v1/conversations/conv_1"))
        status, _, body = await c.response()
    assert status == 404
    assert json.loads(body)["error"]["message"]
    assert up.requests == []


async def test_the_next_request_goes_on_even_if_it_comes_at_once():
    """The answer is noted before the client has its end: no request can be faster."""
    call_block = {"type": "tool_use", "id": "c1", "name": "exec", "input": {"cmd": "x"}}
    whole = response("resp_1", [call_block])
    events = b"".join(responses_answer.chunks(whole))

    async def respond(request, writer):
        if b"previous_response_id" in request.body:
            await answer(writer, json.dumps(response("resp_2")).encode())
            return
        await start_chunked(writer)
        await send_chunk(writer, events)  # and the connection stays open

    async with (
        provider(respond) as up,
        proxy(up.url) as px,
        client(px) as first,
        client(px) as second,
    ):
        body = {"model": "gpt-5.5", "tools": TOOLS, "stream": True}
        ask = {**body, "input": [USER]}
        await first.send(post(json.dumps(ask).encode(), path=b"/v1/responses"))
        await first.head()
        await first.chunk()
        delta = {**body, "input": [result()], "previous_response_id": "resp_1"}
        await second.send(post(json.dumps(delta).encode(), path=b"/v1/responses"))
        await second.response()
        full = {**body, "input": [USER, call(), result()]}
        await second.send(post(json.dumps(full).encode(), path=b"/v1/responses"))
        await second.head()
    outputs = [
        [i["output"] for i in json.loads(r.body)["input"] if "output" in i]
        for r in up.requests[1:3]
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0][0]) < len(LOG) // 2


async def test_an_answer_is_found_after_a_restart(tmp_path):
    store = f"sqlite:///{tmp_path}/s.db"
    call_block = {"type": "tool_use", "id": "c1", "name": "exec", "input": {"cmd": "x"}}

    async def respond(request, writer):
        is_next = b"previous_response_id" in request.body
        blocks = [] if is_next else [call_block]
        made = response("resp_2" if is_next else "resp_1", blocks)
        await answer(writer, json.dumps(made).encode())

    body = {"model": "gpt-5.5", "tools": TOOLS}
    delta = {**body, "input": [result()], "previous_response_id": "resp_1"}
    full = {**body, "input": [USER, call(), result()]}
    async with provider(respond) as up:
        for asked in ({**body, "input": [USER]}, delta, full):
            async with proxy(up.url, STORE=store) as px, client(px) as c:
                await c.send(post(json.dumps(asked).encode(), path=b"/v1/responses"))
                await c.response()
    one, other = (json.loads(r.body)["input"][-1] for r in up.requests[1:])
    assert one == other
    assert len(one["output"]) < len(LOG) // 2

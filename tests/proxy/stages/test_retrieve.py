import asyncio
import gzip
import json
import logging
import re

import pytest

import loopback
from headroom.cachelab.client import read_stream
from headroom.core.digest import content_digest
from scripted import TOOL, call, events, message, retrieval, sse, text, thinking

KEY = b"x-api-key: sk-ant-api03-test"
LONG = "".join(
    f"2026-01-01 12:00:{i % 60:02d} INFO worker {i} took job\n" for i in range(9)
)
MARKER = re.compile(rb"<<ccr:([0-9a-f]{24})>>")
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]


def request(*messages, is_stream=True, tools=TOOLS):
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": is_stream,
        "tools": tools,
        "messages": list(messages) or [{"role": "user", "content": "help"}],
    }
    return json.dumps(body).encode()


class Script:
    """Answers requests by what the list says: blocks, or a coroutine function.

    Attributes:
        gzips: compress answers, whatever was asked for.
    """

    def __init__(self, *rounds, gzips=False):
        self.rounds = list(rounds)
        self.gzips = gzips

    async def __call__(self, received, writer):
        due = self.rounds.pop(0)
        if callable(due):
            await due(received, writer)
            return
        answer = due if isinstance(due, dict) else message(due)
        if json.loads(received.body)["stream"]:
            data, kind = sse(answer), b"text/event-stream"
        else:
            data, kind = json.dumps(answer).encode(), b"application/json"
        head = [b"content-type: " + kind]
        if self.gzips:
            data, head = gzip.compress(data), [*head, b"content-encoding: gzip"]
        await loopback.answer(writer, data, headers=head)


async def refuse(received, writer):
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    await loopback.answer(
        writer,
        json.dumps(body).encode(),
        status=b"529 Overloaded",
        headers=[b"retry-after: 3"],
    )


async def refuse_oddly(received, writer):
    page = [b"content-type: text/html"]
    await loopback.answer(writer, b"<html>", status=b"502 Bad", headers=page)


async def break_off(received, writer):
    await loopback.start_chunked(writer)
    await loopback.send_chunk(writer, sse(message([text("half" * 50)]))[:400])
    writer.transport.abort()


async def hang_up(received, writer):
    writer.transport.abort()


async def exchange(proxy, body, headers=(KEY,)):
    async with loopback.client(proxy) as client:
        await client.send(loopback.post(body, headers=list(headers)))
        return await client.response()


async def keep(proxy, original=LONG):
    """Put an original into the store, as a lossy result would."""
    ledger = proxy.app.stages[0]._ledger
    await asyncio.to_thread(ledger.save, [], {content_digest(original): original})
    return content_digest(original)


async def test_a_retrieval_is_answered_inside_the_stream():
    script = Script(
        [thinking("hm"), retrieval(1, content_digest(LONG))], [text("done")]
    )
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        await keep(proxy)
        status, headers, out = await exchange(proxy, request())
        assert status == 200
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert read_stream(out) == ([thinking("hm"), text("done")], "")
        first, second = provider.requests
        assert TOOL.encode() in first.body
        assert second.body.startswith(first.body[: first.body.rindex(b"]")])
        turn = json.loads(second.body)["messages"][-2:]
        assert turn[0]["content"][0] == thinking("hm")
        assert "worker 8 took job" in turn[1]["content"][0]["content"]
        assert second.target == first.target
        assert second.get(b"x-api-key") == b"sk-ant-api03-test"
        found = proxy.count("headroom_retrievals_total", outcome="found")
        assert found == 1
        assert proxy.count("headroom_retrieved_tokens_total") > 50
        billed = proxy.count(
            "headroom_usage_tokens_total", **{"class": "output_tokens"}
        )
        assert billed == 20


async def test_a_json_answer_is_joined_the_same_way():
    script = Script([text("a"), retrieval(1)], [text("b"), call(2, c="ls")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        status, headers, out = await exchange(proxy, request(is_stream=False))
        assert status == 200
        assert headers[b"x-headroom-retrievals"] == b"1"
        assert b"output_tokens=20" in headers[b"x-headroom-billed"]
        answer = json.loads(out)
        assert answer["content"] == [text("a"), text("b"), call(2, c="ls")]
        assert answer["usage"]["output_tokens"] == 20
        assert answer["stop_reason"] == "tool_use"


@pytest.mark.parametrize("is_stream", [True, False])
async def test_the_next_request_puts_the_exchange_back(is_stream):
    script = Script(
        [thinking("one"), retrieval(1)],
        [thinking("two"), text("b"), retrieval(2), call(3, c="ls")],
        [text("end")],
        [text("end")],
    )
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        question = {"role": "user", "content": "help"}
        _, _, out = await exchange(proxy, request(question, is_stream=is_stream))
        blocks = read_stream(out)[0] if is_stream else json.loads(out)["content"]
        result = {"type": "tool_result", "tool_use_id": "toolu_3", "content": "ok"}
        body = request(
            question,
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": [result]},
            is_stream=is_stream,
        )
        for _ in range(2):
            await exchange(proxy, body)
        before = json.loads(provider.requests[1].body)["messages"]
        after = json.loads(provider.requests[2].body)["messages"]
        assert after[: len(before)] == before
        assert after[3]["content"] == [
            thinking("two"), text("b"), retrieval(2), call(3, c="ls")
        ]  # fmt: skip
        assert [b["tool_use_id"] for b in after[4]["content"]] == ["toolu_2", "toolu_3"]
        assert provider.requests[3].body == provider.requests[2].body
        assert proxy.count("headroom_prefix_breaks_total") == 0


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_compressed_answer_is_read_and_leaves_uncompressed(is_stream):
    script = Script([retrieval(1)], [text("b")], gzips=True)
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        accept = b"accept-encoding: gzip, br"
        _, headers, out = await exchange(
            proxy, request(is_stream=is_stream), [KEY, accept]
        )
        assert provider.requests[0].get(b"accept-encoding") is None
        assert b"content-encoding" not in headers
        assert b"done" not in out
        blocks = read_stream(out)[0] if is_stream else json.loads(out)["content"]
        assert blocks == [text("b")]


async def test_without_the_tool_responses_pass_untouched():
    data = sse(message([text("a"), retrieval(1)]))

    async def plain(received, writer):
        await loopback.answer(
            writer, data, headers=[b"content-type: text/event-stream"]
        )

    async with loopback.provider(plain) as provider:
        for setting, headers in (
            ({"RETRIEVAL": "off"}, [KEY]),
            ({"RETRIEVAL": "mcp"}, [KEY]),
            ({}, [b"authorization: Bearer sk-ant-oat01-x"]),
            ({}, [KEY, b"user-agent: claude-cli/2"]),
        ):
            async with loopback.proxy(provider.url, **setting) as proxy:
                accept = b"accept-encoding: gzip"
                _, _, out = await exchange(proxy, request(), [*headers, accept])
                assert out == data
                assert provider.requests[-1].get(b"accept-encoding") == b"gzip"
                assert provider.requests[-1].body == request()


async def test_a_client_that_brings_the_tool_answers_for_itself():
    data = sse(message([retrieval(1)]))

    async def plain(received, writer):
        await loopback.answer(
            writer, data, headers=[b"content-type: text/event-stream"]
        )

    own = {"name": f"mcp__headroom__{TOOL}", "input_schema": {"type": "object"}}
    async with (
        loopback.provider(plain) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        _, _, out = await exchange(proxy, request(tools=[*TOOLS, own]))
        assert out == data
        assert provider.requests[0].body == request(tools=[*TOOLS, own])


async def test_an_unknown_hash_is_answered_in_words(caplog):
    script = Script([retrieval(1, "f" * 24)], [text("b")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        _, _, out = await exchange(proxy, request())
        assert read_stream(out) == ([text("b")], "")
        answer = json.loads(provider.requests[1].body)["messages"][-1]["content"][0]
        assert "nothing is kept under" in answer["content"]
        code = "original_not_found"
        assert proxy.count("headroom_retrievals_total", outcome=code) == 1


async def test_a_store_that_fails_is_told_to_the_model_the_log_and_the_metrics(caplog):
    script = Script([retrieval(1)], [text("b")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        ledger = proxy.app.stages[0]._ledger
        ledger._store.get = _down
        _, _, out = await exchange(proxy, request())
        assert read_stream(out) == ([text("b")], "")
        answer = json.loads(provider.requests[1].body)["messages"][-1]["content"][0]
        assert "cannot be read at the moment" in answer["content"]
        code = "store_unavailable"
        assert proxy.count("headroom_retrievals_total", outcome=code) == 1
        assert proxy.count("headroom_store_failures_total") == 1
        logged = [r for r in caplog.records if r.message == "retrieval_failed"]
        assert logged[0].error == code


def _down(digest):
    from headroom.errors import StoreUnavailableError

    raise StoreUnavailableError("switched off by the test")


@pytest.mark.parametrize("failure", [refuse, refuse_oddly, break_off, hang_up])
async def test_a_continuation_that_fails_ends_the_stream_with_an_error(failure):
    script = Script([text("a"), retrieval(1)], failure)
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        status, _, out = await exchange(proxy, request())
        assert status == 200
        seen = events(out)
        assert seen[-1]["type"] == "error"
        assert seen[-1]["error"]["type"] in {"overloaded_error", "api_error"}
        assert "message_stop" not in [e["type"] for e in seen]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(refuse, 529), (refuse_oddly, 502), (hang_up, 502)],
)
async def test_a_continuation_that_fails_fails_the_json_answer(failure, expected):
    script = Script([text("a"), retrieval(1)], failure)
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        status, headers, out = await exchange(proxy, request(is_stream=False))
        assert status == expected
        if failure is refuse:
            assert headers[b"retry-after"] == b"3"
            assert json.loads(out)["error"]["type"] == "overloaded_error"
        if failure is hang_up:
            assert json.loads(out)["type"] == "error"


async def test_a_client_that_leaves_takes_the_continuation_along():
    started = asyncio.Event()

    async def slow(received, writer):
        await loopback.start_chunked(writer)
        await loopback.send_chunk(writer, sse(message([text("b" * 40)]))[:300])
        started.set()
        await received.closed.wait()

    script = Script([text("a"), retrieval(1)], slow)
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        async with loopback.client(proxy) as client:
            await client.send(loopback.post(request(), headers=[KEY]))
            await client.head()
            await asyncio.wait_for(started.wait(), 5)
            client.leave()
        assert await asyncio.wait_for(provider.requests[1].closed.wait(), 5)


async def test_nothing_is_held_but_the_events_of_the_call():
    pause = asyncio.Event()
    data = sse(message([text("hello"), retrieval(1)]))
    cut = data.index(b'"type":"content_block_start","index":1')
    cut = data.rindex(b"event:", 0, cut)

    async def slow(received, writer):
        await loopback.start_chunked(writer)
        await loopback.send_chunk(writer, data[:cut])
        await pause.wait()
        await loopback.send_chunk(writer, data[cut:])
        await loopback.send_chunk(writer, b"")

    script = Script(slow, [text("b")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        async with loopback.client(proxy) as client:
            await client.send(loopback.post(request(), headers=[KEY]))
            await client.head()
            seen = b""
            while len(seen) < cut:
                seen += await client.chunk()
            assert seen == data[:cut]
            pause.set()
            while piece := await client.chunk():
                seen += piece
        assert read_stream(seen) == ([text("hello"), text("b")], "")


async def test_the_decision_record_tells_what_was_asked_back(caplog):
    caplog.set_level(logging.INFO, "headroom.proxy")
    script = Script([retrieval(1, content_digest(LONG))], [text("b")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        digest = await keep(proxy)
        await exchange(proxy, request())
    record = next(r for r in caplog.records if r.message == "compression_decision")
    assert record.retrievals == 1
    assert record.retrieval_rounds == 1
    assert record.retrieved == [
        {"hash": digest, "outcome": "found", "tokens": record.retrieved_tokens}
    ]
    assert record.auth_mode == "payg"
    assert record.output_tokens == 20


async def test_lossy_results_carry_a_marker_that_the_tool_answers():
    noise = "".join(
        f"2026-01-01T12:00:{i % 60:02d}Z INFO w{i % 7} took job {i * 7919} in {i} ms\n"
        for i in range(900)
    )
    run = {"type": "tool_result", "tool_use_id": "toolu_1", "content": noise}
    messages = [
        {"role": "user", "content": "help " * 3000},
        {"role": "assistant", "content": [call(1, command="kubectl logs api")]},
        {"role": "user", "content": [run]},
    ]
    wanted = []

    async def ask_back(received, writer):
        digest = MARKER.search(received.body)[1].decode()
        wanted.append(digest)
        await Script([retrieval(2, digest)])(received, writer)

    script = Script([call(1, command="kubectl logs api")], ask_back, [text("b")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        await exchange(proxy, request(messages[0]))
        _, _, out = await exchange(proxy, request(*messages))
        assert read_stream(out) == ([text("b")], "")
        assert wanted == [content_digest(noise)]
        answer = json.loads(provider.requests[2].body)["messages"][-1]["content"][0]
        assert "job 7919 in 1 ms" in answer["content"]


async def test_a_store_that_takes_no_originals_leaves_results_lossless():
    noise = "".join(
        f"2026-01-01T12:00:00Z INFO job {i * 7919} ok\n" for i in range(900)
    )
    run = {"type": "tool_result", "tool_use_id": "toolu_1", "content": noise}
    messages = [
        {"role": "user", "content": "help " * 3000},
        {"role": "assistant", "content": [call(1, command="kubectl logs api")]},
        {"role": "user", "content": [run]},
    ]
    script = Script([call(1, command="kubectl logs api")], [text("b")])
    async with (
        loopback.provider(script) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        await exchange(proxy, request(messages[0]))
        proxy.app.stages[0]._ledger._store.try_save = lambda *_: _down("")
        proxy.app.stages[0]._ledger._store.save = lambda *_: _down("")
        status, _, _ = await exchange(proxy, request(*messages))
        assert status == 200
        assert MARKER.search(provider.requests[1].body) is None
        assert TOOL.encode() in provider.requests[1].body
        assert len(provider.requests[1].body) < len(request(*messages))
        assert proxy.count("headroom_stage_failures_total", stage="compress") == 0

"""What the compressing stage tells about what it did."""

import json
import logging

import loopback
from headroom.core import pipeline
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, LostTag
from scripted import call, message

KEY = b"x-api-key: sk-ant-api03-test"
PAGE = "<house-rule>Be kind.</house-rule> Some words about the work at hand.\n" * 80
LOST = LostTag("<house-rule>", 120)


def shorten(_text, _context):
    words = "Words about the work at hand."
    return Compressed(lossy=Candidate(words, "short", "79 lines", lost_tags=(LOST,)))


def request(*messages):
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "tools": [{"name": "fetch_page", "input_schema": {"type": "object"}}],
        "messages": list(messages),
    }
    return json.dumps(body).encode()


async def test_a_tag_that_a_lossy_form_goes_without_is_told_to_the_log(
    caplog, monkeypatch
):
    careless = Compressor("short", "prose", lambda _: 1.0, shorten)
    monkeypatch.setattr(pipeline, "COMPRESSORS", (careless,))
    run = {"type": "tool_result", "tool_use_id": "toolu_1", "content": PAGE}
    messages = [
        {"role": "user", "content": "help " * 3000},
        {"role": "assistant", "content": [call(1, name="fetch_page", url="x")]},
        {"role": "user", "content": [run]},
    ]

    async def answer(_received, writer):
        data = json.dumps(message([{"type": "text", "text": "b"}])).encode()
        await loopback.answer(writer, data)

    async with (
        loopback.provider(answer) as provider,
        loopback.proxy(provider.url) as proxy,
    ):
        for body in (request(messages[0]), request(*messages), request(*messages)):
            with caplog.at_level(logging.ERROR, "headroom.proxy"):
                async with loopback.client(proxy) as client:
                    await client.send(loopback.post(body, headers=[KEY]))
                    await client.response()
        assert PAGE.encode() not in provider.requests[1].body
    told = [r for r in caplog.records if r.message == "tag_protector_placeholder_lost"]
    # At first sight, and never again when the form is repeated.
    assert len(told) == 1
    assert told[0].levelno == logging.ERROR
    assert told[0].tag_preview == "<house-rule>"
    assert told[0].compressed_length == 120
    assert told[0].action == "discarded_wrap"
    assert told[0].request_id


async def test_a_model_that_no_table_lists_is_reported_once(caplog):
    body = {"model": "unheard-of-9", "messages": [{"role": "user", "content": "hi"}]}
    raw = json.dumps(body).encode()
    known = raw.replace(b"unheard-of-9", b"x-ai/grok-4")
    async with (
        loopback.provider() as up,
        loopback.proxy(up.url) as px,
        loopback.client(px) as c,
    ):
        for one in (raw, raw, known, raw):
            await c.send(loopback.post(one, path=b"/v1/chat/completions"))
            await c.response()
    found = [r for r in caplog.records if r.message == "model_unknown"]
    assert [record.model for record in found] == ["unheard-of-9"]


async def test_the_users_file_says_from_which_length_on_prefixes_are_cached(tmp_path):
    log = json.dumps([{"name": f"row {n}", "size": n, "kind": "x"} for n in range(60)])
    function = {"name": "bash", "arguments": "{}"}
    calls = [{"id": "c1", "type": "function", "function": function}]
    messages = [
        {"role": "user", "content": "help"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": log},
    ]
    body = json.dumps({"model": "acme-1", "messages": messages}).encode()
    file = tmp_path / "models.toml"
    path = b"/v1/chat/completions"
    sizes = []
    for minimum in (1, 100_000):
        file.write_text(
            f'[[model]]\nmatch = ["acme-*"]\ncache_minimum_tokens = {minimum}\n'
        )
        async with (
            loopback.provider() as up,
            loopback.proxy(up.url, MODELS_FILE=str(file)) as px,
            loopback.client(px) as c,
        ):
            await c.send(loopback.post(body, path=path))
            await c.response()
        sizes.append(len(up.requests[0].body))
    assert sizes[0] < sizes[1] == len(body)

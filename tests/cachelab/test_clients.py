"""Recorded clients, replayed as they were sent."""

import contextlib
import io
import json
import lzma

import pytest
from rich.console import Console

from headroom.cachelab import report
from headroom.cachelab.clients import load, replay
from headroom.cachelab.replay import Options, bench
from headroom.errors import ConfigError
from loopback import proxy
from scripted import noisy_log

SYSTEM = "You are careful. " * 400


def chat_body(turns):
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "x"}]
    for turn in range(turns):
        function = {"name": "bash", "arguments": "{}"}
        call = {"id": f"call_{turn}", "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": f"Step {turn}.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": noisy_log(turn)},
        ]
    tool = {"type": "function", "function": {"name": "bash", "parameters": {}}}
    return {"model": "gpt-5", "tools": [tool], "stream": True, "messages": messages}


def messages_body(turns):
    messages = [{"role": "user", "content": "x"}]
    for turn in range(turns):
        use = {"type": "tool_use", "id": f"t{turn}", "name": "Bash", "input": {}}
        words = {"type": "text", "text": f"Step {turn}."}
        result = {"type": "tool_result", "tool_use_id": use["id"]}
        messages += [
            {"role": "assistant", "content": [words, use]},
            {"role": "user", "content": [{**result, "content": noisy_log(turn)}]},
        ]
    marker = {"cache_control": {"type": "ephemeral"}}
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 99,
        "system": [{"type": "text", "text": SYSTEM, **marker}],
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "stream": True,
        "messages": messages,
    }


def line(path, body, **more):
    headers = [
        ["Content-Type", "application/json"],
        ["User-Agent", "agent/1"],
        ["Host", "example.org"],
        ["anthropic-version", "2023-06-01"],
    ]
    found = {"path": path, "method": "POST", "headers": headers, "body": body}
    return json.dumps({"client": "agent", "transport": "http", **found, **more})


def write(folder, name, lines):
    (folder / name).write_text("\n".join(lines) + "\n\n")


async def through_headroom(path, options):
    async with contextlib.AsyncExitStack() as stack:

        async def target(url):
            running = await stack.enter_async_context(proxy(url))
            return running.url, None

        async with bench(options, target=target) as lab:
            return [await replay(lab, one) for one in load([path])]


@pytest.mark.parametrize("retrieve", [0, 1])
async def test_clients_keep_their_cache_and_their_answers(tmp_path, retrieve):
    write(
        tmp_path, "a.jsonl", [line("/v1/messages", messages_body(n)) for n in range(5)]
    )
    write(
        tmp_path,
        "b.jsonl",
        [line("/v1/chat/completions", chat_body(n)) for n in range(5)]
        + [line("/v1/other", {}), line("/v1/responses", {}, transport="ws-message")],
    )
    found = await through_headroom(tmp_path, Options(retrieve_every=retrieve))
    assert report.client_problems(found) == []
    assert [r.skipped for r in found] == [0, 2]
    for one in found:
        assert one.result.turns == 5
        assert one.tool_tokens[1] < 0.7 * one.tool_tokens[0]
        assert one.input_tokens[1] < one.input_tokens[0]
        assert bool(one.spliced) is bool(retrieve)
        assert 0 < one.result.tool_price < one.result.ratio
    console = Console(width=200, file=io.StringIO())
    report.print_clients(console, found)
    assert "of it tool" in console.file.getvalue()
    assert "The retrieval tool's definition and calls cost" in console.file.getvalue()
    assert report.clients_as_json(found)["clients"][0]["changed_answers"] == []


async def test_a_break_of_the_clients_own_is_not_counted_against_the_proxy(tmp_path):
    bodies = [chat_body(3), chat_body(4), chat_body(5)]
    bodies[1]["messages"][3]["content"] = "cleared"
    write(
        tmp_path, "a.jsonl", [line("/x/v1/chat/completions", body) for body in bodies]
    )
    (tmp_path / "a.jsonl.xz").write_bytes(
        lzma.compress((tmp_path / "a.jsonl").read_bytes())
    )
    [one, _] = await through_headroom(tmp_path, Options())
    assert one.result.breaks == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"headers": 7}'])
def test_what_is_no_recording_is_named(tmp_path, text):
    write(tmp_path, "a.jsonl", [text])
    with pytest.raises(ConfigError, match=r"a\.jsonl is no recording"):
        load([tmp_path])


def test_a_directory_without_recordings_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no recordings"):
        load([tmp_path])

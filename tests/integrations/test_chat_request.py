"""The one place through which a broker sends chat requests."""

import copy
import json
import logging
import random
import subprocess
import sys

import pytest

from headroom.core import markers
from headroom.core.types import ToolCall
from headroom.errors import StoreUnavailableError
from headroom.inference.tokens import count_tokens
from headroom.integrations.chat_request import (
    Outcome,
    maybe_compress_chat_body,
    maybe_compress_chat_request,
    session_compressor,
    shared_compressor,
    should_skip_compression,
)
from headroom.session import Session
from scripted import noisy_log

PROCEDURE = "Procedure for incidents.\n" + "".join(
    f"{i}. Check the {word} of service {i % 17}, note it and tell team {i % 5}.\n"
    for i, word in enumerate(["latency", "queue", "disk", "replica", "quota"] * 24)
)


def server_log(errors=0, size_bytes=29_000):
    """The log lines of one server: level, time, server, status, latency."""
    rng = random.Random(3)
    lines, size, i = [], 0, 0
    while size < size_bytes:
        line = (
            f"[INFO] 2026-03-02T12:{i // 60 % 60:02d}:{i % 60:02d}Z server=web-"
            f"{rng.randrange(1, 9)} status=ok latency_ms={rng.randrange(20, 90)}"
        )
        lines.append(line)
        size, i = size + len(line) + 1, i + 1
    for number in range(errors):
        place = (number + 1) * len(lines) // (errors + 1)
        lines[place] = (
            f"[ERROR] 2026-03-02T12:{number:02d}:59Z server=web-3 status=failed"
            f" cause=disk_{number}_full"
        )
    return "\n".join(lines)


def request(text, **more):
    return {
        "model": "gpt-5",
        "messages": [
            {"role": "system", "content": PROCEDURE},
            {"role": "user", "content": text},
        ],
        **more,
    }


def lossy():
    return session_compressor(Session(retrieval="elsewhere", user_text="lossy"))


def shorten(req, request_id="r", compressor=None):
    return maybe_compress_chat_request(
        req, enabled=True, request_id=request_id, compressor=compressor
    )


def shorten_body(body, compressor=None):
    return maybe_compress_chat_body(
        body, enabled=True, request_id="r", compressor=compressor
    )


class Spy:
    """A compressor that is counted, and does what the test says."""

    def __init__(self, work=None):
        self.calls = []
        self.work = work or shared_compressor()

    def __call__(self, body, *, mode, auth_mode):
        self.calls.append((mode, auth_mode))
        return self.work(body, mode=mode, auth_mode=auth_mode)


def records(caplog, level):
    return [r for r in caplog.records if r.levelno == level]


@pytest.fixture(autouse=True)
def log_level(caplog):
    caplog.set_level(logging.DEBUG, "aibroker.compression")


def tokens(req):
    return sum(count_tokens(m["content"], "gpt-5").tokens for m in req["messages"])


@pytest.mark.parametrize("errors", [0, 7])
def test_a_procedure_and_29_kb_of_server_log_lose_two_thirds_of_their_tokens(
    errors, caplog
):
    text = server_log(errors)
    req = request(text)
    before = tokens(req)
    assert shorten(req, request_id="r-1", compressor=lossy()) is req
    assert tokens(req) <= 0.33 * before
    assert req["messages"][0]["content"] == PROCEDURE
    kept = req["messages"][1]["content"]
    assert [n for n in range(errors) if f"disk_{n}_full" not in kept] == []
    (record,) = records(caplog, logging.INFO)
    assert record.name == "aibroker.compression"
    assert record.request_id == "r-1"
    assert record.tokens_saved == record.tokens_before - record.tokens_after > 0
    assert record.tokens_after < 0.05 * record.tokens_before or errors


def test_what_was_left_out_of_pasted_text_can_be_fetched_back():
    text = server_log()
    with Session(retrieval="elsewhere", user_text="lossy") as session:
        req = request(text)
        shorten(req, compressor=session_compressor(session))
        (marker,) = markers.find_markers(req["messages"][1]["content"])
        call = ToolCall("", "", json.dumps({"hash": marker.digest}).encode())
        assert session.answer(call).startswith(text[:500])


def test_disabled_is_noop(caplog):
    class Untouchable(dict):
        def __getitem__(self, key):
            raise AssertionError("read")

        items = keys = values = __iter__ = get = __getitem__

    spy, req = Spy(), Untouchable(request("x"))
    assert (
        maybe_compress_chat_request(req, enabled=False, request_id="r", compressor=spy)
        is req
    )
    body = b"any bytes"
    assert (
        maybe_compress_chat_body(body, enabled=False, request_id="r", compressor=spy)
        is body
    )
    assert spy.calls == []
    assert caplog.records == []


def test_multi_completion_skipped(caplog):
    spy, req = Spy(), request(server_log(), n=2)
    before = copy.deepcopy(req)
    assert shorten(req, compressor=spy) == before
    assert spy.calls == []
    (record,) = records(caplog, logging.DEBUG)
    assert record.reason == "n_greater_than_one"


@pytest.mark.parametrize("more", [{}, {"n": 1}, {"n": None}])
def test_single_completions_are_compressed_once(more):
    spy, req = Spy(), request(server_log(), **more)
    before = tokens(req)
    shorten(req, compressor=spy)
    assert tokens(req) < before
    assert spy.calls == [("live_zone", "payg")]


def test_bad_json_is_no_skip_and_is_reported_by_the_compressor(caplog):
    for body in [b"{", b"[" * 200_000, b"\xff", b"[1]", b"{}", b"1"]:
        assert should_skip_compression(body) == ""
        assert shorten_body(body) is body
    assert len(records(caplog, logging.WARNING)) == 6


TOOL = {
    "type": "function",
    "function": {"name": "log", "parameters": {"type": "object", "properties": {}}},
}


def test_tool_call_request_round_trips():
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "log", "arguments": '{"a": 1e3,  "b":"\\u00e9"}'},
    }
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    req = request(
        "Look at it",
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "log"}},
        temperature=0.25,
        stream=True,
        metadata={"a": "b"},
    )
    text = {"type": "text", "text": server_log()}
    req["messages"][1]["content"] = [text, image]
    req["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": noisy_log(1)},
    ]
    before = copy.deepcopy(req)
    own = list(req["messages"])
    shorten(req, compressor=lossy())
    assert len(req["messages"][3]["content"]) < len(noisy_log(1))
    assert {k: v for k, v in req.items() if k != "messages"} == {
        k: v for k, v in before.items() if k != "messages"
    }
    assert [m is o for m, o in zip(req["messages"], own, strict=True)][::2] == [
        True
    ] * 2
    assert req["messages"][1]["content"][1] == image
    assert req["messages"][3] | {"content": ""} == before["messages"][3] | {
        "content": ""
    }


def test_enabled_short_message_keeps_valid_request():
    req = request("hello")
    before = copy.deepcopy(req)
    assert shorten(req) == before


def deep():
    found = []
    for _ in range(100_000):
        found = [found]
    return found


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        RecursionError(),
        MemoryError(),
        StoreUnavailableError("x"),
        KeyError("content"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_compressor_leaves_the_request(error, caplog):
    def fail(body, *, mode, auth_mode):
        raise error

    req = request(server_log())
    before = copy.deepcopy(req)
    assert shorten(req, request_id="r-9", compressor=fail) == before
    (record,) = records(caplog, logging.WARNING)
    assert record.request_id == "r-9"
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", deep()], ids=lambda v: type(v).__name__
)
def test_what_cannot_be_encoded_leaves_the_request(value, caplog):
    req = request(server_log(), metadata=value)
    messages = req["messages"]
    assert shorten(req)["messages"] is messages
    assert len(records(caplog, logging.WARNING)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda r: b"{",
        lambda r: b"[]",
        lambda r: json.dumps({**r, "messages": r["messages"][:1]}).encode(),
        lambda r: json.dumps({**r, "model": "other"}).encode(),
        lambda r: json.dumps({**r, "tools": []}).encode(),
        lambda r: json.dumps(
            {**r, "messages": [{"role": "system", "content": "x"}, r["messages"][1]]}
        ).encode(),
        lambda r: json.dumps(
            {**r, "messages": [r["messages"][0], {"role": "user", "content": None}]}
        ).encode(),
    ],
)
def test_a_body_that_is_another_request_is_not_taken(change, caplog):
    def wrong(body, *, mode, auth_mode):
        return Outcome(change(json.loads(body)), 2, 1)

    req = request(server_log(), tools=[TOOL])
    before = copy.deepcopy(req)
    assert shorten(req, compressor=wrong) == before
    assert len(records(caplog, logging.WARNING)) == 1


def test_all_other_bytes_of_a_body_stay():
    text = json.dumps(server_log())
    head = b'{ "n":1, "x":1.50e1,"messages":[ {"role":"user" ,"content":'
    body = head + text.encode() + b'}\n], "model":"gpt-5","y":"\\u00e9"}'
    found = shorten_body(body)
    assert len(found) < 0.8 * len(body)
    assert found.startswith(head)
    assert found.endswith(b'}\n], "model":"gpt-5","y":"\\u00e9"}')


@pytest.mark.parametrize(
    "model",
    ["anthropic/claude-sonnet-4.5", "google/gemini-3-pro", "meta/llama-4", "qwen3"],
)
def test_all_models_behind_compatible_providers_are_compressed(model):
    req = request(server_log()) | {"model": model}
    long = {"role": "system", "content": PROCEDURE * 4}
    req["messages"][0] = long
    before = len(req["messages"][1]["content"])
    shorten(req, compressor=lossy())
    assert len(req["messages"][1]["content"]) < 0.2 * before


def test_a_conversation_keeps_its_prefix():
    with Session(retrieval="elsewhere", user_text="lossy") as session:
        compressor = session_compressor(session)
        history, before = request(server_log())["messages"], []
        for number in range(20):
            history += [
                {"role": "assistant", "content": f"part {number}"},
                {"role": "user", "content": noisy_log(number % 3)},
            ]
            req = {"model": "gpt-5", "messages": copy.deepcopy(history)}
            shorten(req, compressor=compressor)
            assert req["messages"][: len(before)] == before
            before = req["messages"]


MODULES = ["answering", "asgi", "chat_request", "clients", "frames"]


@pytest.mark.parametrize("name", MODULES)
def test_the_library_surface_pulls_no_web_framework(name):
    code = (
        f"import sys, headroom.integrations.{name};"
        "import headroom.integrations.chat_request as c;"
        "c.maybe_compress_chat_request({'messages': []}, enabled=True);"
        "print(sorted({'uvicorn', 'aiohttp', 'starlette', 'fastapi', 'redis', 'httpx',"
        " 'httpx2', 'prometheus_client', 'rich', 'pandas', 'polars'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

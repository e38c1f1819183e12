import json
import time
import uuid
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core import volatile
from headroom.core.volatile import MAX_FINDINGS, kinds_of, scan, volatile_words
from headroom.providers import PROVIDERS

UUID = "3f2b8c1e-9a4d-4f6b-8e2a-1c5d7f9b0a3e"
JWT = "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4"


def kinds(text):
    return [kind for kind, _ in volatile_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"session {UUID}.", ["uuid_v4"]),
        (f'id="{UUID}"', ["uuid_v4"]),
        (f"(id:{UUID})", ["uuid_v4"]),
        (str(uuid.UUID(int=5, version=1)), []),
        (UUID.replace("-", ""), ["hex_hash"]),
        ("Now: 2026-11-21T10:15:00Z", ["iso8601_timestamp"]),
        ("now=2026-11-21T10:15:00.123+01:00,", ["iso8601_timestamp"]),
        ("at:2026-11-21T10:15", ["iso8601_timestamp"]),
        ("20261121T101500", ["iso8601_timestamp"]),
        ("Today is 2026-11-21.", []),
        (f"Bearer {JWT}", ["jwt"]),
        ("see example.com.org and a.b.c1234567", []),
        ("build da39a3ee5e6b4b0d3255bfef95601890afd80709", ["hex_hash"]),
        ("d41d8cd98f00b204e9800998ecf8427e", ["hex_hash"]),
        ("1" * 40, []),
        ("a" * 40, []),
        ("deadbeef", []),
        ("Version 3.14.15 has 1234567890123456 parts", []),
        ("The cat sat on the mat, 99 times out of 100.", []),
        ("https://example.org/v1/messages?limit=100&page=2", []),
    ],
)
def test_what_changes_is_told_from_prose(text, expected):
    assert kinds(text) == expected


def view(body, api="anthropic"):
    return PROVIDERS[api].parse(json.dumps(body).encode())


def test_findings_say_where_they_are():
    tool = {"name": "Read", "input_schema": {"x-trace_id": 7}, "description": UUID}
    body = {
        "model": "m",
        "tools": [tool],
        "system": [{"type": "text", "text": f"It is 2026-11-21T10:15:00Z. {JWT}"}],
        "messages": [{"role": "user", "content": UUID}],
    }
    assert [(f.kind, f.where) for f in scan(view(body))] == [
        ("id_field", "tools[0].input_schema.x-trace_id"),
        ("uuid_v4", "tools[0].description"),
        ("iso8601_timestamp", "system[0].text"),
        ("jwt", "system[0].text"),
    ]
    assert kinds_of(scan(view(body)))[0] == "id_field"


def test_system_messages_of_chat_are_looked_at():
    system = {"role": "system", "content": f"run {UUID}"}
    messages = [system, {"role": "user", "content": UUID}]
    (found,) = scan(view({"model": "m", "messages": messages}, "openai_chat"))
    assert found.where == "messages[0].content"


def test_there_is_an_end_to_findings_and_samples():
    system = " ".join(f"{n}{UUID[1:]}" for n in "123456789abc")
    body = {"system": system, "messages": []}
    found = scan(view(body))
    assert len(found) == MAX_FINDINGS
    assert all(len(f.sample.encode()) <= 80 for f in found)
    assert volatile.clipped("é" * 79).encode() == "é".encode() * 40


@given(st.text())
def test_any_text_is_read(text):
    for kind, word in volatile_words(text):
        assert kind in get_args(volatile.VolatileKind)
        assert word in text


def test_long_texts_are_read_in_time():
    started = time.perf_counter()
    list(volatile_words("a=1:" * 250_000))
    list(volatile_words("2026-11-21T10:15:00Z=" * 50_000))
    assert time.perf_counter() - started < 1


def test_no_regular_expression_is_used():
    source = Path(volatile.__file__).read_text("utf-8")
    assert "import re\n" not in source

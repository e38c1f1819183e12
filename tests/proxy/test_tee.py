"""Reading a response along."""

import gzip

import pytest

from headroom.cachelab import responses_answer
from headroom.cachelab.cache import Usage
from headroom.providers.models import cache_rules
from headroom.proxy.exchange import Exchange
from headroom.proxy.routes import Route
from headroom.proxy.tee import make_tee

RULES = cache_rules("gpt-5.5", "openai_responses")
JSON = b'{"type":"message","usage":{"input_tokens":4,"output_tokens":2}}'
STREAM = (
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":4}}}\n\n'
    b'data: {"type":"message_delta","delta":{},"usage":{"output_tokens":2}}\n\n'
    b'data: {"type":"message_stop"}\n\n'
)


def exchanged(kind, *, encoding=None, provider="anthropic"):
    exchange = Exchange("i", "POST", b"/", [], Route("anthropic", "m", provider))
    exchange.response_headers = [(b"content-type", kind)]
    if encoding:
        exchange.response_headers.append((b"content-encoding", encoding))
    return exchange


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", JSON),
        (b"text/event-stream; charset=utf-8", STREAM),
    ],
)
@pytest.mark.parametrize("is_packed", [True, False])
def test_usage_is_read_from_both_shapes_packed_or_not(kind, body, is_packed):
    exchange = exchanged(kind, encoding=b"gzip" if is_packed else None)
    tee = make_tee(exchange, 1000)
    data = gzip.compress(body) if is_packed else body
    for at in range(0, len(data), 9):
        tee.feed(data[at : at + 9])
    tee.close(exchange)
    assert exchange.usage == {"input_tokens": 4, "output_tokens": 2}
    assert exchange.answer_status == "message_stop"


CHAT = (
    b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":5}}}'
)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", CHAT),
        (b"text/event-stream", b"data: " + CHAT + b"\n\ndata: [DONE]\n\n"),
    ],
)
def test_chat_figures_have_the_names_that_all_figures_have(kind, body):
    exchange = exchanged(kind, provider="openai_chat")
    tee = make_tee(exchange, 1000)
    for at in range(0, len(body), 9):
        tee.feed(body[at : at + 9])
    tee.close(exchange)
    assert exchange.usage == {
        "input_tokens": 4,
        "output_tokens": 2,
        "cache_read_input_tokens": 5,
    }
    assert exchange.answer_status == "done"


def test_a_stream_that_ends_early_is_told_so():
    exchange = exchanged(b"text/event-stream")
    tee = make_tee(exchange, 1000)
    tee.feed(STREAM[:100])
    tee.close(exchange)
    assert exchange.answer_status == "truncated"


def test_damage_ends_the_reading():
    exchange = exchanged(b"application/json", encoding=b"gzip")
    tee = make_tee(exchange, 1000)
    tee.feed(b"not gzip")
    tee.feed(b"more")
    tee.close(exchange)
    assert (exchange.answer_status, exchange.usage) == ("unread", {})
    assert tee.error == "malformed_body"


@pytest.mark.parametrize(
    "exchange",
    [
        exchanged(b"text/html"),
        exchanged(b"application/json", encoding=b"compress"),
        exchanged(b"application/json", encoding=b"gzip, br"),
        exchanged(b"application/json", provider=""),
    ],
    ids=["no json", "unknown encoding", "two encodings", "not intercepted"],
)
def test_what_nobody_reads_has_no_reader(exchange):
    assert make_tee(exchange, 1000) is None


@pytest.mark.parametrize("length", [10, 1_500_000])
def test_answers_of_any_length_are_noted_before_they_are_sent(length):
    """Where requests go on from them; the longest event that is kept is 1,000 bytes."""
    block = {"type": "tool_use", "id": "c1", "name": "exec", "input": {"a": "x" * 20}}
    said = {"type": "text", "text": "y" * length}
    usage = responses_answer.usage_of(Usage(10, 0, 0, 0), 7, RULES)
    whole = responses_answer.response(
        {"model": "gpt-5.5"}, [block, said], usage, answer_id="resp_1"
    )
    exchange = exchanged(b"text/event-stream", provider="openai_responses")
    noted = []
    exchange.on_reply = noted.append
    tee = make_tee(exchange, 1000)
    for chunk in responses_answer.chunks(whole):
        tee.feed(chunk)
    (reply,) = noted
    assert reply.id == "resp_1"
    assert [(call.id, call.name) for call in reply.calls] == [("c1", "exec")]
    assert len(reply.links) == 1  # of the call; texts have none
    tee.close(exchange)
    assert (exchange.answer_status, exchange.usage["output_tokens"]) == ("completed", 7)

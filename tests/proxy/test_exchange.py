"""The state of one request, and what guards the stages."""

import asyncio
import logging

import pytest

from headroom.core.types import BlockOutcome, Manifest, ManifestEntry
from headroom.errors import CompressionError
from headroom.proxy.exchange import Exchange, Guard
from headroom.proxy.routes import Route


def make(body=b"{}"):
    exchange = Exchange("id", "POST", b"/v1/messages", [], Route("anthropic", "m"))
    exchange.set_body(body, body)
    return exchange


def test_without_a_change_the_original_leaves():
    exchange = make()
    exchange.set_body(b"encoded", b"decoded")
    assert exchange.forwarded_body() == b"encoded"
    exchange.replace_body(exchange.outgoing_body, "nothing")
    assert not exchange.is_mutated


def test_a_change_has_a_reason_and_reasons_count_once():
    exchange = make()
    with pytest.raises(ValueError):
        exchange.replace_body(b"x", "")
    for body, reason in ((b"1", "a"), (b"2", "b"), (b"3", "a")):
        exchange.replace_body(body, reason)
    assert exchange.mutation_reasons == ("a", "b")
    assert exchange.forwarded_body() == b"3"


def test_a_failing_stage_loses_its_own_changes_only(caplog):
    exchange = make()
    with Guard(exchange, "first"):
        exchange.replace_body(b"1", "first")
    with caplog.at_level(logging.ERROR), Guard(exchange, "second") as guard:
        exchange.replace_body(b"2", "second")
        raise CompressionError("secret content")
    assert guard.has_failed
    assert exchange.has_failed
    assert exchange.forwarded_body() == b"1"
    assert exchange.mutation_reasons == ("first",)
    record = caplog.records[0]
    assert record.getMessage() == "compression_error"
    assert (record.stage, record.error) == ("second", "compression_error")
    assert "secret" not in str(vars(record))


async def test_leaving_is_no_failure():
    exchange = make()
    with pytest.raises(asyncio.CancelledError), Guard(exchange, "stage"):
        raise asyncio.CancelledError
    assert not exchange.has_failed


def test_tokens_are_summed_over_compressed_blocks():
    def entry(action, before, after):
        outcome = BlockOutcome(action, original_tokens=before, compressed_tokens=after)
        return ManifestEntry(0, 0, "tool_result", outcome)

    exchange = make()
    assert exchange.tokens() == (0, 0)
    exchange.manifest = Manifest(
        1,
        0,
        0,
        (
            entry("compressed", 100, 40),
            entry("rejected_not_smaller", 9, 10),
            entry("compressed", 10, 5),
        ),
    )
    assert exchange.tokens() == (110, 45)

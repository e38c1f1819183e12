"""Bedrock's binary streams as server-sent events, for clients that ask for these.

A client that sends ``accept: text/event-stream`` gets events; every other one gets the
frames as they came, byte for byte: AWS's SDKs read nothing else, whatever they accept.
"""

from collections.abc import AsyncGenerator, AsyncIterator

from headroom.core.wire.event_stream import CONTENT_TYPE as FRAMES
from headroom.providers.bedrock.frames import EventsFromFrames
from headroom.proxy import headers
from headroom.proxy.exchange import Exchange

__all__ = ["FRAMES", "as_events", "is_frames", "wants_events"]

_EVENTS = b"text/event-stream"


def wants_events(exchange: Exchange) -> bool:
    """Whether a request for frames asks for events instead."""
    route = exchange.route
    if route.upstream != "bedrock" or not route.path.is_stream:
        return False
    accepted = (headers.find(exchange.headers, b"accept") or b"").lower()
    return _EVENTS in accepted and FRAMES not in accepted


def is_frames(exchange: Exchange) -> bool:
    """Whether the response, whose head is known, comes in frames that can be read."""
    found = exchange.response_headers
    kind = headers.find(found, b"content-type") or b""
    is_plain = headers.find(found, b"content-encoding") is None
    return kind.partition(b";")[0].strip().lower() == FRAMES and is_plain


def as_events(
    exchange: Exchange, chunks: AsyncIterator[bytes], *, checks_crc: bool
) -> AsyncGenerator[bytes, None]:
    """The response as events; its head says so from here on."""
    exchange.response_headers = [
        (name, _EVENTS if name == b"content-type" else value)
        for name, value in exchange.response_headers
    ]
    return _translated(exchange, chunks, EventsFromFrames(checks_crc=checks_crc))


async def _translated(
    exchange: Exchange, chunks: AsyncIterator[bytes], events: EventsFromFrames
) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in chunks:
            if out := events.feed(chunk):
                yield out
            if events.error is not None:
                exchange.fields["event_stream_error"] = events.error.problem
                return
    finally:
        exchange.frames = events.count
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()

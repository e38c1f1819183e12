"""A provider for trying and tests: answers in all APIs, bills like a real one.

It is cachelab's, on a free port of loopback in a thread of its own, with embeddings
made of digests added. Requests go to it over HTTP as to any backend.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
from blake3 import blake3
from msgspec.structs import replace

from headroom.broker.models_file import Backend, Model, ModelsFile, Target
from headroom.cachelab.lab import Clock, Lab, TokenCounter
from headroom.cachelab.server import App, Receive, Scope, Send, make_app, serving
from headroom.core.content.tokens import estimate_tokens
from headroom.inference.vocabulary import load_encoding

KEY_VARIABLE = "HEADROOM_BROKER_FAKE_KEY"
KEY = "sk-fake"
_EMBEDDINGS = "/v1/embeddings"
_MAX_RECORDS = 1000
"""Requests after which the provider forgets all of them: it runs for long."""


@contextlib.contextmanager
def fake_provider() -> Iterator[str]:
    """Serve the provider in a thread; yields its base URL."""
    loop = asyncio.new_event_loop()
    ready: list[str] = []
    is_ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        try:
            async with serving(make_fake()) as url:
                ready.append(url)
                is_ready.set()
                await stop.wait()
        finally:
            is_ready.set()

    load_encoding("o200k_base")
    thread = threading.Thread(
        target=loop.run_until_complete, args=(run(),), name="headroom-fake", daemon=True
    )
    thread.start()
    is_ready.wait()
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()


def fake_file(file: ModelsFile | None, url: str) -> ModelsFile:
    """A file of models whose backends are all the fake provider.

    Args:
        file: the operator's; ``None``: one model called ``fake``.
        url: the fake provider's.
    """
    if file is None:
        backend = Backend(base_url=url, key_env=KEY_VARIABLE, serves_messages=True)
        model = Model(backends=(Target(backend="fake", model="claude-sonnet-4-5"),))
        return ModelsFile(backends={"fake": backend}, models={"fake": model})
    backends = {
        name: replace(backend, base_url=url, key_env=KEY_VARIABLE)
        for name, backend in file.backends.items()
    }
    return replace(file, backends=backends)


def make_fake() -> App:
    """The provider as an ASGI application."""
    lab = Lab(TokenCounter(), clock=Clock(is_real=True))
    served = make_app(lab)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if len(lab.records) > _MAX_RECORDS:
            lab.reset()
        if scope["type"] == "http" and scope["path"] == _EMBEDDINGS:
            await _embed(receive, send)
            return
        await served(scope, receive, send)

    return app


async def _embed(receive: Receive, send: Send) -> None:
    """Vectors that are the same for the same text, and differ for others."""
    pieces, is_more = [], True
    while is_more:
        message = await receive()
        pieces.append(message.get("body", b""))
        is_more = message.get("more_body", False)
    request: Any = msgspec.json.decode(b"".join(pieces))
    given = request["input"]
    texts = given if isinstance(given, list) else [given]
    tokens = sum(estimate_tokens(str(text)) for text in texts)
    data = [
        {"object": "embedding", "index": number, "embedding": _vector(str(text))}
        for number, text in enumerate(texts)
    ]
    answer = {
        "object": "list",
        "data": data,
        "model": request.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    body = msgspec.json.encode(answer)
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _vector(text: str) -> list[float]:
    return [byte / 127.5 - 1 for byte in blake3(text.encode()).digest(length=64)]

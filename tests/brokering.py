"""The whole broker on loopback, in front of scripted backends."""

import asyncio
import contextlib
import json
import socket

from uvicorn.server import ServerState

from headroom import settings
from headroom.broker.app import BrokerApp, make_loader
from headroom.proxy.server import make_config
from loopback import Proxy, answer, client, post

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "done"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
}
ANSWER_BODY = json.dumps(ANSWER).encode()
ENVIRONMENT = {"BACKEND_KEY": "sk-backend", "TEAM_KEY": "sk-team", "ALPHA": "sk-alpha"}


def models_file(*urls, **more):
    """A file with a model ``fast`` that the backends at ``urls`` serve."""
    backends = {
        f"b{number}": {"base_url": url, "key_env": "BACKEND_KEY"}
        for number, url in enumerate(urls)
    }
    targets = [{"backend": name, "model": "gpt-4o"} for name in backends]
    entry = {"backends": targets[:1], "fallbacks": targets[1:]}
    return {
        "backends": backends,
        "models": {"fast": entry},
        "retries": {"rounds": 1, "wait_s": 0.01},
        **more,
    }


def write(path, content):
    """Put a file of models where it is read."""
    text = content if isinstance(content, str) else json.dumps(content)
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


class Broker(Proxy):
    """A running broker."""

    @property
    def registry(self):
        return self.app.reloading.registry


@contextlib.asynccontextmanager
async def broker(content, tmp_path, *, compression=False, clock=None, **environ):
    """The whole broker in this loop; capitals are settings: ``PROXY_TOKEN="x"``."""
    path = tmp_path / "models.yml"
    write(path, content)
    env = {f"HEADROOM_{name}": str(value) for name, value in environ.items()}
    env.setdefault("HEADROOM_STORE", "memory://")
    env |= {"HOME": "/nonexistent", "HEADROOM_DATA_DIR": str(tmp_path / "data")}
    loaded = settings.load({}, env).settings
    load = make_loader(path, loaded, ENVIRONMENT, compression=compression)
    app = BrokerApp(loaded, load, path, **({"clock": clock} if clock else {}))
    config = make_config(app, loaded)
    config.load()
    state = ServerState()
    await app.start()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: config.http_protocol_class(
            config=config, server_state=state, app_state={}
        ),
        "127.0.0.1",
        0,
    )
    try:
        yield Broker(app, server.sockets[0].getsockname()[1], loaded, state)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=2)
        await app.close()


async def answer_chat(request, writer):
    """What backends say that have nothing to say."""
    await answer(writer, ANSWER_BODY)


async def ask(px, body, *, path=b"/v1/chat/completions", headers=()):
    """One request on a connection of its own."""
    async with client(px) as c:
        await c.send(post(body, path=path, headers=headers))
        return await c.response()


def chat(text="hi", model="fast", **more):
    """The body of a Chat request."""
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": model, "messages": messages, **more}).encode()


def only_loopback(monkeypatch):
    """Let no socket leave this machine; returns the addresses that were tried."""
    tried = []
    connect = socket.socket.connect

    def checked(self, address):
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1"}:
            tried.append(address)
            raise OSError("blocked by the test")
        return connect(self, address)

    resolve = socket.getaddrinfo

    def resolved(host, *args, **kwargs):
        if host not in {"127.0.0.1", "::1", "localhost", None}:
            tried.append(host)
            raise OSError("blocked by the test")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", checked)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return tried

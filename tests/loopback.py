"""Real servers on loopback: a scripted provider, the proxy, raw clients."""

import asyncio
import contextlib

from uvicorn.server import ServerState

from headroom import settings
from headroom.proxy.app import create_app
from headroom.proxy.server import make_config

OK_BODY = b'{"type":"message","usage":{"input_tokens":7,"output_tokens":3}}'


class Received:
    """One request as the provider got it; ``headers`` as they stood on the wire."""

    def __init__(self, method, target, headers):
        self.method = method
        self.target = target
        self.headers = headers
        self.body = b""
        self.is_complete = False
        self.closed = asyncio.Event()

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    def get(self, name):
        return next(iter(self.all(name)), None)


async def answer_ok(request, writer):
    if request.method == b"HEAD":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        return
    await answer(writer, OK_BODY)


async def answer(writer, body, *, status=b"200 OK", headers=()):
    head = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    if not any(line.lower().startswith(b"content-type") for line in headers):
        head.append(b"content-type: application/json")
    writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
    await writer.drain()


async def start_chunked(writer, *, headers=(b"content-type: text/event-stream",)):
    head = [b"HTTP/1.1 200 OK", b"transfer-encoding: chunked", *headers]
    writer.write(b"\r\n".join(head) + b"\r\n\r\n")
    await writer.drain()


async def send_chunk(writer, data):
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    await writer.drain()


class Provider:
    """A provider that records what it gets and answers as the test says.

    Attributes:
        respond: coroutine function of the request and the writer.
        reads_body: answer only when the body is complete.
    """

    def __init__(self, respond=answer_ok):
        self.respond = respond
        self.reads_body = True
        self.requests = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.url = ""

    async def _serve(self, reader, writer):
        self.connections += 1
        request = None
        try:
            while True:
                request = await self._head(reader)
                self.requests.append(request)
                self.arrived.set()
                if self.reads_body:
                    await self._body(reader, request)
                watch = asyncio.create_task(self._watch(reader, request))
                try:
                    await self.respond(request, writer)
                finally:
                    watch.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watch
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if request is not None:
                request.closed.set()
            writer.close()

    async def _watch(self, reader, request):
        """Notice that the other side leaves while the answer is being given."""
        if not request.is_complete:
            return
        while not reader.at_eof():
            await asyncio.sleep(0.002)
        request.closed.set()

    async def _head(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, target, _ = first.split(b" ", 2)
        pairs = [line.split(b":", 1) for line in lines]
        return Received(method, target, [(n, v.strip()) for n, v in pairs])

    async def _body(self, reader, request):
        if request.get(b"transfer-encoding") == b"chunked":
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                request.body += (await reader.readexactly(size + 2))[:-2]
                if size == 0:
                    break
        else:
            length = int(request.get(b"content-length") or 0)
            while length:
                piece = await reader.read(min(length, 65536))
                if not piece:
                    raise ConnectionResetError
                request.body += piece
                length -= len(piece)
        request.is_complete = True


@contextlib.asynccontextmanager
async def provider(respond=answer_ok):
    """A running provider."""
    made = Provider(respond)
    server = await asyncio.start_server(
        made._serve, "127.0.0.1", 0, limit=8 * 1024 * 1024
    )
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


class Proxy:
    """A running proxy."""

    def __init__(self, app, port, loaded, state):
        self.app = app
        self._state = state
        self.port = port
        self.settings = loaded
        self.url = f"http://127.0.0.1:{port}"

    def shutdown(self):
        """Tell all connections that the server ends, as it does itself."""
        for connection in list(self._state.connections):
            connection.shutdown()

    def count(self, name, **labels):
        """The value of a metric; 0.0 if it was never touched."""
        value = self.app.metrics._registry.get_sample_value(name, labels)
        return 0.0 if value is None else value


@contextlib.asynccontextmanager
async def proxy(upstream, *, stages=None, core=None, token_source=None, **environ):
    """The whole proxy in this loop, in front of ``upstream``.

    Keyword arguments in capitals are settings: ``PROXY_TOKEN="x"``.
    """
    env = {f"HEADROOM_{name}": str(value) for name, value in environ.items()}
    env.setdefault("HEADROOM_STORE", "memory://")
    for api in ("ANTHROPIC", "OPENAI", "GEMINI", "CHATGPT", "COPILOT"):
        env.setdefault(f"HEADROOM_{api}_URL", upstream)
    for cloud in ("BEDROCK", "VERTEX"):
        env.setdefault(f"HEADROOM_PROXY_{cloud}_ENDPOINT", upstream)
    env.setdefault("HOME", "/nonexistent")
    loaded = settings.load({}, env).settings
    app = create_app(loaded, stages=stages, core=core)
    app.token_source = token_source
    config = make_config(app, loaded)
    config.load()
    state = ServerState()
    await app.start()

    def make_protocol():
        return config.http_protocol_class(
            config=config, server_state=state, app_state={}
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make_protocol, "127.0.0.1", 0)
    try:
        yield Proxy(app, server.sockets[0].getsockname()[1], loaded, state)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=2)
        await app.close()


class RawClient:
    """One connection on which bytes are written and read as they are."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self):
        """Status and headers of the next response, names in lower case."""
        data = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        first, *lines = data[:-4].split(b"\r\n")
        pairs = [line.split(b":", 1) for line in lines]
        headers = [(name.lower(), value.strip()) for name, value in pairs]
        return int(first.split(b" ")[1]), headers

    async def response(self):
        """Status, headers and body of the next response."""
        status, headers = await self.head()
        found = dict(headers)
        if found.get(b"transfer-encoding") == b"chunked":
            body = b""
            while piece := await self.chunk():
                body += piece
        else:
            body = await self.reader.readexactly(int(found.get(b"content-length", 0)))
        return status, found, body

    async def chunk(self):
        """The next chunk of a chunked response; empty at its end."""
        size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    def leave(self):
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client(target):
    """A raw connection to a proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


def post(body, *, path=b"/v1/messages", headers=(), length=None):
    """The bytes of a POST request."""
    lines = [b"POST " + path + b" HTTP/1.1", b"host: localhost"]
    if not any(line.lower().startswith(b"content-type") for line in headers):
        lines.append(b"content-type: application/json")
    if not any(line.lower().startswith(b"transfer-encoding") for line in headers):
        lines.append(b"content-length: %d" % (len(body) if length is None else length))
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n" + body


def get(path, *, headers=(), host=b"localhost"):
    """The bytes of a GET request."""
    lines = [b"GET " + path + b" HTTP/1.1", b"host: " + host, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class EditStage:
    """A stage that does what the test says."""

    name = "compress"

    def __init__(self, on_request=None, on_response=None):
        self._on_request = on_request
        self._on_response = on_response
        self.seen = []
        self.ended = []
        self.is_started = self.is_closed = False

    async def start(self):
        self.is_started = True

    async def close(self):
        self.is_closed = True

    async def on_request(self, exchange):
        self.seen.append(exchange)
        if self._on_request is not None:
            await self._on_request(exchange)

    def on_response(self, exchange, chunks):
        return None if self._on_response is None else self._on_response(chunks)

    async def on_end(self, exchange):
        self.ended.append(exchange)

    def health(self):
        return {"status": "ok"}

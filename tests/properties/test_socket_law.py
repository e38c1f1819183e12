"""The law over WebSockets: reconnects, restarts, workers, and HTTP in between.

Whole proxies over one store, in front of a provider that remembers how each message of
the client's reached it first, whichever way it came.
"""

import asyncio
import contextlib
import json
import random
import tempfile

import aiohttp.web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopback import proxy
from sockets import dial, socket_provider

KEY = {"authorization": "Bearer sk-abc"}
PATH = "/v1/responses"
TOOLS = [{"type": "function", "name": "exec", "parameters": {}}]
START = [
    {"type": "message", "role": "developer", "content": "Be careful. " * 500},
    {"type": "message", "role": "user", "content": "go"},
]

RAW = ("2026", "[{", "done", "def")


def output(seed):
    rng = random.Random(seed)
    kind = rng.choice(["log", "json", "short", "file", "file"])
    if kind == "file":
        # Read again and again, and a little longer now and then.
        count = rng.choice([40, 40, 55])
        return "\n".join(
            f"def f{n}(x): return x * {n * 7919 % 997}" for n in range(count)
        )
    if kind == "log":
        return "\n".join(
            f"2026-01-01 12:{n % 60:02d}:00 INFO worker {seed} did item {n}"
            for n in range(rng.randrange(20, 120))
        )
    rows = [{"id": n, "name": f"row {n}", "seed": seed} for n in range(60)]
    return json.dumps(rows) if kind == "json" else f"done {seed}"


class Upstream:
    """Answers with calls; remembers every item of the client's by what it was."""

    def __init__(self):
        self.kept = {}
        self.seen = {}
        self.numbers = 0
        self.compressed = 0
        self.referring = 0

    async def talk(self, _provider, socket):
        async for message in socket:
            event = json.loads(message)
            answer = self.answer(event)
            for kind in ("created", "completed"):
                found = {"type": f"response.{kind}", "response": answer}
                await socket.send(json.dumps(found))

    def answer(self, event):
        previous = event.get("previous_response_id")
        before = self.kept[previous] if previous else []
        whole = [*before, *event["input"]]
        self.check(whole)
        if previous:
            outputs = [item.get("output", "") for item in event["input"]]
            self.referring += sum(text.startswith("[repeats #") for text in outputs)
        self.numbers += 1
        call = {"type": "function_call", "name": "exec", "arguments": "{}"}
        call["call_id"] = f"call_{self.numbers}"
        said = [] if event.get("generate") is False else [call]
        name = f"resp_{self.numbers}"
        self.kept[name] = [*whole, *said]
        return {"id": name, "status": "completed", "output": said}

    def check(self, whole):
        """What stands behind the same calls and words was sent the same way before."""
        behind = ()
        for item in whole:
            behind = (*behind, item.get("call_id") or item.get("role"))
            if "output" in item:
                first = self.seen.setdefault(behind, item["output"])
                assert first == item["output"], "what was sent once was sent otherwise"
                self.compressed += not item["output"].startswith(RAW)


class Agent:
    """A client that knows the whole conversation, as codex does."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.items = list(START)
        self.after = ""
        self.fresh = 0
        self.socket = None

    async def connect(self, px):
        await self.leave()
        self.socket = await dial(px, PATH, additional_headers=KEY)
        self.after = ""

    async def leave(self):
        if self.socket is not None:
            await self.socket.close()
        self.socket = None

    async def ask(self, items, **members):
        event = {"type": "response.create", "model": "gpt-5.5", "input": items}
        event |= {"tools": TOOLS, "store": False, **members}
        if self.after:
            event["previous_response_id"] = self.after
        await self.socket.send(json.dumps(event))
        async with asyncio.timeout(20):
            while True:
                found = json.loads(await self.socket.recv())
                if found["type"] == "response.completed":
                    return found["response"]

    def take(self, response, seed):
        self.after = response["id"]
        self.items += response["output"]
        self.fresh = len(self.items)
        for item in response["output"]:
            result = {"type": "function_call_output", "call_id": item["call_id"]}
            self.items.append(result | {"output": output(seed)})

    async def turn(self, seed):
        is_delta = bool(self.after) and self.fresh < len(self.items)
        if not is_delta:
            self.after = ""
        items = self.items[self.fresh :] if is_delta else self.items
        self.take(await self.ask(items), seed)

    async def post(self, px, upstream, seed):
        """The same over HTTP: everything, every time."""
        bodies = []

        async def take(request):
            bodies.append(await request.json())
            return aiohttp.web.json_response(upstream.answer(bodies[-1]))

        app = aiohttp.web.Application(client_max_size=2**24)
        app.router.add_post(PATH, take)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        bases = px.app._upstream._bases
        usual = bases["openai"]
        bases["openai"] = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        body = {"model": "gpt-5.5", "input": self.items, "tools": TOOLS}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    px.url + PATH, json=body | {"store": False}, headers=KEY
                ) as response,
            ):
                answer = await response.json()
        finally:
            bases["openai"] = usual
            await runner.cleanup()
        self.take(answer, seed)
        self.after = ""


STEPS = st.lists(
    st.sampled_from(
        ["turn", "turn", "turn", "reconnect", "hop", "restart", "http", "prewarm"]
    ),
    min_size=3,
    max_size=10,
)


async def play(steps, seed):
    upstream = Upstream()
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite://{folder}/store.db"
        async with contextlib.AsyncExitStack() as stack:
            up = await stack.enter_async_context(socket_provider(upstream.talk))

            async def worker():
                return await stack.enter_async_context(proxy(up.url, STORE=store))

            workers = [await worker(), await worker()]
            agent = Agent(upstream)
            await agent.connect(workers[0])
            for number, step in enumerate([*steps, "reconnect", "turn", "turn"]):
                if step == "restart":
                    workers[0] = await worker()
                if step in {"reconnect", "restart"}:
                    await agent.connect(workers[0])
                elif step == "hop":
                    workers.reverse()
                    await agent.connect(workers[0])
                elif step == "prewarm" and not agent.after:
                    warm = await agent.ask(agent.items[:1], generate=False)
                    agent.after, agent.fresh = warm["id"], 1
                elif step == "http":
                    await agent.post(workers[1], upstream, seed + number)
                elif step == "turn":
                    await agent.turn(seed + number)
            await agent.leave()
            for px in workers:
                assert px.count("headroom_prefix_breaks_total") == 0
    return upstream


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 10**6))
def test_no_way_to_reach_the_provider_ever_breaks_a_prefix(steps, seed):
    upstream = asyncio.run(play(steps, seed))
    # Whatever was sent is remembered, and was compared when it came again.
    assert len(upstream.seen) >= bool(upstream.numbers)


def test_what_is_played_is_compressed_at_all():
    upstream = asyncio.run(play(["turn"] * 6, 3))
    assert upstream.compressed > 3
    assert upstream.referring > 1

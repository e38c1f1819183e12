"""The law where things fail: what was sent once is sent the same way again.

The conversations of the other laws, of five APIs, through the stage of a real proxy and
through the library's sessions. In any request anything may raise, once or every time,
at any place that such requests come through; requests are cancelled in the middle;
other workers go on. What was forwarded for each prefix never changes, nor do the tools.
"""

import asyncio
import contextlib
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import faults
from fakes import HALVE, count_words
from headroom import driving
from headroom import session as sessions
from headroom import settings as configuration
from headroom.ccr.ledger import Ledger
from headroom.ccr.stores.memory import MemoryStore
from headroom.core import pipeline, plan
from headroom.inference.model_table import ModelTable
from headroom.inference.tokens import counter_for
from headroom.providers import PROVIDERS
from headroom.proxy import compute
from headroom.proxy.current import Current
from headroom.proxy.exchange import Exchange
from headroom.proxy.routes import Route
from headroom.proxy.stages.compress import CompressStage, Guidance
from properties import (
    test_cache_law,
    test_chat_law,
    test_converse_law,
    test_gemini_law,
    test_responses_law,
)
from remembering import Provider


class AnyLength(ModelTable):
    """Models that cache a prefix of any length, so that what is short is compressed."""

    def __init__(self):
        super().__init__()
        found = msgspec.structs.replace(self.rules("", ""), minimum_tokens=0)
        self.rules = lambda _model, _api: found


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    patch.setattr(compute, "THREAD_BYTES", 10**9)
    for module in (driving, compute):
        patch.setattr(module, "counter_for", lambda _model: count_words)
    patch.setattr(driving, "can_count", lambda _model: True)
    patch.setattr(sessions, "ModelTable", AnyLength)
    yield
    patch.undo()


def started(kind):
    client = kind()
    client.say("please help", as_blocks=True)
    return client


class Responding:
    """The steps of the Responses API's law, the whole history in every request."""

    STEPS = test_responses_law.STEPS

    @staticmethod
    def take_step(world, step):
        world.client.items += world.step(step)


CASES = {
    "anthropic": (
        test_cache_law,
        lambda: started(test_cache_law.Client),
        lambda client, draw: client.body(draw(test_cache_law.MARKERS)),
    ),
    "openai_chat": (
        test_chat_law,
        test_chat_law.Client,
        lambda client, draw: client.body(draw(test_chat_law.DIALECTS)),
    ),
    "openai_responses": (
        Responding,
        test_responses_law.World,
        lambda world, draw: world.client.body(
            draw(test_responses_law.DIALECTS), as_delta=False
        ),
    ),
    "gemini": (
        test_gemini_law,
        lambda: test_gemini_law.Client(has_ids=True),
        lambda client, _: client.body(),
    ),
    "bedrock_converse": (
        test_converse_law,
        test_converse_law.Client,
        lambda client, draw: client.body(draw(st.sampled_from([0, 1, 3]))),
    ),
}


class Seen(msgspec.Struct):
    """A request by its keys, as whoever checks prefixes takes it."""

    view: object
    chain: plan.Chain


class Checked(Provider):
    """Checks the tools, too.

    What nobody could note, and was left, may leave otherwise if it is sent again before
    it is answered.
    """

    def take(self, body, forwarded, *, is_known=True):
        view = read(self.api, body)
        chain = plan.make_chain(view, namespace="", auth_mode="payg")
        known = dict(self.sent)
        self.receive(Seen(view, chain), forwarded)
        tools = read(self.api, forwarded).tool_names
        before = self.sent.setdefault(chain.keys[0] + chain.lineage + b"tools", tools)
        assert before == tools, "the tools have changed"
        if not is_known:
            self.sent = known


def read(api, body):
    return PROVIDERS[api].parse(body)


class ByStage:
    """A proxy's compressing stage, and others over the same store."""

    def __init__(self, api, runner):
        self._api = api
        self._runner = runner
        self._store = MemoryStore()
        self._current = Current(
            configuration.load({}, {"HOME": "/nonexistent"}).settings
        )
        self._stages = []
        self.renew()

    def renew(self):
        """Another worker goes on, which remembers nothing itself."""
        self._stages.append(
            CompressStage(Ledger(self._store), Guidance(self._current, AnyLength()))
        )

    def forward(self, body):
        return self._runner.run(self._forward(body))

    def cancel(self, body, steps):
        """The request is cancelled after some steps of the loop."""

        async def run():
            task = asyncio.ensure_future(self._forward(body))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                return await task

        return self._runner.run(run())

    async def _forward(self, body):
        exchange = Exchange("id", "POST", b"/", [], Route("openai", "/", self._api))
        exchange.auth_mode = "payg"
        exchange.narrow = lambda policy: msgspec.structs.replace(policy, stabilisers=())
        exchange.set_body(body, body)
        await self._stages[-1].on_request(exchange)
        assert exchange.prefix_breaks == 0
        return exchange.forwarded_body()

    def close(self):
        for stage in self._stages:
            self._runner.run(stage.close())


class BySession:
    """A library's session, and others over the same store."""

    def __init__(self, api, _runner):
        self._api = api
        self._store = MemoryStore()
        self._sessions = []
        self.renew()

    def renew(self):
        """Another process goes on, which remembers nothing itself."""
        self._sessions.append(sessions.Session(self._store, retrieval="tool"))

    def forward(self, body):
        return self._sessions[-1].forward(self._api, body).body

    def cancel(self, _body, _steps):
        """Nobody cancels a call that is under way."""

    def close(self):
        for session in self._sessions:
            session.close()


@pytest.fixture(scope="module")
def runner():
    # What counts may load numpy in a thread, which hypothesis trips over meanwhile.
    counter_for("gpt-5")("words")
    with asyncio.Runner() as made:
        yield made


def drawn_faults(draw):
    """Where something raises in one request, if anywhere, and how often."""
    place = draw(st.sampled_from([None, *faults.PLACES]))
    if place is None:
        return None, None
    call = draw(st.integers(1, 4))
    is_for_good = place in faults.FOR_GOOD and draw(st.booleans())
    due = faults.since(call) if is_for_good else (lambda number: number == call)
    return place, faults.Faults(due, draw(st.sampled_from([MemoryError, KeyError])))


@pytest.mark.parametrize("driver", [ByStage, BySession])
@pytest.mark.parametrize("api", CASES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_conversation_in_which_things_fail_ever_breaks_a_prefix(
    driver, api, runner, data
):
    law, begin, body_of = CASES[api]
    by, provider, client = driver(api, runner), Checked(api), begin()
    try:
        for number, step in enumerate([("retry",), *data.draw(law.STEPS)]):
            law.take_step(client, step)
            body = json.dumps(body_of(client, data.draw)).encode()
            place, found = drawn_faults(data.draw) if number else (None, None)
            if place is None:
                if data.draw(st.booleans()):
                    by.renew()
                if number and data.draw(st.booleans()):
                    sent = by.cancel(body, data.draw(st.integers(0, 12)))
                    if sent is not None:
                        provider.take(body, sent)
                provider.take(body, by.forward(body))
                continue
            with pytest.MonkeyPatch.context() as patch:
                faults.PLACES[place](patch, found)
                sent = by.forward(body)
            provider.take(body, sent, is_known=place != "writing the ledger")
            assert len(read(api, sent).messages) == len(read(api, body).messages)
    finally:
        by.close()


def test_the_check_itself_notices_an_original_that_goes_out(runner):
    client = test_chat_law.Client()
    client.run_tools(["".join(f"line {i}\n" for i in range(90))], as_parts=False)
    by, provider = ByStage("openai_chat", runner), Checked("openai_chat")
    body = json.dumps(client.body("plain")).encode()
    provider.take(body, by.forward(body))
    with pytest.raises(AssertionError, match="has changed"):
        provider.take(body, body)
    by.close()

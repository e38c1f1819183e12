"""Whole Responses conversations through a proxy that is killed in the middle.

The provider bills like the real one; what it had cached must be read back every time.
"""

import contextlib
from pathlib import Path

import pytest

from headroom.cachelab.conversations import Sending, load
from headroom.cachelab.launcher import headroom
from headroom.cachelab.replay import Options, bench

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("is_stream", "model", "retrieve_every"),
    [(True, "gpt-5", 0), (False, "gpt-5.6", 2), (True, "glm-4.6", 2)],
)
async def test_responses_are_shorter_and_break_no_prefix(
    is_stream, model, retrieve_every
):
    options = Options(
        sending=Sending(model=model, is_stream=is_stream),
        resends=True,
        is_reconnecting=True,
        retrieve_every=retrieve_every,
    )
    async with contextlib.AsyncExitStack() as stack:

        async def target(url):
            proxy = stack.enter_context(headroom(url, ["--workers", "2"]))
            await proxy.ready()
            return proxy.url, proxy.restart

        async with bench(options, target=target) as lab:
            (result,) = await lab.run(load([Path("demo")], "responses"))
    assert result.target.errors == ()
    assert result.breaks == ()
    assert result.rewrites == 0
    assert result.target.answers_changed == 0
    assert result.ratio < 0.95

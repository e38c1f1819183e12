"""A server's place: short work on the loop, long work and the store beside it."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from headroom.core.digest import content_digest
from headroom.core.types import BlockTask, Policy, Slot, Span
from headroom.driving import compress_tasks
from headroom.proxy.workplace import ON_LOOP_BYTES, Workplace


@pytest.fixture
def place():
    made = Workplace()
    yield made
    made.close()


def here():
    """Which thread this is."""
    return threading.current_thread().name


async def test_short_work_is_done_on_the_loop_and_long_work_in_threads(place):
    assert await place.work(ON_LOOP_BYTES, here) == here()
    assert await place.work(ON_LOOP_BYTES, here, is_apart=True) == here()
    planned = await place.work(ON_LOOP_BYTES + 1, here)
    compared = await place.work(ON_LOOP_BYTES + 1, here, is_apart=True)
    assert planned.startswith("headroom-plan")
    assert compared.startswith("headroom-refer")


async def test_the_store_is_never_waited_for_on_the_loop(place):
    assert (await place.wait(here)).startswith("headroom-wait")
    future = Future()
    writer = threading.Timer(0.01, lambda: future.set_result("written"))
    writer.start()
    assert await place.result(future) == "written"


async def test_a_slow_store_and_long_work_do_not_wait_for_each_other(place):
    gate = threading.Event()
    loads = [asyncio.create_task(place.wait(lambda: gate.wait(5))) for _ in range(4)]
    planned = await asyncio.wait_for(place.work(ON_LOOP_BYTES + 1, here), 2)
    gate.set()
    assert planned.startswith("headroom-plan")
    assert await asyncio.gather(*loads) == [True] * 4
    gate.clear()
    plans = [
        asyncio.create_task(place.work(ON_LOOP_BYTES + 1, lambda: gate.wait(5)))
        for _ in range(2)
    ]
    assert (await asyncio.wait_for(place.wait(here), 2)).startswith("headroom-wait")
    gate.set()
    assert await asyncio.gather(*plans) == [True] * 2


async def test_outcomes_are_those_of_any_other_place(place):
    text = "".join(f"[INFO] step {n % 3} is done in 20 ms\n" for n in range(40))
    slot = Slot("0", 0, "tool_result", Span(0, 0), is_tool=True)
    tasks = [BlockTask(0, slot, content_digest(text), text, "")]
    assert await place.compress(tasks, Policy()) == compress_tasks(tasks, Policy())
    assert place.failures == 0

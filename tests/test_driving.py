"""The driver's coroutines are functions where nothing is awaited."""

import asyncio
from concurrent.futures import Future

import pytest

from headroom.driving import HERE, at_once


async def doubled(number):
    return await HERE.work(10**9, lambda: 2 * number, is_apart=True)


def test_what_never_waits_is_run_like_a_function():
    assert at_once(doubled(21)) == 42


async def test_it_is_so_inside_a_running_loop_too():
    assert at_once(doubled(21)) == 42


def test_here_everything_is_waited_for_at_once():
    future = Future()
    future.set_result("written")
    assert at_once(HERE.result(future)) == "written"
    assert at_once(HERE.wait(lambda: "read")) == "read"


def test_errors_come_out_as_they_are():
    async def fails():
        return await HERE.wait(lambda: {}["missing"])

    with pytest.raises(KeyError, match="missing"):
        at_once(fails())


async def test_what_waits_for_a_loop_is_no_work_for_here():
    cleaned = []

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="needs no event loop"):
        at_once(waits())
    assert cleaned == [True]

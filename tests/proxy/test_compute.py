"""Compression runs where it disturbs least, and every task gets an outcome."""

import asyncio
import errno
import gc
import os
import platform
import signal
import subprocess
import sys
from multiprocessing.popen_spawn_posix import Popen

import pytest

from headroom import driving
from headroom.core.digest import content_digest
from headroom.core.types import BlockTask, Policy, Slot, Span
from headroom.driving import compress_tasks
from headroom.proxy import compute
from headroom.proxy.compute import THREAD_BYTES, Compute, run_apart


def task(size):
    lines = (
        f"2026-01-01 12:00:{i % 60:02d} INFO worker {i} took job {i * 7919}\n"
        for i in range(size)
    )
    text = "".join(lines)[:size]
    slot = Slot("0", 0, "tool_result", Span(0, 0), is_tool=True)
    return BlockTask(0, slot, content_digest(text), text, "")


@pytest.fixture
def pooled():
    found = Compute()
    yield found
    found.close()


async def warmed(found):
    """The same once its process has loaded."""
    await found.run([task(THREAD_BYTES + 1)], Policy())
    await asyncio.wrap_future(found._warming)
    return found


async def test_inline_threads_and_processes_give_the_same_outcomes(pooled):
    await warmed(pooled)
    for size in (compute.INLINE_BYTES // 2, THREAD_BYTES // 2, 2 * THREAD_BYTES):
        tasks = [task(size)]
        assert await pooled.run(tasks, Policy()) == compress_tasks(tasks, Policy())
    assert pooled.failures == 0


async def test_a_process_that_dies_leaves_its_blocks_and_the_next_is_started(pooled):
    await warmed(pooled)
    for pid in list(pooled._pool._processes):
        os.kill(pid, signal.SIGKILL)
    tasks = [task(2 * THREAD_BYTES)]
    (outcome,) = await pooled.run(tasks, Policy())
    assert (outcome.action, outcome.replacement) == ("compressor_error", None)
    assert "died" in outcome.reason
    assert pooled.failures == 1
    (outcome,) = await pooled.run(tasks, Policy())
    assert outcome.action == "compressed"


async def test_where_no_process_can_be_started_threads_do_its_work(pooled, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    tasks = [task(2 * THREAD_BYTES)]
    with monkeypatch.context() as patched:
        patched.setattr(Popen, "_launch", refuse)
        for failures in (1, 2):
            assert await pooled.run(tasks, Policy()) == compress_tasks(tasks, Policy())
            assert pooled.failures == failures
    await warmed(pooled)
    assert await pooled.run(tasks, Policy()) == compress_tasks(tasks, Policy())
    assert pooled.failures == 2


async def test_a_task_that_runs_out_of_time_is_left_and_says_so():
    hurried = Compute(deadline_s=0.0)
    try:
        (outcome,) = await hurried.run([task(THREAD_BYTES // 2)], Policy())
    finally:
        hurried.close()
    assert (outcome.action, outcome.replacement) == ("compressor_error", None)
    assert "not done within" in outcome.reason
    assert hurried.failures == 1


def test_the_collector_waits_for_the_outcomes_and_is_there_again(monkeypatch):
    seen = []
    monkeypatch.setattr(
        driving, "compress_block", lambda *_: seen.append(gc.isenabled())
    )
    run_apart([task(500)], Policy())
    assert seen == [False]
    assert gc.isenabled()


FAULTS = """
import resource
from headroom.proxy.compute import spare_heap

def serve():
    bodies = [bytes(b"x") * 100_000 for _ in range(30)]
    return len(bodies)

def faults():
    serve()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        serve()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
spare_heap()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heap alone")
def test_memory_that_requests_free_is_there_for_the_next_ones():
    command = [sys.executable, "-c", FAULTS]
    told = subprocess.run(command, capture_output=True, check=True, text=True)
    before, after = map(int, told.stdout.split())
    assert before > 20 * 30 * 25 // 2  # most pages, every time
    assert after < before / 100

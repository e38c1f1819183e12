"""Where compression runs: inline, in a thread, or in another process.

Small blocks are done before a thread could have started; middling ones share the
interpreter in short slices (the command sets ``sys.setswitchinterval``); large ones go
to a process of their own, so that a small request beside them never waits. The pool is
made on first need and, until it is warm, threads do its work.

What always holds: every task gets an outcome. A task whose process died or ran out of
time is left as it was, and says so; where no process can be started, threads do all.

The borders come from ``benchmarks/proxy_overhead.py``. Counting a long text's tokens in
a second thread while it is compressed was measured, too: what the other core gains, the
two lose in handing the interpreter to and fro.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from headroom.core.types import BlockOutcome, BlockTask, Policy
from headroom.driving import compress_tasks
from headroom.inference.tokens import counter_for

INLINE_BYTES = 2_000
THREAD_BYTES = 32_000
DEADLINE_S = 20.0
"""Some eighty times what 1 MB takes; a text that needs longer stays as it is, for good.
"""


GC_THRESHOLD = 20_000
"""Objects made before the collector looks for cycles: compression makes many, and no
cycles; with the interpreter's own 700 it spends a seventh of its time looking."""


def spare_collector() -> None:
    """Let the garbage collector run rarely; for processes that are Headroom's own.

    What was made so far stays, and is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


HEAP_BYTES = 8 * 1024 * 1024
"""What a server's heap may keep free is twice as much: the bodies, and their copies, of
some fifty requests at a time."""


def spare_heap() -> None:
    """Let the heap keep what requests free; for processes that are Headroom's own.

    glibc gives memory at the heap's end back as soon as 128 KiB of it are free, which
    bodies of 30 to 130 KB bring about all the time, and every page of the next one is a
    fault again: an eighth of the time that it takes to relay 100 KB. It gives back less
    readily once a larger block has been free (mallopt(3), ``M_MMAP_THRESHOLD``): this
    one, of which no page is ever touched. Elsewhere this does nothing.
    """
    bytes(HEAP_BYTES)


def _warm() -> bool:
    """Load in a fresh process what the first task would otherwise wait for."""
    counter_for("")("warm")
    return True


def run_apart(tasks: Sequence[BlockTask], policy: Policy) -> list[BlockOutcome]:
    """The same outcomes in a process that does nothing else meanwhile.

    The collector waits until they are there: of a text of 1 MB it would spend a sixth
    of the time on looking at lines that are all in use.
    """
    gc.disable()
    try:
        return compress_tasks(tasks, policy)
    finally:
        gc.enable()


def _begin_worker() -> None:
    spare_collector()
    _warm()


class Compute:
    """Runs tasks where they disturb least; one per server process."""

    def __init__(self, *, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="headroom-compress")
        self._pool: ProcessPoolExecutor | None = None
        self._warming: Future[bool] | None = None
        self._is_warming = False
        self.failures = 0

    def warm(self) -> None:
        """Begin to load the vocabulary in a thread; once, and without waiting.

        Called with the first request: an idle server stays small, and by the time the
        first tool output comes the counter is there.
        """
        if not self._is_warming:
            self._is_warming = True
            self._threads.submit(_warm)

    async def run(
        self, tasks: Sequence[BlockTask], policy: Policy
    ) -> list[BlockOutcome]:
        """Outcomes of the tasks, in their order.

        Whoever must not wait has seen to it that tokens can be counted.
        """
        if not tasks:
            return []
        size = sum(len(task.text) for task in tasks)
        if size <= INLINE_BYTES:
            return compress_tasks(tasks, policy)
        try:
            future = self._begin_apart(tasks, policy) if size > THREAD_BYTES else None
            if future is None:
                future = self._threads.submit(compress_tasks, tasks, policy)
            outcomes = await asyncio.wait_for(
                asyncio.wrap_future(future), self._deadline_s
            )
        except BrokenProcessPool:
            self._drop_pool()
            self.failures += 1
            return _left(tasks, "the compressing process died")
        except TimeoutError:
            self.failures += 1
            return _left(tasks, f"not done within {self._deadline_s} s")
        return outcomes

    def close(self) -> None:
        """Stop the threads and the pool; running tasks are given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._drop_pool()

    def _begin_apart(
        self, tasks: Sequence[BlockTask], policy: Policy
    ) -> Future[list[BlockOutcome]] | None:
        """The tasks under way in a process of their own; ``None``: there is none.

        Nor is there where the machine lets no further one start: a limit on processes,
        or on open files, or no memory.

        Raises:
            BrokenProcessPool: the process died.
        """
        try:
            pool = self._warm_pool()
            return None if pool is None else pool.submit(run_apart, tasks, policy)
        except OSError:
            self._drop_pool()
            self.failures += 1
            return None

    def _warm_pool(self) -> ProcessPoolExecutor | None:
        """The pool once its process has loaded; until then ``None``."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            workers = max(1, (os.cpu_count() or 2) - 1)
            self._pool = ProcessPoolExecutor(
                workers, mp_context=context, initializer=_begin_worker
            )
            self._warming = self._pool.submit(_warm)
            return None
        warming = self._warming
        if warming is None or not warming.done():
            return None
        if warming.exception() is not None:
            self._drop_pool()
            return None
        return self._pool

    def _drop_pool(self) -> None:
        if self._pool is not None:
            with contextlib.suppress(OSError):
                self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None
        self._warming = None


def _left(tasks: Sequence[BlockTask], reason: str) -> list[BlockOutcome]:
    return [
        BlockOutcome(
            "compressor_error",
            reason=reason,
            original_bytes=len(task.text.encode("utf-8", "surrogatepass")),
        )
        for task in tasks
    ]

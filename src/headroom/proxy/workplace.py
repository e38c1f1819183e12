"""The place of a server: short work on the event loop, long work beside it.

Under the stage that compresses and the broker's chokepoint; see ``driving``. Parsing
and planning a short body is done before a thread could have started; of a long one, in
a thread; compression wherever ``Compute`` puts it.

What always holds: the event loop waits for no store, no file and nobody else's work.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from headroom.core.types import BlockOutcome, BlockTask, Policy
from headroom.proxy.compute import Compute

_T = TypeVar("_T")

ON_LOOP_BYTES = 24_000
"""A body up to this size is parsed and planned in well under a millisecond."""


class Workplace:
    """Of one server process."""

    def __init__(self) -> None:
        self._compute = Compute()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="headroom-plan")
        # Apart, so that a huge result never keeps other requests from being read.
        self._apart = ThreadPoolExecutor(1, thread_name_prefix="headroom-refer")
        # So that a slow store keeps nobody waiting who needs nothing from it.
        self._waiting = ThreadPoolExecutor(4, thread_name_prefix="headroom-wait")

    @property
    def failures(self) -> int:
        """How often the compressing process failed."""
        return self._compute.failures

    def warm(self) -> None:
        """Load what the first texts need, once, in a thread."""
        self._compute.warm()

    async def work(
        self, size_bytes: int, work: Callable[[], _T], *, is_apart: bool = False
    ) -> _T:
        """Do short work here, long work in a thread."""
        if size_bytes <= ON_LOOP_BYTES:
            return work()
        threads = self._apart if is_apart else self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    async def wait(self, work: Callable[[], _T]) -> _T:
        """Do what waits for a store or a file, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._waiting, work)

    async def result(self, future: Future[_T]) -> _T:
        """What a thread is about to have done."""
        return await asyncio.wrap_future(future)

    async def pause(self) -> None:
        """Let the event loop see to other requests."""
        await asyncio.sleep(0)

    async def compress(
        self, tasks: Sequence[BlockTask], policy: Policy
    ) -> list[BlockOutcome]:
        """Outcomes of the tasks, in their order."""
        return await self._compute.run(tasks, policy)

    def close(self) -> None:
        """Stop the workers; what runs is given up."""
        self._compute.close()
        for threads in (self._threads, self._apart, self._waiting):
            threads.shutdown(wait=False, cancel_futures=True)

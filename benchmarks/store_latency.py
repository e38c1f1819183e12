"""How long the store takes: reading an original back, saving a request's records.

Fills a store with originals of 2 KB to 1 MB, most of them small as tool outputs are,
then reads some of them in random order from a store opened afresh, and saves records
the way the proxy does. Run it with::

    python -m benchmarks.store_latency [--entries 100000] [--store URL]

The bound is a p99 of 5 ms for reading from SQLite with 100,000 entries.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

from headroom.ccr.excerpts import answer
from headroom.ccr.ledger import Ledger
from headroom.ccr.stores import open_store
from headroom.core.digest import chain_key, content_digest
from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision, SlotEdit

SMALLEST, LARGEST = 2_000, 1_000_000
BATCH = 200
EDIT = SlotEdit("0", "0" * 24, "x" * 800, "log", "1")


def size_of(rng: random.Random) -> int:
    """Pareto-like, 10 KB on average: 2 KB mostly, one in two hundred above 100 KB."""
    return min(LARGEST, int(SMALLEST / rng.random() ** 0.9))


def text_of(number: int, size: int) -> str:
    line = f"{number:08d} a line of some tool's output, of ordinary length and words\n"
    return (line * (size // len(line) + 1))[:size]


def timed(calls: list[Callable[[], object]]) -> list[float]:
    seconds = []
    for call in calls:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def show(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p50 = statistics.median(ordered) * 1e3
    p99 = ordered[int(0.99 * len(ordered))] * 1e3
    print(f"{what:<44} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   ({len(ordered)})")


def records(number: int) -> list[tuple[LedgerKey, Decision]]:
    """What one turn of a conversation records: an answer left, a result compressed."""
    keys = [chain_key(f"{number} {part}".encode()) for part in ("left", "edited")]
    return [
        (LedgerKey(keys[0], b"lineage"), Decision()),
        (LedgerKey(keys[1], b"lineage"), Decision((EDIT,))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--reads", type=int, default=10_000)
    parser.add_argument("--store", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.store or f"sqlite://{folder}/store.db"
        rng = random.Random(1)
        sizes = [size_of(rng) for _ in range(options.entries)]
        print(f"{options.entries} originals, {sum(sizes) / 1e6:.0f} MB in all, {url}")
        store = open_store(url)
        digests = []
        for first in range(0, len(sizes), BATCH):
            some = sizes[first : first + BATCH]
            texts = [text_of(first + i, size) for i, size in enumerate(some)]
            named = {content_digest(text): text for text in texts}
            digests += named
            store.save([], named)
        store.close()
        store = open_store(url)
        chosen = rng.choices(digests, k=options.reads)
        show("get an original", timed([lambda d=d: store.get(d) for d in chosen]))
        show(
            "retrieve 40 lines of an original",
            timed([lambda d=d: answer(store.get(d), lines="3-42") for d in chosen]),
        )
        ledger = Ledger(store)
        saves = [lambda n=n: ledger.save(records(n), {}) for n in range(5_000)]
        show("save a request's records, one caller", timed(saves))
        keys = [[key.key for key, _ in records(n)] for n in range(5_000)]
        looks = [lambda k=k: ledger.lookup(k, b"lineage") for k in keys]
        show("look up two records in memory", timed(looks))
        unknown = [[chain_key(b"?", k) for k in two] for two in keys]
        looks = [lambda k=k: ledger.lookup(k, b"lineage") for k in unknown]
        show("look up two records nobody has", timed(looks))
        seconds: list[float] = []
        start = time.perf_counter()
        threads = [
            threading.Thread(
                target=lambda t=t: seconds.extend(
                    timed(
                        [
                            lambda n=n: ledger.save(records(n), {})
                            for n in range((t + 1) * 100_000, (t + 1) * 100_000 + 500)
                        ]
                    )
                )
            )
            for t in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = len(seconds) / (time.perf_counter() - start)
        show(f"save from 16 threads at once, {rate:.0f}/s", seconds)
        ledger.close()


if __name__ == "__main__":
    main()

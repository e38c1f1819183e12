"""Does the cost of a turn grow with what is new, or with the conversation?

A conversation of N turns, each with one new 4 KB log, goes through the core (parse,
plan, compress, settle, splice) with a ledger in memory; printed are the median times of
the last five turns, in all and without reading the body, at several lengths.
Usage: ``python -m benchmarks.scale [TURNS …]``.
"""

import json
import sys
import time
from statistics import median

from headroom.ccr.ledger import Ledger
from headroom.ccr.stores import open_store
from headroom.core.pipeline import compress_block
from headroom.core.repeats import SourceMemo
from headroom.core.rewrite import Rewrite
from headroom.core.types import Policy
from headroom.inference.tokens import counter_for
from headroom.providers import PROVIDERS

LENGTHS = (10, 50, 100, 200, 400)


def log(turn):
    return "".join(
        f"2026-01-01 10:00:{i % 60:02} INFO worker-{i % 7} handled request"
        f" {turn * 7919 + i} in {i * turn % 90} ms\n"
        for i in range(60)
    )


def turn_messages(turn):
    use = {"type": "tool_use", "id": f"t{turn}", "name": "Bash", "input": {"c": turn}}
    result = {"type": "tool_result", "tool_use_id": f"t{turn}", "content": log(turn)}
    return [
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]


class Driver:
    """One proxy's core with its memory."""

    def __init__(self):
        self.ledger = Ledger(open_store("memory://"))
        self.memo = SourceMemo()
        self.count = counter_for("claude")
        self.provider = PROVIDERS["anthropic"]
        self.policy = Policy(cache_minimum_tokens=1024)

    def send(self, body):
        """Milliseconds in all, and of these after the body was read."""
        start = time.perf_counter()
        view = self.provider.parse(body)
        parsed = time.perf_counter()
        rewrite = Rewrite(view, self.provider, self.policy)
        records, _ = self.ledger.peek(rewrite.keys, rewrite.chain.lineage)
        rewrite.plan(records)
        for tasks in rewrite.groups():
            rest = rewrite.refer(tasks, self.memo, self.count)
            rewrite.add(
                {i: compress_block(tasks[i], self.policy, self.count) for i in rest}
            )
        batch = rewrite.settle()
        saved = self.ledger.save(batch.records, batch.originals)
        rewrite.finish(saved.winners)
        end = time.perf_counter()
        return 1000 * (end - start), 1000 * (end - parsed)


def main():
    lengths = [int(a) for a in sys.argv[1:]] or LENGTHS
    driver = Driver()
    driver.count("warm")
    messages = [{"role": "user", "content": "please look"}]
    body = {"model": "claude-x", "system": "s" * 8000, "messages": messages}
    last = []
    first = None
    print(
        f"{'turns':>6}{'body KB':>9}{'ms':>8}{'without reading':>17}{'per turn 10':>13}"
    )
    for turn in range(1, max(lengths) + 1):
        messages += turn_messages(turn)
        raw = json.dumps(body).encode()
        last = [*last[-4:], driver.send(raw)]
        if turn in lengths:
            whole, rest = (median(values) for values in zip(*last, strict=True))
            first = first or whole
            print(
                f"{turn:6}{len(raw) / 1000:9.0f}{whole:8.2f}{rest:17.2f}"
                f"{whole / first:12.2f}x"
            )


if __name__ == "__main__":
    main()

"""How much does each kind of text shrink, what is kept, and how fast?

Run over a corpus of real tool outputs with facts that must survive: a folder with
``items.jsonl`` (id, kind, path, facts) and the files it names. ``headroom bench
compress`` measures the same way; the figures that must be reached stand here. Exits 1
if a kind misses its figure. Usage: ``python -m benchmarks.corpus --corpus DIR
[--json] [--rounds N]``.

Time is what a process of the proxy takes for a text it sees for the first time, on one
core: the garbage collector is set as there, and of several rounds, each over the whole
corpus, a text's median counts.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, median

import msgspec

from headroom.proxy.compute import spare_collector
from headroom.workbench.items import load
from headroom.workbench.scoring import FORMS, by_fact_type, by_kind, measure

GOALS = {
    "json": (57, 66),
    "table": (38, 54),
    "listing": (52, 64),
    "log": (68, 90),
    "build": (22, 42),
    "search": (46, 52),
    "diff": (19, 38),
    "trace": (38, 57),
    "html": (66, 72),
    "prose": (3, 14),
    "mixed": (9, 14),
}
"""Mean token reduction per item in percent: lossless, lossy."""

FACT_GOALS = {
    "error": 100.0,
    "anomaly": 100.0,
    "used_later": 100.0,
    "hunk": 100.0,
    "path": 98.0,
    "signature": 98.0,
    "summary": 98.0,
    "needle": 87.0,
    "id": 87.0,
}
"""Facts of each type that a lossy form keeps, in percent."""


MEDIAN_MB_PER_S = 5.0
KIND_MB_PER_S = 1.5
BLOCK_BYTES = range(25_000, 35_000)
BLOCK_MS = 20.0
"""Throughput over all texts, of each kind, and the time for a block of 30 KB."""


def slow(scores, kinds):
    """What misses its speed, in words."""
    missed = []
    rate = median(score.mb_per_s for score in scores)
    if rate < MEDIAN_MB_PER_S:
        missed.append(f"median {rate:.1f} MB/s, goal {MEDIAN_MB_PER_S}")
    for kind, found in kinds.items():
        if found.mb_per_s < KIND_MB_PER_S:
            missed.append(f"{kind}: {found.mb_per_s:.1f} MB/s, goal {KIND_MB_PER_S}")
    for score in scores:
        if score.bytes_before in BLOCK_BYTES and score.seconds * 1000 > BLOCK_MS:
            taken = f"{score.seconds * 1000:.0f} ms, goal {BLOCK_MS:.0f}"
            missed.append(f"{score.item.id} ({score.bytes_before} bytes): {taken}")
    return missed


def measured(items, *, lossy, rounds):
    """Scores whose time is the median of some rounds."""
    found = [list(measure(items, is_lossy=lossy)) for _ in range(rounds)]
    return [
        msgspec.structs.replace(
            scores[0], seconds=median(score.seconds for score in scores)
        )
        for scores in zip(*found, strict=True)
    ]


def shortfalls(kinds, types, *, lossy):
    """What misses its goal, in words."""
    missed = []
    for kind, goals in GOALS.items():
        if kind in kinds:
            reached = kinds[kind].mean_reduction_pct
            if reached < goals[lossy]:
                missed.append(f"{kind}: {reached:.1f} %, goal {goals[lossy]} %")
    missed += [f"{kind}: an item grew" for kind, found in kinds.items() if found.larger]
    if lossy:
        for name, (kept, total) in types.items():
            if 100 * kept / total < FACT_GOALS.get(name, 96.0):
                missed.append(f"facts of type {name}: {kept} of {total} kept")
    else:
        facts = sum(found.facts for found in kinds.values())
        if sum(found.facts_kept for found in kinds.values()) < 0.995 * facts:
            missed.append("facts: less than 99.5 % kept verbatim")
        if sum(found.facts_kept_loosely for found in kinds.values()) < facts:
            missed.append("facts: some are missing even without white space")
    return missed


def show(scores, kinds, types):
    print(f"{'kind':9}{'items':>6}{'mean %':>8}{'worst %':>9}{'facts':>12}{'MB/s':>7}")
    for kind, found in kinds.items():
        print(
            f"{kind:9}{found.items:6}{found.mean_reduction_pct:8.1f}"
            f"{found.worst_reduction_pct:9.1f}{found.facts_kept:7} /{found.facts:4}"
            f"{found.mb_per_s:7.1f}"
        )
    plain = [score.reduction_pct for score in scores if score.kind != "code"]
    rate = median(score.mb_per_s for score in scores)
    if plain:
        print(f"all but code: mean {mean(plain):.1f} %; median {rate:.1f} MB/s")
    print("facts:", "  ".join(f"{k} {a}/{b}" for k, (a, b) in types.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--no-speed", action="store_true", help="Hold to reductions and facts alone."
    )
    options = parser.parse_args()
    spare_collector()
    items = load([options.corpus])
    missed = []
    for form in FORMS:
        lossy = form == "lossy"
        scores = measured(items, lossy=lossy, rounds=options.rounds)
        kinds, types = by_kind(scores), by_fact_type(scores)
        if options.json:
            rows = {kind: found.mean_reduction_pct for kind, found in kinds.items()}
            print(
                json.dumps({"form": form, "mean_reduction_pct": rows, "facts": types})
            )
        else:
            print(f"\n{form}")
            show(scores, kinds, types)
        missed += [f"{form}: {m}" for m in shortfalls(kinds, types, lossy=lossy)]
        if not options.no_speed:
            missed += [f"{form}: {m}" for m in slow(scores, kinds)]
    for line in missed:
        print("MISSED", line)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

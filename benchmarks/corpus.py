"""How much does each kind of text shrink, what is kept, and how fast?

Run over a corpus of real tool outputs with facts that must survive: a folder with
``items.jsonl`` (id, kind, path, facts) and the files it names. Exits 1 if a kind misses
its figure. Usage: ``python -m benchmarks.corpus --corpus DIR [--json]``.
"""

import argparse
import html
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import headroom
from headroom.inference.tokens import counter_for

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


@dataclass
class Tally:
    """What was measured for one kind."""

    reductions: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    facts: int = 0
    kept: int = 0
    kept_loosely: int = 0
    larger: int = 0


def forms(text):
    """A fact counts as kept verbatim, JSON-escaped or HTML-unescaped."""
    yield text
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield html.unescape(text)
    try:
        yield json.loads(f'"{text}"')
    except ValueError:
        return


def is_kept(fact, text):
    return all(any(form in text for form in forms(answer)) for answer in fact["a"])


def is_kept_loosely(fact, text):
    packed = "".join(text.split())
    answers = fact["a"]
    return all(any("".join(f.split()) in packed for f in forms(a)) for a in answers)


def measure(corpus, *, lossy):
    """Tallies by kind, and facts kept and all by fact type."""
    count = counter_for(None)
    count("warm")
    tallies, types = defaultdict(Tally), defaultdict(lambda: [0, 0])
    lines = (corpus / "items.jsonl").read_text().splitlines()
    for item in map(json.loads, lines):
        text = (corpus / item["path"]).read_bytes().decode()
        start = time.perf_counter()
        result = headroom.compress_text(text, lossy=lossy)
        elapsed = time.perf_counter() - start
        before, after = count(text), count(result.text)
        tally = tallies[item["kind"]]
        tally.reductions.append(100 * (1 - after / before))
        tally.rates.append(len(text.encode()) / 1e6 / elapsed)
        tally.larger += after > before
        for fact in item["facts"]:
            kept = is_kept(fact, result.text)
            tally.facts += 1
            tally.kept += kept
            tally.kept_loosely += kept or is_kept_loosely(fact, result.text)
            types[fact["type"]][0] += kept
            types[fact["type"]][1] += 1
    return dict(tallies), dict(types)


def shortfalls(tallies, types, *, lossy):
    """What misses its goal, in words."""
    missed = []
    for kind, goals in GOALS.items():
        if kind in tallies:
            reached = mean(tallies[kind].reductions)
            if reached < goals[lossy]:
                missed.append(f"{kind}: {reached:.1f} %, goal {goals[lossy]} %")
    missed += [f"{k}: an item grew" for k, t in tallies.items() if t.larger]
    if lossy:
        for name, (kept, total) in types.items():
            if 100 * kept / total < FACT_GOALS.get(name, 96.0):
                missed.append(f"facts of type {name}: {kept} of {total} kept")
    else:
        facts = sum(t.facts for t in tallies.values())
        if sum(t.kept for t in tallies.values()) < 0.995 * facts:
            missed.append("facts: less than 99.5 % kept verbatim")
        if sum(t.kept_loosely for t in tallies.values()) < facts:
            missed.append("facts: some are missing even without white space")
    return missed


def show(tallies, types):
    print(f"{'kind':9}{'items':>6}{'mean %':>8}{'worst %':>9}{'facts':>12}{'MB/s':>7}")
    for kind in sorted(tallies):
        t = tallies[kind]
        print(
            f"{kind:9}{len(t.reductions):6}{mean(t.reductions):8.1f}"
            f"{min(t.reductions):9.1f}{t.kept:7} /{t.facts:4}{median(t.rates):7.1f}"
        )
    plain = [r for k, t in tallies.items() if k != "code" for r in t.reductions]
    rates = [r for t in tallies.values() for r in t.rates]
    print(f"all but code: mean {mean(plain):.1f} %; median {median(rates):.1f} MB/s")
    print("facts:", "  ".join(f"{k} {a}/{b}" for k, (a, b) in sorted(types.items())))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    missed = []
    for lossy in (False, True):
        tallies, types = measure(options.corpus, lossy=lossy)
        name = "lossy" if lossy else "lossless"
        if options.json:
            rows = {k: mean(t.reductions) for k, t in tallies.items()}
            print(
                json.dumps({"form": name, "mean_reduction_pct": rows, "facts": types})
            )
        else:
            print(f"\n{name}")
            show(tallies, types)
        missed += [f"{name}: {m}" for m in shortfalls(tallies, types, lossy=lossy)]
    for line in missed:
        print("MISSED", line)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

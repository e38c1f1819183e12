"""How do other compressors fare on the same texts? A comparison with black boxes.

Every peer is a command in its own environment that gets texts and gives back shorter
ones (``benchmarks/peers`` says how). This project takes part through the same protocol,
once with lossless and once with lossy forms. All get exactly the same texts, in turn,
so that whatever else the machine does hits all alike; one tokenizer counts, one scorer
looks for the facts. Times are each process's own, warm (each first gets the texts of
the shipped conversation), at first sight of each text. A text on which a peer fails
counts as left as it was, in the time that it took, and is listed.

Usage: ``python -m benchmarks.peer --peer ENVIRONMENTS [--corpus DIR] [--install]
[--json FILE] [--command "NAME ARGUMENTS"]``. ENVIRONMENTS is a virtual environment, or
a folder of some (``make peer`` makes it); ``--command`` adds any other command that
speaks the protocol. Exits 1 only if nothing could be compared; there are no goals.
"""

import argparse
import asyncio
import json
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import headroom
from benchmarks.footprint import install, installed
from benchmarks.peers import DRIVERS, OURSELVES
from benchmarks.peers.process import NOT_ASKED, Peer, printable
from headroom.inference.tokens import counter_for
from headroom.workbench.items import load
from headroom.workbench.scoring import (
    FORMS,
    Score,
    by_fact_type,
    by_kind,
    check,
    summarise,
)

COLUMN = 13
TIMEOUT_S = 30.0
BUDGET_S = 120.0
"""For one text, and for all texts of one peer."""

REASONS = 8
"""Ways to fail that are printed of each; the JSON file has all."""

AGAIN = 3
"""Texts that warm a peer which had to be started again."""

NONE_HERE = (
    "no other compressor's environment at {}: `make peer` installs some"
    " from the package index"
)


class Side:
    """One that takes part, with the scores of its texts."""

    def __init__(self, peer, place=None, label=None):
        self.peer, self.place, self.label = peer, place, label
        self.scores, self.processor, self.failed = [], [], Counter()

    @property
    def name(self):
        """What the report calls it."""
        return self.label or printable(self.peer.hello.name)

    def takes(self, kind):
        """Whether it is made for such texts."""
        return self.peer.hello.kinds is None or kind in self.peer.hello.kinds

    async def warm(self, items):
        """Have it load what it loads at first use; what it answers does not count."""
        for item in items:
            if failure := (await self.peer.ask(item.text)).failure:
                if not failure.startswith(NOT_ASKED):
                    self.failed[f"{failure} (warming up)"] += 1
                return

    async def measure(self, item, kind, count):
        """Ask it for one text and score what comes back."""
        if not self.takes(kind):
            return
        outcome = await self.peer.ask(item.text)
        if outcome.failure:
            self.failed[outcome.failure] += 1
            if outcome.failure.startswith(NOT_ASKED):
                return
        after = item.text if outcome.text is None else outcome.text
        if outcome.cpu_seconds is not None:
            megabytes = len(item.text.encode()) / 1e6
            self.processor.append(megabytes / max(outcome.cpu_seconds, 1e-9))
        self.scores.append(
            Score(
                item=item,
                kind=kind,
                strategy="",
                after=after,
                omitted="",
                tokens_before=count(item.text),
                tokens_after=count(after),
                seconds=outcome.seconds,
                facts=check(item.facts, after),
            )
        )

    def rows(self):
        """A summary per kind and of all, if any text was scored."""
        if not self.scores:
            return {}
        return {**by_kind(self.scores), "all": summarise(self.scores)}


def environments(path):
    """Virtual environments at ``path`` or directly under it."""
    if path is None or not path.is_dir():
        return []
    places = [path] if (path / "bin" / "python").exists() else sorted(path.iterdir())
    return [place for place in places if (place / "bin" / "python").exists()]


def has(python, distribution):
    code = f"from importlib.metadata import version; version({distribution!r})"
    command = [python, "-I", "-c", code]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:  # a file of that name, but no interpreter
        return False


def peers(options):
    """Every peer that is there, named by its environment where there are several."""
    limits = {"timeout_s": options.timeout, "budget_s": options.budget}
    found = []
    for place in environments(options.peer):
        python = place / "bin" / "python"
        for distribution, driver in DRIVERS.items():
            if has(python, distribution):
                # Absolute, not resolved: the link is what makes it an environment.
                command = [python.absolute(), "-E", "-s", driver]
                found.append((distribution, place, Peer(command, **limits)))
    names = Counter(name for name, _, _ in found)
    sides = [
        Side(peer, place, place.name if names[name] > 1 else None)
        for name, place, peer in found
    ]
    commands = map(shlex.split, options.command)
    return [*sides, *(Side(Peer(command, **limits)) for command in commands)]


def tell_apart(sides):
    """Number those that introduced themselves by the same name."""
    seen = Counter()
    for side in sides:
        seen[side.name] += 1
        if seen[side.name] > 1:
            side.label = f"{seen[side.name]} {side.name}"


def ourselves(options):
    limits = {"timeout_s": options.timeout, "budget_s": options.budget}
    paths = str(Path(headroom.__file__).parents[1])
    return [
        Side(
            Peer(
                [sys.executable, OURSELVES, form],
                extra_environment={"PYTHONPATH": paths},
                **limits,
            )
        )
        for form in FORMS
    ]


async def compare(items, sides):
    """Fill the sides' scores, text by text."""
    count = counter_for(None)
    kinds = [i.kind or headroom.compress_text(i.text).kind or "none" for i in items]
    try:
        warm_up = load([])
        for side in sides:
            await side.warm(warm_up)
        for item, kind in zip(items, kinds, strict=True):
            for side in sides:
                if not side.peer.is_running:
                    await side.warm(warm_up[:AGAIN])
                await side.measure(item, kind, count)
    finally:
        for side in sides:
            await side.peer.end()


def ratios(ours, theirs):
    """Tokens left, theirs over ours; MB/s, ours over theirs; of each kind."""
    found = {}
    kinds = {score.kind for score in theirs.scores}
    mine = [score for score in ours.scores if score.kind in kinds]
    if not mine:
        return found
    rows = {**by_kind(mine), "all": summarise(mine)}
    for kind, their in theirs.rows().items():
        if kind in rows:
            our = rows[kind]
            left = max(100 - our.mean_reduction_pct, 1e-9)
            found[kind] = {
                "tokens_left": (100 - their.mean_reduction_pct) / left,
                "speed": our.mb_per_s / their.mb_per_s,
            }
    return found


def described(side, sizes):
    hello, size = side.peer.hello, sizes.get(side.name)
    return {
        "name": side.name,
        "version": hello.version,
        "only_kinds": hello.kinds,
        "note": hello.note,
        "install_mb": size and size[0],
        "packages": size and size[1],
        "failures": dict(side.failed),
        "said": side.peer.said(),
        "cpu_mb_per_s": median(side.processor) if side.processor else None,
        "kinds": {
            kind: {name: getattr(row, name) for name in row.__struct_fields__}
            for kind, row in side.rows().items()
        },
        "facts": by_fact_type(side.scores),
        "texts": [
            {
                "id": score.item.id,
                "kind": score.kind,
                "tokens_before": score.tokens_before,
                "tokens_after": score.tokens_after,
                "seconds": score.seconds,
                "facts": len(score.facts),
                "facts_kept": sum(fact.is_kept for fact in score.facts),
            }
            for score in side.scores
        ],
    }


def table(title, sides, rows_of, show):
    rows = [rows_of(side) for side in sides]
    if not any(rows):
        return
    print(f"\n{title}")
    print(" " * 10 + "".join(f"{side.name[: COLUMN - 1]:>{COLUMN}}" for side in sides))
    kinds = sorted({kind for found in rows for kind in found} - {"all"})
    for kind in (*kinds, "all"):
        cells = (show(found[kind]) if kind in found else "-" for found in rows)
        print(f"{kind:10}" + "".join(f"{cell:>{COLUMN}}" for cell in cells))


def facts(row):
    return f"{row.facts_kept}/{row.facts}" if row.facts else "-"


def show(sides, mine, sizes):
    for side in sides:
        hello, size = side.peer.hello, sizes.get(side.name)
        parts = [printable(hello.version), printable(hello.note or "")]
        if size:
            parts.append(f"installs {size[0]:.0f} MB, {size[1]} packages")
        if side.processor:
            parts.append(f"{median(side.processor):.1f} MB per second of processor")
        print(f"{side.name:{COLUMN}}" + "; ".join(part for part in parts if part))
        if side not in mine:
            for line in side.peer.said():
                print(f"{'':{COLUMN}}said: {line}")

    def rows(side):
        return side.rows()

    percent = "{0.mean_reduction_pct:.1f}".format
    table("tokens saved, mean over texts, %", sides, rows, percent)
    table(
        "tokens saved, worst text, %", sides, rows, "{0.worst_reduction_pct:.1f}".format
    )
    table("facts kept", sides, rows, facts)
    table("texts made larger", sides, rows, "{0.larger}".format)
    table("MB/s, median over texts", sides, rows, "{0.mb_per_s:.1f}".format)
    others = [side for side in sides if side not in mine]
    for ours in mine:

        def of(side, ours=ours):
            return ratios(ours, side)

        title = f"tokens left, theirs over {ours.name} here"
        table(title, others, of, lambda row: f"{row['tokens_left']:.2f}")
        title = f"speed, {ours.name} here over theirs"
        table(title, others, of, lambda row: f"{row['speed']:.2f}")
    for side in sides:
        for reason, times in side.failed.most_common(REASONS):
            print(f"{side.name}: {times} × {reason}")


def sized(sides, mine, *, with_install):
    found = {side.name: installed(side.place) for side in sides if side.place}
    if with_install:
        try:
            size = install()
        except subprocess.CalledProcessError as error:
            print(f"this project could not be installed to be weighed: {error}")
        else:
            found |= {side.name: size for side in mine}
    return found


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--command", action="append", default=[])
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S)
    parser.add_argument("--budget", type=float, default=BUDGET_S)
    return parser.parse_args()


def main():
    options = parse()
    others = peers(options)
    if not others:
        print(NONE_HERE.format(options.peer or "(no --peer)"))
        sys.exit(1)
    mine = ourselves(options)
    sides = [*mine, *others]
    items = load([options.corpus] if options.corpus else [])
    size = sum(len(item.text.encode()) for item in items)
    print(f"{len(items)} texts, {size / 1000:,.0f} KB, tokens counted with o200k")
    if not options.corpus:
        print("no corpus: what warms is what is measured, so times are of second sight")
    asyncio.run(compare(items, sides))
    tell_apart(sides)
    sizes = sized(sides, mine, with_install=options.install)
    show(sides, mine, sizes)
    if options.json:
        report = {
            "sides": [described(side, sizes) for side in sides],
            "ratios": {
                ours.name: {side.name: ratios(ours, side) for side in others}
                for ours in mine
            },
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(not any(side.scores for side in others))


if __name__ == "__main__":
    main()

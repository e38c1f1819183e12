"""All measurements, one after the other: ``make bench`` or ``python -m benchmarks``.

Prints what each prints. ``--corpus DIR`` adds what needs a corpus of tool outputs and
recorded conversations (``items.jsonl``, ``sessions/``, ``coding/``); ``--peer DIR``
compares with other compressors if their environments are there.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peer import NONE_HERE, environments

HEADROOM = str(Path(sys.executable).parent / "headroom")
RUNS = (
    ("--markers", "newest"),
    ("--markers", "system"),
    ("--markers", "none"),
    ("--resend",),
    ("--proxy-args=--workers=2", "--new-connection"),
    ("--kill-restart",),
    ("--parallel", "8"),
    ("--retrieve", "3"),
    ("--thinking", "--strict-thinking"),
)
"""Replays of every conversation, as clients and mishaps vary."""


def run(title, *command):
    """Run one measurement; its title, and whether it reached its goals."""
    print(f"\n=== {title}", flush=True)
    start = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    print(f"--- {title}: {time.perf_counter() - start:.0f} s", flush=True)
    return title, code == 0


def conversations(corpus):
    """Paths of recorded conversations, or none: then the shipped one is replayed."""
    if corpus is None:
        return []
    return [str(p) for name in ("coding", "sessions") if (p := corpus / name).is_dir()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--peer", type=Path, default=Path(".venv-peer"))
    options = parser.parse_args()
    corpus = options.corpus if options.corpus and options.corpus.is_dir() else None
    python = sys.executable
    reached = [
        run("footprint", python, "-m", "benchmarks.footprint", "--install"),
        run("cost per turn", python, "-m", "benchmarks.scale"),
        run("store", python, "-m", "benchmarks.store_latency", "--entries", "5000"),
        run("memory", python, "-m", "benchmarks.memory"),
        run("memory of long texts", python, "-m", "benchmarks.compress_memory"),
        run("what the proxy adds", python, "-m", "benchmarks.proxy_overhead"),
        run("the APIs compared", python, "-m", "benchmarks.api_overhead"),
        run("what the broker adds", python, "-m", "benchmarks.broker"),
        run("the broker under load", python, "-m", "benchmarks.broker_load"),
    ]
    if corpus is not None:
        command = (python, "-m", "benchmarks.corpus", "--corpus", str(corpus))
        reached.append(run("compression", *command))
        command = (python, "-m", "benchmarks.stabilisers", "--corpus", str(corpus))
        reached.append(run("clients without markers", *command))
    if environments(options.peer):
        command = (python, "-m", "benchmarks.peer", "--peer", str(options.peer))
        extra = () if corpus is None else ("--corpus", str(corpus))
        reached.append(run("other compressors", *command, "--install", *extra))
    else:
        print(f"\n=== other compressors\n{NONE_HERE.format(options.peer)}", flush=True)
    for extra in RUNS:
        command = (HEADROOM, "cachelab", "run", *extra, *conversations(corpus))
        reached.append(run(f"replay {' '.join(extra)}", *command))
    missed = [title for title, has_reached in reached if not has_reached]
    there = len(reached) - len(missed)
    print(f"\n{there} of {len(reached)} measurements reached their goals")
    for title in missed:
        print(f"missed: {title}")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

"""What each stabiliser is worth to clients that set no cache markers.

``python -m benchmarks.stabilisers --corpus ../shared/corpus`` replays the corpus'
conversations with nothing on, with each stabiliser alone, with compression alone and
with all together, and prints the mean and the worst ratio of the billed input cost to
that of no proxy at all. Bounds: mean at most 0.17, none above 0.60, no prefix break.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

OFF = (
    "--stabilise-breakpoints=disabled",
    "--compression-min-lossless-bytes=1000000000",
    "--retrieval=off",
)
COMPACT = "--stabilise-tool-compact=enabled"
SORT = ("--stabilise-tool-sort=enabled", "--stabilise-schema-sort=enabled")
RUNS: dict[str, tuple[str, ...]] = {
    "nothing": OFF,
    "breakpoints": OFF[1:],
    "tool_compact": (*OFF, COMPACT),
    "tool_sort, schema_sort": (*OFF, *SORT),
    "compression": OFF[:1],
    "breakpoints, compression": (),
    "all": (COMPACT, *SORT),
}
MEAN_BOUND, WORST_BOUND = 0.17, 0.60


def replay(corpus: Path, settings: tuple[str, ...]) -> dict:
    command = [
        sys.executable, "-m", "headroom.cli.main", "cachelab", "run", "--json",
        f"--proxy-args={' '.join(settings)}", "--markers", "none",
        str(corpus / "coding"), str(corpus / "sessions"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr.decode())
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    corpus = parser.parse_args().corpus
    print(f"{'on':26} {'mean':>7} {'worst':>7} {'total':>7} {'breaks':>7}")
    failed = 0
    for name, settings in RUNS.items():
        report = replay(corpus, settings)
        found = report["conversations"]
        ratios = [conversation["ratio"] for conversation in found]
        breaks = sum(conversation["prefix_breaks"] for conversation in found)
        mean, worst = sum(ratios) / len(ratios), max(ratios)
        direct = sum(conversation["direct"]["cost"] for conversation in found)
        total = sum(conversation["target"]["cost"] for conversation in found) / direct
        print(f"{name:26} {mean:7.4f} {worst:7.4f} {total:7.4f} {breaks:7}")
        failed += breaks
        if name == "all":
            failed += mean > MEAN_BOUND or worst > WORST_BOUND
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

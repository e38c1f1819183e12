"""How much memory does a long text take? ``python -m benchmarks.compress_memory``.

Prints, for a text of a megabyte of every kind, the most memory that compressing it
takes at any time, as a multiple of its bytes: recognising it, both forms, their proof
and the counting, as when it is first seen. The text itself and the vocabulary are not
counted, nor is what native code keeps for itself. Beside it the time, measured alone.
Ends with status 1 if a kind takes more than ten times its size, or more than a second.
"""

import argparse
import gc
import sys
import time
import tracemalloc

import headroom
from benchmarks import long_texts

GOAL_MULTIPLE = 10.0
GOAL_S_PER_MB = 1.0


def peak(text: str, *, lossy: bool) -> int:
    """The most bytes that compressing a text takes."""
    gc.collect()
    tracemalloc.start()
    try:
        headroom.compress_text(text, lossy=lossy)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="Characters.")
    parser.add_argument("kinds", nargs="*", help="Only these.")
    given = parser.parse_args()
    headroom.compress_text("The vocabulary is loaded first. " * 100, lossy=True)
    print(f"{'':16}{'MB':>6}   {'lossless':<24}{'lossy':<24}")
    missed = []
    for texts in (long_texts.ORDINARY, long_texts.DENSE):
        for kind, make in texts.items():
            if given.kinds and kind not in given.kinds:
                continue
            text = make(given.size)
            size = len(text.encode())
            row = f"{kind:16}{size / 1e6:6.2f}   "
            for lossy in (False, True):
                begun = time.thread_time()
                result = headroom.compress_text(text, lossy=lossy)
                seconds = (time.thread_time() - begun) / (size / 1e6)
                multiple = peak(text, lossy=lossy) / size
                gain = 1 - result.tokens_after / max(1, result.tokens_before)
                row += f"{multiple:4.1f} x {seconds:5.2f} s/MB {gain:5.1%}   "
                if multiple > GOAL_MULTIPLE:
                    missed.append(f"{kind}: {multiple:.1f} times its size")
                if seconds > GOAL_S_PER_MB:
                    missed.append(f"{kind}: {seconds:.2f} s per MB")
            print(row, flush=True)
    for line in missed:
        print("MISSED", line)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())

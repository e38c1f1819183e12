"""The peer's side of the protocol, run by the peer's own Python (3.9 or later).

Imports the standard library alone, and is imported before the package it drives: from
then on what anything prints goes to standard error, not between the answers. Only the
call that compresses is timed: by the wall clock, and by processor time of all threads.
"""

import json
import os
import sys
import time

_answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
os.dup2(2, 1)


def serve(compress, *, name, version, kinds=None, note=None):
    """Introduce the peer, then answer requests until standard input ends.

    Args:
        compress: takes a text, returns what stands for it. What it raises ends the
            process: whoever asked tells so, and starts it again.
        name: what the report calls it.
        version: of the compressor.
        kinds: the only kinds of text it is made for, if not all.
        note: a remark to print with the figures.
    """
    _write({"name": name, "version": version, "kinds": kinds, "note": note})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _write({"id": request["id"], **_answer(compress, request["text"])})


def _answer(compress, text):
    wall, processor = time.perf_counter(), time.process_time()
    after = compress(text)
    return {
        "text": after,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - processor,
    }


def _write(value):
    _answers.write(json.dumps(value) + "\n")
    _answers.flush()

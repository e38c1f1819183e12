"""A conversation about slow jobs: what the model says, and the logs it reads."""

import random

ANSWERS = [
    [
        {"type": "text", "text": "I look at the log of part 0 first."},
        {"type": "tool_use", "id": "call_1", "name": "read_log", "input": {"part": 0}},
        {"type": "tool_use", "id": "call_2", "name": "read_log", "input": {"part": 1}},
    ],
    [
        {"type": "text", "text": "And at the next part, “2” — with its ids."},
        {"type": "tool_use", "id": "call_3", "name": "read_log", "input": {"part": 2}},
    ],
    [{"type": "text", "text": "Job 1 failed: the disk is full."}],
]


def log(part):
    rng = random.Random(part)
    lines = [
        f"2026-03-0{1 + part}T12:{i // 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(500)
    ]
    return "".join(lines)

"""Texts of a megabyte and more of every kind, the same in every run.

Ordinary ones, whose lines are as long as such lines are; and dense ones, of lines and
values as short as there can be, which take most memory for each character.
"""

import json
import random
from collections.abc import Callable

WORDS = (
    "alpha", "beta", "gamma", "delta", "server", "client", "request", "response",
    "timeout", "cache", "database", "queue", "worker", "thread", "process", "memory",
    "buffer", "socket", "stream", "packet", "header", "payload", "token", "session",
    "user", "account", "order", "invoice", "payment", "shipment", "product", "region",
)  # fmt: skip

Rng = random.Random


def _time(i: int) -> str:
    day, second = divmod(i, 86400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"2024-03-{1 + day % 28:02}T{clock}Z"


def _log(r: Rng, i: int) -> str:
    word = r.choice(WORDS)
    if i % 40 == 7:
        return (
            f"{_time(i)} ERROR [w-{i % 8}] {word} failed: 10.0.{i % 9}.{i % 99} refused"
        )
    if i % 4 == 1:
        return f"{_time(i)} INFO [w-{i % 8}] GET /api/{word}/{r.randrange(99999)} 200"
    return f"{_time(i)} DEBUG [pool-{i % 4}] {word} has lease {r.getrandbits(48):012x}"


def _tests(_: Rng, i: int) -> str:
    result = "FAILED" if i % 500 == 7 else "PASSED"
    return (
        f"tests/{WORDS[i // 900 % 32]}/test_{WORDS[i // 30 % 32]}.py::test_{i} {result}"
    )


def _build(r: Rng, i: int) -> str:
    file = f"src/{r.choice(WORDS)}/{r.choice(WORDS)}{i}.c"
    if i % 50 == 3:
        return (
            f"{file}:{i % 900}:{i % 80}: warning: unused variable '{r.choice(WORDS)}'"
        )
    return f"gcc -O2 -Wall -Iinclude -c -o {file.removesuffix('.c')}.o {file}"


def _search(r: Rng, i: int) -> str:
    file = f"src/{WORDS[i // 40 % 32]}/{WORDS[i // 7 % 32]}_{i // 20}.py"
    return f"{file}:{i % 20 * 13 + 1}:    {r.choice(WORDS)} = self.{r.choice(WORDS)}()"


def _diff(r: Rng, i: int) -> str:
    file = f"src/{r.choice(WORDS)}{i}.py"
    one, two, three = r.choices(WORDS, k=3)
    return (
        f"diff --git a/{file} b/{file}\nindex {i:07x}..{i + 9:07x} 100644\n"
        f"--- a/{file}\n+++ b/{file}\n@@ -1,4 +1,4 @@ def {one}():\n"
        f"     {one} = {two}()\n-    {two}.{three}({i})\n+    {two}.{one}({i})\n"
        f"     return {three}\n     # {one}"
    )


def _trace(r: Rng, i: int) -> str:
    frames = "".join(
        f'  File "/srv/{r.choice(WORDS)}.py", line {r.randrange(900)}, in {word}\n'
        f"    return {word}({r.choice(WORDS)})\n"
        for word in r.choices(WORDS, k=8)
    )
    return f"Traceback (most recent call last):\n{frames}ValueError: bad value {i}"


def _csv(r: Rng, i: int) -> str:
    if not i:
        return "id,name,city,amount,date,status"
    state = ("open", "paid", "late")[i % 3]
    name = f"{r.choice(WORDS)} {r.choice(WORDS)}"
    amount = r.randrange(9999) / 100
    return f"{i},{name},{r.choice(WORDS)},{amount},{_time(i * 9999)[:10]},{state}"


def _processes(r: Rng, i: int) -> str:
    if not i:
        return "USER         PID %CPU %MEM    VSZ TTY      STAT COMMAND"
    return (
        f"{r.choice(WORDS):<10}{i:>6}{r.randrange(99) / 10:>5}{r.randrange(99) / 10:>5}"
        f"{r.randrange(999999):>7} ?        Ss   /usr/bin/{r.choice(WORDS)}"
    )


def _files(r: Rng, i: int) -> str:
    size = r.randrange(999999)
    day = f"Mar {1 + i % 28:2} 10:{i % 60:02}"
    return (
        f"-rw-r--r-- 1 {WORDS[i % 3]} staff {size:>8} {day} {r.choice(WORDS)}_{i}.txt"
    )


def _paths(r: Rng, i: int) -> str:
    return f"./{WORDS[i // 400 % 32]}/{WORDS[i // 40 % 32]}/{r.choice(WORDS)}{i}.py"


def _prose(r: Rng, _: int) -> str:
    sentences = (" ".join(r.choices(WORDS, k=12)).capitalize() for _ in range(5))
    return f"{'. '.join(sentences)}.\n"


def _yaml(r: Rng, i: int) -> str:
    return (
        f"- name: {r.choice(WORDS)}{i}\n  image: {r.choice(WORDS)}:{i % 9}\n"
        f"  resources:\n    cpu: {r.randrange(99)}\n    memory: {r.randrange(999)}Mi"
    )


def _dump(r: Rng, i: int) -> str:
    halves = "  ".join(r.randbytes(8).hex(" ") for _ in range(2))
    return f"{i * 16:08x}  {halves}  |........|"


def _record(r: Rng, i: int) -> str:
    fields = {
        "id": i,
        "name": r.choice(WORDS),
        "value": r.randrange(9999),
        "at": _time(i),
    }
    return json.dumps({**fields, "labels": {"app": r.choice(WORDS)}})


def _page(r: Rng, i: int) -> str:
    text = " ".join(r.choices(WORDS, k=20))
    return f"<div class='c{i % 9}'><p>{text} <a href='/x/{i}'>{text[:9]}</a></p></div>"


_LINES: dict[str, Callable[[Rng, int], str]] = {
    "log": _log, "tests": _tests, "build": _build, "search": _search, "diff": _diff,
    "trace": _trace, "csv": _csv, "processes": _processes, "files": _files,
    "paths": _paths, "prose": _prose, "yaml": _yaml, "hex dump": _dump,
    "jsonl": _record,
}  # fmt: skip
"""Kind → the next line or entry."""

_DENSE_LINES: dict[str, Callable[[Rng, int], str]] = {
    "short log": lambda r, i: f"{i // 60 % 24:02}:{i % 60:02}:00 {r.choice(WORDS)}",
    "levels": lambda r, _: f"INFO {r.choice(WORDS)} {r.randrange(99)}",
    "short search": lambda r, i: f"a/{i // 9}.py:{i % 9 + 1}:{r.choice(WORDS)}",
    "short csv": lambda r, i: f"{i},{r.choice(WORDS)},{i % 99}" if i else "id,name,n",
    "short paths": lambda _, i: f"./{WORDS[i // 400 % 32]}/{i}.c",
    "short prose": lambda r, _: f"{r.choice(WORDS).title()} {r.choice(WORDS)}.",
    "short diff": lambda _, i: f"--- a/{i}\n+++ b/{i}\n@@ -1 +1 @@\n-{i}\n+{i}0",
    "one key": lambda _, i: f'{{"a": {i}}}',
    "words": lambda r, _: r.choice(WORDS),
    "letters": lambda r, _: r.choice("abc"),
}  # fmt: skip


def _array(element: Callable[[int], str], count: int) -> str:
    return f"[{','.join(map(element, range(count)))}]"


_DENSE_DOCUMENTS: dict[str, Callable[[int], str]] = {
    "numbers": lambda size: _array(lambda i: f" {i % 1000}", size // 5),
    "ones": lambda size: _array(lambda _: "1", size // 2),
    "empty": lambda size: _array(lambda _: "{}", size // 3),
    "pairs": lambda size: _array(lambda i: f"[{i % 9},{i % 7}]", size // 6),
    "objects": lambda size: _array(lambda i: f'{{"a":{i % 9}}}', size // 8),
    "members": lambda size: json.dumps({str(i): i % 10 for i in range(size // 12)}),
    "tags": lambda size: f"<html><body>{'<p>a</p>' * (size // 8)}</body></html>",
    "cells": lambda size: f"<html><table>{'<tr><td>1</td></tr>' * (size // 18)}",
    "sentences": lambda size: "Some word. " * (size // 11),
    "one line": lambda size: "some words " * (size // 11),
}


def _joined(line: Callable[[Rng, int], str], size: int) -> str:
    rng = Rng(7)
    lines: list[str] = []
    length = 0
    while length < size:
        lines.append(line(rng, len(lines)))
        length += len(lines[-1]) + 1
    return "\n".join(lines)


def _of_lines(line: Callable[[Rng, int], str]) -> Callable[[int], str]:
    return lambda size: _joined(line, size)


def _records(size: int) -> list[object]:
    return [json.loads(line) for line in _joined(_record, size).split("\n")]


def _mixed(size: int) -> str:
    rows = json.dumps(_records(size // 4), indent=1)
    return "\n".join([_joined(_log, size // 2), rows, _joined(_prose, size // 2)])


_DOCUMENTS: dict[str, Callable[[int], str]] = {
    "array": lambda size: json.dumps(_records(size)),
    "list": lambda size: json.dumps({"a": 1, "items": _records(size)}, indent=1),
    "page": lambda size: f"<html><body><h1>A</h1>{_joined(_page, size)}</body></html>",
    "mixed": _mixed,
    "payload": lambda size: json.dumps({"stdout": _joined(_log, size), "code": 0}),
    "wide": lambda size: f"{_joined(_log, size)}\n\N{GRINNING FACE}",
}

ORDINARY = {kind: _of_lines(line) for kind, line in _LINES.items()} | _DOCUMENTS
"""Kind → text of about so many characters."""

DENSE = {
    kind: _of_lines(line) for kind, line in _DENSE_LINES.items()
} | _DENSE_DOCUMENTS
"""The same for lines and values as short as there can be."""

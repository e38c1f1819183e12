"""No text takes long: what a compressor does grows with the text, and no faster.

The baits are runs that several parts of one pattern could take, so that a pattern which
tries every way to share them out takes the square of their length, or worse.
"""

import time

import pytest

import headroom
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.compressors import COMPRESSORS
from headroom.core.types import Context

UNITS = [" ", "\t", "a", "0", "_", "-", ".", "::", ":", "/", "0x", '"', "[", "(",
         "<", "{", "\\", "|", "=", "#", "`", "a ", "a.", "a/", " -", ".. ", "a=", "&",
         "$ "]  # fmt: skip
SHAPES = ["{run}!", "x {run}\x00\n", '"{run}\n', "    {run};x\n", "<a {run}\n{run}"]
SMALL, LARGE = 24_000, 96_000
SPENT_S = 0.25
"""Less than this cannot be told from noise, and is fast."""

_BEFORE = "commit 1234567890123456789012345678901234567890\n"


def spent(compressor, text):
    started = time.process_time()
    compressor.detect(text)
    found = compressor.compress(text, Context(count=len, wants_lossy=True))
    if found is not None:
        found.settled()
    return time.process_time() - started


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=lambda c: c.name)
def test_runs_of_signs_take_no_longer_than_their_length(compressor):
    slow = []
    for unit in UNITS:
        for shape in SHAPES:

            def text(size, unit=unit, shape=shape):
                return _BEFORE + shape.replace("{run}", unit * (size // len(unit)))

            if spent(compressor, text(SMALL)) < SPENT_S / 5:
                continue
            short, long = (
                min(spent(compressor, text(size)) for _ in range(2))
                for size in (SMALL, LARGE)
            )
            if long > SPENT_S and long > 8 * short:
                slow.append((unit, shape, short, long))
    assert slow == []


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=lambda c: c.name)
@pytest.mark.parametrize(
    "line", ["    \n", "![ok \r\n", "a::b\n", "x 1\n", "@@ -1 +1 @@\n"]
)
def test_many_lines_behind_a_long_blank_one_take_no_longer(compressor, line):
    text = f"{_BEFORE}{' ' * 20_000}{line * 4_000}x"
    assert spent(compressor, text) < 2


MEGABYTE = 1_000_000
NASTY = {
    "brackets": "[{" * 9, "quotes": '"\\"', "commas": ",;|\t", "blanks": " \t ",
    "empty lines": "\n", "returns": "x\r", "colours": "\x1b[31m\x1b[0m",
    "tags": "<a-b>\n", "pairs": "<a-b>x</a-b>\n", "ends": "</a-b>\n", "fences": "```\n",
    "hunks": "@@ -1 +1 @@\n-a\n+b\n", "stats": " a | 1 +\n", "hits": "a/b.c:1:x\n",
    "times": "2026-01-01T00:00:00Z ERROR x\n", "frames": '  File "a.py", line 1\n',
    "rows": "a,b,c\n", "cells": "| - ", "headers": "log templates\n",
    "announcements": "[json 1]\n", "markers": "<<ccr:0123456789abcdef01234567>>\n",
    "references": "[repeats #0123456789ab 1-9]\n", "templates": "$a ~ ~2 ×9\n",
    "placeholders": "{{HEADROOM_TAG_0}}", "pictures": "\U0001f600", "words": "word ",
    "directories": "drwxr-xr-x 2 a a 4096 Jan  1 00:00 b\n", "trees": "├── a\n",
}  # fmt: skip
SECONDS = 4
"""A megabyte takes one on an idle machine; where others share its cores, processor time
grows twofold and more."""


@pytest.mark.parametrize("shape", NASTY)
@pytest.mark.parametrize("lossy", [False, True])
def test_a_megabyte_of_any_shape_takes_about_a_second(shape, lossy):
    unit = NASTY[shape]
    text = unit * (MEGABYTE // len(unit.encode()))
    started = time.process_time()
    store = MemoryStore() if lossy else None
    result = headroom.compress_text(text, lossy=lossy, store=store)
    assert time.process_time() - started < SECONDS
    assert len(result.text) <= len(text)

r"""Diffs and git logs: git, unified and svn diffs, ``--stat``, ``log -p``, ``show``.

Stands behind detection in the pipeline. The lossless form (``form``) shortens file
headers, hunk headers, commit headers and stat blocks and leaves every line of every
hunk as it is; ``unshorten`` gives the text back byte for byte, which ``compress``
checks. The lossy form (``lossy``) is the same notation of a diff with less context.

Normalised: the colours of a coloured diff, and carriage returns where every line ends
with one (a terminal's). Nothing else.
"""

import re
from typing import Final

from headroom.core.compressors.diff.form import (
    COMMIT,
    HUNK,
    hunk_size,
    shorten,
    unshorten,
)
from headroom.core.compressors.diff.lossy import reduce_diff
from headroom.core.compressors.diff.stat import STAT_LINE, SUMMARY
from headroom.core.content.crumbs import is_crumbled
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft

__all__ = ["COMPRESSOR", "compress", "detect", "normalise", "shorten", "unshorten"]

# Below this (about 600 tokens) nearly everything is used later: stay lossless.
MIN_LOSSY_CHARS: Final = 2400
SAMPLE_CHARS: Final = 8000
# Larger forms are not expanded to be known again: they read as nothing else.
MAX_OWN_CHARS: Final = 200_000

_COLOURED = re.compile(
    r"\A(?:\x1b\[[0-9;]*m)+(?:diff |commit |---|\+\+\+|@@)|\n\x1b\[[0-9;]*m@@ "
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_FILE = re.compile(r"diff --(?:git|cc|combined) |diff -\w|Index: \S|--- \S")
_AROUND = re.compile(
    r"diff |index |Index: |={20}|new |old |deleted |rename |copy |(?:dis)?similarity "
    r"|Binary |GIT |\+\+\+ |--- |commit [0-9a-f]|Author|Date|Merge: |Commit|    |\\"
    r"|Only in | \d+ files? changed| (?:create|delete|rename|mode) "
)
_MAX_OTHER_CHARS = 600
_OWN_HEADER = re.compile(r"\[diff(?: \S+ \S+)?(?: bare)?\]\Z")
_COMBINED = re.compile(r"@@@+ -")


def normalise(text: str) -> str:
    """The text without git's colours and a terminal's carriage returns.

    Carriage returns on every line, headers too, are no part of the files compared.
    """
    head = text[:SAMPLE_CHARS]
    # One character first: the search for two is several times as slow.
    if "\r" in head and "\r\n" in head and text.count("\r\n") == text.count("\n"):
        text = text.replace("\r\n", "\n")
    if "\x1b" in head and _COLOURED.search(head):
        return _COLOUR.sub("", text)
    return text


def detect(text: str) -> float:
    """How surely the text's beginning is a diff, a stat block or a git log."""
    sample = normalise(text[:SAMPLE_CHARS])
    if not _may_be_diff(sample):
        return 0.0
    lines = sample.split("\n")
    if _OWN_HEADER.match(lines[0]) and _is_own(text):
        return 1.0
    files = hunks = stats = barred = commits = 0
    for line in lines:
        if line.startswith("@@"):
            hunks += HUNK.match(line) is not None or _COMBINED.match(line) is not None
        elif _FILE.match(line):
            files += 1
        elif COMMIT.match(line):
            commits += 1
        elif line.startswith(" "):
            row = STAT_LINE.match(line)
            stats += row is not None or SUMMARY.match(line) is not None
            barred += row is not None and row[3] is not None
    if hunks and (files or lines[0].startswith("@@")):
        starts = _FILE.match(lines[0]) or COMMIT.match(lines[0]) or hunks + files > 3
        return 0.98 if starts else 0.7
    if commits and COMMIT.match(lines[0]):
        return 0.95
    if barred and stats >= 2 and 2 * stats >= len(lines) - 1:
        return 0.9
    return 0.9 if lines[0].startswith("diff --git ") else 0.0


def _may_be_diff(sample: str) -> bool:
    """Whether something in the text may be what ``detect`` looks for."""
    return (
        ("@" in sample and "@@" in sample)
        or sample.startswith(("[diff", "commit ", "diff --git "))
        or 2 * (sample.count("|") + sample.count(" changed")) >= sample.count("\n")
    )


def _is_mostly_other(plain: str) -> bool:
    """Whether most of the text is neither diff nor log, but stands around one."""
    lines = plain.split("\n")
    others = at = 0
    is_combined = False
    while at < len(lines):
        line = lines[at]
        at += 1
        hunk = HUNK.match(line) if line.startswith("@@ ") else None
        if hunk is not None:
            old, new = int(hunk[2] or 1), int(hunk[4] or 1)
            size = hunk_size(lines, at, old, new)
            at = len(lines) if size is None else at + size
        elif line.startswith("@@@"):
            is_combined = True
        elif not (is_combined and line[:1] in {" ", "+", "-"}):
            is_part = not line or _AROUND.match(line) or STAT_LINE.match(line)
            others += 0 if is_part else len(line)
            is_combined = is_combined and not is_part
    return others > max(_MAX_OTHER_CHARS, len(plain) // 2)


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms of a diff; ``None`` for own output and for anything else."""
    if is_crumbled(text) or _is_own(text) or not detect(text):
        return None
    plain = normalise(text)
    if _is_mostly_other(plain):
        return None

    def prove(form: str) -> Candidate | None:
        if len(form) < len(text) and unshorten(form) == plain:
            return Candidate(text=form, strategy="diff_compact")
        return None

    lossy = None
    least = 0
    if ctx.wants_lossy and len(text) >= MIN_LOSSY_CHARS:
        reduced = reduce_diff(plain)
        if reduced is not None:
            short = shorten(reduced.text)
            # A form that is no shorter than what it says could not be known again.
            if len(short) < min(len(text), len(reduced.text)):
                least = reduced.chars_in_hunks
                lossy = Candidate(
                    text=short, strategy="diff_reduced", omitted=reduced.omitted
                )
    return Compressed.of(Draft(lambda: shorten(plain), prove, least), lossy)


def _is_own(text: str) -> bool:
    """Whether the text is a form of this module, a marker at its end aside."""
    if not text.startswith("[diff") or len(text) > MAX_OWN_CHARS:
        return False
    form = text
    for _ in range(4):
        plain = unshorten(form)
        if plain is not None and shorten(plain) == form:
            # A text that only says so is no shorter than what it would stand for.
            is_diff = detect(plain) > 0 and not _is_mostly_other(plain)
            return len(form) < len(plain) and is_diff
        form = form.rpartition("\n")[0]
    return False


COMPRESSOR = Compressor(name="diff", kind="diff", detect=detect, compress=compress)

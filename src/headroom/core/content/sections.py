"""Cut a mixed text into sections that go different ways.

Command output with a JSON tail, markdown with code fences, a shell session of several
commands: no one compressor serves the whole. The cuts are where the text itself changes
its nature: a JSON document at the start of a line, a fence, a prompt. What a command
printed is cut out of the report that some agents make of it, and what a harness adds
on lines of its own (``<system-reminder>``) stands apart::

    <untrusted_context>
    Output: …
    Exit Code: 0
    </untrusted_context>

What always holds: the sections, joined, are the text; the number of attempts to parse
is bounded; the work is linear in the text's length.
"""

import json
import re
from itertools import pairwise

from headroom.core.content.tags import find_wraps

MIN_SECTION_CHARS = 200
"""A shorter part is not worth a section of its own."""

MAX_JSON_ATTEMPTS = 12
MAX_SECTIONS = 64

# No prompt is a bare ``#``, which begins comments and headings, nor begins with a dash.
# Scripts print ``== disk`` between what they report, tail ``==> name <==``.
_BREAK_SIGNS = r"[ \t]*(?:```|~~~)|[\[{]|==>? \S|[$❯] \S|(?!-)[\w.@~:/-]{1,60}+[$#] \S"
_BREAK = re.compile(_BREAK_SIGNS)
_BREAK_BEHIND = re.compile(rf"\n(?:{_BREAK_SIGNS})")
_FENCE = re.compile(r"[ \t]*(```|~~~)[^\n]*\n")
_SCAN = json.JSONDecoder().raw_decode


_SIGNS = (
    ("`", "```"), ("~", "~~~"), ("[", "\n["), ("{", "\n{"),
    ("=", "== "), ("=", "==> "), ("$", "$ "), ("#", "# "), ("❯", "❯ "),
)  # fmt: skip
"""Where none of these stands, only the text's beginning could be a break. One character
first: the search for two is several times as slow."""


_REPORT = "Output:"
_REPORT_HEAD_CHARS = 2_000
_REPORT_HEAD = re.compile(
    r"(?:<\w{1,40}>\n)?(?:[A-Z][\w ]{1,40}(?:: | exited )[^\n]{1,400}\n){0,6}"
    rf"{_REPORT}[ \n]"
)
_REPORT_TAIL = re.compile(
    r"(?:Error|Exit Code|Signal|Process Group PGID|Background PIDs): ?[^\n]{0,400}"
    r"|</\w{1,40}>"
)
_REPORT_TAIL_LINES = 6


def split(text: str) -> list[str]:
    """The sections of a text in order; one if nothing cuts it.

    A fenced block's section is its inside: the fence lines stay with their neighbours.
    """
    wraps = find_wraps(text)
    if not wraps:
        return _split_report(text)
    sections: list[str] = []
    at = 0
    for start, end in wraps:
        sections += _split_report(text[at:start]) if start > at else []
        sections.append(text[start:end])
        at = end
    return sections + (_split_report(text[at:]) if at < len(text) else [])


def _split_report(text: str) -> list[str]:
    start, end = _reported(text)
    if end - start < MIN_SECTION_CHARS or end - start == len(text):
        return _split(text)
    around = (text[:start], *_split(text[start:end]), text[end:])
    return [section for section in around if section]


def _reported(text: str) -> tuple[int, int]:
    """Where the output stands in a report of a command; all of it if it is none."""
    if _REPORT not in text[:_REPORT_HEAD_CHARS]:
        return 0, len(text)
    head = _REPORT_HEAD.match(text)
    if head is None:
        return 0, len(text)
    end = len(text.rstrip())
    for _ in range(_REPORT_TAIL_LINES):
        line = text.rfind("\n", head.end(), end)
        if line == -1 or _REPORT_TAIL.fullmatch(text, line + 1, end) is None:
            break
        end = line
    is_whole = end == len(text.rstrip())
    return head.end(), len(text) if is_whole else end + 1


def _split(text: str) -> list[str]:
    """The sections by signs, each of them cut between the tables it lists."""
    sections = _split_by_signs(text)
    if "\n\n" not in text:
        return sections
    found: list[str] = []
    for section in sections:
        cuts = _tables(section)
        found += [section[a:b] for a, b in pairwise([0, *cuts, len(section)])]
    return found


# What is taken is not given back, lest long lines take quadratic time.
_RULED = re.compile(r"\n\n(?:[^\n|]{1,120}+\n)?+[^\n|]*+\|[^\n]*+\n-{3,}+\+-[-+]*+\n")
_CAPITALS = re.compile(
    r"\n\n(?=[A-Z][A-Z0-9()%/-]*+(?: ++[A-Z%][A-Z0-9()%/-]*+){2,}+ *+\n)"
)


def _tables(text: str) -> list[int]:
    """Where the second and each further table of a text begins.

    Database shells print results one after the other, a rule below each header, and
    ``kubectl get all`` tables whose headers are in capitals, a blank line between them.
    """
    if "-+-" in text:
        starts = [found.start() + 2 for found in _RULED.finditer(text)]
    else:
        starts = [found.start() + 2 for found in _CAPITALS.finditer(text)]
    return starts[: MAX_SECTIONS - 1]


def _split_by_signs(text: str) -> list[str]:
    if text[:1] not in {"[", "{"} and not any(
        one in text and sign in text for one, sign in _SIGNS
    ):
        return [text]
    cuts = [0]
    attempts = 0
    position = 0
    while len(cuts) < MAX_SECTIONS:
        start = _next_break(text, position)
        if start < 0:
            break
        if text[start] in "[{":
            attempts += 1
            end = _json_end(text, start) if attempts <= MAX_JSON_ATTEMPTS else -1
            if end - start >= MIN_SECTION_CHARS:
                cuts += [start, end]
                position = end
                continue
        elif (fence := _FENCE.match(text, start)) is not None:
            end = text.find(f"\n{fence[1]}", fence.end() - 1)
            if end == -1:
                break
            if end - fence.end() >= MIN_SECTION_CHARS:
                cuts += [fence.end(), end + 1]
            position = end + 1 + len(fence[1])
            continue
        elif start:
            cuts.append(start)
        line_end = text.find("\n", start)
        if line_end == -1:
            break
        position = line_end + 1
    cuts.append(len(text))
    cuts = sorted(set(cuts))
    return [text[a:b] for a, b in pairwise(cuts)]


def _next_break(text: str, position: int) -> int:
    """Where the first line from ``position``, a line's start, on begins a section."""
    if not position and _BREAK.match(text):
        return 0
    # Behind a line end, not at a line's start: the search for it is much faster.
    match = _BREAK_BEHIND.search(text, max(0, position - 1))
    return -1 if match is None else match.start() + 1


def _json_end(text: str, start: int) -> int:
    """Where JSON that begins at ``start`` ends, ``-1`` if there is none.

    Documents on lines of their own, one right after the other, are one piece.
    """
    end = -1
    while text[start : start + 1] in {"[", "{"}:
        try:
            _, found = _SCAN(text, start)
        except (ValueError, RecursionError):
            break
        end = found
        if text[end : end + 1] != "\n":
            break
        start = end + 1
    return end

"""The text with less: plain sentences, and lines that only repeat earlier lines, go.

Headings, first sentences, option lines, samples and short lines stay; so does what
answers the question (see ``passages``). Of a README go badges and pictures, tables of
contents and the list of addresses that links name, of a package's record checksums. Of
a change log that names its newest version first, the entries of the oldest versions go
too. In place stands which lines of the source are concerned: ``[…12-14]`` for parts of
lines 12 to 14, ``[…all 50-69]`` for the whole of them, ``[…30-33=8-11]`` for lines 30
to 33, which say the same as lines 8 to 11. The first line of the form says so, sealed
(``core.content.seal``).
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headroom.core.compressors.prose.units import Unit
from headroom.core.content.passages import spare
from headroom.core.content.relevance import rank
from headroom.core.content.seal import is_sealed

NAME: Final = "prose"
HEADER: Final = " […1-2]: parts of lines 1-2 left out"
_ALL_LEGEND: Final = "; […all 5-6]: the whole of lines 5-6"
_REPEAT_LEGEND: Final = "; […3-4=1-2]: lines 3-4 repeat lines 1-2"
SHARE: Final = 0.15
"""How much of a text may go at most, in characters."""

OLD_SHARE: Final = 0.16
"""How much of a change log may go from its end: people ask for what changed lately."""

_MIN_VERSIONS: Final = 8
_VERSION = re.compile(
    r"(?:#{1,4} )?\[?(?:(?:[Vv]ersion|[Rr]elease|v|[\w-]{1,30}) ?)?(\d+)\.(\d+)"
    r"[\w.]*\b.{0,40}\Z"
)
_MIN_REPEAT_CHARS: Final = 60

_MIN_ENTRIES: Final = 4
_FENCES = ("```", "~~~")
# Pictures with or without a link around them, tags, and what stands between them.
_PICTURE = re.compile(
    r"\[?!\[[^\[\]]*\](?:\([^()\s]*(?: \"[^\"]*\")?\)|\[[^\[\]]*\])(?:\]\([^()\s]*\))?"
    r"|<!--[^<>]*-->|</?[a-zA-Z][^<>]*>|&nbsp;|[\s|·•]+"
)
_IS_PICTURE = re.compile(r"!\[|<(?:img|picture|source)\b", re.IGNORECASE)
_ENTRY = re.compile(r"(?:[-*+]|\d{1,3}[.)]) \[[^\[\]]*\]\(#[^()\s]*\)\Z")
_ADDRESS = re.compile(
    r"\[[^\[\]]+\]: <?(?:https?:|\.{0,2}/|#)\S+(?: \[[^\[\]]+\]: \S+)*\Z"
    r"|\.\. _[^:]+: https?:\S+\Z"
)
_CHECKSUM = re.compile(r"[A-Za-z][\w-]{2,30}: [0-9a-f]{32,128}\Z")


class Reduced(Struct, frozen=True):
    """What is left of a text, and the account of the rest."""

    units: list[Unit]
    header: str
    omitted: str


def reduce_units(units: Sequence[Unit], question: str) -> Reduced | None:
    """Fewer words in the same units; ``None`` if nothing can go."""
    units = [
        replace(unit, text=escape(unit.text)) if "[…" in unit.text else unit
        for unit in units
    ]
    kept, decoration = _drop_decoration(units, question)
    kept, repeated = _drop_repeats(kept)
    kept, old = _drop_old(kept, question)
    texts = [unit.text if _may_lose(unit) else "" for unit in kept]
    budget = int(sum(len(unit.text) for unit in units) * SHARE)
    left = spare(texts, question, budget)
    out = list(kept)
    sentences = 0
    for index, spans in left.items():
        unit = kept[index]
        note = f"[…{_range(unit)}]"
        pieces: list[str] = []
        at = 0
        for start, end in spans:
            pieces += [unit.text[at:start].rstrip(), note]
            at = end
            sentences += 1
        pieces.append(unit.text[at:])
        out[index] = replace(unit, text=" ".join(filter(None, pieces)))
    if not (sentences or repeated or old or decoration):
        return None
    account = []
    if sentences:
        account.append(f"sentences in {len(left)} paragraphs")
    if decoration:
        account.append(
            f"{decoration} lines of badges, contents, addresses or checksums"
        )
    if repeated:
        account.append(f"{repeated} lines that repeat earlier lines")
    if old:
        account.append(f"entries of the {old} oldest versions")
    header = HEADER + (_ALL_LEGEND if old or decoration else "")
    header += _REPEAT_LEGEND if repeated else ""
    return Reduced(out, header, "; ".join(account) + " left out")


def is_own(text: str) -> bool:
    """The text is a lossy form, as it was written."""
    return is_sealed(NAME, text)


def escape(text: str) -> str:
    """Text in which nothing reads as a note."""
    return text.replace("[…", "\\[…") if "[…" in text else text


def _may_lose(unit: Unit) -> bool:
    return unit.is_prose and not unit.text.startswith(("#", "|", ">", "```"))


def _range(unit: Unit) -> str:
    return str(unit.first) if unit.first == unit.last else f"{unit.first}-{unit.last}"


def _drop_decoration(units: Sequence[Unit], question: str) -> tuple[list[Unit], int]:
    """Without runs of pictures, contents and addresses; how many lines they were."""
    kept: list[Unit] = []
    run: list[Unit] = []
    lines = 0
    runs_as = fence = ""
    for unit in [*units, _END]:
        text = unit.text
        kind = _decoration(text) if not fence else ""
        if run and (kind != runs_as if text else unit is _END):
            lines += _close_run(run, runs_as, question, kept)
            run = []
        if text.startswith(_FENCES) and (not fence or text.startswith(fence)):
            fence = "" if fence else text[:3]
        if kind or run:
            run.append(unit)
            runs_as = kind or runs_as
        elif unit is not _END:
            kept.append(unit)
    return kept, lines


_END: Final = Unit(0, "", 0, 0, is_prose=False)


def _decoration(text: str) -> str:
    """What a line is that says nothing of the matter; empty if it says something."""
    if text.startswith(("[", "..")) and _ADDRESS.match(text):
        return "address"
    if text.startswith(("-", "*", "+", *"0123456789")) and _ENTRY.match(text):
        return "entry"
    if text[-32:].isalnum() and _CHECKSUM.match(text):
        return "checksum"
    if text.startswith(("!", "[!", "<", "|", "&")) and not _PICTURE.sub("", text):
        return "picture"
    return ""


def _close_run(run: list[Unit], kind: str, question: str, kept: list[Unit]) -> int:
    """Put a note in place of a run that is worth one; how many lines it stands for."""
    blank: list[Unit] = []
    while not run[-1].text:
        blank.insert(0, run.pop())
    size = sum(len(unit.text) for unit in run)
    is_worth_it = kind == "checksum" or (
        size >= _MIN_REPEAT_CHARS
        and (
            any(_IS_PICTURE.search(unit.text) for unit in run)
            if kind == "picture"
            else sum(bool(unit.text) for unit in run) >= _MIN_ENTRIES
            or (kind == "address" and size >= 4 * _MIN_REPEAT_CHARS)
        )
    )
    if not is_worth_it or any(rank(question, [" ".join(unit.text for unit in run)])):
        kept += [*run, *blank]
        return 0
    first, last = run[0].first, run[-1].last
    note = f"[…all {first}-{last}]" if last > first else f"[…all {first}]"
    kept += [replace(run[0], text=note, is_prose=False), *blank]
    return last - first + 1


def _drop_repeats(units: Sequence[Unit]) -> tuple[list[Unit], int]:
    """Without runs of units that stand word for word further up, in the same order."""
    seen: dict[tuple[int, str], int] = {}
    sources: list[int] = []
    for at, unit in enumerate(units):
        key = (unit.indent, unit.text)
        sources.append(seen.get(key, -1) if unit.text else -1)
        seen[key] = at
    kept: list[Unit] = []
    repeated = at = 0
    while at < len(units):
        end = at + 1
        if sources[at] >= 0:
            while end < len(units) and sources[end] == sources[end - 1] + 1:
                end += 1
            run = units[at:end]
            if sum(len(unit.text) for unit in run) >= _MIN_REPEAT_CHARS:
                first, last = units[sources[at]], units[sources[end - 1]]
                note = f"[…{run[0].first}-{run[-1].last}={first.first}-{last.last}]"
                kept.append(replace(run[0], text=note, is_prose=False))
                repeated += run[-1].last - run[0].first + 1
                at = end
                continue
        kept += units[at:end]
        at = end
    return kept, repeated


def _drop_old(units: Sequence[Unit], question: str) -> tuple[list[Unit], int]:
    """Without the entries of the oldest versions; how many versions they were."""
    heads = [
        (at, (int(match[1]), int(match[2])))
        for at, unit in enumerate(units)
        if (match := _VERSION.match(unit.text)) is not None
    ]
    if len(heads) < _MIN_VERSIONS or heads[0][1] <= heads[-1][1]:
        return list(units), 0
    budget = sum(len(unit.text) for unit in units) * OLD_SHARE
    ends = [at for at, _ in heads[1:]] + [len(units)]
    out: list[list[Unit]] = []
    stop = len(units)
    old = 0
    for (at, _), end in zip(reversed(heads), reversed(ends), strict=True):
        section = list(units[at:end])
        while section and not section[-1].text:
            section.pop()
        entries = section[_title_units(section) :]
        size = sum(len(unit.text) for unit in entries)
        if size > budget:
            break
        budget -= size
        stop = at
        text = " ".join(unit.text for unit in entries)
        if size < _MIN_REPEAT_CHARS or any(rank(question, [text])):
            out.append(list(units[at:end]))
            continue
        old += 1
        note = f"[…all {entries[0].first}-{entries[-1].last}]"
        head = units[at : at + len(section) - len(entries)]
        blank = units[at + len(section) : end]
        out.append([*head, replace(entries[0], text=note, is_prose=False), *blank])
    return [*units[:stop], *(unit for part in reversed(out) for unit in part)], old


def _title_units(section: Sequence[Unit]) -> int:
    """How many units of a section are its title, a ruler and blank lines."""
    size = 1
    while size < len(section) and len(set(section[size].text)) <= 1:
        size += 1
    return size

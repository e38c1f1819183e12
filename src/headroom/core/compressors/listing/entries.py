"""Lists of files, read into entries: ``ls -l``, find, du, tar, unzip, git, plain paths.

An entry is the words in front of a name, and the name. Words are what blanks split, so
padding is not kept; the name is kept exactly. Lines of ``ls -lR`` that name a directory
(``src:``) or its size (``total 8``) become the head of a group of entries; in lists of
paths the directory is what stands before the last slash.
"""

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct

_MODE = re.compile(r"[-dlbcpsD][-r][-w][-xsS][-r][-w][-xsS][-r][-w][-xtT][.+@]?\Z")
_MAY_HAVE_MODE = re.compile(r"[-dlbcpsD][-r][-w][-xsS][-r][-w][-xsS][-r][-w]")
_TIME = re.compile(
    r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?\Z|(?:19|20)\d\d\Z|\d\d-\d\d-\d{4}\Z"
)
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_ZONE = re.compile(r"[+-]\d{4}\Z")
_DEVICE = re.compile(r"(\d+),\s+(\d+)")
_HEAD = re.compile(r"(.+):\Z")
_TOTAL = re.compile(r"total [\d.,]+[KMGTkB]?\Z")
_STATUS = re.compile(r"(?:[ MADRCUT?!]{2}) (?=\S)")
_SHORT_WORD = re.compile(r"(?=[.,:+%-]*\w)[\w.,:+%-]*+\Z")
_PATH = re.compile(r"(?:\.{0,2}/|[\w.@~+-]+/)\S*\Z|[\w@~+.-]*\.[A-Za-z0-9_]{1,10}\Z")
_LINE_REF = re.compile(r":\d+(?::|\Z)|[=;{}()]\s*\Z|://")
_MOST_WORDS = 7
"""Of a line that ends in a path, the path among them."""

_NO_WORD = frozenset('"#@')
_NAME = re.compile(r"[^\s\"'`=<>(){};,|]+\Z")


class Entry(Struct, frozen=True, gc=False):
    """One file: the words before its name, and the name.

    ``is_brief``: a lossy form leaves its words out.
    """

    words: tuple[str, ...]
    name: str
    is_brief: bool = False


class Group(Struct):
    """Entries of one directory that stand together.

    Attributes:
        head: the directory; ``None`` where no line or path names one.
        total: what ``ls -l`` says first, or empty.
        entries: in their order.
        note: what a lossy form says of names it leaves out here.
    """

    head: str | None
    total: str
    entries: list[Entry]
    note: str = ""


class Listing(Struct):
    """A whole list.

    Attributes:
        before: lines above it, as they are.
        groups: the entries in order.
        after: lines below it.
        is_blocks: heads are lines of their own (``ls -lR``), else parts of paths.
        mode_at: which word is the file's mode; -1 without.
    """

    before: list[str]
    groups: list[Group]
    after: list[str]
    is_blocks: bool
    mode_at: int = -1


def _words_before_name(line: str) -> tuple[int, int] | None:
    """How many words stand before the name, and which is the mode."""
    words = _join_device(line).split()
    mode_at = next((i for i, w in enumerate(words[:3]) if _MODE.match(w)), -1)
    if mode_at < 0:
        return None
    for i in range(mode_at + 2, min(len(words) - 1, mode_at + 9)):
        if _TIME.match(words[i]):
            if i + 2 < len(words) and _ZONE.match(words[i + 1]):
                return i + 2, mode_at
            return i + 1, mode_at
    return None


def _split_words(line: str, n: int) -> Entry | None:
    """The first ``n`` words and the rest of the line."""
    parts = line.split(None, n)
    if len(parts) <= n:
        return None
    name = parts.pop()
    for word in parts:
        if word[-1] == ":" or word[0] in _NO_WORD:
            return None
    return Entry(tuple(parts), name)


def parse_modes(lines: list[str]) -> Listing | None:
    """``ls -l``, ``ls -lR``, ``tar tvf``, ``find -ls``: lines with a mode."""
    first = next(
        (
            i
            for i, s in enumerate(lines[:40])
            if ("r" in s or "--" in s or "-w" in s)
            and _MAY_HAVE_MODE.search(s)
            and _words_before_name(s)
        ),
        -1,
    )
    if first < 0:
        return None
    shape = _words_before_name(lines[first])
    if shape is None:
        return None
    width, mode_at = shape
    listing = Listing([], [], [], is_blocks=True, mode_at=mode_at)
    if not _read_blocks(
        lines, listing, lambda line: _entry_with_mode(line, width, mode_at)
    ):
        return None
    listing.is_blocks = any(g.head is not None or g.total for g in listing.groups)
    if not listing.is_blocks:
        regroup(listing)
    return listing


def _read_blocks(
    lines: list[str], listing: Listing, read: Callable[[str], Entry | None]
) -> bool:
    """Fill the listing with blocks of entries under their heads; all lines or none."""
    groups = listing.groups
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    is_blank = False
    for line in lines[:end]:
        if not line:
            if is_blank or not groups:
                return False
            is_blank = True
            continue
        entry = read(line)
        head = _HEAD.match(line)
        if entry is not None and not is_blank:
            if not groups:
                groups.append(Group(None, "", []))
            groups[-1].entries.append(entry)
        elif head and (is_blank or not groups):
            groups.append(Group(head.group(1), "", []))
        elif _TOTAL.match(line) and not (groups and groups[-1].entries):
            if not groups:
                groups.append(Group(None, "", []))
            groups[-1].total = line[6:]
        elif not groups and len(listing.before) < 4:
            listing.before.append(line)
        else:
            return False
        is_blank = False
    listing.after = lines[end:]
    return sum(len(g.entries) for g in groups) >= 3


def parse_name_blocks(lines: list[str]) -> Listing | None:
    """``ls -R``: names under ``dir:`` lines."""
    if not lines[0].endswith(":") or ": " in lines[0]:
        return None
    if any(not (s and _HEAD.match(s)) for s in _after_blanks(lines)):
        return None
    listing = Listing([], [], [], is_blocks=True)
    names = _read_blocks(lines, listing, _parse_name)
    return listing if names and len(listing.groups) > 1 else None


def _after_blanks(lines: list[str]) -> list[str]:
    """The lines that follow a blank one, but for the end."""
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    return [b for a, b in pairwise(lines[:end]) if not a]


def _parse_name(line: str) -> Entry | None:
    is_name = line.strip() == line and line[-1] != ":" and not _LINE_REF.search(line)
    return Entry((), line) if is_name and len(line.split()) < 5 else None


def _entry_with_mode(line: str, width: int, mode_at: int) -> Entry | None:
    entry = _split_words(_join_device(line), width)
    if entry is None or not _MODE.match(entry.words[mode_at]):
        return None
    return entry


def _join_device(line: str) -> str:
    """Major and minor number of a device as one word, as sizes are."""
    if line.lstrip()[:1] in {"b", "c"} and ", " in line:
        return _DEVICE.sub(r"\1,\2", line, count=1)
    return line


def regroup(listing: Listing) -> None:
    """Put entries with full paths into groups by their directory."""
    groups: list[Group] = []
    current = "\0"
    for group in listing.groups:
        for entry in group.entries:
            directory, slash, name = entry.name.rpartition("/")
            if not name:
                directory, slash, _ = entry.name[:-1].rpartition("/")
                name = entry.name[len(directory) + len(slash) :]
            key = directory + slash
            if key != current or not groups:
                groups.append(Group(key, "", []))
                current = key
            groups[-1].entries.append(Entry(entry.words, name))
    listing.groups = groups


def _looks_like_path(text: str) -> bool:
    return bool(_PATH.match(text)) and not _LINE_REF.search(text)


def _parse_plain(line: str) -> Entry | None:
    return Entry((), line) if line.strip() == line and line else None


def _parse_status(line: str) -> Entry | None:
    if not _STATUS.match(line):
        return None
    return Entry((line[:2].replace(" ", "."),), line[3:])


def _word_parser(n: int) -> Callable[[str], Entry | None]:
    def parse(line: str) -> Entry | None:
        entry = _split_words(line, n)
        if entry is None or not all(map(_SHORT_WORD.match, entry.words)):
            return None
        # Blanks pad numbers; before anything else they tell a level.
        is_padded = line[0].isspace() and not entry.words[0][0].isdigit()
        return None if is_padded else entry

    return parse


def parse_paths(lines: list[str]) -> Listing | None:
    """Lines that end in a path, with or without words before it."""
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    start = 0
    while start < min(end, 4) and (
        not lines[start].strip() or lines[start].endswith(":")
    ):
        start += 1
    stop = end
    summary = ("directories", "files", "total", "truncated", "...", "(")
    while (
        stop - start > 3
        and stop > end - 3
        and (not lines[stop - 1].strip() or any(w in lines[stop - 1] for w in summary))
        and not _looks_like_path(lines[stop - 1])
    ):
        stop -= 1
    body = lines[start:stop]
    if len(body) < 4:
        return None
    parser = _choose_parser(body)
    if parser is None:
        return None
    entries = []
    for line in body:
        entry = parser(line)
        if entry is None or "\t" in entry.name:
            return None
        entries.append(entry)
    odd = sum(
        1
        for e in entries
        if not _looks_like_path(e.name) and (" " in e.name or _LINE_REF.search(e.name))
    )
    if odd > max(1, len(entries) // 20):
        return None
    groups = [Group(None, "", entries)]
    listing = Listing(lines[:start], groups, lines[stop:], is_blocks=False)
    regroup(listing)
    return listing


def _choose_parser(body: list[str]) -> Callable[[str], Entry | None] | None:
    sample = body[:40]
    if all(map(_STATUS.match, sample)) and sum("/" in s for s in sample):
        return _parse_status
    sizes = Counter([len(s.split(None, _MOST_WORDS + 1)) for s in sample])
    if sizes[1] * 10 >= len(sample) * 9:
        named = [s for s in sample if _NAME.match(s)]
        pathy = sum(1 for s in named if _looks_like_path(s))
        return _parse_plain if pathy * 10 >= len(sample) * 6 else None
    for n in range(1, _MOST_WORDS):
        # A path is one word: six of ten lines have just one behind the others.
        if sizes[n + 1] * 10 < len(sample) * 6:
            if any(sizes[size] for size in range(n + 1)):
                return None
            continue
        parse = _word_parser(n)
        found: list[Entry] = []
        for line in sample:
            entry = parse(line)
            if entry is None:
                return None
            found.append(entry)
        if _names_are_paths(found) and _words_hold(found):
            return parse
    return None


def _names_are_paths(entries: list[Entry]) -> bool:
    """Nearly all of them; behind numbers, most, and the others could be."""
    paths = sum(1 for e in entries if _looks_like_path(e.name))
    if paths * 10 >= len(entries) * 9:
        return True
    if paths * 10 < len(entries) * 6 or not all(
        e.words[0][0].isdigit() for e in entries
    ):
        return False
    return all("/" in e.name or _NAME.match(e.name) for e in entries)


def _words_hold(entries: list[Entry]) -> bool:
    """Each word column keeps to digits or to letters, as sizes and dates do."""
    columns = zip(*(e.words for e in entries), strict=True)
    for column in columns:
        digits = sum(w[0].isdigit() for w in column)
        if digits != len(column) and len(set(column)) > max(4, len(column) // 4):
            return False
    return True


def parse_zip(lines: list[str]) -> Listing | None:
    """``unzip -l``: length, day, time and name between two rules."""
    rules = [i for i, s in enumerate(lines) if s.startswith("-----")]
    if len(rules) == 1:  # its end was cut off
        rules.append(len(lines) - (not lines[-1]))
    if len(rules) != 2 or rules[0] > 4 or rules[1] - rules[0] < 4:
        return None
    entries = []
    for line in lines[rules[0] + 1 : rules[1]]:
        entry = _split_words(line, 3)
        if entry is None or not entry.words[0].isdigit():
            return None
        if not (_ISO_DAY.match(entry.words[1]) or _TIME.match(entry.words[1])):
            return None
        entries.append(entry)
    listing = Listing(
        lines[: rules[0] + 1],
        [Group(None, "", entries)],
        lines[rules[1] :],
        is_blocks=False,
    )
    regroup(listing)
    return listing


def parse_listing(lines: list[str]) -> Listing | None:
    """The first reading that takes all lines."""
    if len(lines) < 4:
        return None
    return (
        parse_modes(lines)
        or parse_zip(lines)
        or parse_name_blocks(lines)
        or parse_paths(lines)
    )

"""The written form of a list of files, and back.

::

    #ls 23                                             #paths 40; 1 line after
    #line -rw-r--r-- 1 root root $ Nov 21 10:33 name   #under /srv/app/
    #line drwxr-xr-x $ root root 4096 Nov 21 10:33 name/
    docs: total 232                                    : README.md setup.py
    603 Makefile                                       src/: app.py core.py
    2 _static/                                         src/db/: models.py

``#line`` shows how the lines looked: ``$`` is what stands before the names in the form,
the mark behind ``name`` tells which ``#line`` an entry is of. Names that stand on one
line have the same words before them. With ``#dirs`` a directory's first head line is an
entry itself, in front of what it holds; with ``#dirs-last`` a head line with words is
an entry behind what it holds, as ``du`` lists them. ``#codes`` names long words that
come back. Names with blanks are quoted.
"""

import json
import re
from collections import Counter

from msgspec import Struct

from headroom.core.compressors.listing.entries import Entry, Group, Listing

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"[/@*!=|~^:]?|\S+')
_HEAD = re.compile(
    r"#(ls|paths) (\d+)(?:; (\d+) lines? before)?(?:; (\d+) lines? after)?\Z"
)
_MARKS = ("", "*", "~", "^", "=", "|")
_REST = "!"
MARKS = ("#ls ", "#paths ")
OMITTED = "#omitted "
# Stands where a list of blocks begins without naming its directory.
NO_HEAD = "::"
# A word that this share of a class has is said once; the others are written in full.
_HOIST_SHARE = 0.85
_MIN_CLASS = 3
# Words from this length on are dearer than their code; legends pay from so many on.
_CODE_CHARS, _CODE_TIMES = 8, 4


class LineClass(Struct):
    """Entries that look alike: which words they share, which are shown."""

    mark: str
    words: tuple[str | None, ...]

    def shown(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The words that are written with an entry."""
        return tuple(w for w, c in zip(words, self.words, strict=True) if c is None)

    def fits(self, words: tuple[str, ...]) -> bool:
        """The hoisted words are those of the entry."""
        for word, said in zip(words, self.words, strict=True):
            if said is not None and said != word:
                return False
        return True

    def full(self, shown: list[str]) -> tuple[str, ...]:
        """All words of an entry from those written."""
        if len(shown) != self.words.count(None):
            raise ValueError("an entry with too few words, or too many")
        rest = iter(shown)
        return tuple(next(rest) if c is None else c for c in self.words)


def _key(entry: Entry, mode_at: int) -> str:
    return entry.words[mode_at] if mode_at >= 0 else ""


def make_classes(listing: Listing) -> list[LineClass]:
    """One class per frequent mode, and one that shows everything for the others."""
    members: dict[str, list[tuple[str, ...]]] = {}
    for group in listing.groups:
        for entry in group.entries:
            key = _key(entry, listing.mode_at)
            members.setdefault(key, []).append(entry.words)
    width = len(next(iter(members.values()))[0])
    if not width:
        return [LineClass("", ())]
    classes: list[LineClass] = []
    free = list(_MARKS)
    for key in sorted(members, key=lambda k: -len(members[k])):
        rows = members[key]
        mark = {"d": "/", "l": "@"}.get(key[:1], "")
        if mark and any(c.mark == mark for c in classes):
            mark = ""
        if not mark:
            mark = free[0] if free else _REST
        if len(rows) < _MIN_CLASS or mark == _REST:
            continue
        if mark in free:
            free.remove(mark)
        classes.append(LineClass(mark, _hoisted(rows)))
    every = {w for rows in members.values() for w in rows}
    if not classes or not all(any(c.fits(w) for c in classes) for w in every):
        classes.append(LineClass(_REST, (None,) * width))
    return classes


def _hoisted(rows: list[tuple[str, ...]]) -> tuple[str | None, ...]:
    out: list[str | None] = []
    left = rows
    for i in range(len(rows[0])):
        word, times = Counter(r[i] for r in left).most_common(1)[0]
        if times >= _HOIST_SHARE * len(left) and word[0] != "$":
            out.append(word)
            if times < len(left):
                left = [r for r in left if r[i] == word]
        else:
            out.append(None)
    return tuple(out)


def _written(name: str, marks: str) -> str:
    plain = (
        name
        and name[0] not in '"#'
        and name[-1] != ":"
        and (name[-1] not in marks)
        and name.split() == [name]
    )
    return name if plain else json.dumps(name, ensure_ascii=False)


def _common_root(heads: list[str]) -> str:
    """The directory that all heads begin with, with its slash."""
    low, high = min(heads), max(heads)
    n = next(
        (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b),
        min(len(low), len(high)),
    )
    root = low[: low.rfind("/", 0, n) + 1]
    return root if len(root) > 3 else ""


class _Body:
    """Collects the lines of the form."""

    def __init__(self, classes: list[LineClass]) -> None:
        self.classes = classes
        self.codes: dict[str, str] = {}
        self.marks = "".join(c.mark for c in classes)
        self.lines: list[str] = []
        self.by_words: dict[tuple[str, ...], tuple[LineClass, tuple[str, ...]]] = {}

    def read(self, words: tuple[str, ...]) -> tuple[LineClass, tuple[str, ...]]:
        """The class of an entry and the words that are written with it."""
        found = self.by_words.get(words)
        if found is None:
            kind = next(c for c in self.classes if c.fits(words))
            found = self.by_words[words] = (kind, kind.shown(words))
        return found

    def make_codes(self, listing: Listing) -> None:
        """Codes for long words before names (days, owners) that come back often."""
        if not any(None in c.words for c in self.classes):
            return
        seen = Counter(
            word
            for group in listing.groups
            for entry in group.entries
            if not entry.is_brief
            for word in self.read(entry.words)[1]
            if len(word) >= _CODE_CHARS
        )
        often = [w for w, times in seen.items() if times >= _CODE_TIMES]
        self.codes = {w: f"@{n}" for n, w in enumerate(often, 1)}

    def entries(self, entries: list[Entry], *, joins_head: bool) -> None:
        """Names that share class and words on one line each."""
        run: list[str] = []
        before: tuple[str, tuple[str, ...]] | None = None
        for entry in entries:
            kind, shown = self.read(entry.words)
            if entry.is_brief:
                shown = ()
            name = _written(entry.name, self.marks) + kind.mark
            here = (kind.mark if shown else "", shown)
            if here != before:
                self._flush(run, joins_head=joins_head)
                run = self.words(shown)
                before = here
            run.append(name)
        self._flush(run, joins_head=joins_head)

    def words(self, shown: tuple[str, ...]) -> list[str]:
        """Words as they are written: by their code if they have one."""
        return [self.codes.get(w, w) for w in shown] if self.codes else [*shown]

    def note(self, note: str) -> None:
        """What is left out of the group just written."""
        if note:
            self.lines.append(note)

    def _flush(self, run: list[str], *, joins_head: bool) -> None:
        if not run:
            return
        line = " ".join(run)
        if joins_head and self.lines and self.lines[-1].endswith(":"):
            self.lines[-1] += " " + line
        else:
            self.lines.append(line)


def _head_token(head: str) -> str:
    plain = head[:1] not in {'"', "#"} and not re.search(r"\s", head)
    return (head if plain else json.dumps(head, ensure_ascii=False)) + ":"


def _fold_dirs(groups: list[Group]) -> list[tuple[Group, Entry | None]] | None:
    """Groups with the entry of their own directory, if all first heads have one."""
    out: list[tuple[Group, Entry | None]] = []
    seen: set[str] = set()
    own: Entry | None = None
    folded = 0
    for n, group in enumerate(groups):
        head = group.head or ""
        is_first = head not in seen
        seen.add(head)
        if n and is_first != (own is not None):
            return None
        following = groups[n + 1].head if n + 1 < len(groups) else None
        entries = group.entries
        entry, own = own, None
        if (
            entries
            and following not in seen
            and following == f"{head}{entries[-1].name}/"
        ):
            own = entries[-1]
            entries = entries[:-1]
            folded += 1
        out.append((Group(group.head, "", entries, group.note), entry))
    return out if folded >= 2 else None


def _fold_dirs_last(groups: list[Group]) -> list[tuple[Group, Entry | None]] | None:
    """Groups with the entry of their own directory that follows them, if most have."""
    entries = [group.entries for group in groups]
    owns: list[Entry | None] = [None] * len(groups)
    for n in range(1, len(groups)):
        first = next(iter(entries[n]), None)
        if first is None or first.is_brief:
            continue
        if groups[n - 1].head == f"{groups[n].head or ''}{first.name}/":
            owns[n - 1] = first
            entries[n] = entries[n][1:]
    if sum(own is not None for own in owns) * 3 < len(groups):
        return None
    return [
        (Group(group.head, "", rest, group.note), own)
        for group, rest, own in zip(groups, entries, owns, strict=True)
        if rest or own is not None or group.note
    ]


def _folded(
    groups: list[Group], body: _Body
) -> tuple[list[tuple[Group, Entry | None]], str]:
    """Groups with the entries of their own directories, and the legend of that."""
    for fold, word in ((_fold_dirs, "#dirs"), (_fold_dirs_last, "#dirs-last")):
        folded = fold(groups)
        if folded is None:
            continue
        owns = [body.read(own.words) for _, own in folded if own is not None]
        marks = {kind.mark for kind, _ in owns}
        is_told = all(shown for _, shown in owns) or word == "#dirs"
        if len(marks) == 1 and is_told:
            return folded, f"{word} {marks.pop() or '-'}"
    return [(group, None) for group in groups], ""


def encode(listing: Listing, classes: list[LineClass], omitted: str = "") -> str:
    """The form of the listing; ``omitted`` is said in a lossy one."""
    total = sum(len(g.entries) for g in listing.groups)
    first = f"#{'ls' if listing.is_blocks else 'paths'} {total}"
    for n, where in ((len(listing.before), "before"), (len(listing.after), "after")):
        if n:
            first += f"; {n} line{'s' if n > 1 else ''} {where}"
    lines = [first, *listing.before]
    for kind in classes:
        if kind.words:
            words = " ".join("$" if w is None else w for w in kind.words)
            lines.append(f"#line {words} name{kind.mark}")
    body = _Body(classes)
    body.make_codes(listing)
    if body.codes:
        lines.append("#codes " + " ".join(f"{c}={w}" for w, c in body.codes.items()))
    if omitted:
        lines.append(f"{OMITTED}{omitted}")
    if listing.is_blocks:
        _write_blocks(listing, body)
    else:
        lines += _write_paths(listing, body, classes)
    return "\n".join([*lines, *body.lines, *listing.after])


def _write_blocks(listing: Listing, body: _Body) -> None:
    joins = not any(c.words for c in body.classes)
    for group in listing.groups:
        if group.head is not None or group.total:
            head = _head_token(group.head) if group.head is not None else NO_HEAD
            body.lines.append(f"{head} total {group.total}" if group.total else head)
        body.entries(group.entries, joins_head=joins)
        body.note(group.note)


def _write_paths(listing: Listing, body: _Body, classes: list[LineClass]) -> list[str]:
    plain, dirs = _folded(listing.groups, body)
    legend = [dirs] if dirs else []
    root = _common_root([g.head or "" for g, _ in plain])
    if root:
        legend.append(f"#under {root}")
    joins = None not in classes[0].words
    said: set[str] = set()
    for n, (group, own) in enumerate(plain):
        head = (group.head or "")[len(root) :]
        if n or head or own or not group.entries:
            shown = body.read(own.words)[1] if own else ()
            if own or group.entries or not n or head not in said:
                words = body.words(shown)
                body.lines.append(" ".join([*words, _head_token(head)]))
            said.add(head)
        body.entries(group.entries, joins_head=joins)
        body.note(group.note)
    return legend


def decode(form: str) -> Listing:
    """The listing that a form was written from.

    Raises:
        ValueError: the text is no such form.
    """
    lines = form.split("\n")
    match = _HEAD.match(lines[0])
    if match is None:
        raise ValueError("no listing form")
    is_blocks = match.group(1) == "ls"
    n_before, n_after = int(match.group(3) or 0), int(match.group(4) or 0)
    at = 1 + n_before
    stop = len(lines) - n_after
    if at > stop:
        raise ValueError("the form ends early")
    before, after = lines[1:at], lines[stop:]
    classes: list[LineClass] = []
    dirs: str | None = None
    is_last = False
    root = ""
    codes: dict[str, str] = {}
    while at < stop and lines[at].startswith("#"):
        word, _, rest = lines[at].partition(" ")
        if word == "#line":
            words, _, mark = rest.rpartition(" name")
            parts = tuple(None if w == "$" else w for w in words.split(" "))
            classes.append(LineClass(mark, parts))
        elif word == "#codes":
            pairs = (pair.partition("=") for pair in rest.split(" "))
            codes.update((code, value) for code, _, value in pairs)
        elif word in {"#dirs", "#dirs-last"}:
            dirs = "" if rest == "-" else rest
            is_last = word != "#dirs"
        elif word == "#under":
            root = rest
        else:
            raise ValueError("unknown legend")
        at += 1
    reader = _Reader(classes or [LineClass("", ())], root, dirs)
    reader.is_blocks = is_blocks
    reader.codes = codes
    reader.is_last = is_last
    for line in lines[at:stop]:
        reader.line(line)
    reader.place_own()
    groups = reader.groups
    if sum(len(g.entries) for g in groups) != int(match.group(2)):
        raise ValueError("entries are missing")
    return Listing(before, groups, after, is_blocks)


class _Reader:
    """Reads body lines into groups."""

    def __init__(self, classes: list[LineClass], root: str, dirs: str | None) -> None:
        self.by_mark = {c.mark: c for c in classes}
        self.root = root
        self.dirs = dirs
        self.is_blocks = False
        self.is_last = False
        self.own: tuple[str, Entry] | None = None
        self.codes: dict[str, str] = {}
        self.seen: set[str] = set()
        self.groups: list[Group] = []

    def line(self, line: str) -> None:
        tokens = _TOKEN.findall(line) if '"' in line else line.split()
        at = 0
        limit = 1
        if self.dirs is not None:
            limit += self.by_mark[self.dirs].words.count(None)
        while at < min(limit, len(tokens)) and not tokens[at].endswith(":"):
            at += 1
        if at < min(limit, len(tokens)):
            self._head(tokens[:at], tokens[at])
            tokens = tokens[at + 1 :]
            if self.is_blocks and len(tokens) == 2 and tokens[0] == "total":
                self.groups[-1].total = tokens[1]
                return
        if tokens:
            self._entries(tokens)

    def _head(self, words: list[str], token: str) -> None:
        if self.is_blocks:
            self.groups.append(
                Group(None if token == NO_HEAD else _unhead(token), "", [])
            )
            return
        head = self.root + _unhead(token)
        if self.dirs is not None and self.is_last:
            self.place_own()
            self._continue(head)
            if words:
                parent, slash, name = head[:-1].rpartition("/")
                full = self.by_mark[self.dirs].full(
                    [self.codes.get(w, w) for w in words]
                )
                self.own = parent + slash, Entry(full, name)
            return
        if self.dirs is not None and self.groups and head not in self.seen:
            parent, slash, name = head[:-1].rpartition("/")
            if self.groups[-1].head != parent + slash:
                self.groups.append(Group(parent + slash, "", []))
            kind = self.by_mark[self.dirs]
            words = [self.codes.get(w, w) for w in words]
            self.groups[-1].entries.append(Entry(kind.full(words), name))
        self.seen.add(head)
        self.groups.append(Group(head, "", []))

    def place_own(self) -> None:
        """Put a directory behind what it holds, where its group ends."""
        if self.own is not None:
            parent, entry = self.own
            self._continue(parent)
            self.groups[-1].entries.append(entry)
            self.own = None

    def _continue(self, head: str) -> None:
        if not self.groups or self.groups[-1].head != head:
            self.groups.append(Group(head, "", []))

    def _entries(self, tokens: list[str]) -> None:
        if not self.groups:
            self.groups.append(Group(None if self.is_blocks else self.root, "", []))
            self.seen.add(self.root)
        kind = self._class_of(tokens[-1])
        n = kind.words.count(None)
        full = kind.full([self.codes.get(t, t) for t in tokens[:n]])
        entries = self.groups[-1].entries
        for token in tokens[n:]:
            here = kind if n else self._class_of(token)
            name = token[: len(token) - len(here.mark)]
            if name[:1] == '"':
                name = json.loads(name)
            # Words that are the class's own are the same for all of its names.
            entries.append(Entry(full if here is kind else here.full([]), name))

    def _class_of(self, token: str) -> LineClass:
        found = self.by_mark.get(token[-1])
        if found is None:
            found = self.by_mark.get("")
        if found is None:
            raise ValueError("an entry of no class")
        return found


def _unhead(token: str) -> str:
    token = token.removesuffix(":")
    return str(json.loads(token)) if token[:1] == '"' else token

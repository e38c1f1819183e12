r"""What a search tool printed, read into hits; and printed again from them.

Every line becomes one ``Hit`` (path, mark, line number, text) or a raw line, so that
``render(parse(text))`` is the text again up to trailing blanks and colours. ``parse``
believes nothing it cannot print again.

Styles: ``grep`` (``path:12:text``, ``path-13-text`` for context, ``git grep -p`` with
``=``), ``lines`` (one file, ``12:text``, ``13-text`` for context), ``unnumbered``
(``path:text``), ``heading`` (ripgrep, ack and ag: the path on a line of its own),
``json`` (``rg --json``), ``paths`` (one path or ``path:count`` a line) and the agents'
own tools ``found``
(``  Line 12: text`` below ``path:``) and ``file`` (``L12: text`` below ``File: path``).

Sources: the manuals of GNU grep (output line prefix control), git-grep(1), and
ripgrep's printer (https://docs.rs/grep-printer, types of its JSON messages).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

MARKS: Final = ":-="
RAW: Final = "|"
UNNUMBERED: Final = -1

# Share of lines that may be neither hit nor separator before the block is left alone.
MAX_RAW_SHARE: Final = 0.02
FREE_RAW_LINES: Final = 3
# Lines of context, and lines in all, that prove one file's matches with their context.
_MIN_CONTEXT: Final = 2
_MIN_WINDOW: Final = 4


class Hit(NamedTuple):
    """One line: a match (``:``), context (``-``), a function line (``=``), or raw."""

    path: str
    mark: str
    line: int
    text: str


class Found(NamedTuple):
    """All lines of one search in order.

    Attributes:
        style: which tool's layout it was; see the module.
        gaps: a ``--`` stands wherever the next hit does not follow the one before it;
            those lines are then not among the hits.
        hits: the lines.
    """

    style: str
    gaps: bool
    hits: tuple[Hit, ...]


class Layout(NamedTuple):
    """How a style with the path on its own line prints."""

    before_path: str
    after_path: str
    before_line: str
    after_line: str
    between: str


LAYOUTS: Final = {
    "heading": Layout("", "", "", "", ""),
    "found": Layout("", ":", "  Line ", " ", ""),
    "file": Layout("File: ", "", "L", " ", "---"),
}

_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_HIT = re.compile(r"(.+?):(0|[1-9]\d{0,8}):(.*)", re.DOTALL)
_NUMBERED = re.compile(r"(0|[1-9]\d{0,8})([:\-=])(.*)", re.DOTALL)
_CONTEXT = re.compile(r"([-=])(0|[1-9]\d{0,8})\1")
_SUFFIX = re.compile(r"\.(?=\w*[A-Za-z_])\w{1,15}\Z")
_BARE_NAME = re.compile(r"(?:[A-Z][A-Za-z]+|\.[a-z][\w.-]*)\Z")
_COUNT = re.compile(r":\d{1,9}\Z")
# Without the first of these no line is a numbered hit of its path, without the second
# none begins with a number.
_MAY_BE_FLAT = re.compile(r":[0-9]{1,9}:")
_MAY_BE_NUMBERED = re.compile(r"\n(?:  Line |L)?[0-9]{1,9}[:\-=]")
_MAY_HAVE_CONTEXT = re.compile(r"\n[0-9]{1,9}-")
"""Without it no line but perhaps the first is context of one file's matches."""

_TOOL_LINE = re.compile(r"(?:  Line |L)(0|[1-9]\d{0,8}): ?(.*)", re.DOTALL)
_STATUS = re.compile(
    r"(?:grep|rg|ack|ag|ugrep|fatal|warning): |Binary file |Found \d|\(?Results? |"
    r"\[|\(|No matches|Showing ",
    re.IGNORECASE,
)
_BETWEEN: Final = frozenset({"--", "---", ""})
_TEXT_PATH_CHARS = re.compile(r"[\x00-\x1f\"<>|*?;{}`$\[\]]|://|,\s|\s\s")


def normalise(text: str) -> str:
    """The text without colours, trailing blanks, and blank lines at its end."""
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    return "\n".join(map(str.rstrip, text.split("\n"))).rstrip("\n")


def is_path(path: str) -> bool:
    """Whether a word looks like the name of a file, not a time, a key or a host."""
    if len(path) > 500 or _TEXT_PATH_CHARS.search(path):
        return False
    has_directory = "/" in path or "\\" in path
    if " " in path or "," in path or ":" in path[2:]:
        return has_directory and _SUFFIX.search(path) is not None
    return (
        has_directory
        or _SUFFIX.search(path) is not None
        or _BARE_NAME.match(path) is not None
    )


def parse(text: str) -> Found | None:
    """Read normalised search output; ``None`` if it is anything else."""
    if text.startswith(('{"type":"', '{"data":{')):
        return _parse_json(text.split("\n"))
    lines = text.split("\n")
    for attempt in _attempts(text):
        found = attempt(lines)
        if found is not None:
            return _with_gaps(found, text)
    found = _parse_paths(lines)
    return found if found is not None and render(found) == text else None


def _attempts(text: str) -> Iterator[Callable[[list[str]], Found | None]]:
    """The readings that a glance does not rule out, in the order of their proofs."""
    if _MAY_BE_FLAT.search(text):
        yield _parse_flat
    if _MAY_BE_NUMBERED.search(text) or _NUMBERED.match(text):
        yield _parse_headed
        if _MAY_HAVE_CONTEXT.search(text):
            yield _parse_windows
        yield _parse_lines
    if ":" in text:
        yield _parse_unnumbered


def render(found: Found) -> str:
    """Print the hits in their style; ``json`` prints as ``grep`` does."""
    out: list[str] = []
    layout = LAYOUTS.get(found.style)
    previous: Hit | None = None
    for hit in found.hits:
        if layout is not None and _opens_file(hit, previous):
            if previous is not None and previous.mark != RAW:
                out.append(layout.between)
            out.append(f"{layout.before_path}{hit.path}{layout.after_path}")
        elif found.gaps and previous is not None and not _follows(hit, previous):
            out.append("--")
        out.append(_print_hit(hit, found.style, layout))
        previous = hit
    return "\n".join(out)


def _opens_file(hit: Hit, previous: Hit | None) -> bool:
    return hit.mark != RAW and (
        previous is None or previous.mark == RAW or previous.path != hit.path
    )


def _follows(hit: Hit, previous: Hit) -> bool:
    """Whether no ``--`` stands between two lines, where grep prints them."""
    if RAW in {hit.mark, previous.mark}:
        return True
    return hit.path == previous.path and hit.line == previous.line + 1


def _print_hit(hit: Hit, style: str, layout: Layout | None) -> str:
    path, mark, line, text = hit
    if mark == RAW:
        return text
    if layout is not None:
        glue = layout.after_line if text else ""
        return f"{layout.before_line}{line}{mark}{glue}{text}"
    if style == "lines":
        return f"{line}{mark}{text}"
    if style == "paths":
        return path
    if line == UNNUMBERED:
        return f"{path}{mark}{text}"
    return f"{path}{mark}{line}{mark}{text}"


def _with_gaps(found: Found, text: str) -> Found | None:
    """The reading that prints as the text, with ``--`` implied if that holds."""
    if any(hit.mark in "-=" for hit in found.hits):
        kept = [h for h in found.hits if h[1:] != (RAW, 0, "--")]
        if text.endswith("\n--"):  # cut off by head
            kept.append(Hit("", RAW, 0, "--"))
        implied = Found(found.style, gaps=True, hits=tuple(kept))
        if render(implied) == text:
            return implied
    return found if render(found) == text else None


def _is_strange(line: str) -> bool:
    """Whether a line that is no hit is none of the tools' own either."""
    return line not in _BETWEEN and not _STATUS.match(line)


def _most_strange(lines: Sequence[str]) -> int:
    """Strange lines beyond which no reading of the lines is believed."""
    return max(FREE_RAW_LINES, int(MAX_RAW_SHARE * len(lines)))


def _is_believed(hits: Sequence[Hit]) -> bool:
    """Enough of the lines are hits; messages of the tools themselves are forgiven."""
    raw = [h.text for h in hits if h.mark == RAW and h.text not in _BETWEEN]
    strange = sum(1 for t in raw if not _STATUS.match(t))
    real = len(hits) - len(raw)
    return real >= 2 and strange <= max(
        min(FREE_RAW_LINES, real // 8), int(MAX_RAW_SHARE * len(hits))
    )


def _parse_flat(lines: list[str]) -> Found | None:
    """``path:12:text``; context belongs to a path that has a match somewhere."""
    paths: dict[str, bool] = {}
    splits: list[tuple[str, str, str] | None] = []
    for line in lines:
        match = _HIT.match(line) if _MAY_BE_FLAT.search(line) else None
        split = None
        if match is not None:
            path = match[1]
            known = paths.get(path)
            if known is None:
                known = paths[path] = is_path(path)
            if known:
                split = (path, match[2], match[3])
        splits.append(split)
    if not any(splits):
        return None
    hits: list[Hit] = []
    last = ""
    for line, split in zip(lines, splits, strict=True):
        hit = _known_path(line, last) if last else None
        if hit is None and split is not None:
            hit = Hit(split[0], ":", int(split[1]), split[2])
        if hit is None and line != "--":
            hit = _context(line, paths)
        if hit is None:
            hits.append(Hit("", RAW, 0, line))
            continue
        last = hit.path
        hits.append(hit)
    if not _is_believed(hits):
        return None
    return Found("grep", gaps=False, hits=tuple(hits))


def _known_path(line: str, path: str) -> Hit | None:
    """The line as a hit in ``path``, if it starts with that path."""
    if not line.startswith(path):
        return None
    mark = line[len(path) : len(path) + 1]
    if not mark or mark not in MARKS:
        return None
    match = _NUMBERED.match(line, len(path) + 1)
    if match is None or match[2] != mark:
        return None
    return Hit(path, mark, int(match[1]), match[3])


def _context(line: str, paths: dict[str, bool]) -> Hit | None:
    """A context line before its match: one of the known paths, a mark, a number."""
    for tries, match in enumerate(_CONTEXT.finditer(line)):
        if tries == 8:
            break
        path = line[: match.start()]
        if paths.get(path):
            return Hit(path, match[1], int(match[2]), line[match.end() :])
    return None


def _parse_headed(lines: list[str]) -> Found | None:
    """The path on its own line, hits below it; ripgrep's layout or an agent tool's."""
    style = "heading"
    if any(line.startswith("File: ") for line in lines[:6]):
        style = "file"
    elif any(line.startswith("  Line ") for line in lines[:12]):
        style = "found"
    layout = LAYOUTS[style]
    pattern = _NUMBERED if style == "heading" else _TOOL_LINE
    numbered = [pattern.match(line) for line in lines]
    if not any(numbered):
        return None
    hits: list[Hit] = []
    path = ""
    for index, line in enumerate(lines):
        match = numbered[index]
        if match is not None and path:
            mark = match[2] if style == "heading" else ":"
            hits.append(Hit(path, mark, int(match[1]), match[match.re.groups]))
            continue
        follows = index + 1 < len(lines) and numbered[index + 1] is not None
        heading = _heading(line, layout) if follows else ""
        if heading:
            path = heading
            is_between = len(hits) > 1 and hits[-1][1:] == (RAW, 0, layout.between)
            if is_between and hits[-2].mark != RAW:
                hits.pop()
            continue
        hits.append(Hit("", RAW, 0, line))
    if not path or not _is_believed(hits):
        return None
    return Found(style, gaps=False, hits=tuple(hits))


def _heading(line: str, layout: Layout) -> str:
    path = line.removeprefix(layout.before_path)
    if layout.after_path:
        path = path.removesuffix(layout.after_path)
    whole = f"{layout.before_path}{path}{layout.after_path}"
    return path if whole == line and is_path(path) else ""


def _parse_windows(lines: list[str]) -> Found | None:
    """One file's matches with their context: ``12:text``, ``13-text``, ``--`` between.

    Numbers that follow one another in every group, and a match in each, are proof
    enough: a numbered view of a file has one sign behind all its numbers. The first
    group and the last may have been cut off before their match.
    """
    hits: list[Hit] = []
    matches = context = 0
    last, is_after_gap = -1, True
    before = 0  # matches when the group began
    is_first = True
    strange_left = 1
    for line in lines:
        match = _NUMBERED.match(line)
        if match is not None and match[2] != "=":
            number = int(match[1])
            if number != last + 1 if not is_after_gap else number <= last:
                return None
            is_match = match[2] == ":"
            matches += is_match
            context += not is_match
            hits.append(Hit("", match[2], number, match[3]))
            last, is_after_gap = number, False
            continue
        if line == "--":
            if is_after_gap or (matches == before and not is_first):
                return None
            before, is_first = matches, False
        else:
            strange_left -= _is_strange(line)
            if strange_left < 0:
                return None
        is_after_gap = True
        hits.append(Hit("", RAW, 0, line))
    if not matches or context < _MIN_CONTEXT or matches + context < _MIN_WINDOW:
        return None
    return Found("lines", gaps=False, hits=tuple(hits))


def _parse_lines(lines: list[str]) -> Found | None:
    """One file: ``12:text``, numbers rising, so that no list of times is meant."""
    hits: list[Hit] = []
    last = 0
    strange_left = _most_strange(lines)
    for line in lines:
        match = _NUMBERED.match(line)
        number = int(match[1]) if match is not None else 0
        if match is None or number <= last:
            strange_left -= _is_strange(line)
            if strange_left < 0:
                return None
            hits.append(Hit("", RAW, 0, line))
        else:
            hits.append(Hit("", match[2], number, match[3]))
            last = number
    matches = [h for h in hits if h.mark == ":"]
    if len(matches) < 3 or not _is_believed(hits):
        return None
    if matches[-1].line - matches[0].line < len(matches):  # a file with its numbers
        return None
    if sum(1 for h in matches if h.text[:3].isdigit()) * 3 > len(matches):
        return None
    return Found("lines", gaps=False, hits=tuple(hits))


def _parse_unnumbered(lines: list[str]) -> Found | None:
    """``path:text`` without numbers: only where whole paths repeat or abound."""
    hits: list[Hit] = []
    paths: dict[str, bool] = {}
    strange_left = _most_strange(lines)
    for line in lines:
        path, colon, text = line.partition(":")
        if colon and len(path) == 1 and text[:1] in {"\\", "/"}:
            drive, (path, colon, text) = path, text.partition(":")
            path = f"{drive}:{path}"
        known = paths.get(path)
        if known is None:
            known = paths[path] = " " not in path and is_path(path)
        is_said = text != "" and text[0] != ":" and not _COUNT.match(f":{text}")
        if not colon or not known or not is_said:
            strange_left -= _is_strange(line)
            if strange_left < 0:
                return None
            hits.append(Hit("", RAW, 0, line))
        else:
            hits.append(Hit(path, ":", UNNUMBERED, text))
    sure = sum(1 for p, ok in paths.items() if ok and ("/" in p or "\\" in p))
    if not sure or not _is_believed(hits):
        return None
    return Found("unnumbered", gaps=False, hits=tuple(hits))


def _parse_paths(lines: list[str]) -> Found | None:
    """A list of paths, each perhaps with a count; few names have no directory."""
    hits: list[Hit] = []
    strange_left = _most_strange(lines)
    for line in lines:
        if " " not in line and is_path(_COUNT.sub("", line)):
            hits.append(Hit(line, ":", UNNUMBERED, ""))
            continue
        strange_left -= _is_strange(line)
        if strange_left < 0:
            return None
        hits.append(Hit("", RAW, 0, line))
    placed = sum(1 for h in hits if "/" in h.path or "\\" in h.path)
    if placed < 3 or 2 * placed < len(hits) or not _is_believed(hits):
        return None
    return Found("paths", gaps=False, hits=tuple(hits))


class _Text(msgspec.Struct):
    text: str  # absent where the bytes are no UTF-8, which fails the message


class _Stats(msgspec.Struct):
    matches: int
    matched_lines: int
    searches: int
    searches_with_match: int
    bytes_searched: int


class _Data(msgspec.Struct):
    path: _Text | None = None
    lines: _Text | None = None
    line_number: int | None = None
    binary_offset: int | None = None
    stats: _Stats | None = None


class _Message(msgspec.Struct):
    type: str
    data: _Data


def _parse_json(lines: Iterable[str]) -> Found | None:
    """``rg --json``: one hit per match or context message, totals as a raw line."""
    hits: list[Hit] = []
    decode = msgspec.json.Decoder(_Message).decode
    try:
        for line in lines:
            message = decode(line) if line else None
            if message is None or message.type == "begin":
                continue
            hit = _json_hit(message.type, message.data)
            if hit is None:
                return None
            if hit.text or hit.mark != RAW:
                hits.append(hit)
    except msgspec.MsgspecError:
        return None
    if not any(h.mark != RAW for h in hits):
        return None
    return Found("json", gaps=False, hits=tuple(hits))


def _json_hit(kind: str, data: _Data) -> Hit | None:
    """One message; ``None`` for a match across lines, without a number or unknown."""
    path = data.path.text if data.path is not None else ""
    if kind in {"match", "context"}:
        text = data.lines.text.rstrip() if data.lines is not None else "\n"
        if "\n" in text or "\r" in text or data.line_number is None or not path:
            return None
        return Hit(path, ":" if kind == "match" else "-", data.line_number, text)
    if kind == "end":
        note = f"{path}: binary file matches (offset {data.binary_offset})"
        return Hit("", RAW, 0, "" if data.binary_offset is None else note)
    if kind != "summary" or data.stats is None:
        return None
    stats = data.stats
    return Hit(
        "",
        RAW,
        0,
        f"{stats.matches} matches, {stats.matched_lines} lines,"
        f" {stats.searches_with_match} of {stats.searches} files,"
        f" {stats.bytes_searched} bytes searched",
    )

"""What a lossless form says, read back and held against the text it stands for."""

import re
from typing import NamedTuple

from headroom.core import mixed, pipeline
from headroom.core.compressors import (
    alike,
    build_output,
    config_text,
    diff,
    html,
    json_table,
    listing,
    log,
    read_gutter,
    search_results,
    trace,
)
from headroom.core.compressors.html.detection import find_page
from headroom.core.compressors.json_table.parse import compact, read
from headroom.core.compressors.listing.entries import parse_listing
from headroom.core.compressors.listing.form import decode as decode_listing
from headroom.core.compressors.listing.tree import decode_tree, parse_tree
from headroom.core.compressors.prose import squeeze
from headroom.core.compressors.table_text.decode import decode as decode_table
from headroom.core.compressors.table_text.parse import parse_grid
from headroom.core.content.clean import clean
from headroom.core.content.cutting import cut
from headroom.core.content.gutter import GUTTER
from headroom.core.content.seal import is_sealed
from headroom.core.content.sections import split
from headroom.core.folding import normalise
from headroom.core.pieces import HEAD_AGAIN
from headroom.core.types import KINDS

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NO_WORD = re.compile(r"[\W_]+")
_ANNOUNCED = re.compile(
    rf"\[({'|'.join(KINDS)}) (\d+)(?: of ((?:lines|elements|members) .*))?\]"
)
_ESCAPED = re.compile(rf"\\+{_ANNOUNCED.pattern}\Z")
_FOLDED = {
    "log": (log.decode, normalise),
    "lines": (alike.decode, normalise),
    "trace": (trace.decode, normalise),
    "config": (config_text.decode, normalise),
    "xml": (config_text.decode, normalise),
    "build": (build_output.decode, build_output.clean),
}
_ENDING = {"code", "diff", "listing", "mixed", "search", "table"}
_FOLDED_HEADER = re.compile(rf"(?:{'|'.join(_FOLDED)}) [a-z]+")
_KINDS = {"lines": "log", "config": "json", "xml": "json"}


def difference(kind, form, text):
    """What a form of that kind says other than its text; nothing: ``None``.

    White space, padding and what else a kind's page names as normalised aside.
    """
    if is_sealed(mixed.NAME, form):
        return _of_parts(form, text)
    first = form.partition("\n")[0]
    name = first.partition(" ")[0]
    if _KINDS.get(name, name) == kind and _FOLDED_HEADER.match(first):
        decode, norm = _FOLDED[name]
        return _unequal(decode(form), norm(text))
    match kind:
        case "json":
            told = json_table.decode(form) if first.startswith("#json") else form
            return _unequal(compact(read(told)), compact(read(text)))
        case "table":
            return _of_table(form, text)
        case "listing":
            return _of_listing(form, text)
        case "diff":
            return _unequal(diff.unshorten(form), diff.normalise(text))
        case "search":
            found = search_results.decode(form)
            meant = search_results.normalise(text)
            if form.startswith("[rg --json"):
                # Its events tell the same hits in more words.
                meant = search_results.render(search_results.parse(meant))
            return _unequal(search_results.render(found), meant)
        case "html":
            html.decode(form)
            page = text[max(0, find_page(text)) :]
            return None if html.is_complete(page, form) else ("html", form, text)
        case "prose":
            return _unequal(squeeze(form), squeeze(clean(text)))
        case "code":
            told = read_gutter.decode(form)
            return _unequal(_unpadded(told), _unpadded(clean(text)))
        case "mixed":
            return _unequal(form, clean(text))
    return ("no decoder", kind, first)


def _unequal(told, meant):
    return None if told == meant else (told, meant)


def _unpadded(text):
    lines = text.split("\n")
    return [s.lstrip(" ") if GUTTER.match(s) else s.rstrip() for s in lines]


def _letters(text):
    return _NO_WORD.sub("", _ANSI.sub("", text))


def _of_table(form, text):
    """Every cell in its place, and by their letters every line."""
    grid, meant = decode_table(form), parse_grid(text)
    told = (grid.before, grid.names, grid.columns, grid.after, grid.between)
    read_ = (meant.before, meant.names, meant.columns, meant.after, meant.between)
    if told != read_:
        return (told, read_)
    between = dict.fromkeys(range(grid.height + 1), "")
    for at, line in grid.between:
        between[at] += line
    said = ["".join(grid.before), "".join(grid.names)]
    for at, row in enumerate(zip(*grid.columns, strict=True)):
        said += [between[at], *row]
    said += [between[grid.height], *grid.after]
    return _unequal(_letters("".join(said)), _letters(text))


def _of_listing(form, text):
    """Every entry in its place, and every word of the lines in some entry."""
    lines = _ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    if form.startswith("#tree"):
        told, meant = decode_tree(form), parse_tree(lines).nodes
        is_same = told == meant
    else:
        told, meant = decode_listing(form), parse_listing(lines)
        is_same = listing.same_entries(told, meant)
    said = set(re.findall(r"\w+", repr(told).replace("\\t", " ")))
    words = re.findall(r"\w+", "\n".join(lines))
    missing = [word for word in words if word not in said]
    return None if is_same and not missing else (told, meant, missing[:9])


class Part(NamedTuple):
    """A form in a form; ``place`` is empty unless it is a piece of a long text."""

    kind: str
    form: str
    place: str


def _parts(form):
    """What stands as it was (text), and the forms of what does not, in order."""
    lines = form.split("\n")[1:]
    parts, plain, at = [], [], 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if (match := _ANNOUNCED.fullmatch(line)) is None:
            plain.append(line.removeprefix("\\") if _ESCAPED.match(line) else line)
            continue
        if plain:
            parts.append("\n".join(plain))
        plain = []
        count = int(match[2])
        parts.append(Part(match[1], "\n".join(lines[at : at + count]), match[3] or ""))
        at += count
    return [*parts, "\n".join(plain)] if plain else parts


def _of_parts(form, text):
    parts = _parts(form)
    if any(isinstance(part, Part) and part.place for part in parts):
        return _of_pieces(parts, text)
    sections = split(text)
    for part in parts:
        if isinstance(part, str):
            left = _unspaced(part)
            while left and sections and left.startswith(_unspaced(sections[0])):
                left = left[len(_unspaced(sections.pop(0))) :]
            if left:
                return (part, sections[:1])
            continue
        while sections and sections[0].isspace():
            sections.pop(0)
        if not sections:
            return (part, "")
        found = _of_part(part, sections.pop(0))
        if found is not None:
            return (part.kind, *found)
    rest = "".join(sections).strip()
    return _unequal("", rest)


def _of_part(part, text):
    """As ``difference``; the line end that some forms end with goes with the part."""
    try:
        found = difference(part.kind, part.form, text)
    except ValueError as error:
        found = (error, part.form)
    if found is None or part.kind not in _ENDING:
        return found
    return difference(part.kind, f"{part.form}\n", text)


def _of_pieces(parts, text):
    pieces = {piece.place: piece for piece in cut(text)}
    at, plain = 0, ""
    for part in [*parts, Part("", "", "")]:
        if isinstance(part, str):
            plain += part
            continue
        place = part.place.removesuffix(HEAD_AGAIN)
        piece = pieces[place] if place else None
        end = piece.start if piece else len(text)
        if _unspaced(plain) != _unspaced(text[at:end]):
            return (plain, text[at:end])
        plain = ""
        if piece is None:
            break
        at = piece.end
        own = piece.text_of(text)
        if place != part.place:
            own = f"{pipeline._head_of(part.kind, text)}{own}"
        found = _of_part(part, own)
        if found is not None:
            return (part.kind, *found)
    return None


def _unspaced(text):
    return "".join(text.split())

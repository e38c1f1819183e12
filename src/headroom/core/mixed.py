"""A mixed text as sections, each in the form its own kind gives it.

Notation: the form begins with ``[sections 4f2a]`` (see ``content.seal``); a section
that has a form of its own is announced by a line ``[json 14]``, its kind and the number
of lines its form takes, and everything else stands as it was. A line of the text that
looks like an announcement gets a backslash in front. Pieces of a long text
(``core.pieces``) are announced with their place in it, ``[json 14 of elements 1-90]``.
"""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from headroom.core.content.seal import sealed
from headroom.core.content.sections import MIN_SECTION_CHARS, split
from headroom.core.content.tags import find_wraps
from headroom.core.types import KINDS, Candidate, LostTag

STRATEGY = "sections"
NAME = "sections"
_ANNOUNCEMENT = re.compile(
    rf"^\\*\[(?:{'|'.join(KINDS)}) \d{{1,9}}"
    r"(?: of (?:lines|elements|members) \d+-\d+(?:, head again)?)?\]$",
    re.MULTILINE,
)


class Section(Struct, frozen=True):
    """One section's form: its kind, the form, what it leaves out (nothing: empty)."""

    kind: str
    form: str
    omitted: str
    lost_tags: tuple[LostTag, ...] = ()


def compress_sections(
    text: str, shorten: Callable[[str], Section | None]
) -> Candidate | None:
    """The text with each section in its own form.

    Args:
        text: the whole text.
        shorten: section → its form, or ``None`` to leave it.

    Returns:
        ``None`` if the text is one section, or none of them has a form.
    """
    sections = split(text)
    # A document between blank lines is no mixed text.
    if sum(not s.isspace() for s in sections) <= 1:
        return None
    wraps = {text[start:end] for start, end in find_wraps(text)}
    pieces = ["\n"]
    omitted: list[str] = []
    lost_tags: list[LostTag] = []
    is_shorter = False
    for number, section in enumerate(sections, 1):
        is_long = len(section) >= MIN_SECTION_CHARS
        found = shorten(section) if is_long and section not in wraps else None
        if found is None:
            pieces.append(escape(section))
            continue
        is_shorter = True
        lost_tags += found.lost_tags
        if found.omitted:
            omitted.append(f"section {number}: {found.omitted}")
        if not pieces[-1].endswith("\n"):
            pieces.append("\n")
        pieces.append(announce(found))
    if not is_shorter:
        return None
    return Candidate(
        sealed(NAME, "".join(pieces)),
        STRATEGY,
        omitted="; ".join(omitted),
        lost_tags=tuple(lost_tags),
    )


def announce(found: Section, place: str = "") -> str:
    """A section's form behind the line that announces it.

    Args:
        found: the section.
        place: where it stands in a long text; see ``core.pieces``.
    """
    body = found.form.removesuffix("\n")
    return f"[{found.kind} {body.count(chr(10)) + 1}{place}]\n{body}\n"


def escape(text: str) -> str:
    """Text that stands as it was, its lines not to be taken for announcements."""
    return _ANNOUNCEMENT.sub(r"\\\g<0>", text)


def decode_sections(form: str, decode: Callable[[str, str], str]) -> Sequence[str]:
    """The sections of a form, in order.

    Args:
        form: what ``compress_sections`` made.
        decode: kind and form → text of the section.
    """
    lines = form.split("\n")[1:]
    found: list[str] = []
    plain: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        match = _ANNOUNCEMENT.fullmatch(line)
        index += 1
        if match is None or line.startswith("\\"):
            plain.append(line[1:] if match is not None else line)
            continue
        if plain:
            found.append("\n".join(plain))
            plain = []
        kind, _, rest = line[1:-1].partition(" ")
        count = int(rest.partition(" ")[0])
        taken = lines[index : index + count]
        index += count
        found.append(decode(kind, "\n".join(taken)))
    if plain:
        found.append("\n".join(plain))
    return found

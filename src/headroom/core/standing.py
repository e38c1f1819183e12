"""Earlier results of a conversation that the provider keeps, noted and found again.

A request that goes on from an answer brings nothing of what stands before it. So behind
each answer it is noted which texts stand there in full, by what numbers the model knows
them, and the texts themselves are kept by their digests. What a note lists becomes what
``repeats`` refers to, as if it stood in the request.

What always holds: a note lists what was forwarded, as it was; it is bounded in entries
and characters, the newest texts first; a text that is not found any more is not
referred to.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from headroom.core.earlier import Found
from headroom.core.repeats import (
    Base,
    MessageSources,
    Source,
    SourceMemo,
    make_form_source,
    make_source,
)
from headroom.core.threads import Standing, Thread

MAX_STANDING = 96
"""Texts that a note lists: about 12 KB, and a note is written for every answer."""

MAX_STANDING_CHARS = 600_000
"""… and their characters: what is read again after a restart."""


class Noted(Struct, frozen=True):
    """What goes into a note, and what is to be kept beside it.

    Attributes:
        standing: oldest first.
        texts: digest → text of those that were not noted before.
        named: what forms tell of the texts they refer to.
    """

    standing: tuple[Standing, ...] = ()
    texts: dict[str, str] = {}
    named: tuple[str, ...] = ()


def note(
    found: Found,
    known: Thread,
    is_kept: Callable[[str], bool] = lambda _: False,
) -> Noted:
    """What can be referred to behind a request, as values to keep.

    Args:
        found: what stands in the request, oldest first.
        known: the note that the request went on from.
        is_kept: tells by its digest whether a text is kept already.
    """
    through = {base.source.name: base.through for base in found.bases}
    lines = {source.name for source in found.sources}
    by_name = {base.source.name: base.source for base in found.bases}
    by_name |= {source.name: source for source in found.sources}
    here: dict[str, tuple[Standing, Source]] = {}
    for name in sorted(by_name, key=_position):
        source = by_name[name]
        one = Standing(
            name=name,
            digest=source.digest,
            label=source.label,
            text=source.form_digest or source.digest,
            chars=source.chars,
            has_lines=name in lines,
            has_value=name in through,
            through=through.get(name, ()),
        )
        here[name] = one, source
    listed = _newest([*known.standing, *(one for one, _ in here.values())])
    texts = {
        one.text: "\n".join(here[one.name][1].lines.raw)
        for one in listed
        if one.name in here and not is_kept(one.text)
    }
    named = (*known.named, *sorted(found.named - set(known.named)))
    return Noted(listed, texts, named[-MAX_STANDING:])


def numbered(found: Found, known: Thread, names: Collection[str]) -> dict[str, str]:
    """Name → digest of the text as it stands, of what forms refer to.

    Args:
        found: what stands in the request.
        known: the note that it went on from.
        names: of what is referred to.
    """
    texts = {one.name: one.text for one in known.standing if one.name in names}
    here = [*found.sources, *(base.source for base in found.bases)]
    return texts | {
        one.name: one.form_digest or one.digest for one in here if one.name in names
    }


def _newest(standing: Sequence[Standing]) -> tuple[Standing, ...]:
    """As many of the last ones as a note may list."""
    left = MAX_STANDING_CHARS
    kept: list[Standing] = []
    for one in reversed(standing):
        if one.chars <= left and len(kept) < MAX_STANDING:
            left -= one.chars
            kept.append(one)
    return tuple(reversed(kept))


def missing(standing: Iterable[Standing], memo: SourceMemo) -> list[str]:
    """Digests of the texts that have to be read before they can be referred to."""
    return [one.text for one in standing if memo.get(_memo_key(one)) is None]


def find(thread: Thread, texts: Mapping[str, str], memo: SourceMemo) -> Found:
    """What may be referred to, as far as it is at hand.

    Args:
        thread: as noted.
        texts: those that were ``missing``, by digest; some may be gone.
        memo: has the others.
    """
    sources: list[Source] = []
    bases: list[Base] = []
    for one in thread.standing:
        source = _source(one, texts, memo)
        if source is None:
            continue
        if one.has_lines:
            sources.append(source)
        if one.has_value and source.value is not None:
            bases.append(Base(source, one.through))
    return Found(sources, bases, frozenset(thread.named))


def _source(one: Standing, texts: Mapping[str, str], memo: SourceMemo) -> Source | None:
    key = _memo_key(one)
    found = memo.get(key)
    if found is None:
        text = texts.get(one.text)
        if text is None:
            return None
        if one.text == one.digest:
            made = make_source(one.name, one.digest, text, None)
            value = made.value if one.has_value else None
            made = msgspec.structs.replace(made, label=one.label, value=value)
        else:
            made = make_form_source(one.name, one.digest, text, one.label)
        found = MessageSources({"": made}, made.chars)
        memo.put(key, found)
    return found.sources[""]


def _memo_key(one: Standing) -> bytes:
    parts = ("standing", one.name, one.text, one.digest, one.label, str(one.has_value))
    return "\0".join(parts).encode("utf-8", "surrogatepass")


def _position(name: str) -> tuple[int, bool, str]:
    """Where a name stands among others: texts of a call before its result."""
    number = name.rstrip("cd")
    return int(number), name == number, name

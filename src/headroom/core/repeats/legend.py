"""The head of a form: which results it refers to, each named once in a conversation.

``#7`` alone tells a result by its number; what it was the result of is said where it is
referred to for the first time, and may be read there from then on. So a legend has the
names that no earlier form in the same request has told, with the same words.
"""

import re
from collections.abc import Container, Iterable

WORD = "repeats"

_LEGEND = re.compile(rf"\[{WORD} ((?:#\d+[cd]?[, ])+[^\n]*)\]$")
_NAMED = re.compile(r"((?:#\d+[cd]?, )*#\d+[cd]?) (.+)")
_OPEN = f"[{WORD} #"


def name_of(name: str, label: str) -> str:
    """A source's name with its label, as ``names_told_in`` gives them."""
    return f"#{name} {label}"


def write(labels: Iterable[tuple[str, str]], known: Container[str]) -> str:
    """What stands behind ``repeats``; empty if all of it is known.

    Args:
        labels: name and label of each source referred to, in order.
        known: names with labels that earlier forms tell.
    """
    grouped: dict[str, list[str]] = {}
    for name, label in labels:
        if name_of(name, label) not in known:
            grouped.setdefault(label, []).append(f"#{name}")
    return "; ".join(f"{', '.join(names)} {label}" for label, names in grouped.items())


def names_told_in(form: str) -> list[str]:
    """The names that a form's legend tells, each with its label; none in any text.

    Whoever imitates a legend in a tool's output is not asked: only what Headroom sent
    in place of a text is.
    """
    if not form.startswith(_OPEN):
        return []
    match = _LEGEND.match(form.partition("\n")[0])
    if match is None:
        return []
    told = []
    for part in match[1].split("; "):
        named = _NAMED.fullmatch(part)
        if named is not None:
            names = named[1].split(", ")
            told += [name_of(name[1:], named[2]) for name in names]
    return told

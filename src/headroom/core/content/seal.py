"""Seals: how a form that has nothing to decode is known again.

Some forms read like any other text (a page's words, what is left of a manual), or lack
what they say is missing. Their first line carries a few digits of the digest of all the
rest::

    [html 4f2a] Install - Relay
    #ls 58; lossy #4f2a

Only the whole form, as it was written, has the seal that it says. A header that
somebody imitates in front of another text has not, and switches nothing off.
"""

from headroom.core.digest import content_digest

SEAL_CHARS = 4
"""One guess in 65,536 is right, about a text that has to be known to its end."""

_STAMP = "#"


def sealed(name: str, rest: str) -> str:
    """A form: its name and seal in brackets, and the rest of it."""
    return f"[{name} {_seal(rest)}]{rest}"


def is_sealed(name: str, text: str) -> bool:
    """Whether ``sealed`` wrote the text, line ends behind it aside."""
    start = f"[{name} "
    end = len(start) + SEAL_CHARS
    if not text.startswith(start) or text[end : end + 1] != "]":
        return False
    return text[len(start) : end] == _seal(text[end + 1 :])


def stamped(form: str) -> str:
    """A form with its seal at the end of its first line."""
    first, newline, rest = form.partition("\n")
    return f"{first} {_STAMP}{_seal(form)}{newline}{rest}"


def is_stamped(text: str) -> bool:
    """Whether ``stamped`` wrote the text, line ends behind it aside."""
    first, newline, rest = text.partition("\n")
    head, blank, stamp = first.rpartition(" ")
    is_seal = len(stamp) == len(_STAMP) + SEAL_CHARS and stamp.startswith(_STAMP)
    if not blank or not is_seal:
        return False
    return stamp[len(_STAMP) :] == _seal(f"{head}{newline}{rest}")


def _seal(text: str) -> str:
    return content_digest(text.rstrip("\n"))[:SEAL_CHARS]

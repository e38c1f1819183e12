"""Markers: the short text that stands for an original and names its key.

Written by the pipeline at the end of a lossy result, found again in any text. A marker
grants nothing and forbids nothing: originals are kept per namespace, so that a forged
one finds nothing that is not its reader's own, and no decision about a text depends on
the markers that stand in it.
"""

from msgspec import Struct

from headroom.core.digest import DIGEST_HEX_LENGTH

_OPEN, _CLOSE = "<<ccr:", ">>"
_HEX = frozenset("0123456789abcdef")
_SHORTEST_DIGEST = 12
_WAYS = {
    "tool": "headroom_retrieve",
    "shell": "headroom retrieve {}",
    "hash": "headroom_retrieve hash={}",
}
"""Plug-ins of gateways know a marker by its ``hash=``: LiteLLM 1.92 offers its tool
where it finds one."""
_WAY = "; full text: "
_LONGEST_BODY = 80
"""Other writers of such markers put a few words behind a shorter hash (SPEC R142)."""


class Marker(Struct, frozen=True):
    """A marker found in a text: its digest, and the text as it stands there."""

    digest: str
    text: str


def write_marker(digest: str, omitted: str, how: str) -> str:
    """The line that ends a lossy result: what is missing and how to get it.

    Args:
        digest: 24 hex digits.
        omitted: what is missing, in units of the source; empty where the text tells it:
            then the marker alone is enough for who has the tool.
        how: ``tool``, ``shell`` or ``hash``.
    """
    marker = f"{_OPEN}{digest}{_CLOSE}"
    if not omitted and how == "tool":
        return marker
    way = _WAYS.get(how, _WAYS["tool"]).format(digest)
    account = f" {omitted}" if omitted else ""
    return f"{marker}{account}{_WAY}{way}"


def find_markers(text: str) -> tuple[Marker, ...]:
    """All markers in a text, in order."""
    found = []
    for piece in text.split(_OPEN)[1:]:
        body, close, _ = piece.partition(_CLOSE)
        digest = body.partition(" ")[0] if len(body) <= _LONGEST_BODY else ""
        if close and is_digest(digest):
            found.append(Marker(digest, f"{_OPEN}{body}{_CLOSE}"))
    return tuple(found)


def is_digest(text: str) -> bool:
    """Whether a text may be what stands in a marker: 12 to 24 hex digits."""
    is_length_right = _SHORTEST_DIGEST <= len(text) <= DIGEST_HEX_LENGTH
    return is_length_right and set(text) <= _HEX


def strip_marker(text: str) -> str:
    """The text without the marker line it ends with; the text itself without one."""
    rest, _, line = text.rpartition("\n")
    found = find_markers(line)
    return rest if found and line.startswith(found[0].text) else text


def account_of(text: str) -> str:
    """What the marker line that a text ends with says is missing; empty without one."""
    line = text.rpartition("\n")[2]
    found = find_markers(line)
    if not found or not line.startswith(found[0].text):
        return ""
    return line[len(found[0].text) :].rpartition(_WAY)[0].strip()

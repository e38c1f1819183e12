"""Lists of files: ``ls``, find, tree, du, tar, unzip, git and the list tools of agents.

One line per directory, names side by side, and what stands before the names said once
where it is the same. Input order is kept and every form decodes to the entries in that
order. Normalised away are the blanks between words, blank lines between directories,
the comma of device numbers and the drawing of a tree's branches, which follows from its
depths. The lossy form keeps directories and names, and the sizes and dates of notable
entries only.
"""

import re

from headroom.core.compressors.listing.entries import Listing, parse_listing
from headroom.core.compressors.listing.form import (
    MARKS,
    decode,
    encode,
    make_classes,
)
from headroom.core.compressors.listing.lossy import (
    asked_words,
    reduce_listing,
    reduce_tree,
)
from headroom.core.compressors.listing.tree import (
    MARK,
    Tree,
    decode_tree,
    encode_tree,
    parse_tree,
)
from headroom.core.content.crumbs import is_crumbled
from headroom.core.content.seal import is_stamped, stamped
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ARCHIVE = re.compile(r"Archive: .*\n +Length +(?:\w+ +)*Date +Time +")
# Shorter lists stay lossless: most of what is used later stands in short outputs.
_MIN_LOSSY_CHARS = 1800
_HEAD_CHARS = 4000
_HEAD_LINES = 60


def detect(text: str) -> float:
    """Confidence that the text is a list of files; looks at its beginning."""
    if _is_form(text):
        return 1.0
    head = _clean(text[:_HEAD_CHARS])
    lines = head.split("\n")
    if len(text) > _HEAD_CHARS:
        lines.pop()
    lines = lines[:_HEAD_LINES]
    if parse_tree(lines) is not None:
        return 0.9
    listing = parse_listing(lines)
    if listing is None:
        # The closing rule of an archive's list stands at its end.
        return 0.95 if _ARCHIVE.match(head) else 0.0
    return 0.95 if listing.mode_at >= 0 else 0.85


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms of a listing, ``None`` if it is none or nothing is won."""
    if is_crumbled(text) or _is_form(text):
        return None
    lines = _clean(text).split("\n")
    tree = parse_tree(lines)
    if tree is not None:
        form = encode_tree(tree)
        if not _gives_back(form, tree):
            return None
        cut = reduce_tree(tree, asked_words(ctx)) if ctx.wants_lossy else None
        lossy = (encode_tree(*cut), cut[1]) if cut else None
        return _choose(text, form, lossy, "listing_tree")
    listing = parse_listing(lines)
    if listing is None:
        return None
    classes = make_classes(listing)
    form = encode(listing, classes)
    # The lossy form rests on the same classes: proven, they are for both.
    if not same_entries(decode(form), listing) or not _is_mostly_files(listing):
        return None
    less = (
        reduce_listing(listing, classes, asked_words(ctx)) if ctx.wants_lossy else None
    )
    short = (encode(less[0], classes, less[1]), less[1]) if less else None
    return _choose(text, form, short, "listing_paths")


def _gives_back(form: str, tree: Tree) -> bool:
    try:
        return decode_tree(form) == tree.nodes
    except ValueError:
        # A tree that breaks off may have nodes that read like branches.
        return False


def _choose(
    text: str, form: str, lossy: tuple[str, str] | None, strategy: str
) -> Compressed | None:
    lossless = Candidate(form, strategy) if len(form) < len(text) else None
    candidate = None
    if lossy is not None and len(form) >= _MIN_LOSSY_CHARS:
        short, omitted = lossy
        if len(short) < min(len(form), len(text)):
            candidate = Candidate(stamped(short), strategy, omitted)
    if lossless is None and candidate is None:
        return None
    return Compressed(lossless, candidate)


def _clean(text: str) -> str:
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return text.replace("\r\n", "\n")


def same_entries(one: Listing, other: Listing) -> bool:
    """Both list the same files in the same order, with the same lines around them."""
    if (one.before, one.after) != (other.before, other.after):
        return False
    return _flat(one) == _flat(other)


def _flat(listing: Listing) -> list[object]:
    out: list[object] = []
    for group in listing.groups:
        head = group.head or ""
        if listing.is_blocks:
            out.append((group.head, group.total))
            head = ""
        out += [(e.words, head + e.name) for e in group.entries]
    return out


def _is_form(text: str) -> bool:
    """The text is a form of this package: it decodes, or is sealed."""
    if not text.startswith((*MARKS, MARK)):
        return False
    if is_stamped(text):
        return True
    try:
        if text.startswith(MARK):
            return len(decode_tree(text)) > 0
        listing = decode(text)
    except (ValueError, KeyError, IndexError, StopIteration):
        return False
    return _is_mostly_files(listing)


def _is_mostly_files(listing: Listing) -> bool:
    """Whether the lines around the files are not the greater part."""
    around = len(listing.before) + len(listing.after)
    return around <= sum(len(g.entries) for g in listing.groups) + 8


COMPRESSOR = Compressor(
    name="listing", kind="listing", detect=detect, compress=compress
)

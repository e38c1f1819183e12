"""Which entries of a long list keep everything.

Every directory and, up to a point, every name stays; what ordinary files lose is what
stands before their names. Kept in full: the first and last entries, the largest and the
smallest, the newest words of a question, names of a rare kind, files of a rare mode. Of
directories with very many names the ordinary ones in the middle are counted by suffix.
"""

import re
from collections import Counter
from collections.abc import Collection

from headroom.core.compressors.listing.entries import Entry, Group, Listing
from headroom.core.compressors.listing.form import LineClass
from headroom.core.compressors.listing.tree import DEDUPED, Node, Tree
from headroom.core.types import Context

_WORD = re.compile(r"[a-z0-9]{3,}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)i?B?\Z")
_UNITS = {"": 1.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3, "T": 1024.0**4}
# Share of the entries that keep their words because they are large; at least this many.
_LARGE_SHARE, _LARGE_MIN = 0.2, 8
_RARE = 2
_CROWDED, _HEAD_NAMES, _TAIL_NAMES = 400, 260, 60
# Directories that tools fill: their files follow from others, or mean nothing by name.
_MADE = re.compile(r"(?:\A|/)(?:__pycache__|\.git/objects)(?:/|\Z)")
_MIN_MADE = 4


def asked_words(ctx: Context) -> frozenset[str]:
    """Words of the question and of the call, lower case."""
    text = ctx.question
    if ctx.call is not None:
        text += " " + ctx.call.input.decode("utf-8", "replace")
    return frozenset(_WORD.findall(text.lower()[:4000]))


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix if stem and dot and len(suffix) < 12 else ""


def _size(words: tuple[str, ...], at: int) -> float:
    match = _SIZE.match(words[at]) if 0 <= at < len(words) else None
    return float(match.group(1)) * _UNITS[match.group(2)] if match else -1.0


def _size_column(entries: list[Entry], classes: Collection[LineClass]) -> int:
    """The shown word that tells sizes: the numbers that differ most."""
    best, most = -1, 1
    sample = entries[:: max(1, len(entries) // 200)]
    for i in range(len(entries[0].words)):
        if all(c.words[i] is not None for c in classes):
            continue
        values = {e.words[i] for e in sample}
        numeric = sum(bool(_SIZE.match(v)) for v in values)
        if numeric * 10 >= len(values) * 8 and len(values) > most:
            best, most = i, len(values)
    return best


def _asked(entries: list[Entry], asked: frozenset[str]) -> set[int]:
    """Entries whose name has an asked word that not everything has."""
    if not asked:
        return set()
    hits: dict[str, list[int]] = {}
    for n, entry in enumerate(entries):
        for word in asked.intersection(_WORD.findall(entry.name.lower())):
            hits.setdefault(word, []).append(n)
    limit = max(3, len(entries) // 5)
    return {n for found in hits.values() if len(found) <= limit for n in found}


def reduce_listing(
    listing: Listing, classes: list[LineClass], asked: frozenset[str]
) -> tuple[Listing, str] | None:
    """The listing with ordinary entries made brief, and what that leaves out."""
    entries = [e for g in listing.groups for e in g.entries]
    size_at = _size_column(entries, classes)
    suffix_of = [_suffix(e.name) for e in entries]
    suffixes = Counter(suffix_of)
    order = list(range(len(entries)))
    if size_at >= 0:
        size_of = [-_size(entry.words, size_at) for entry in entries]
        order.sort(key=size_of.__getitem__)
    large = order[: max(_LARGE_MIN, int(_LARGE_SHARE * len(entries)))]
    kept = {*large, *order[-2:], *range(3), len(entries) - 1}
    wanted = _asked(entries, asked)
    kept |= wanted
    rare = {suffix for suffix, times in suffixes.items() if times <= _RARE}
    if rare:
        kept.update(n for n, suffix in enumerate(suffix_of) if suffix in rare)
    has_words = any(None in c.words for c in classes)
    groups, n, briefs, names = [], 0, [], 0
    for group in listing.groups:
        out: list[Entry] = []
        kept_here: set[int] = set()
        is_made = len(group.entries) >= _MIN_MADE and _MADE.search(group.head or "")
        for entry in group.entries:
            if n in (wanted if is_made else kept):
                kept_here.add(len(out))
            if n in kept or not has_words:
                out.append(entry)
            else:
                out.append(Entry(entry.words, entry.name, is_brief=True))
                briefs.append(entry)
            n += 1
        thin, note, left = _thin(out, kept_here, is_made=bool(is_made))
        names += left
        groups.append(Group(group.head, group.total, thin, note))
    if not briefs and not names:
        return None
    said = _say(briefs, names, size_at)
    return Listing(listing.before, groups, listing.after, listing.is_blocks), said


def _say(briefs: list[Entry], names: int, size_at: int) -> str:
    parts = []
    if briefs:
        part = f"the words before {len(briefs)} names"
        sizes = [e.words[size_at] for e in briefs] if size_at >= 0 else []
        known = {s: _size((s,), 0) for s in dict.fromkeys(sizes) if _SIZE.match(s)}
        if known:
            low = min(known, key=known.__getitem__)
            high = max(known, key=known.__getitem__)
            part += f" (sizes {low} to {high})"
        parts.append(part)
    if names:
        parts.append(f"{names} names in crowded directories, counted there")
    return "; ".join(parts)


def _thin(
    entries: list[Entry], kept: set[int], *, is_made: bool
) -> tuple[list[Entry], str, int]:
    """A crowded directory's first, last and notable names; the others by count.

    Of a directory that tools fill only those stay that were asked for.
    """
    if len(entries) <= _CROWDED and not is_made:
        return entries, "", 0
    last = len(entries) - _TAIL_NAMES
    out: list[Entry] = []
    left: list[Entry] = []
    for n, entry in enumerate(entries):
        is_dir = entry.words and any(w[:1] == "d" and len(w) > 9 for w in entry.words)
        if is_made:
            (out if n in kept else left).append(entry)
        elif n < _HEAD_NAMES or n >= last or n in kept or is_dir:
            out.append(entry)
        else:
            left.append(entry)
    if not left:
        return entries, "", 0
    by_suffix = Counter(_suffix(e.name) or "other" for e in left).most_common(6)
    counts = " ".join(f"{name} {times}" for name, times in by_suffix)
    return out, f"# {len(left)} more names here: {counts}", len(left)


def reduce_tree(tree: Tree, asked: frozenset[str]) -> tuple[Tree, str] | None:
    """The tree without what stands elsewhere in it, or follows from it."""
    said: list[str] = []
    for reduced in (_without_repeats, lambda nodes: _without_made(nodes, asked)):
        nodes, left = reduced(tree.nodes)
        if left:
            tree = Tree(nodes, tree.style)
            said.append(left)
    return (tree, "; ".join(said)) if said else None


def _without_made(nodes: list[Node], asked: frozenset[str]) -> tuple[list[Node], str]:
    """Without the files of directories that tools fill."""
    out: list[Node] = []
    left = 0
    held: list[Node] = []
    top = -1
    for node in [*nodes, Node(0, "")]:
        if top >= 0 and node.depth > top:
            held.append(node)
            continue
        if held:
            found = {
                word for each in held for word in _WORD.findall(each.label.lower())
            }
            if len(held) >= _MIN_MADE and asked.isdisjoint(found):
                out.append(Node(top + 1, f"+{len(held)}"))
                left += len(held)
            else:
                out += held
            held = []
        out.append(node)
        top = node.depth if node.depth and _MADE.search(node.label.rstrip("/")) else -1
    out.pop()
    return (
        out,
        f"{left} names in __pycache__ and the like, counted as +n" if left else "",
    )


def _without_repeats(tree_nodes: list[Node]) -> tuple[list[Node], str]:
    """Without the packages that stand in full elsewhere in the tree."""
    nodes: list[Node] = []
    left = 0
    run = 0
    depth = 0
    for node in [*tree_nodes, Node(0, "")]:
        is_repeat = node.label.endswith(DEDUPED)
        if run and (not is_repeat or node.depth != depth):
            nodes.append(Node(depth, f"+{run}{DEDUPED}"))
            run = 0
        if is_repeat:
            depth = node.depth
            run += 1
            left += 1
        else:
            nodes.append(node)
    nodes.pop()
    if left < 8:
        return tree_nodes, ""
    return nodes, f"names of {left} deduped packages, counted as +n*"

"""Trees of names: ``tree``, ``npm ls``, ``cargo tree``, bulleted lists of directories.

The branches are drawn anew from the depth, so only depth and label are kept::

    #tree 12
    web@1.0.0 /srv/web
     express@4.18.0: bytes@3.1.2 vary@1.1.2
      accepts@1.3.8: mime-types@2.1.35
     lodash@4.17.21

One blank per level; ``label:`` has children, of which the first leaves follow on the
same line; other leaves that stand together share a line. Lines of depth 0 are raw.
"""

import json
import re

from msgspec import Struct

_BRANCH = re.compile(
    "([│|┃ \u00a0\t]*)([├└][─┬]{1,2}[─┬]? ?|(?:\\|--|`--|\\+-|\\\\-) )(?=\\S)"
)
_BULLET = re.compile(r"( *)- (?=\S)")
DEDUPED = " deduped"
_MIN_DEDUPED = 4
MARK = "#tree "
_HEAD = re.compile(r"#tree (\d+)(; \* deduped)?\Z")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"\*?:?|\S+')


class Node(Struct, frozen=True, gc=False):
    """One line: its depth (0: no branch before it) and what stands there."""

    depth: int
    label: str


class Tree(Struct):
    """All lines of a tree in order."""

    nodes: list[Node]
    style: str


def parse_tree(lines: list[str]) -> Tree | None:
    """The tree that makes up the text, or ``None``."""
    sample = lines[:60]
    for pattern, style in ((_BRANCH, "branches"), (_BULLET, "bullets")):
        if len(sample) >= 3 and _is_frequent(pattern, sample):
            return _read(lines, pattern, style)
    return None


def _is_frequent(pattern: re.Pattern[str], sample: list[str]) -> bool:
    """Whether six of ten lines have a branch, three at least."""
    others_left = min(len(sample) * 4 // 10, len(sample) - 3)
    for line in sample:
        if not pattern.match(line):
            others_left -= 1
            if others_left < 0:
                return False
    return True


def _read(lines: list[str], pattern: re.Pattern[str], style: str) -> Tree | None:
    nodes: list[Node] = []
    stack: list[int] = []
    for line in lines:
        match = pattern.match(line)
        if match is None:
            if line[:1] in set(" │|") and line.strip(" │|\xa0"):
                return None
            nodes.append(Node(0, line.rstrip()))
            stack = []
            continue
        indent = len(match.group(1))
        while stack and stack[-1] >= indent:
            stack.pop()
        if stack and indent - stack[-1] > 8:
            return None
        stack.append(indent)
        nodes.append(Node(len(stack), line[match.end() :].rstrip()))
    if style == "bullets" and not any("/" in n.label or "." in n.label for n in nodes):
        return None
    if sum(n.depth > 0 for n in nodes) * 2 < len(nodes):
        return None
    return Tree(nodes, style)


def _is_leaf(nodes: list[Node], at: int) -> bool:
    return at + 1 >= len(nodes) or nodes[at + 1].depth <= nodes[at].depth


def _written(label: str, folds: bool) -> str:
    mark = ""
    if folds and label.endswith(DEDUPED):
        label, mark = label[: -len(DEDUPED)], "*"
    plain = (
        label and label[0] != '"' and label[-1] not in ":*" and label.split() == [label]
    )
    return (label if plain else json.dumps(label, ensure_ascii=False)) + mark


def _read_label(token: str, folds: bool) -> str:
    mark = ""
    if folds and token.endswith("*"):
        token, mark = token[:-1], DEDUPED
    return (str(json.loads(token)) if token[:1] == '"' else token) + mark


def encode_tree(tree: Tree, omitted: str = "") -> str:
    """The form of the tree; ``omitted`` is said in a lossy one."""
    nodes = tree.nodes
    folds = sum(n.label.endswith(DEDUPED) for n in nodes) >= _MIN_DEDUPED
    lines: list[list[str]] = []
    open_line = -1
    for at, node in enumerate(nodes):
        if node.depth == 0:
            lines.append([node.label])
            open_line = -1
            continue
        label = _written(node.label, folds)
        if not _is_leaf(nodes, at):
            lines.append([f"{' ' * node.depth}{label}:"])
            open_line = node.depth + 1
        elif open_line == node.depth:
            lines[-1].append(label)
        else:
            lines.append([" " * node.depth + label])
            open_line = node.depth
    note = f"; * {DEDUPED.strip()}" if folds else ""
    if omitted:
        note += f"; omitted: {omitted}"
    return "\n".join([f"{MARK}{len(nodes)}{note}", *map(" ".join, lines)])


def decode_tree(form: str) -> list[Node]:
    """The nodes a form was written from.

    Raises:
        ValueError: the text is no such form.
    """
    first, *lines = form.split("\n")
    match = _HEAD.match(first)
    if match is None:
        raise ValueError("no tree form")
    folds = match.group(2) is not None
    nodes: list[Node] = []
    for line in lines:
        depth = len(line) - len(line.lstrip(" "))
        if not depth:
            nodes.append(Node(0, line))
            continue
        tokens = _TOKEN.findall(line)
        if tokens[0].endswith(":"):
            nodes.append(Node(depth, _read_label(tokens.pop(0)[:-1], folds)))
            depth += 1
        nodes += [Node(depth, _read_label(t, folds)) for t in tokens]
    if len(nodes) != int(match.group(1)):
        raise ValueError("nodes are missing")
    return nodes

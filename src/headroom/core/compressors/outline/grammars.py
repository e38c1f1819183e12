"""The grammars of tree-sitter: where a source text has bodies, comments, docstrings.

The only module that knows tree-sitter. The grammars are wheels of their own (the extra
``code``), imported when a language is first met; nothing is ever downloaded. Where one
is not installed its language counts as unknown, and the text is left alone.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

_MODULES = {
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "php": ("tree_sitter_php", "language_php"),
}

_JS_BODIES = """
(function_declaration body: (_) @body)
(function_expression body: (_) @body)
(generator_function_declaration body: (_) @body)
(arrow_function body: (statement_block) @body)
(method_definition body: (_) @body)
"""
_QUERIES = {
    "python": """
(function_definition body: (_) @body)
(module . (expression_statement (string) @comment))
(function_definition body: (block . (expression_statement (string) @comment)))
(class_definition body: (block . (expression_statement (string) @comment)))
""",
    "javascript": _JS_BODIES,
    "typescript": _JS_BODIES,
    "tsx": _JS_BODIES,
    "go": """
(function_declaration body: (_) @body)
(method_declaration body: (_) @body)
(func_literal body: (_) @body)
""",
    "rust": "(function_item body: (_) @body)",
    "java": """
(method_declaration body: (_) @body)
(constructor_declaration body: (_) @body)
(static_initializer (block) @body)
""",
    "c": "(function_definition body: (_) @body)",
    "cpp": """
(function_definition body: (_) @body)
(lambda_expression body: (_) @body)
""",
    "ruby": """
(method body: (_) @body)
(singleton_method body: (_) @body)
""",
    "php": """
(function_definition body: (_) @body)
(method_declaration body: (_) @body)
""",
    "c_sharp": """
(method_declaration body: (block) @body)
(constructor_declaration body: (block) @body)
(local_function_statement body: (block) @body)
(accessor_declaration body: (block) @body)
""",
    "bash": "(function_definition body: (_) @body)",
}
_COMMENTS = {
    "rust": "(line_comment) @comment (block_comment) @comment",
    "java": "(line_comment) @comment (block_comment) @comment",
}
_PLAIN_COMMENT = "(comment) @comment"

_HOLDERS = frozenset(
    {"decorated_definition", "variable_declarator", "assignment_expression", "pair"}
)
"""What gives a function without a name one, or stands before it."""

LANGUAGES = frozenset(_QUERIES)


_CHUNK_BYTES = 1 << 16
_MAX_UNREAD_NODES = 2000
_MAX_VISITED = 20_000


class Region(Struct, frozen=True, gc=False):
    """Lines ``start`` to ``end``, both included, from 0.

    Attributes:
        start_column: where it begins in its first line, in bytes.
        owner: the first line of the named function whose body it is; -1: of none.
    """

    start: int
    end: int
    start_column: int
    owner: int = -1


class Anatomy(Struct, frozen=True):
    """What a grammar tells of a source text.

    Attributes:
        bodies: of functions, outer before inner ones.
        comments: comments and docstrings.
        error_share: how much of the text the grammar could not read, 0 to 1.
    """

    bodies: tuple[Region, ...]
    comments: tuple[Region, ...]
    error_share: float


@lru_cache(maxsize=16)
def _load(language: str) -> "tuple[Parser, Query] | None":
    name, function = _MODULES.get(language, (f"tree_sitter_{language}", "language"))
    try:
        core = importlib.import_module("tree_sitter")
        grammar = importlib.import_module(name)
    except ImportError:
        return None
    loaded = core.Language(getattr(grammar, function)())
    query = _QUERIES[language] + _COMMENTS.get(language, _PLAIN_COMMENT)
    return core.Parser(loaded), core.Query(loaded, query)


def is_installed(language: str) -> bool:
    """Whether the language's grammar can be used here."""
    return language in LANGUAGES and _load(language) is not None


def dissect(text: str, language: str) -> Anatomy | None:
    """Bodies and comments of a source text.

    ``None`` without the language's grammar, or where the text is so far from it that
    reading it would take long.
    """
    loaded = _load(language) if language in LANGUAGES else None
    if loaded is None:
        return None
    parser, query = loaded
    source = text.encode()
    root = _parse(parser, source)
    unread = -1 if root is None else _unread_bytes(root)
    if root is None or unread < 0:
        return None
    cursor_type: Any = importlib.import_module("tree_sitter").QueryCursor
    found = cursor_type(query).captures(root)
    return Anatomy(
        _regions(found.get("body", []), _owner),
        _regions(found.get("comment", [])),
        unread / max(1, len(source)),
    )


def _parse(parser: "Parser", source: bytes) -> "Node | None":
    """The tree's root; ``None`` where it takes far more steps than source code does."""
    steps = 0
    allowed = 500 + len(source) // 50

    def is_enough(*_: object) -> bool:
        nonlocal steps
        steps += 1
        return steps > allowed

    def read(start: int, _point: object) -> bytes:
        return source[start : start + _CHUNK_BYTES]

    try:
        return parser.parse(read, progress_callback=is_enough).root_node
    except ValueError:
        parser.reset()
        return None


def _unread_bytes(root: "Node") -> int:
    """Bytes in which the grammar found no sense; -1 where that is too much to walk.

    Queries take time by the square of the children of a node that could not be read.
    """
    unread = visited = 0
    level = [root]
    while level:
        below: list[Node] = []
        for node in level:
            visited += 1
            if node.is_error:
                if node.descendant_count > _MAX_UNREAD_NODES:
                    return -1
                unread += node.end_byte - node.start_byte
            elif node.has_error:
                below += [child for child in node.children if child.has_error]
        if visited > _MAX_VISITED:
            return -1
        level = below
    return unread


def _owner(body: "Node") -> int:
    """The first line of a function that has a name, with its decorators."""
    function = body.parent
    if function is None:
        return -1
    holder = function.parent
    if holder is not None and holder.type in _HOLDERS:
        return holder.start_point.row
    is_named = (
        function.child_by_field_name("name") is not None
        or function.child_by_field_name("declarator") is not None
    )
    return function.start_point.row if is_named else -1


def _none(_node: "Node") -> int:
    return -1


def _regions(
    nodes: "list[Node]", owner: "Callable[[Node], int]" = _none
) -> tuple[Region, ...]:
    found = []
    for node in nodes:
        start, end = node.start_point, node.end_point
        # A node that ends at the beginning of a line does not reach into it.
        last = end.row - 1 if end.column == 0 and end.row > start.row else end.row
        found.append(Region(start.row, last, start.column, owner(node)))
    return tuple(sorted(found, key=lambda r: (r.start, -r.end, r.start_column)))

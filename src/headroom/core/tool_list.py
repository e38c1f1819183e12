"""Tool definitions put in order, and shorter without meaning anything else.

Definitions are the largest part of many requests and stand first in the prefix, so what
becomes of them depends on nothing but their own bytes. Values are copied as they were
written: numbers keep their digits, arrays their order.

Shortening is lossless by meaning. White space at the ends of lines, blank lines beyond
one, and indentation that all lines share go out of descriptions; and these go out of
schemas: ``$schema``; ``additionalProperties`` that is true, as it is when absent
(https://json-schema.org/draft/2020-12/json-schema-core#name-additionalproperties); a
``title`` that only spells the property's name again; empty ``required``, ``examples``
and ``description``; ``deprecated``, ``readOnly``, ``writeOnly`` and ``uniqueItems``
that are false.
"""

import hashlib
import textwrap
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from headroom.core.types import Edit, Span, ToolSpan
from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError

MAX_DEPTH = 64
"""Schemas nested deeper are left as they are."""

_ALWAYS_REDUNDANT = frozenset({"$schema"})
_REDUNDANT_VALUES: dict[str, frozenset[bytes]] = {
    "additionalProperties": frozenset({b"true"}),
    "required": frozenset({b"[]"}),
    "examples": frozenset({b"[]"}),
    "description": frozenset({b'""'}),
    "deprecated": frozenset({b"false"}),
    "readOnly": frozenset({b"false"}),
    "writeOnly": frozenset({b"false"}),
    "uniqueItems": frozenset({b"false"}),
}
_NAMED_SCHEMAS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
"""Keywords whose members are schemas under names of the author's choosing."""
_SCHEMAS = frozenset(
    {"items", "contains", "additionalProperties", "not", "if", "then", "else",
     "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})


class Rewritten(Struct, frozen=True):
    """The edits to a tool list, and the names of what made any."""

    edits: tuple[Edit, ...] = ()
    names: tuple[str, ...] = ()


class _Element(Struct, frozen=True):
    """A tool by itself; spans count from its own start."""

    raw: bytes
    name: str
    schema: Span | None


def rewritten(
    body: bytes,
    tools: Sequence[ToolSpan],
    stabilisers: tuple[str, ...],
    last_member: bytes = b"",
) -> Rewritten:
    """What puts a tool list in order.

    Args:
        body: what the spans point into.
        tools: the list's elements, in its order.
        stabilisers: ``tool_sort``, ``schema_sort``, ``tool_compact``; others are not
            looked at.
        last_member: a member to add to the tool that comes last, as JSON.
    """
    elements = tuple(
        _Element(
            tool.span.of(body),
            tool.name,
            None
            if tool.schema is None
            else Span(
                tool.schema.start - tool.span.start, tool.schema.end - tool.span.start
            ),
        )
        for tool in tools
    )
    wanted = tuple(
        name
        for name in ("schema_sort", "tool_compact", "tool_sort")
        if name in stabilisers
    )
    results, names = _ordered(elements, wanted) if wanted else (None, ())
    texts = list(results) if results is not None else [e.raw for e in elements]
    if last_member and texts:
        texts[-1] = b"%b,%b}" % (texts[-1].rstrip(b" \t\r\n")[:-1], last_member)
    edits = tuple(
        Edit(tool.span, text)
        for tool, element, text in zip(tools, elements, texts, strict=True)
        if text != element.raw
    )
    return Rewritten(edits, names)


@lru_cache(maxsize=256)
def _ordered(
    elements: tuple[_Element, ...], wanted: tuple[str, ...]
) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The elements as they are sent; conversations repeat theirs on every turn."""
    names = []
    found = list(elements)
    if "tool_sort" in wanted:
        found.sort(key=_sort_key)
        if found != list(elements):
            names.append("tool_sort")
    texts = [element.raw for element in found]
    if "tool_compact" in wanted:
        shorter = [compacted(element.raw) for element in found]
        if shorter != texts:
            names.append("tool_compact")
        texts = shorter
    if "schema_sort" in wanted:
        ordered = [
            _with_sorted_schema(element, text)
            for element, text in zip(found, texts, strict=True)
        ]
        if ordered != texts:
            names.append("schema_sort")
        texts = ordered
    return tuple(texts), tuple(names)


def _sort_key(element: _Element) -> tuple[str, str]:
    """By name; tools without one by the MD5 of their bytes (SPEC P30)."""
    if element.name:
        return element.name, ""
    digest = hashlib.md5(element.raw, usedforsecurity=False).hexdigest()
    return digest, digest


def _with_sorted_schema(element: _Element, text: bytes) -> bytes:
    """A tool with the keys of its schema sorted, wherever the schema stands in it."""
    if element.schema is None or _has_half_pair(text):
        return text
    schema = element.schema
    if text != element.raw:  # shortened, so the schema is found by its key again
        found = _schema_of(text)
        if found is None:
            return text
        schema = found
    try:
        ordered = sorted_keys(text, schema)
    except MalformedBodyError:
        return text
    return text[: schema.start] + ordered + text[schema.end :]


def _has_half_pair(tool: bytes) -> bool:
    """Whether something in it could not be written again."""
    return json_spans.has_half_pair(tool, Span(0, len(tool)))


def _schema_of(tool: bytes) -> Span | None:
    """The schema of a tool in any API's shape."""
    members = json_spans.members(tool, json_spans.whole(tool))
    inner = members.get("function")
    if inner is not None and json_spans.is_object(tool, inner):
        members = json_spans.members(tool, inner)
    for name in ("input_schema", "parameters"):
        found = members.get(name)
        if found is not None and json_spans.is_object(tool, found):
            return found
    return None


def sorted_keys(body: bytes, span: Span, depth: int = 0) -> bytes:
    """A JSON value with the keys of all its objects sorted, without white space.

    Args:
        body: what the span points into.
        span: the value.
        depth: how deep it stands.

    Raises:
        MalformedBodyError: it is nested too deeply, or in any doubt.
    """
    if depth > MAX_DEPTH:
        raise MalformedBodyError("nested too deeply", span.start)
    if json_spans.is_object(body, span):
        members = json_spans.members(body, span)
        return b"{%b}" % b",".join(
            b"%b:%b"
            % (
                json_spans.encode_string(key),
                sorted_keys(body, members[key], depth + 1),
            )
            for key in sorted(members)
        )
    if json_spans.is_array(body, span):
        parts = json_spans.elements(body, span)
        return b"[%b]" % b",".join(sorted_keys(body, part, depth + 1) for part in parts)
    return span.of(body)


def compacted(tool: bytes) -> bytes:
    """A tool definition without what says nothing; itself if nothing is redundant.

    Args:
        tool: one element of a tool list, in any API's shape.
    """
    if _has_half_pair(tool):
        return tool
    try:
        whole = json_spans.whole(tool)
        shorter = _compact_tool(tool, whole)
        shorter = _without_blanks(shorter, json_spans.whole(shorter))
        plain = _without_blanks(tool, whole)
    except MalformedBodyError:
        return tool
    # White space between values is never billed: it alone is no reason for a change.
    return shorter if len(shorter) < len(plain) else tool


def _without_blanks(body: bytes, span: Span) -> bytes:
    """A JSON value without the white space between its values."""
    if json_spans.is_object(body, span):
        return b"{%b}" % b",".join(
            b"%b:%b" % (json_spans.encode_string(key), _without_blanks(body, value))
            for key, value in json_spans.members(body, span).items()
        )
    if json_spans.is_array(body, span):
        parts = json_spans.elements(body, span)
        return b"[%b]" % b",".join(_without_blanks(body, part) for part in parts)
    return span.of(body)


def _compact_tool(body: bytes, span: Span) -> bytes:
    if not json_spans.is_object(body, span):
        return span.of(body)
    pieces = []
    for key, value in json_spans.members(body, span).items():
        if key == "description" and json_spans.is_string(body, value):
            text = _tidy(json_spans.string(body, value))
            data = json_spans.encode_string(text)
        elif key in {"input_schema", "parameters"}:
            data = _compact_schema(body, value, "", 0)
        elif key in {"function", "custom"}:
            data = _compact_tool(body, value)
        else:
            data = value.of(body)
        pieces.append(b"%b:%b" % (json_spans.encode_string(key), data))
    return b"{%b}" % b",".join(pieces)


def _compact_schema(body: bytes, span: Span, name: str, depth: int) -> bytes:
    """A schema that stands under ``name``."""
    if depth > MAX_DEPTH:
        raise MalformedBodyError("nested too deeply", span.start)
    if not json_spans.is_object(body, span):
        return span.of(body)
    pieces = []
    for key, value in json_spans.members(body, span).items():
        raw = value.of(body)
        if _is_redundant(body, key, value, name):
            continue
        if key == "description" and json_spans.is_string(body, value):
            raw = json_spans.encode_string(_tidy(json_spans.string(body, value)))
        elif key in _NAMED_SCHEMAS and json_spans.is_object(body, value):
            raw = b"{%b}" % b",".join(
                b"%b:%b"
                % (
                    json_spans.encode_string(inner),
                    _compact_schema(body, found, inner, depth + 1),
                )
                for inner, found in json_spans.members(body, value).items()
            )
        elif key in _SCHEMAS:
            raw = _compact_schema(body, value, "", depth + 1)
        elif key in _SCHEMA_LISTS and json_spans.is_array(body, value):
            raw = b"[%b]" % b",".join(
                _compact_schema(body, found, "", depth + 1)
                for found in json_spans.elements(body, value)
            )
        pieces.append(b"%b:%b" % (json_spans.encode_string(key), raw))
    return b"{%b}" % b",".join(pieces)


def _is_redundant(body: bytes, key: str, value: Span, name: str) -> bool:
    if key in _ALWAYS_REDUNDANT:
        return True
    if key == "title" and name and json_spans.is_string(body, value):
        title = json_spans.string(body, value)
        return _letters(title) == _letters(name)
    return value.of(body) in _REDUNDANT_VALUES.get(key, frozenset())


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _tidy(text: str) -> str:
    """A description without white space that says nothing."""
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    head, rest = lines[0].strip(), lines[1:]
    # The first line of a docstring stands behind its quotes, not at the margin.
    body = textwrap.dedent("\n".join(rest)).split("\n") if rest else []
    kept = [head]
    for line in body:
        if line or kept[-1]:
            kept.append(line)
    return "\n".join(kept).rstrip()

"""Strings inside a structure that a tool returned: the places that may be shortened.

The structure itself stays as it is: the API reads it as one, and a table in its place
would be another one.
"""

from headroom.core.types import Span
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.providers.messages import members

MIN_NESTED_BYTES = 128
"""Strings deeper inside a result are looked at from this length on: a structure of
thousands of names and numbers has nothing to shorten in any one of them."""

MAX_STRINGS = 500
_MAX_DEPTH = 12


def nested_strings(body: bytes, span: Span) -> list[tuple[Span, bool]]:
    """The strings of an object or array in order; none if there are too many.

    With each, whether it tells of an error: it stands in a member ``error`` on top.
    """
    found: list[tuple[Span, bool]] = []
    _collect(body, span, found, depth=0)
    return found if len(found) <= MAX_STRINGS else []


def _collect(
    body: bytes,
    span: Span,
    found: list[tuple[Span, bool]],
    *,
    depth: int,
    is_error: bool = False,
) -> None:
    if is_object(body, span):
        inner = list(members(body, span).items())
    else:
        inner = [("", value) for value in elements(body, span)]
    for name, value in inner:
        is_failure = is_error or (depth == 0 and name == "error")
        is_long = depth == 0 or value.end - value.start >= MIN_NESTED_BYTES
        if not is_long or len(found) > MAX_STRINGS:
            continue
        if is_string(body, value):
            found.append((value, is_failure))
        elif depth < _MAX_DEPTH and (is_object(body, value) or is_array(body, value)):
            _collect(body, value, found, depth=depth + 1, is_error=is_failure)

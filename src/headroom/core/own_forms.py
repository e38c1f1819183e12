"""Forms that compressors wrote, known again wherever they come from.

A tool may print what a model was sent: a saved conversation, another proxy's output.
What always holds: a header alone proves nothing, so that whoever imitates one switches
nothing off; it is the rest of the text that has to fit.
"""

import re

from headroom.core.compressors import COMPRESSORS
from headroom.core.content.clean import clean
from headroom.core.content.seal import is_sealed
from headroom.core.markers import account_of, strip_marker
from headroom.core.mixed import NAME

OWN_FORM = 1.0
"""A compressor is this sure only of its own output, which it has decoded."""

_HEADER = re.compile(
    r"(?P<table>#table)|(?P<listing>#(?:ls|paths|tree))|(?P<json>#json)"
    r"|(?:(?P<log>log|lines)|(?P<trace>trace)|(?P<build>build)) [topl]"
    r"|(?P<config>config|xml) [topl]"
    r"|\[(?:(?P<diff>diff)|(?P<search>grep|rg --json|paths|Found, |File, )"
    r"|(?P<html>html) |(?P<prose>prose) |(?P<code>outline of |numbered view )"
    r"|(?P<mixed>sections))"
)
AS_TOLD = "omitted as told"

_KINDS = {"config": "json"}
_MIXED = "mixed"


def has_header(text: str) -> bool:
    """Whether the text begins as forms do, whoever wrote it."""
    return _HEADER.match(text) is not None


def is_own_form(text: str) -> bool:
    """Whether a compressor wrote the text: by its header, and by decoding it."""
    header = _HEADER.match(text)
    if header is None:
        return False
    kind = _kind_of(header)
    form = strip_marker(text)
    if kind == _MIXED:
        return is_sealed(NAME, form)
    if _is_form(kind, form):
        return True
    omitted = account_of(text)
    return bool(omitted) and any(
        _is_form(kind, whole) for whole in _with_account(form, omitted)
    )


def above_marker(form: str, omitted: str) -> tuple[str, str]:
    """A lossy form as it stands above its marker, and what this says is left out.

    Some forms end with their account, others have it in their header: the marker tells
    it then. Where it stands at its place in the text, the marker need not repeat it.
    """
    head, newline, rest = form.partition("\n")
    short = head.removesuffix(f"; {omitted}")
    if short != head:
        return f"{short}{newline}{rest}", omitted
    text = form.removesuffix(f"\n{omitted}")
    if text == form and len(omitted) > len(AS_TOLD) and omitted in form:
        return form, AS_TOLD
    return text, omitted


def _with_account(form: str, omitted: str) -> tuple[str, str]:
    """What a form above its marker may have been."""
    head, newline, rest = form.partition("\n")
    return f"{head}; {omitted}{newline}{rest}", f"{form}\n{omitted}"


def _is_form(kind: str, text: str) -> bool:
    able = (compressor for compressor in COMPRESSORS if compressor.kind == kind)
    return any(compressor.detect(text) >= OWN_FORM for compressor in able)


def is_decodable(form: str, kind: str) -> bool:
    """Whether a lossless form says by its header that it is of a kind.

    Whoever wrote it has decoded it. Others read like any text, and their text may begin
    with a header.
    """
    header = _HEADER.match(form)
    return header is not None and kind != _MIXED and _kind_of(header) == kind


def _kind_of(header: re.Match[str]) -> str:
    found = header.lastgroup or ""
    return _KINDS.get(found, found)


def at_rest(form: str) -> str:
    """A form that reads like any text, as cleaning leaves it.

    Nothing tells it from a tool's output when it comes again, and that is cleaned.
    """
    return form if _HEADER.match(form) is not None else clean(form)

"""Answer the retrieval tool: find an original by its hash and give the part asked for.

Whoever asks (a model through the proxy or MCP, a person at the shell) gets words: what
was asked for, or a short account of why it is not there and what to do about it.
"""

import re
from collections.abc import Callable
from functools import partial

import msgspec
from msgspec import Struct

from headroom.ccr.excerpts import DEFAULT_MAX_BYTES, ArgumentError, answer, excerpt
from headroom.core import markers
from headroom.core.digest import DIGEST_HEX_LENGTH
from headroom.errors import (
    CorruptOriginalError,
    OriginalNotFoundError,
    StoreError,
)

__all__ = ["Retrieved", "answer", "retrieve", "retrieve_call"]

_SHOWN = 60
_NUMBER = re.compile(
    r"(?:(?:result|repeats) )?#?(\d{1,6}[cd]?)(?::(\d{1,9}(?:-\d{1,9})?))?(?: [^#]*)?"
)
"""A number as references and their heads have it: ``#7``, ``#7:1-60``, ``#7 Read``."""
_SURROGATES = "surrogatepass"


class Retrieved(Struct, frozen=True):
    """What is answered to one retrieval.

    Attributes:
        text: the answer, in words for the model or person.
        digest: the hash that was meant, or ``#`` and a number; empty if none was given.
        error: code of what went wrong (``original_not_found``, ``corrupt_original``,
            ``store_unavailable``, ``bad_arguments``); empty if all went well.
        size_bytes: the whole original in UTF-8, once it is found.
    """

    text: str
    digest: str = ""
    error: str = ""
    size_bytes: int = 0


class _Arguments(Struct):
    """What models give the tool, of whatever type they think it has."""

    hash: object = None
    lines: object = None
    query: object = None
    rows: object = None


def retrieve_call(
    arguments: bytes,
    get: Callable[[str], str],
    *,
    numbered: Callable[[str], str] | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Retrieved:
    """Answer one call of the tool.

    Args:
        arguments: the call's arguments, raw JSON as the model wrote them.
        get: the original under a digest, raising as ``Store.get`` does.
        numbered: the same for the name of a result in the conversation that asks;
            ``None``: it is not known which conversation that is.
        max_bytes: the most that is answered at once.
    """
    try:
        given = msgspec.json.decode(arguments or b"{}", type=_Arguments)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Retrieved(
            f"[the arguments are no JSON object: {error};"
            ' expected {"hash":"…","lines":"A-B"}]',
            error="bad_arguments",
        )
    number, lines = read_number(given.hash)
    if numbered is not None and number:
        part = partial(
            excerpt,
            lines=given.lines or ("" if given.rows else lines),
            query=given.query,
            rows=given.rows,
            max_bytes=max_bytes,
        )
        return _answered(f"#{number}", partial(numbered, number), part)
    return retrieve(
        given.hash,
        get,
        lines=given.lines,
        query=given.query,
        rows=given.rows,
        max_bytes=max_bytes,
    )


def retrieve(
    named: object,
    get: Callable[[str], str],
    *,
    lines: object = None,
    query: object = None,
    rows: object = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Retrieved:
    """Answer who asks for an original or a part of it; never raises for what is asked.

    Args:
        named: the hash, or the marker it stands in.
        get: the original under a digest, raising as ``Store.get`` does.
        lines: which lines, ``"A-B"``.
        query: what to search for.
        rows: which rows, ``"A-B"``.
        max_bytes: the most that is answered at once.
    """
    part = partial(excerpt, lines=lines, query=query, rows=rows, max_bytes=max_bytes)
    digest = read_digest(named)
    if len(digest) != DIGEST_HEX_LENGTH:
        return Retrieved(
            f"[hash={str(named)[:_SHOWN]!r} is no hash; expected the"
            f" {DIGEST_HEX_LENGTH} hex digits of a <<ccr:HASH>> marker]",
            digest,
            "bad_arguments",
        )
    return _answered(digest, partial(get, digest), part)


def _answered(
    digest: str, get: Callable[[], str], part: Callable[[str], str]
) -> Retrieved:
    """The part of a text that is asked for, or why it is not there."""
    try:
        text = get()
    except OriginalNotFoundError as error:
        return Retrieved(
            f"[nothing is kept under {digest}: it is not from this"
            " conversation, or it has expired; run the original command again]",
            digest,
            error.code,
        )
    except CorruptOriginalError as error:
        return Retrieved(
            f"[the original {digest} is damaged and will not be shown;"
            " run the original command again]",
            digest,
            error.code,
        )
    except StoreError as error:
        return Retrieved(
            f"[the original {digest} cannot be read at the moment;"
            " try again later, or run the original command again]",
            digest,
            error.code,
        )
    size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", _SURROGATES))
    try:
        return Retrieved(part(text), digest, size_bytes=size_bytes)
    except ArgumentError as error:
        return Retrieved(f"[{error}]", digest, error.code, size_bytes)


def read_number(named: object) -> tuple[str, str]:
    """The number of a result that somebody means, and the lines named with it.

    Both are empty if there is none.
    """
    text = str(named or "").strip("<>[]\"'` \n").lower().removeprefix("ccr:")
    found = _NUMBER.fullmatch(text)
    return (found[1], found[2] or "") if found else ("", "")


def read_digest(named: object) -> str:
    """The digest that somebody means, out of a marker or bare; empty if there is none.

    It may be shorter than it should be; nothing is kept under such a one.
    """
    text = str(named or "").strip().lower()
    found = markers.find_markers(text)
    bare = found[0].digest if found else text.removeprefix("ccr:").strip("<>\"'` ")
    return bare if markers.is_digest(bare) else ""

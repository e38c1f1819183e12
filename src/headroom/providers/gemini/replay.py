"""Contents of the model sent back: hidden exchanges in their place, and continuations.

A request in which the client resends an answer gets the calls it never saw back. Where
a hidden user content stood, the client's content is split into two: the first ends with
the call, the user content with the result follows, the second goes on. Clients join
the texts of an answer, so a place may be inside a text, which is then cut there. A
continuation is the forwarded request with the answer so far and the results behind it.

What always holds: parts are copied, but for a text that is cut, and for a signature
that the splicer lent to the client's first call: it goes back to the hidden call it
came with.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from headroom.core.hidden import Place, Placement
from headroom.core.splice import splice
from headroom.core.types import Edit, RequestView, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.json_spans import elements, is_array
from headroom.errors import CompressionError, MalformedBodyError, StreamError
from headroom.providers.gemini import parts as reading
from headroom.providers.gemini.parts import Part, read_part, signed, unsigned
from headroom.providers.messages import members
from headroom.providers.rounds import result_text

_Sequence: TypeAlias = "list[Part | Place]"


def part_spans(view: RequestView, index: int) -> list[Span]:
    """Where the parts of content ``index`` stand."""
    body = view.body
    parts = json_spans.members(body, view.messages[index].span).get("parts")
    if parts is None or not is_array(body, parts):
        return []
    return elements(body, parts)


def part_members(view: RequestView, index: int) -> list[dict[str, Span]]:
    """The members of the parts of content ``index``, as ``members`` reads them."""
    return [members(view.body, span) for span in part_spans(view, index)]


def anchors(view: RequestView, index: int) -> tuple[str, ...]:
    """One anchor per part of content ``index``."""
    return reading.anchors(_parts(view, index))


def _parts(view: RequestView, index: int) -> tuple[Part, ...]:
    return reading.read_parts([s.of(view.body) for s in part_spans(view, index)])


def hidden_edits(view: RequestView, index: int, placement: Placement) -> list[Edit]:
    """What puts hidden parts back into content ``index`` and the one after it.

    Raises:
        CompressionError: the content has not the parts they were placed between.
    """
    places = placement.places
    first = _first_result(view, index + 1) if placement.results else None
    if placement.results and first is None:
        # Without a place for its results a call would make the request invalid.
        turns = [n for n, place in enumerate(places) if place.kind == "turn"]
        places = places[: turns[-1] + 1] if turns else ()
    edits: list[Edit] = []
    if places:
        try:
            contents = _contents(_in_sequence(_parts(view, index), places))
        except StreamError as error:
            raise CompressionError(f"content {index}: {error}") from error
        edits.append(Edit(view.messages[index].span, contents))
    if first is not None:
        edits.append(Edit(Span(first, first), placement.results + b","))
    return edits


def _first_result(view: RequestView, index: int) -> int | None:
    """Where results go into a content of the user; ``None`` if it has no part."""
    if index >= len(view.messages) or view.messages[index].role != "user":
        return None
    spans = part_spans(view, index)
    return spans[0].start if spans else None


def _in_sequence(parts: Sequence[Part], places: Sequence[Place]) -> _Sequence:
    """Parts and places in the model's order.

    Raises:
        CompressionError: a place is not there.
        StreamError: a part is broken.
    """
    if any(place.position > len(parts) for place in places):
        raise CompressionError("there is no such place")
    found: _Sequence = []
    inside: list[Place] = []
    before = 0  # characters of the text that is cut, up to here
    for number, part in enumerate(parts):
        here = [place for place in places if place.position == number]
        found += [place for place in here if not place.offset]
        inside += [place for place in here if place.offset]
        if not inside or part.is_thought or part.text is None:
            before = before if inside else 0
            found.append(part)
            continue
        before += _cut(part, inside, before, found)
    if inside:
        raise CompressionError("a text is shorter than it was")
    found += [place for place in places if place.position == len(parts)]
    return found


def _cut(part: Part, inside: list[Place], before: int, found: _Sequence) -> int:
    """Put a text in pieces, with the places inside it between them.

    Args:
        part: with a text.
        inside: places inside the text that begins ``before`` characters before this
            part; those that stand in it are taken off.
        before: see there; white space does not count.
        found: what is appended to.

    Returns:
        The part's characters, white space aside.
    """
    text = part.text or ""
    count = _size(text)
    rest = part
    taken = 0
    while inside and inside[0].offset <= before + count:
        offset = inside[0].offset - before
        cut = _position(rest.text or "", offset - taken, inside[0].blanks)
        left, right = (rest.text or "")[:cut], (rest.text or "")[cut:]
        if left.strip():
            found.append(_with_text(rest, left, is_last=not right.strip()))
        taken = offset
        while inside and inside[0].offset == before + offset:
            found.append(inside.pop(0))
        rest = _with_text(rest, right, is_last=True)
    if (rest.text or "").strip() or rest.signature or rest is part:
        found.append(rest)
    return count


def _size(text: str) -> int:
    return len("".join(text.split()))


def _position(text: str, count: int, blanks: int) -> int:
    """Behind so many characters, white space aside, and so many blanks after them."""
    seen = 0
    for position, char in enumerate(text):
        if not char.isspace():
            if seen == count:
                return position
            seen += 1
        elif seen == count:
            if not blanks:
                return position
            blanks -= 1
    return len(text)


def _with_text(part: Part, text: str, *, is_last: bool) -> Part:
    members = json_parts.members(part.raw)
    members["text"] = json_parts.encode_string(text)
    raw = json_parts.encode_object(members)
    return read_part(raw if is_last else unsigned(raw))


def _contents(sequence: _Sequence) -> bytes:
    """The contents that a sequence means, joined by commas.

    Raises:
        CompressionError: a call or its result would stand alone.
        StreamError: a part is broken.
    """
    contents: list[bytes] = []
    open_parts: list[bytes] = []
    lent = ""
    for item in sequence:
        if isinstance(item, Part):
            is_lent = item.is_call and item.signature and item.signature == lent
            open_parts.append(unsigned(item.raw) if is_lent else item.raw)
        elif item.kind == "call":
            lent = lent or read_part(item.data).signature
            open_parts.append(item.data)
        elif not open_parts:
            raise CompressionError("a result without its call")
        else:
            contents += [model_content(open_parts), _user_content(item.data)]
            open_parts, lent = [], ""
    if not open_parts:
        raise CompressionError("nothing stands behind a result")
    return b",".join((*contents, model_content(open_parts)))


def model_content(parts: Iterable[bytes]) -> bytes:
    """A content of the model."""
    return b'{"role":"model","parts":[%b]}' % b",".join(parts)


def _user_content(parts: bytes) -> bytes:
    return b'{"role":"user","parts":[%b]}' % parts


def continue_body(body: bytes, parts: Sequence[Part], results: bytes) -> bytes:
    """The request that lets the model go on.

    Args:
        body: the request as it was forwarded.
        parts: what the model has said since then.
        results: of its calls, joined by commas.

    Raises:
        MalformedBodyError: ``body`` is not a request.
        StreamError: what the model said cannot be sent back.
    """
    contents = json_spans.members(body, json_spans.whole(body)).get("contents")
    if contents is None or not is_array(body, contents):
        raise MalformedBodyError("no contents", reason="no_messages")
    end = contents.end - 1
    turn = (model_content(sendable(parts)), _user_content(results))
    return splice(body, [Edit(Span(end, end), b"," + b",".join(turn))])


def sendable(parts: Sequence[Part]) -> list[bytes]:
    """The parts of an answer as they are sent back.

    Texts that came in pieces are joined, as clients do; empty ones and summaries of
    thoughts are left out, unless they are signed.

    Raises:
        StreamError: a part is broken.
    """
    found: list[bytes] = []
    run: list[str] = []
    for part in parts:
        is_text = part.text is not None and not part.is_thought
        if is_text and not part.signature:
            run.append(part.text or "")
            continue
        if part.is_thought and not part.signature:
            continue
        if run and is_text:
            run.append(part.text or "")
            raw = b'{"text":%b}' % json_parts.encode_string(json_parts.joined(run))
            found.append(signed(raw, part.signature))
            run = []
            continue
        found += _joined(run)
        run = []
        found.append(part.raw)
    return found + _joined(run)


def _joined(run: list[str]) -> list[bytes]:
    text = json_parts.joined(run)
    if not text.strip():
        return []
    return [b'{"text":%b}' % json_parts.encode_string(text)]


def result_part(call: Part, text: str) -> bytes:
    """The ``functionResponse`` for a call.

    Args:
        call: the part that makes it.
        text: the answer; lone surrogates are replaced.
    """
    members = {"id": json_parts.encode_string(call.id)} if call.id else {}
    literal = json_spans.encode_string(result_text(text))
    members |= {
        "name": json_parts.encode_string(call.name),
        "response": b'{"output":%b}' % literal,
    }
    return b'{"functionResponse":%b}' % json_parts.encode_object(members)

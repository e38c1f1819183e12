"""Assistant messages sent back with hidden exchanges in their place.

The client resends one message for all rounds of an answer. It is split again, at the
places in its text where the rounds ended: each head gets its hidden calls, their
results follow, what remains is the client's own message. Calls that stood beside the
client's own are put back among them, their results in front of the client's.

What always holds: the client's words are the provider's own; only white space at their
ends, which clients trim, may be missing.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from headroom.core.digest import content_digest
from headroom.core.hidden import Place, Placement, call_anchor, text_anchor
from headroom.core.types import Edit, RequestView, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.errors import CompressionError, StreamError
from headroom.providers.messages import text_of


class TextPlace(Struct, frozen=True, gc=False, array_like=True):
    """A place in a text of which white space may have been trimmed.

    Attributes:
        chars: that are no white space, before it.
        blanks: white space right before it.
        digest: of the characters before it.
    """

    chars: int
    blanks: int
    digest: str

    @classmethod
    def behind(cls, text: str) -> "TextPlace":
        """The place where ``text`` ends."""
        squeezed = "".join(text.split())
        blanks = len(text) - len(text.rstrip())
        return cls(len(squeezed), blanks, content_digest(squeezed))

    def find(self, text: str) -> int:
        """The place in a text that differs in white space at most.

        In a text that was left out altogether it is the start.

        Raises:
            CompressionError: the text before it is another one.
        """
        if self.chars and not text.strip():
            return 0
        position = _behind_chars(text, self.chars)
        if content_digest("".join(text[:position].split())) != self.digest:
            raise CompressionError("the text before a hidden call is another one")
        end = min(position + self.blanks, len(text))
        while position < end and text[position].isspace():
            position += 1
        return position


def _behind_chars(text: str, chars: int) -> int:
    """Where ``chars`` characters that are no white space have been passed."""
    if not chars:
        return 0
    for position, char in enumerate(text):
        chars -= not char.isspace()
        if not chars:
            return position + 1
    return len(text)


class HiddenTurn(Struct, frozen=True, gc=False, array_like=True):
    """A round that ended with hidden calls.

    Attributes:
        place: where in the client's text it ended.
        calls: the calls, as JSON joined by commas.
        results: the messages that answer them, as JSON joined by commas.
        extra: the round's thoughts, as members with JSON values.
    """

    place: TextPlace
    calls: bytes
    results: bytes
    extra: tuple[tuple[str, bytes], ...] = ()


_TURN = msgspec.msgpack.Decoder(HiddenTurn)


def assistant(text: str, extra: Iterable[tuple[str, bytes]], calls: bytes) -> bytes:
    """An assistant's message with calls."""
    members = {
        "role": b'"assistant"',
        "content": json_parts.encode_string(text) if text else b"null",
        **dict(extra),
        "tool_calls": b"[%b]" % calls,
    }
    return json_parts.encode_object(members)


def anchors(view: RequestView, index: int) -> tuple[str, ...]:
    """One anchor per call, then the text's; none if the message cannot be split.

    A client may have changed the text of a message with calls: they tell it apart, and
    each place in the text is checked when it is found.
    """
    body = view.body
    message = json_spans.members(body, view.messages[index].span)
    text = _text(body, message.get("content"))
    if text is None:
        return ()
    calls = (json_spans.members(body, span) for span in _calls(body, message))
    ids = (call_anchor(text_of(body, call.get("id"))) for call in calls)
    return (*ids, text_anchor(text))


def _text(body: bytes, content: Span | None) -> str | None:
    """All text of a message; ``None`` if there is anything else in it."""
    if content is None or content.of(body) == b"null":
        return ""
    if is_string(body, content):
        return json_spans.string(body, content)
    pieces = []
    for span in elements(body, content):
        part = json_spans.members(body, span) if is_object(body, span) else {}
        text = part.get("text")
        if text is None or not is_string(body, text):
            return None
        pieces.append(json_spans.string(body, text))
    return "".join(pieces)


def _calls(body: bytes, message: dict[str, Span]) -> list[Span]:
    found = message.get("tool_calls")
    if found is None or not is_array(body, found):
        return []
    return [span for span in elements(body, found) if is_object(body, span)]


def hidden_edits(view: RequestView, index: int, placement: Placement) -> list[Edit]:
    """What puts hidden parts back into message ``index`` and the one after it.

    Raises:
        CompressionError: the message is not the one they were placed in.
    """
    body = view.body
    span = view.messages[index].span
    message = json_spans.members(body, span)
    edits: list[Edit] = []
    turns = [place for place in placement.places if place.kind == "turn"]
    if turns:
        edits += _split(body, span, message, [_turn(place) for place in turns])
    calls = [place for place in placement.places if place.kind == "call"]
    after = index + 1
    if not calls or after >= len(view.messages) or view.messages[after].role != "user":
        # Without a place for their results calls would make the request invalid.
        return edits
    edits += _call_edits(index, _calls(body, message), calls)
    start = view.messages[after].span.start
    edits.append(Edit(Span(start, start), placement.results + b","))
    return edits


def _turn(place: Place) -> HiddenTurn:
    try:
        return _TURN.decode(place.data)
    except msgspec.MsgspecError as error:
        raise CompressionError(f"no hidden turn: {error}") from error


def _split(
    body: bytes, span: Span, message: dict[str, Span], turns: Sequence[HiddenTurn]
) -> list[Edit]:
    content = message.get("content")
    text = _text(body, content)
    if text is None:
        raise CompressionError("the message has more than text")
    echoed = {
        name: raw
        for name, value in message.items()
        if (raw := value.of(body)) not in {b"null", b'""', b"[]"}
    }
    thoughts = {name: raw for name, raw in echoed.items() if name != "content"}
    heads = []
    start = 0
    for turn in turns:
        end = turn.place.find(text)
        extra = [(name, raw) for name, raw in turn.extra if name in thoughts]
        for name, raw in extra:
            thoughts[name] = _without_head(thoughts[name], raw)
        heads += [assistant(text[start:end], extra, turn.calls), turn.results]
        start = end
    at = Span(span.start, span.start)
    edits = [Edit(at, b"%b," % b",".join(heads))]
    if content is not None and start:
        rest = text[start:]
        literal = json_parts.encode_string(rest) if rest else b"null"
        edits.append(Edit(content, literal))
    return edits + [
        Edit(message[name], raw)
        for name, raw in thoughts.items()
        if raw != echoed[name]
    ]


def _without_head(whole: bytes, head: bytes) -> bytes:
    """A member's JSON without the string or the elements it begins with, if it does."""
    try:
        if whole[:1] == b'"' == head[:1]:
            text, start = json_parts.string(whole), json_parts.string(head)
            return json_parts.encode_string(text.removeprefix(start))
        if whole[:1] == b"[" == head[:1]:
            values, first = json_parts.elements(whole), json_parts.elements(head)
            known = [json_parts.members(value) for value in values[: len(first)]]
            if known == [json_parts.members(value) for value in first]:
                return b"[%b]" % b",".join(values[len(first) :])
    except StreamError:
        pass  # it is of another shape than it came in
    return whole


def _call_edits(index: int, calls: list[Span], places: list[Place]) -> list[Edit]:
    """Hidden calls among the client's; behind them stands the text."""
    if not calls:
        raise CompressionError(f"message {index} has no calls")
    edits = []
    for position in sorted({place.position for place in places}):
        gap = [place.data for place in places if place.position == position]
        if position < len(calls):
            start = calls[position].start
            text = b"".join(b"%b," % data for data in gap)
        else:
            start = calls[-1].end
            text = b"".join(b",%b" % data for data in gap)
        edits.append(Edit(Span(start, start), text))
    return edits

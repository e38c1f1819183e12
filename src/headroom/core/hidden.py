"""Exchanges that the client never saw, as values: remembered, found again, put back.

When the model asks for an original, the proxy answers inside the stream: the client
gets one message in which the call and its answer are missing. The provider must see
them again in every later request, or its cached prefix and the signatures of its
thinking no longer fit. So the shell keeps an ``Answer`` per such message (what the
client saw, by anchors, and what it did not see, as bytes); when the message comes back
in a request, ``place`` says where in *that* message the hidden parts belong.

What always holds: an anchor is something the client echoes as it is (a call id, a
thinking signature, else the digest of a text without white space). Where anchors do not
tell one place for every hidden part, nothing is put back: that costs a cache miss, a
wrong insertion would corrupt the conversation.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from headroom.core.digest import chain_key, content_digest

NOTE_SLOTS = 16
"""Answers kept per request: who retries or rewinds may go on from any of them."""

NEUTRAL = ""
"""The anchor of a block that tells nothing: an empty text."""

Kind: TypeAlias = Literal["seen", "call", "turn"]


class Part(Struct, frozen=True, gc=False, array_like=True):
    """One piece of an answer, in the model's order.

    Attributes:
        kind: ``seen`` by the client; a hidden ``call``; or the ``turn`` to a hidden
            user message with results, behind which the model went on.
        anchor: of what was seen.
        data: the call's block, or the results of a turn joined by commas, as JSON.
        offset: of a hidden part that stands inside the text the client sees behind it:
            how many of the text's characters, white space aside, stand before it.
        blanks: how many of the blanks behind these stand before it too.
    """

    kind: Kind
    anchor: str = ""
    data: bytes = b""
    offset: int = 0
    blanks: int = 0


class Answer(Struct, frozen=True, gc=False, array_like=True):
    """All that the model said in one client message.

    Attributes:
        parts: in order.
        results: answers to calls that stand beside calls of the client's own tools:
            they belong into the client's next message. Blocks joined by commas.
    """

    parts: tuple[Part, ...]
    results: bytes = b""

    @property
    def is_hiding(self) -> bool:
        """Whether there is anything the client did not see."""
        return any(part.kind != "seen" for part in self.parts)


class Place(Struct, frozen=True, gc=False, array_like=True):
    """A hidden part and the index of the client's block it stands before.

    Attributes:
        offset: as in ``Part``: it stands so far inside that block's text.
        blanks: as in ``Part``.
    """

    position: int
    kind: Kind
    data: bytes
    offset: int = 0
    blanks: int = 0


class Placement(Struct, frozen=True, gc=False, array_like=True):
    """What is put back into one message, and at the front of the next one."""

    places: tuple[Place, ...]
    results: bytes = b""


_ENCODER = msgspec.msgpack.Encoder()
_ANSWERS = msgspec.msgpack.Decoder(Answer)
_PLACEMENTS = msgspec.msgpack.Decoder(Placement)


def note_keys(namespace: str, key: bytes) -> tuple[bytes, ...]:
    """Where answers to one request are kept.

    Args:
        namespace: the tenant's.
        key: the chain key after the last message of the request that was answered.
    """
    return tuple(
        chain_key(namespace.encode(), b"hidden", key, b"%d" % slot)
        for slot in range(NOTE_SLOTS)
    )


def encode_answer(answer: Answer) -> bytes:
    """An answer as a note."""
    return _ENCODER.encode(answer)


def decode_placement(data: bytes) -> Placement:
    """A recorded placement.

    Raises:
        msgspec.MsgspecError: it is not one.
    """
    return _PLACEMENTS.decode(data)


def text_anchor(text: str) -> str:
    """The anchor of a text; white space, which clients trim, does not count."""
    squeezed = "".join(text.split())
    return f"text:{content_digest(squeezed)}" if squeezed else NEUTRAL


def call_anchor(call_id: str) -> str:
    """The anchor of a call, or of anything else with an id of its own."""
    if not call_id:
        return NEUTRAL
    # Half a surrogate pair can be neither kept nor sent back.
    return f"call:{call_id.encode('utf-8', 'backslashreplace').decode()}"


def seal_anchor(seal: str) -> str:
    """The anchor of thinking: its signature or encrypted content."""
    return f"seal:{content_digest(seal)}" if seal else NEUTRAL


def choose(
    notes: Iterable[bytes], anchors: Sequence[str], *, has_next: bool
) -> tuple[bytes, Placement | None]:
    """What to put back into a message: by the one note that fits it.

    Args:
        notes: encoded answers to the request before the message.
        anchors: the message's blocks.
        has_next: a user message stands behind it, which can take results.

    Returns:
        The placement, encoded for the record and as a value; ``b""`` and ``None``
        if no note fits, or several do that do not say the same.
    """
    found: dict[bytes, Placement] = {}
    for note in notes:
        try:
            answer = _ANSWERS.decode(note)
        except msgspec.MsgspecError:
            continue
        placement = place(answer, anchors)
        if placement is not None and (has_next or not placement.results):
            found[_ENCODER.encode(placement)] = placement
    if len(found) != 1:
        return b"", None
    return next(iter(found.items()))


def place(answer: Answer, anchors: Sequence[str]) -> Placement | None:
    """Where the hidden parts of an answer belong in a message.

    Args:
        answer: what was answered.
        anchors: one per block of the client's message, in order.

    Returns:
        ``None`` if the message is not this answer, or a place is not certain.
    """
    seen = [part.anchor for part in answer.parts if part.kind == "seen"]
    matched = _matches(seen, anchors)
    if matched is None:
        return None
    places: list[Place] = []
    before = 0
    for part in answer.parts:
        if part.kind == "seen":
            before += 1
            continue
        position = _position(before, matched, anchors)
        if position is None:
            return None
        places.append(Place(position, part.kind, part.data, part.offset, part.blanks))
    return _without_loose_end(places, answer.results, len(anchors))


def _matches(seen: list[str], anchors: Sequence[str]) -> dict[int, int] | None:
    """Client block → seen part, in rising order; ``None`` if it is another message.

    A text that occurs several times is matched by its order, and only if the client
    has it as often. A call or seal of the client's that was not in the answer tells
    that this is another one; and so does having none of the answer's calls.
    """
    ours, theirs = Counter(seen), Counter(anchors)
    numbers: dict[str, list[int]] = {}
    for number, anchor in enumerate(seen):
        numbers.setdefault(anchor, []).append(number)
    matched: dict[int, int] = {}
    used: Counter[str] = Counter()
    for index, anchor in enumerate(anchors):
        if anchor == NEUTRAL:
            continue
        if ours[anchor] == theirs[anchor]:
            matched[index] = numbers[anchor][used[anchor]]
            used[anchor] += 1
        elif not anchor.startswith("text:"):
            return None
    order = list(matched.values())
    if not order or order != sorted(order):
        return None
    calls = {anchor for anchor in seen if anchor.startswith("call:")}
    return None if calls and not calls & set(anchors) else matched


def _position(
    before: int, matched: dict[int, int], anchors: Sequence[str]
) -> int | None:
    """The client's block before which a part stands that has ``before`` seen ones."""
    left = [index for index, number in matched.items() if number < before]
    right = [index for index, number in matched.items() if number >= before]
    low = max(left) + 1 if left else 0
    high = min(right) if right else len(anchors)
    is_certain = all(anchors[index] == NEUTRAL for index in range(low, high))
    return high if is_certain else None


def _without_loose_end(
    places: list[Place], results: bytes, end: int
) -> Placement | None:
    """The placement, less a turn behind which the client has nothing.

    A model that was cut off after its last call said nothing more: the exchange before
    it is left out, since a conversation cannot go on behind an empty message.
    """
    if any(p.kind == "turn" and p.position == end for p in places):
        if results:
            return None
        turns = [n for n, p in enumerate(places) if p.kind == "turn"]
        kept = [n for n in turns if places[n].position < end]
        places = places[: kept[-1] + 1] if kept else []
    return Placement(tuple(places), results) if places else None

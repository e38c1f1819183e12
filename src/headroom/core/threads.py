"""Conversations that the provider keeps, as values: how a chain goes on from an answer.

Where a request names the answer it goes on from (``previous_response_id``) and carries
only what is new, nothing in it tells what stands before. So when an answer has ended,
what the ledger needs to go on is noted under the answer's id: the chain key behind it,
the calls whose results come next, and which earlier results stand there to be referred
to (see ``core.standing``). A client that sends everything again (after a
reconnect, say) arrives at the same chain keys, because what the model produced enters a
chain by type and call id alone.

What always holds: a note depends on the request and on its answer, on nothing else; a
missing note costs compression that could have been repeated, never a request.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from headroom.core.digest import chain_key
from headroom.core.types import ToolCall

MAX_INPUT_BYTES = 64 * 1024
"""Of the calls of one answer, inputs beyond this are not noted: results are compressed
without knowing what was asked for."""


class Reply(Struct, frozen=True, gc=False):
    """What the provider said in one answer, as far as a chain needs it.

    Attributes:
        id: the answer's, by which a request can go on from it.
        links: what its items enter the chain with, in order; see ``MessageView.links``.
        calls: the tool calls in it.
        is_compacted: the provider goes on without what stood before.
        chars: of what it said and wrote into its calls.
    """

    id: str
    links: tuple[bytes, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    is_compacted: bool = False
    chars: int = 0


class Standing(Struct, frozen=True, gc=False, array_like=True):
    """An earlier text that the provider keeps, as it stands there.

    Attributes:
        name: what references call it; see ``repeats.Source``.
        digest: content digest of the result, or of the text in a call.
        label: its call, in a few words.
        text: content digest of what can be read of it: the text itself, or the lines
            and references that were sent in its place.
        chars: length of that text.
        has_lines: every line can be read word for word.
        has_value: every value of the JSON document can be read.
        through: digests of the results by which it is told itself.
    """

    name: str
    digest: str
    label: str
    text: str
    chars: int
    has_lines: bool = True
    has_value: bool = False
    through: tuple[str, ...] = ()


class Thread(Struct, frozen=True, gc=False, array_like=True):
    """What is known of a conversation behind one answer.

    Attributes:
        key: the chain key.
        tools: how the conversation gets originals back; see ``Decision.tools``.
        calls: the calls whose results the next request brings.
        prefix_bytes: a low estimate of what the provider has been sent so far.
        stabilisers: what is put in order in front; see ``Decision.stabilisers``.
        results: of calls in the answer that the client did not see, beside calls that
            it did: they go in front of what the next request brings. Items joined by
            commas, as JSON.
        more_tools: that are added to its requests; see ``Decision.more_tools``.
        results_total: tool results that the model has seen; ``-1``: they cannot be
            numbered any more, or never could.
        standing: earlier texts that may be referred to, oldest first.
        keeps_tools: Headroom's tools stand in what the provider keeps, and no later
            request brings them.
        named: what forms tell of the texts they refer to.
        numbered: name → content digest, of texts that the model can ask for by their
            numbers; ``None``: it was never told that it may.
    """

    key: bytes
    tools: str = ""
    calls: tuple[ToolCall, ...] = ()
    prefix_bytes: int = 0
    stabilisers: tuple[str, ...] = ()
    results: bytes = b""
    more_tools: tuple[str, ...] = ()
    results_total: int = -1
    standing: tuple[Standing, ...] = ()
    keeps_tools: bool = False
    named: tuple[str, ...] = ()
    numbered: dict[str, str] | None = None


NOTHING = Thread(b"")
"""Behind an answer before which nothing was sent: what goes on from it begins there."""

_ENCODER = msgspec.msgpack.Encoder()
_THREADS = msgspec.msgpack.Decoder(Thread)


def note_key(namespace: str, answer_id: str) -> bytes:
    """Where the thread behind an answer is kept.

    Args:
        namespace: the tenant's.
        answer_id: as the provider gave it.
    """
    return chain_key(namespace.encode(), b"thread", answer_id.encode("utf-8"))


def unknown_start(namespace: str, api: str, answer_id: str) -> bytes:
    """The chain key to start from behind an answer of which nothing is known."""
    return chain_key(
        namespace.encode(), api.encode(), b"after", answer_id.encode("utf-8")
    )


def follow(key: bytes, links: Iterable[bytes]) -> bytes:
    """The chain key behind items that the model produced."""
    for link in links:
        key = chain_key(key, link)
    return key


def encode_thread(thread: Thread) -> bytes:
    """A thread as a note, long inputs of its calls left out."""
    left = MAX_INPUT_BYTES
    calls = []
    for call in thread.calls:
        left -= len(call.input)
        calls.append(
            call if left >= 0 else msgspec.structs.replace(call, input=b"null")
        )
    return _ENCODER.encode(msgspec.structs.replace(thread, calls=tuple(calls)))


def decode_thread(data: bytes) -> Thread | None:
    """The thread of a note; ``None`` if it is none."""
    try:
        return _THREADS.decode(data)
    except msgspec.MsgspecError:
        return None

"""What a request was forwarded as, in a few bytes a message: for watchers.

A trail holds digests of the tools, the system prompt and every message as they left,
cache markers aside. Two trails of one session tell whether the second extends the
first, and if not, which piece is the first that differs: the one from which on the
provider's cache had nothing to read.
"""

from collections.abc import Sequence

from msgspec import Struct

from headroom.core.digest import chain_key
from headroom.core.types import Decision, RequestView

DRIFT_MESSAGES = 3
"""How many of the first messages are watched for changes of their own."""


class Trail(Struct, frozen=True, gc=False):
    """One request as it was forwarded.

    Attributes:
        messages: digests of the messages as the client sent them.
        changes: and of what became of each; empty where it left as it came.
    """

    model: str
    tools: bytes
    system: bytes
    messages: tuple[bytes, ...]
    changes: tuple[bytes, ...]


class Difference(Struct, frozen=True, gc=False):
    """The first piece in which a request differs from the one before.

    Attributes:
        place: ``model``, ``tools``, ``system``, or ``messages[3]``.
        is_ours: the client sent the same; it left otherwise.
    """

    place: str
    is_ours: bool = False


def trail_of(
    view: RequestView, changes: Sequence[bytes], front: tuple[str, ...]
) -> Trail:
    """The trail of a request.

    Args:
        view: the request as the client sent it.
        changes: see ``change_of``, one for each message.
        front: what was put in order and added in front of them, in words.
    """
    tools, system = b"", b""
    for span in view.text_before:
        digest = chain_key(span.of(view.body))
        if span == view.tools:
            tools = chain_key(digest, "\0".join(front).encode())
        else:
            system = chain_key(system, digest)
    return Trail(
        model=view.model,
        tools=tools,
        system=system,
        messages=tuple(message.canonical for message in view.messages),
        changes=tuple(changes),
    )


def change_of(decision: Decision) -> bytes:
    """A digest of what a decision makes of its message; empty if it is left."""
    if not decision.edits and not decision.hidden and decision.tail is None:
        return b""
    parts = [f"{e.address}\0{e.replacement}".encode() for e in decision.edits]
    if decision.tail is not None:
        parts.append(f"{decision.tail.address}+{decision.tail.text}".encode())
    return chain_key(decision.hidden, *parts)


def first_difference(before: Trail, after: Trail) -> Difference | None:
    """The first piece, in the order of the prefix, in which a request differs.

    Returns:
        ``None`` if the second request extends the first, or is a shorter one that
        begins the same.
    """
    for name in ("model", "tools", "system"):
        if getattr(before, name) != getattr(after, name):
            return Difference(name)
    said = zip(before.messages, after.messages, strict=False)
    left = zip(before.changes, after.changes, strict=False)
    for index, (message, change) in enumerate(zip(said, left, strict=False)):
        if message[0] != message[1]:
            return Difference(f"messages[{index}]")
        if change[0] != change[1]:
            return Difference(f"messages[{index}]", is_ours=True)
    return None


def drift(before: Trail, after: Trail) -> tuple[str, ...]:
    """In which respects the beginning of a session's prompt has changed."""
    found = [
        name
        for name in ("system", "tools")
        if getattr(before, name) != getattr(after, name)
    ]
    watched = zip(before.messages, after.messages[:DRIFT_MESSAGES], strict=False)
    if any(one != other for one, other in watched):
        found.append("messages")
    return tuple(found)

"""Where something may be appended to a request: behind the user's newest words.

A text that is appended is part of its message from then on: it is recorded with the
message's decision and repeated byte for byte. So it goes only into a message that has
never been sent, and never into the system prompt or instructions.
"""

from collections.abc import Sequence

from msgspec import Struct

from headroom.core.protocols import Provider
from headroom.core.types import RequestView, Slot, Tail
from headroom.core.wire import json_spans

SEPARATOR = "\n\n"
"""A blank line between the user's words and what is appended."""

MAX_QUESTION_CHARS = 4000


class Target(Struct, frozen=True):
    """A text that may be appended to.

    Attributes:
        index: the message.
        address: the slot of its first text.
        question: what the user says in it, reminders of harnesses aside.
    """

    index: int
    address: str
    question: str

    def tail(self, text: str) -> Tail:
        """The decision to append a text."""
        return Tail(self.address, SEPARATOR + text)


def target_of(view: RequestView, provider: Provider, live_from: int) -> Target | None:
    """The first text of the newest user message, if that has not been sent.

    Args:
        view: the request.
        provider: the module that made it.
        live_from: index of the first message that is seen for the first time.

    Returns:
        ``None`` if there is no such text, or nobody says anything in it: results of
        tools alone, reminders alone.
    """
    users = [
        index
        for index in range(live_from, len(view.messages))
        if view.messages[index].role == "user"
    ]
    if not users or view.is_prewarm:
        return None
    slots = [
        slot
        for slot in provider.slots(view, users[-1])
        if isinstance(slot, Slot) and not slot.is_tool
    ]
    texts = [json_spans.string(view.body, slot.literal) for slot in slots]
    first = next((n for n, text in enumerate(texts) if text.strip()), None)
    question = _question(texts)
    if first is None or not question:
        return None
    return Target(users[-1], slots[first].address, question)


def _question(texts: Sequence[str]) -> str:
    said = [text for text in texts if not text.lstrip().startswith("<")]
    return "\n".join(said).strip()[:MAX_QUESTION_CHARS]

"""What is appended to a request: the facts that fit what the user says.

The one place where facts are looked for without the model having asked. The same
question and the same facts give the same bytes.
"""

from collections.abc import Sequence

from headroom.memory.facts import Fact, Owner
from headroom.memory.store import MemoryStore

MAX_RECALLED = 5
MAX_RECALLED_CHARS = 2000
"""What is appended is paid for in every later request of the conversation."""

_OPEN = (
    "<headroom_memory>\n"
    "Kept from earlier conversations with this user; may be out of date:\n"
)
_TAG = "headroom_memory"
_CLOSE = "</headroom_memory>"


def recall(store: MemoryStore, owner: Owner, question: str) -> str:
    """The text to append for a question; empty if there is nothing to say.

    Raises:
        StoreError: the memory cannot be read.
        LimitExceededError: the user's name is too long.
    """
    return formatted(store.search(owner, question, MAX_RECALLED))


def formatted(facts: Sequence[Fact]) -> str:
    """Facts as a model reads them, one line each; empty for none."""
    lines: list[str] = []
    left = MAX_RECALLED_CHARS
    for fact in facts:
        line = told(fact)
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    return _OPEN + "".join(f"{line}\n" for line in lines) + _CLOSE if lines else ""


def told(fact: Fact) -> str:
    """One fact on one line, with its id; it cannot end the list it stands in."""
    words = " ".join(fact.content.split()).replace(_TAG, "headroom memory")
    return f"[{fact.id}] {words}"

"""Calls of the memory tools, answered: arguments as the model wrote them, text back.

What always holds: whatever the arguments are, there is an answer that tells the model
what to do; failures of the store are told apart from the model's mistakes.
"""

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from headroom.core.memory_tools import DELETE, LIST, SAVE, SEARCH, UPDATE
from headroom.core.types import ToolCall
from headroom.errors import LimitExceededError, StoreError
from headroom.memory.facts import Fact, Owner
from headroom.memory.recall import told
from headroom.memory.store import MemoryStore

DEFAULT_FOUND = 5
DEFAULT_LISTED = 20
MAX_LISTED = 100
MAX_ANSWER_CHARS = 8000

Outcome: TypeAlias = Literal["done", "not_found", "refused", "bad_call", "unavailable"]


class Told(Struct, frozen=True):
    """What a call is answered.

    Attributes:
        text: for the model.
        outcome: in one word, for metrics.
    """

    text: str
    outcome: Outcome


class _Arguments(Struct):
    content: str = ""
    query: str = ""
    id: int = 0
    limit: int | None = None
    before_id: int | None = None


_ARGUMENTS = msgspec.json.Decoder(_Arguments, strict=False)


def answer(store: MemoryStore, owner: Owner, call: ToolCall) -> Told:
    """What a call of a memory tool is answered; never raises for what it says."""
    try:
        arguments = _ARGUMENTS.decode(call.input or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Told(f"[{call.name}: the arguments cannot be read]", "bad_call")
    try:
        return _answered(store, owner, call.name, arguments)
    except LimitExceededError as error:
        return Told(f"[{call.name}: {error}]", "refused")
    except StoreError:
        # The reason names a path of this machine; it is in the log.
        return Told(
            f"[{call.name}: the memory cannot be used now; go on without it]",
            "unavailable",
        )


def _answered(
    store: MemoryStore, owner: Owner, name: str, arguments: _Arguments
) -> Told:
    if name == SAVE:
        fact = store.put(owner, arguments.content)
        return Told(f"Kept as [{fact.id}].", "done")
    if name == SEARCH:
        limit = _bounded(arguments.limit, DEFAULT_FOUND)
        return _listed(store.search(owner, arguments.query, limit))
    if name == LIST:
        limit = _bounded(arguments.limit, DEFAULT_LISTED)
        return _listed(store.newest(owner, limit, arguments.before_id))
    if name == UPDATE:
        fact_or_none = store.update(owner, arguments.id, arguments.content)
        return _changed(arguments.id, "Replaced", is_done=fact_or_none is not None)
    if name == DELETE:
        is_done = store.delete(owner, arguments.id)
        return _changed(arguments.id, "Forgotten", is_done=is_done)
    return Told(f"[{name} is no memory tool]", "bad_call")


def _bounded(limit: int | None, default: int) -> int:
    return default if limit is None else max(1, min(limit, MAX_LISTED))


def _changed(number: int, word: str, *, is_done: bool) -> Told:
    if is_done:
        return Told(f"{word}: [{number}].", "done")
    return Told(f"[nothing is kept under id {number}]", "not_found")


def _listed(facts: list[Fact]) -> Told:
    if not facts:
        return Told("[nothing is kept about that]", "not_found")
    lines: list[str] = []
    left = MAX_ANSWER_CHARS
    for fact in facts:
        line = told(fact)
        left -= len(line) + 1
        if left < 0 and lines:
            lines.append(f"[{len(facts) - len(lines)} more: ask for fewer]")
            break
        lines.append(line)
    return Told("\n".join(lines), "done")

"""Facts as JSON Lines: one object a line, for backups, moves and people.

``{"namespace":"","user":"ann","id":7,"content":"…","created":1,"updated":1}``; times
are seconds since the epoch. A line of an import needs ``content`` alone.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from headroom.errors import LimitExceededError
from headroom.memory.facts import Fact, Owner
from headroom.memory.store import MemoryStore

_BATCH = 500


class _Line(Struct):
    content: str
    namespace: str = ""
    user: str = ""
    id: int = 0
    created: int = 0
    updated: int = 0


_ENCODER = msgspec.json.Encoder()
_LINES = msgspec.json.Decoder(_Line)


def export(store: MemoryStore, owners: Iterable[Owner]) -> Iterator[bytes]:
    """The facts of users as lines, newlines included, oldest first."""
    for owner in owners:
        for fact in store.all(owner):
            line = _Line(
                fact.content,
                owner.namespace,
                owner.user,
                fact.id,
                fact.created,
                fact.updated,
            )
            yield _ENCODER.encode(line) + b"\n"


def load(
    store: MemoryStore, lines: Iterable[bytes], *, now: int, owner: Owner | None = None
) -> int:
    """Keep the facts of an export; those that are there already are kept once.

    Args:
        store: where.
        lines: of an export; empty ones do not count.
        now: seconds since the epoch, for lines without times.
        owner: whose they become; ``None``: whose they were.

    Returns:
        How many lines were read.

    Raises:
        LimitExceededError: a line cannot be read or kept; those of the batches before
            it are kept.
        StoreUnavailableError: a file cannot be written.
    """
    count = 0
    batch: list[Fact] = []
    of = owner or Owner()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = _LINES.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LimitExceededError(f"line {number}: {error}") from error
        whose = owner or Owner(found.namespace, found.user)
        if batch and (whose != of or len(batch) >= _BATCH):
            store.load(of, batch)
            batch = []
        of = whose
        created = found.created or now
        batch.append(Fact(found.id, found.content, created, found.updated or created))
        count += 1
    if batch:
        store.load(of, batch)
    return count

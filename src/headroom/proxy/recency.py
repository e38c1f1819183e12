"""What was used last, bounded in bytes."""

from collections import OrderedDict
from typing import Generic, TypeVar

_K = TypeVar("_K", str, bytes)
_V = TypeVar("_V", str, bytes)

_ENTRY_BYTES = 300
"""What an entry costs beside its value."""


class Recency(Generic[_K, _V]):
    """Values by key; what has not been used for longest makes room for others.

    A value never changes: the first one under a key stays. For one thread alone, except
    where it says otherwise.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._entries: OrderedDict[_K, _V] = OrderedDict()
        self._used_bytes = 0

    def __contains__(self, key: _K) -> bool:
        """Whether there is a value under a key; for any thread."""
        return key in self._entries

    def get(self, key: _K) -> _V | None:
        """The value under a key, which counts as used."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: _K, value: _V) -> None:
        """Keep a value, if there is none under its key."""
        if key in self._entries:
            return
        self._entries[key] = value
        self._used_bytes += len(value) + _ENTRY_BYTES
        while self._used_bytes > self._capacity_bytes and len(self._entries) > 1:
            _, old = self._entries.popitem(last=False)
            self._used_bytes -= len(old) + _ENTRY_BYTES

"""Where conversations that the provider keeps go on, kept between requests.

Written when an answer has ended, read when a request names it, on any worker and on
every transport. A note that cannot be kept or found costs compression that could have
been repeated, never a request.
"""

import asyncio
import logging
from collections import OrderedDict

from headroom.ccr.ledger import Ledger
from headroom.core.threads import Thread, decode_thread, encode_thread, note_key
from headroom.errors import StoreError

log = logging.getLogger("headroom.proxy")

_CAPACITY_BYTES = 16 * 1024 * 1024
_ENTRY_BYTES = 300


class Threads:
    """Threads of one server process, over the ledger."""

    def __init__(self, ledger: Ledger, *, namespace: str = "") -> None:
        self._ledger = ledger
        self._namespace = namespace
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        self._used_bytes = 0

    def keep(self, answer_id: str, thread: Thread) -> None:
        """Keep what is known behind an answer; found at once, written soon."""
        key, note = note_key(self._namespace, answer_id), encode_thread(thread)
        self._put(key, note)
        self._ledger.remember({key: note}, namespace=self._namespace)

    async def recall(self, answer_id: str) -> Thread | None:
        """What is known behind an answer; ``None``: nothing, or the store is down."""
        if not answer_id:
            return None
        key = note_key(self._namespace, answer_id)
        note = self._recent.get(key)
        if note is None:
            try:
                found = await asyncio.to_thread(
                    self._ledger.recall, [key], namespace=self._namespace
                )
            except StoreError as error:
                log.warning("thread_unread", extra={"error": error.code})
                return None
            note = found.get(key)
            if note is None:
                return None
            self._put(key, note)
        self._recent.move_to_end(key)
        return decode_thread(note)

    def _put(self, key: bytes, note: bytes) -> None:
        if key in self._recent:
            return
        self._recent[key] = note
        self._used_bytes += len(note) + _ENTRY_BYTES
        while self._used_bytes > _CAPACITY_BYTES and len(self._recent) > 1:
            _, old = self._recent.popitem(last=False)
            self._used_bytes -= len(old) + _ENTRY_BYTES

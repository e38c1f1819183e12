"""What clients did not see of their answers, kept between requests.

Written by the stage that answers retrievals, read by the one that plans requests, on
any worker. A note that cannot be kept or found costs the provider's cache for one
conversation, never a request.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence

from headroom.ccr.ledger import Ledger
from headroom.ccr.notes import keep_note
from headroom.errors import StoreError

log = logging.getLogger("headroom.proxy")

_CAPACITY_BYTES = 16 * 1024 * 1024
_ENTRY_BYTES = 300


class HiddenNotes:
    """Notes of one server process, over the ledger.

    Attributes:
        lost: notes that could not be kept.
    """

    def __init__(self, ledger: Ledger, *, namespace: str = "") -> None:
        self._ledger = ledger
        self._namespace = namespace
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        self._used_bytes = 0
        self.lost = 0

    async def remember(self, chain_key: bytes, note: bytes) -> bool:
        """Keep the note on the answer to a request; whether that worked.

        Args:
            chain_key: after the request's last message.
            note: an encoded ``core.hidden.Answer``.
        """
        try:
            key = await asyncio.to_thread(
                keep_note, self._ledger, chain_key, note, namespace=self._namespace
            )
        except StoreError as error:
            log.warning("hidden_note_lost", extra={"error": error.code})
            key = b""
        if not key:
            self.lost += 1
            return False
        self._keep(key, note)
        return True

    async def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The notes under any of ``keys``; those in memory if the store is down."""
        if not keys:
            return {}
        try:
            return await self._load(keys)
        except StoreError as error:
            log.warning("hidden_notes_unread", extra={"error": error.code})
            return self.peek(keys)

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The notes in memory under any of ``keys``."""
        return {key: self._recent[key] for key in keys if key in self._recent}

    async def _load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await asyncio.to_thread(
            self._ledger.recall, keys, namespace=self._namespace
        )

    def _keep(self, key: bytes, note: bytes) -> None:
        if key in self._recent:
            return
        self._recent[key] = note
        self._used_bytes += len(note) + _ENTRY_BYTES
        while self._used_bytes > _CAPACITY_BYTES:
            _, old = self._recent.popitem(last=False)
            self._used_bytes -= len(old) + _ENTRY_BYTES

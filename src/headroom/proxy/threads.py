"""Where conversations that the provider keeps go on, kept between requests.

Written when an answer has ended, read when a request names it, on any worker and on
every transport; with it go the texts that later requests may refer to. What cannot be
kept or found costs compression that could have been made, never a request.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from headroom.ccr.ledger import Ledger
from headroom.ccr.notes import read_texts
from headroom.core.threads import Thread, decode_thread, encode_thread, note_key
from headroom.errors import StoreError
from headroom.proxy.recency import Recency

log = logging.getLogger("headroom.proxy")

_CAPACITY_BYTES = 16 * 1024 * 1024


class Threads:
    """Threads of one server process, over the ledger."""

    def __init__(self, ledger: Ledger, *, namespace: str = "") -> None:
        self._ledger = ledger
        self._namespace = namespace
        self._recent: Recency[bytes, bytes] = Recency(_CAPACITY_BYTES)
        self._texts: Recency[str, str] = Recency(_CAPACITY_BYTES)

    def keep(self, answer_id: str, thread: Thread, texts: Mapping[str, str]) -> None:
        """Keep what is known behind an answer; found at once, written soon.

        Args:
            answer_id: the answer's.
            thread: what is known.
            texts: that it names and that were not kept before, by content digest.
        """
        key, note = note_key(self._namespace, answer_id), encode_thread(thread)
        self._recent.put(key, note)
        for digest, text in texts.items():
            self._texts.put(digest, text)
        self._ledger.remember({key: note}, originals=texts, namespace=self._namespace)

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
            self._recent.put(key, note)
        return decode_thread(note)

    def has_text(self, digest: str) -> bool:
        """Whether a text was kept a while ago; for any thread."""
        return digest in self._texts

    async def texts(self, digests: Sequence[str]) -> dict[str, str]:
        """The texts that a thread names, by digest, as far as they can be found."""
        found = {d: text for d in digests if (text := self._texts.get(d)) is not None}
        missing = [digest for digest in digests if digest not in found]
        if missing:
            found |= await asyncio.to_thread(
                read_texts, self._ledger, missing, namespace=self._namespace
            )
        return found

"""Beta headers: what a client asked for once holds for its whole session.

``anthropic-beta`` and ``openai-beta`` hold comma-separated words that change how a
provider reads a request. A client that leaves one out in mid-session (a retry by other
code, a sub-agent) asks for another reading of the same prefix, which is then not in the
cache. So words that a session has used are sent again behind the client's own.

Pure functions and one bounded, locked memory; nothing here logs what the words are.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable

from headroom.proxy.routes import Api, Headers

HEADERS: dict[Api, bytes] = {"anthropic": b"anthropic-beta", "openai": b"openai-beta"}
"""The header of each API that has one."""


def merge_beta(client: str, required: Iterable[str]) -> str:
    """The client's words in their order, then the required ones it has not.

    Args:
        client: a header's value; empty if there is none.
        required: words to add, in order.

    Returns:
        Words joined by commas; those that differ in case alone count once, as they were
        spelled first. Empty if there are none.
    """
    found: dict[str, str] = {}
    for word in (w.strip() for w in [*client.split(","), *required]):
        if word:
            found.setdefault(word.casefold(), word)
    return ",".join(found.values())


def client_value(headers: Headers, name: bytes) -> str:
    """The words of all headers of a name; latin-1, as headers are."""
    return ",".join(value.decode("latin-1") for key, value in headers if key == name)


class SessionBetaTracker:
    """The words that each session has used, in the order they were first seen.

    Args:
        max_sessions: sessions remembered; the least recently used is forgotten.
    """

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._lock = threading.RLock()
        self._seen: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()

    def merged(self, provider: str, session_id: str, client: str) -> str:
        """The client's words and all that its session has used before.

        Args:
            provider: sessions of different providers never meet.
            session_id: whose words they are.
            client: the header's value in this request.

        Raises:
            ValueError: the provider or the session is blank.
        """
        if not provider.strip() or not session_id.strip():
            raise ValueError("a provider and a session are needed")
        with self._lock:
            seen = self._seen.setdefault((provider, session_id), {})
            self._seen.move_to_end((provider, session_id))
            result = merge_beta(client, seen.values())
            for word in client.split(","):
                if word.strip():
                    seen.setdefault(word.strip().casefold(), word.strip())
            while len(self._seen) > self._max_sessions:
                self._seen.popitem(last=False)
            return result

    def forget(self, provider: str, session_id: str) -> None:
        """Forget a session's words: the provider refused a request that had them."""
        with self._lock:
            self._seen.pop((provider, session_id), None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._seen)

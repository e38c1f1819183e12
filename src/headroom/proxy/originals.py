"""``/v1/retrieve``: originals, for whoever may call Headroom's own endpoints.

``GET /v1/retrieve/HASH`` gives a whole original, byte for byte, with ``?query=`` what
matches, under ``original_content`` too, where gateways look; ``POST /v1/retrieve``
with ``{"hash", "lines", "query", "rows"}`` gives the part asked for. Nothing under
these paths is ever forwarded, and both work while compression is off: the store is then
opened when it is first needed. Who may call is decided by ``endpoints``.

What always holds: the event loop never waits for a store; what is damaged is an error,
never content.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from headroom.ccr.contract import ManagedStore
from headroom.ccr.excerpts import DEFAULT_MAX_BYTES, ArgumentError
from headroom.ccr.retrieve import Retrieved, retrieve
from headroom.errors import (
    ConfigError,
    CorruptOriginalError,
    LimitExceededError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from headroom.inference.tokens import counter_for
from headroom.proxy.bodies import Incoming
from headroom.proxy.metrics import Metrics
from headroom.proxy.replies import Receive, Scope

PATH = "/v1/retrieve"
_MAX_REQUEST_BYTES = 64 * 1024

RETRY_S = 5.0
"""How long a store that did not open is left alone; one try takes up to a second."""

_STATUSES = {
    "": 200,
    ArgumentError.code: 400,
    OriginalNotFoundError.code: 404,
    LimitExceededError.code: 413,
    CorruptOriginalError.code: 500,
    StoreUnavailableError.code: 503,
}


class Source(Protocol):
    """Where originals come from: the ledger, or a store on its own."""

    def get(self, digest: str, *, namespace: str = "") -> str:
        """The original; see ``Store.get`` for what it raises."""
        ...


class StoreOnDemand:
    """A store that is opened by the first call; thread-safe.

    One that cannot be opened is left alone for a while: trying takes as long as its
    timeouts, and calls would wait for each other's.

    Args:
        open_store: opens it, raising as ``ccr.stores.open_store`` does.
        clock: seconds that never run back.
    """

    def __init__(
        self,
        open_store: Callable[[], ManagedStore],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_store
        self._clock = clock
        self._lock = threading.Lock()
        self._store: ManagedStore | None = None
        self._failure = ""
        self._failed_at = 0.0

    def get(self, digest: str, *, namespace: str = "") -> str:
        """The original; see ``Store.get`` for what it raises."""
        store = self.opened()
        return (store.scoped(namespace) if namespace else store).get(digest)

    def opened(self) -> ManagedStore:
        """The store itself.

        Raises:
            StoreUnavailableError: it cannot be opened.
        """
        with self._lock:
            if self._store is None:
                if self._failure and self._clock() - self._failed_at < RETRY_S:
                    raise StoreUnavailableError(self._failure)
                try:
                    self._store = self._open()
                except (ConfigError, StoreUnavailableError) as error:
                    self._failure, self._failed_at = str(error), self._clock()
                    raise StoreUnavailableError(self._failure) from error
            return self._store

    def close(self) -> None:
        """Close it if it was opened."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


class _Asked(Struct, forbid_unknown_fields=True):
    """The body of a POST."""

    hash: str
    lines: str | int | list[int | str] | None = None
    query: str | None = None
    rows: str | int | list[int | str] | None = None


class Originals:
    """Answers requests for originals; one per server process."""

    def __init__(
        self, source: Source, metrics: Metrics, *, namespace: str = ""
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._namespace = namespace

    async def answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """Status and JSON body for a request whose method ``methods`` allows.

        Raises:
            ClientGoneError: the client left before its request was complete.
        """
        _, _, named = scope["path"].removeprefix(PATH).partition("/")
        if named:
            words = parse_qs(scope["query_string"].decode("latin-1")).get("query")
            asked = _Asked(named, query=words[0] if words else None)
            return await asyncio.to_thread(self._look_up, asked, is_get=True)
        try:
            incoming = Incoming(receive, _MAX_REQUEST_BYTES)
            body = await incoming.read_until(_MAX_REQUEST_BYTES)
            asked = msgspec.json.decode(body or b"", type=_Asked)
        except LimitExceededError as error:
            return _refusal(error.code, str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            expected = 'expected {"hash":"…","lines":"A-B","query":"…","rows":"A-B"}'
            return _refusal(ArgumentError.code, f"{error}; {expected}")
        return await asyncio.to_thread(self._look_up, asked)

    def _look_up(self, asked: _Asked, *, is_get: bool = False) -> tuple[int, bytes]:
        is_part = bool(asked.lines or asked.query or asked.rows)
        found = retrieve(
            asked.hash,
            lambda digest: self._source.get(digest, namespace=self._namespace),
            lines=asked.lines,
            query=asked.query,
            rows=asked.rows,
            max_bytes=DEFAULT_MAX_BYTES if is_part else sys.maxsize,
        )
        tokens = 0 if found.error else counter_for("")(found.text)
        self._metrics.retrieval(found.error or "found", tokens)
        if found.error:
            return _refusal(found.error, found.text.strip("[]"))
        report = _report(found, is_part=is_part)
        if is_get:
            report["original_content"] = found.text
        return 200, _encode(report)


def is_own(path: str) -> bool:
    """Whether a path is answered here."""
    return path == PATH or path.startswith(PATH + "/")


def methods(path: str) -> tuple[str, ...]:
    """The methods that a path of ours takes."""
    return ("POST",) if path in {PATH, PATH + "/"} else ("GET", "HEAD")


def _report(found: Retrieved, *, is_part: bool) -> dict[str, Any]:
    return {
        "hash": found.digest,
        "content": found.text,
        "bytes": found.size_bytes,
        "partial": is_part,
    }


def _refusal(code: str, message: str) -> tuple[int, bytes]:
    status = _STATUSES.get(code, _STATUSES[StoreUnavailableError.code])
    return status, _encode({"error": {"code": code, "message": message}})


def _encode(value: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON can only carry as an escape.
        return json.dumps(value).encode()

"""Stores of originals and ledger records: one interface, three places to keep them.

``open_store`` picks one by the scheme of its URL. One that is missing or down is an
error at once, never a silent change to another.
"""

import time
from collections.abc import Callable
from typing import TypeAlias

from headroom.ccr.contract import (
    DEFAULT_MAX_BYTES,
    DEFAULT_RETENTION_S,
    ManagedStore,
    StoreConfig,
)
from headroom.ccr.stores.memory import open_url as open_memory
from headroom.ccr.stores.redis import open_url as open_redis
from headroom.ccr.stores.sqlite import open_url as open_sqlite
from headroom.errors import ConfigError

Opener: TypeAlias = Callable[[str, StoreConfig], ManagedStore]

STORES: dict[str, Opener] = {
    "memory": open_memory,
    "sqlite": open_sqlite,
    "redis": open_redis,
    "rediss": open_redis,
    "redis+cluster": open_redis,
    "rediss+cluster": open_redis,
}
"""Scheme of the URL → how to open it."""


def open_store(
    url: str,
    *,
    retention_s: float = DEFAULT_RETENTION_S,
    max_bytes: int = DEFAULT_MAX_BYTES,
    namespace: str = "",
    clock: Callable[[], float] = time.time,
) -> ManagedStore:
    """Open the store that a URL names and prove that it works.

    Args:
        url: ``memory://``, ``sqlite:///absolute/path``, ``redis://…``, ``rediss://…``,
            ``redis+cluster://…`` or ``rediss+cluster://…``.
        retention_s: entries not used for so long are removed.
        max_bytes: above it, the least recently used go first; Redis has its own cap.
        namespace: whose originals; ``scoped`` gives the others'.
        clock: seconds since the epoch.

    Raises:
        ConfigError: the URL is none of these, or its client is not installed.
        StoreUnavailableError: the store is down, damaged or cannot be written.
    """
    scheme, colon, _ = url.partition("://")
    opener = STORES.get(scheme) if colon else None
    if opener is None:
        known = ", ".join(f"{name}://" for name in STORES)
        raise ConfigError(f"store: expected a URL with one of {known}, found {url!r}")
    config = StoreConfig(retention_s, max_bytes, namespace, clock)
    store = opener(url, config)
    store.check()
    return store

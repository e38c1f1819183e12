"""The settings' store, for the commands that read or write originals."""

import contextlib
from collections.abc import Iterator

from headroom.ccr.contract import ManagedStore
from headroom.ccr.stores import open_store
from headroom.settings import Settings

_DAY_S = 86_400.0


@contextlib.contextmanager
def opened_store(settings: Settings) -> Iterator[ManagedStore]:
    """The store that the settings name, closed at the end.

    Raises:
        ConfigError: its URL is unusable.
        StoreUnavailableError: it cannot be opened.
    """
    store = open_store(
        settings.store_url,
        retention_s=settings.store.retention_days * _DAY_S,
        max_bytes=settings.store.max_bytes,
    )
    try:
        yield store
    finally:
        store.close()

"""Columns of pandas and Polars frames, text by text in fewer tokens.

For corpora: logs, tool outputs and pages on their way into prompts or a training set.
Each text is compressed by itself, as ``compress_text`` does it; no frame is changed in
place. Neither library is imported here: a frame brings its own.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from headroom import api
from headroom.ccr.stores import open_store
from headroom.core.protocols import Store

Frame = TypeVar("Frame")

_LIBRARIES = frozenset({"pandas", "polars"})


class TextOptions(Struct, frozen=True):
    """How texts are shortened; as the arguments of ``headroom.compress_text``.

    Attributes:
        store: URL of the store of originals; needed if ``lossy``.
    """

    kind: str | None = None
    query: str | None = None
    model: str | None = None
    lossy: bool = False
    store: str = ""


class Shortener:
    """Shortens texts one by one; can be sent to other processes.

    Raises:
        ValueError: parts may be left out and there is no store for originals.
    """

    def __init__(self, options: TextOptions) -> None:
        if options.lossy and not options.store:
            raise ValueError("lossy: expected a store's URL as well, found none")
        self._options = options
        self._store: Store | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"_options": self._options, "_store": None}

    def __call__(self, text: object) -> object:
        """The shorter text; whatever is no text comes back as it is."""
        if not isinstance(text, str):
            return text
        options = self._options
        if options.store and self._store is None:
            self._store = open_store(options.store)
        given = {**msgspec.structs.asdict(options), "store": self._store}
        return api.compress_text(text, **given).text

    def close(self) -> None:
        """Close the store, if it was opened."""
        if self._store is not None:
            self._store.close()
            self._store = None


def compress_column(
    frame: Frame,
    column: str,
    *,
    into: str | None = None,
    options: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> Frame:
    """A frame whose texts in ``column`` are shorter.

    Args:
        frame: a ``DataFrame`` of pandas or Polars.
        column: of texts; whatever else is in it (missing values) stays.
        into: where the shorter texts go; ``None``: the same column.
        options: how texts are shortened.

    Raises:
        TypeError: it is no such frame.
        KeyError: pandas: there is no such column (Polars raises an error of its own).
        StoreUnavailableError: an original could not be stored.
    """
    library = type(frame).__module__.partition(".")[0]
    if library not in _LIBRARIES:
        raise TypeError(f"frame: expected pandas or Polars, found {type(frame)}")
    shorten = Shortener(options)
    try:
        mapped = _mapped_pandas if library == "pandas" else _mapped_polars
        return cast("Frame", mapped(frame, column, into or column, shorten))
    finally:
        shorten.close()


def _mapped_pandas(
    frame: Any,  # the libraries' own types, and neither is imported
    column: str,
    into: str,
    shorten: Callable[[object], object],
) -> Any:
    return frame.assign(**{into: frame[column].map(shorten)})


def _mapped_polars(
    frame: Any,  # as above
    column: str,
    into: str,
    shorten: Callable[[object], object],
) -> Any:
    series = frame[column]
    texts = [shorten(text) for text in series]
    made = type(series)(into, texts, dtype=series.dtype)
    return frame.with_columns(made)

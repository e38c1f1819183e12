"""Whole corpora in parallel: a column of a Ray dataset in fewer tokens.

Workers compress batches; nothing is shared between them but the store of originals, if
there is one: SQLite serves workers on one host, Redis those of a cluster.

Source: https://docs.ray.io/en/latest/data/api/doc/ray.data.Dataset.map_batches.html.
"""

from typing import Any

import pyarrow as pa
from ray.data import Dataset

from headroom.errors import ConfigError
from headroom.integrations.frames import Shortener, TextOptions


class _Batches:
    """Compresses one column of Arrow tables."""

    def __init__(self, column: str, into: str, options: TextOptions) -> None:
        self._column = column
        self._into = into
        self._shorten = Shortener(options)

    def __call__(self, table: pa.Table) -> pa.Table:
        texts = table.column(self._column).to_pylist()
        made = pa.array([self._shorten(text) for text in texts])
        if self._into in table.column_names:
            place = table.column_names.index(self._into)
            return table.set_column(place, self._into, made)
        return table.append_column(self._into, made)


def compress_dataset(
    dataset: Dataset,
    column: str,
    *,
    into: str | None = None,
    options: TextOptions = TextOptions(),  # noqa: B008 - frozen
    **how: Any,  # the arguments of ``map_batches``
) -> Dataset:
    """A dataset whose texts in ``column`` are shorter; lazily, as Ray does it.

    Args:
        dataset: rows with a column of texts; missing values stay.
        column: which one.
        into: where the shorter texts go; ``None``: the same column.
        options: how texts are shortened.
        how: ``batch_size``, ``concurrency``, ``num_cpus`` and so on, for Ray.

    Raises:
        ConfigError: the store lives in memory, which workers do not share.
    """
    if options.store.startswith("memory:"):
        raise ConfigError("store: expected one that workers share, found memory://")
    work = _Batches(column, into or column, options)
    return dataset.map_batches(work, batch_format="pyarrow", **how)

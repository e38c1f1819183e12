"""The user's own table of models: a dated TOML file that wins over what is built in.

One entry per model or group of models; whatever it leaves out stays as it is known
otherwise. The last entry that matches wins, member by member::

    updated = 2026-11-21

    [[model]]
    match = ["acme-large*", "acme/large*"]    # shell patterns, case does not count
    context_tokens = 200_000
    tokenizer = "o200k_base"
    cache_minimum_tokens = 1024
    cache_step_tokens = 128
    cache_ttl_s = 300
    cache_ttl_1h_s = 3600
    prices = { input = 3.0, output = 15.0, cache_read = 0.3, cache_write = 3.75 }

    [[model.long_context]]
    above_tokens = 200_000
    prices = { input = 6.0, output = 22.5, cache_read = 0.6, cache_write = 7.5 }

Prices are in US dollars per million tokens.
"""

import datetime as dt
import fnmatch
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from headroom.errors import ConfigError
from headroom.providers.models import Tokenizer
from headroom.providers.prices import LongContext, Prices

_Count = Annotated[int, Meta(ge=1)]
_Price = Annotated[float, Meta(ge=0)]


class PriceEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices as the file has them; those left out are the input's."""

    input: _Price
    output: _Price
    cache_read: _Price | None = None
    cache_write: _Price | None = None
    cache_write_1h: _Price | None = None

    def prices(self) -> Prices:
        """The prices with nothing left out."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        longer = write if self.cache_write_1h is None else self.cache_write_1h
        return Prices(self.input, self.output, read, write, longer)


class LongEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A step from which on other prices hold."""

    above_tokens: _Count
    prices: PriceEntry


class Override(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry; ``None`` leaves a figure as it is."""

    match: Annotated[tuple[str, ...], Meta(min_length=1)]
    context_tokens: _Count | None = None
    tokenizer: Tokenizer | None = None
    cache_minimum_tokens: _Count | None = None
    cache_step_tokens: _Count | None = None
    cache_ttl_s: _Count | None = None
    cache_ttl_1h_s: _Count | None = None
    prices: PriceEntry | None = None
    long_context: tuple[LongEntry, ...] = ()

    def is_for(self, model: str) -> bool:
        """Whether the entry is about a model."""
        name = model.lower()
        return any(fnmatch.fnmatchcase(name, one.lower()) for one in self.match)

    def steps(self) -> tuple[LongContext, ...]:
        """The long-context steps, lowest first."""
        ordered = sorted(self.long_context, key=lambda step: step.above_tokens)
        return tuple(LongContext(s.above_tokens, s.prices.prices()) for s in ordered)


class Overrides(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    updated: dt.date = dt.date.min
    model: tuple[Override, ...] = ()


def read_overrides(path: str) -> Overrides:
    """The entries of a file; none if ``path`` is empty.

    Raises:
        ConfigError: it cannot be read, or an entry is not valid.
    """
    if not path:
        return Overrides()
    try:
        found = tomllib.loads(Path(path).read_text("utf-8"))
        return msgspec.convert(found, Overrides)
    except (OSError, ValueError) as error:
        raise ConfigError(f"models_file {path}: {error}") from error

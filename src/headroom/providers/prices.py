"""What a model costs and what it takes, as one row of a table.

The table's sources are read elsewhere (``inference.model_table``); this is what the
rest of the project knows of them. Prices are in US dollars per million tokens.
"""

from msgspec import Struct

from headroom.providers.models import CacheRules, Family, Tokenizer


class Prices(Struct, frozen=True, gc=False):
    """What tokens of one model cost, in US dollars per million.

    Attributes:
        input: of uncached input.
        output: thoughts included.
        cache_read: of input that is read from the cache.
        cache_write: of input that is written to the cache for its shorter lifetime.
        cache_write_1h: for the longer one; as ``cache_write`` if there is none.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float
    cache_write_1h: float


class LongContext(Struct, frozen=True, gc=False):
    """The prices of all tokens of a request whose input is longer than a step."""

    above_tokens: int
    prices: Prices


class ModelRow(Struct, frozen=True, gc=False):
    """One model, as far as any source knows it.

    Attributes:
        model: the id that was asked for.
        family: whose model it is.
        tokenizer: the vocabulary that counts its tokens exactly; ``None``: estimated.
        context_tokens: the largest prompt it accepts.
        cache: the provider's rules for its prefix cache; prices in them are in units of
            an uncached token.
        prices: ``None``: not known.
        long_context: steps, lowest first.
        is_known: some source lists it; else all figures are careful defaults.
    """

    model: str
    family: Family
    tokenizer: Tokenizer | None
    context_tokens: int
    cache: CacheRules
    prices: Prices | None = None
    long_context: tuple[LongContext, ...] = ()
    is_known: bool = False

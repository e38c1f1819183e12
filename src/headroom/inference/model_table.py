"""The table of models: the user's file, a kept data package, and what is built in.

For every figure the first source that has it counts: the file (``model_overrides``),
the package ``genai-prices`` (context windows and prices; extra ``prices``; its data
comes with it and nothing is fetched), the built-in rules (``providers.models``: cache
minimums, steps, lifetimes, multipliers). What no source lists gets careful defaults.

A lookup never fails. The package is imported by the first lookup that needs it, which
takes a fraction of a second: such lookups belong off the event loop.
"""

import datetime as dt
import functools
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from headroom.inference.model_overrides import Overrides
from headroom.providers.models import CacheRules, Model, cache_rules, model_named
from headroom.providers.prices import LongContext, ModelRow, Prices

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_KEPT_ROWS = 1024
_MAX_ID_CHARS = 512
_LONG = "[1m]"  # asks for the long context window of a model that has two
_PROVIDERS = {"claude": "anthropic", "openai": "openai", "gemini": "google"}


class ModelTable:
    """Looks models up; one per process."""

    def __init__(
        self, overrides: Overrides | None = None, day: dt.date | None = None
    ) -> None:
        """Take the sources.

        Args:
            overrides: the user's file, if there is one.
            day: whose prices count; ``None``: today's.
        """
        self._overrides = overrides or Overrides()
        self._day = day
        self.row = functools.lru_cache(maxsize=_KEPT_ROWS)(self._row)
        self.rules = functools.lru_cache(maxsize=_KEPT_ROWS)(self._rules)

    def _rules(self, model: str, api: str = "") -> CacheRules:
        """How prefixes are cached; never asks the package, so it is quick."""
        rules = cache_rules(model, api)
        for one in self._overrides.model:
            if one.is_for(model):
                rules = replace(
                    rules,
                    minimum_tokens=one.cache_minimum_tokens or rules.minimum_tokens,
                    step_tokens=one.cache_step_tokens or rules.step_tokens,
                    ttl_s=one.cache_ttl_s or rules.ttl_s,
                    ttl_1h_s=one.cache_ttl_1h_s or rules.ttl_1h_s,
                )
                if one.prices is not None:
                    rules = _with_multipliers(rules, one.prices.prices())
        return rules

    def _row(self, model: str, api: str = "") -> ModelRow:
        """All that is known of a model behind an API (as views name it)."""
        built_in = model_named(model)
        row = ModelRow(
            model=model,
            family=built_in.family,
            tokenizer=built_in.tokenizer,
            context_tokens=built_in.context_tokens,
            cache=self.rules(model, api),
            is_known=built_in.family != "other",
        )
        if (listed := _listed(model, built_in)) is not None:
            row = self._with_listed(row, listed)
        for one in self._overrides.model:
            if one.is_for(model):
                row = replace(
                    row,
                    context_tokens=one.context_tokens or row.context_tokens,
                    tokenizer=one.tokenizer or row.tokenizer,
                    prices=one.prices.prices() if one.prices else row.prices,
                    long_context=one.steps() or row.long_context,
                    is_known=True,
                )
        return row

    def _with_listed(self, row: ModelRow, listed: "ModelInfo") -> ModelRow:
        day = self._day or dt.datetime.now(tz=dt.UTC).date()
        moment = dt.datetime.combine(day, dt.time(), dt.UTC)
        found = vars(listed.get_prices(moment))
        window = None if _LONG in row.model.lower() else listed.context_window
        return replace(
            row,
            context_tokens=window or row.context_tokens,
            prices=_prices(found, 0, row.cache),
            long_context=tuple(
                LongContext(start, prices)
                for start in sorted(_steps(found))
                if (prices := _prices(found, start, row.cache)) is not None
            ),
            is_known=True,
        )

    def names(self) -> Iterator[str]:
        """Ids worth showing: of the big providers in the package, and the file's."""
        package = _package()
        if package is not None:
            for provider in package.get_snapshot().providers:
                if provider.id in _PROVIDERS.values():
                    yield from (model.id for model in provider.models)
        for one in self._overrides.model:
            yield from (name for name in one.match if not set(name) & set("*?["))


@functools.cache
def _package() -> ModuleType | None:
    """The data package; ``None`` where the extra is not installed."""
    try:
        from genai_prices import data_snapshot  # noqa: PLC0415  (optional extra)
    except ImportError:
        return None
    return data_snapshot


def _listed(model: str, built_in: Model) -> "ModelInfo | None":
    """The package's entry for a model, in whatever spelling it is asked for."""
    package = _package()
    name = model[:_MAX_ID_CHARS].strip().lower()
    if package is None or not name:
        return None
    provider = _PROVIDERS.get(built_in.family)
    tail = name.rpartition("/")[2]
    tries: list[tuple[str, str | None]] = [(tail, provider)]
    if built_in.family == "claude" and built_in.tier:
        major, minor = built_in.version
        version = f"{major}-{minor}" if minor else str(major)
        tries.append((f"claude-{built_in.tier}-{version}", provider))
    if provider is None and "/" in name:
        tries.append((name, "openrouter"))
    for ref, where in tries:
        try:
            return package.get_snapshot().find_provider_model(ref, None, where, None)[1]  # type: ignore[no-any-return]  # an optional module
        except LookupError:
            continue
    return None


def _prices(found: dict[str, Any], above: int, rules: CacheRules) -> Prices | None:
    """The prices above a number of input tokens; ``None`` if there are none.

    Where the package has no price of a cache, the built-in multiplier counts.
    """

    def price(name: str) -> float | None:
        value = found.get(name)
        if value is None:
            return None
        base = getattr(value, "base", value)
        for tier in getattr(value, "tiers", ()):
            if above >= tier.start:
                base = tier.price
        return float(base)

    per_input, per_output = price("input_mtok"), price("output_mtok")
    if per_input is None or per_output is None:
        return None
    read = price("cache_read_mtok")
    write = price("cache_write_mtok")
    longer = price("cache_write_1h_mtok")
    return Prices(
        input=per_input,
        output=per_output,
        cache_read=per_input * rules.read if read is None else read,
        cache_write=per_input * rules.write if write is None else write,
        cache_write_1h=per_input * rules.write_1h if longer is None else longer,
    )


def _steps(found: dict[str, Any]) -> set[int]:
    """Where tiers of any price start."""
    return {t.start for v in found.values() for t in getattr(v, "tiers", ())}


def _with_multipliers(rules: CacheRules, prices: Prices) -> CacheRules:
    if not prices.input:
        return rules
    return replace(
        rules,
        read=prices.cache_read / prices.input,
        write=prices.cache_write / prices.input,
        write_1h=prices.cache_write_1h / prices.input,
    )

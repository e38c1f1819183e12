"""What is known of models by name: family, tokenizer, cache rules, context window.

Pure data and lookups; the planner asks for the shortest prefix a provider caches, the
token counters for the tokenizer, the billing simulator for prices. Model ids reach us
in many spellings (``anthropic/claude-opus-4.5``, ``us.anthropic.claude-…-v1:0``,
``claude-opus-4@20250514``, ``openrouter/openai/gpt-4o``, ``azure/gpt-35-turbo``); a
lookup never fails: what is not listed gets the careful answer, the largest minimum and
the highest price of its provider.

Sources: https://platform.claude.com/docs/en/build-with-claude/prompt-caching and
https://platform.claude.com/docs/en/about-claude/pricing (minimum lengths, multipliers),
https://platform.openai.com/docs/guides/prompt-caching,
https://ai.google.dev/gemini-api/docs/caching.
"""

import re
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Family: TypeAlias = Literal["claude", "openai", "gemini", "other"]
Tokenizer: TypeAlias = Literal["o200k_base", "cl100k_base"]


class CacheRules(Struct, frozen=True, gc=False):
    """How a provider caches prefixes of one model and what it bills.

    Attributes:
        minimum_tokens: a shorter prefix is not cached at all.
        step_tokens: cached lengths grow in steps of this many tokens.
        write: price of a cached-for-5-minutes token, in units of an uncached one.
        write_1h: the same for the one-hour cache; equal to ``write`` if there is none.
        read: price of a token read from the cache, in the same unit.
        ttl_s: how long an entry lives without being read, by default.
        ttl_1h_s: the longer lifetime that can be asked for; ``ttl_s`` if there is none.
    """

    minimum_tokens: int
    step_tokens: int
    write: float
    write_1h: float
    read: float
    ttl_s: int
    ttl_1h_s: int


class Model(Struct, frozen=True, gc=False):
    """One model as far as its name tells.

    Attributes:
        family: whose model it is; ``other`` for all that is not listed here.
        tier: ``opus``, ``flash``, ``mini`` …; empty if the name has none.
        version: major and minor number; ``(0, 0)`` if the name has none.
        tokenizer: the OpenAI vocabulary that counts its tokens exactly; ``None`` if no
            vocabulary is public.
        context_tokens: the largest prompt it accepts by default.
        preserves_thinking: replayed thinking is accepted only if everything before it
            is what the model saw when it wrote it.
        cache: the provider's rules for its prefix cache.
    """

    family: Family
    tier: str
    version: tuple[int, int]
    tokenizer: Tokenizer | None
    context_tokens: int
    preserves_thinking: bool
    cache: CacheRules


_MINUTES_5 = 300
_MINUTES_30 = 1800
_HOUR = 3600

CLAUDE_LARGEST_MINIMUM = 4096
OPENAI_MINIMUM = 1024
OPENAI_STEP = 128
_CLAUDE_MINIMUMS: dict[tuple[str, tuple[int, int]], int] = {
    ("opus", (3, 0)): 1024,
    ("sonnet", (3, 5)): 1024,
    ("sonnet", (3, 7)): 1024,
    ("haiku", (3, 0)): 2048,
    ("haiku", (3, 5)): 2048,
    ("opus", (4, 0)): 1024,
    ("opus", (4, 1)): 1024,
    ("opus", (4, 5)): 4096,
    ("opus", (4, 6)): 4096,
    ("opus", (4, 7)): 2048,
    ("opus", (4, 8)): 1024,
    ("sonnet", (4, 0)): 1024,
    ("sonnet", (4, 5)): 1024,
    # The reference page says 1,024; prefixes under 2,048 were seen not to be cached:
    # https://github.com/anthropics/anthropic-sdk-python/issues/1194
    ("sonnet", (4, 6)): 2048,
    ("haiku", (4, 5)): 4096,
    ("sonnet", (5, 0)): 1024,
    ("opus", (5, 0)): 512,
    ("fable", (5, 0)): 512,
    ("fable", (5, 1)): 512,
    ("mythos", (5, 0)): 512,
    ("mythos", (5, 1)): 512,
}
_CLAUDE_READ = 0.1
_CLAUDE_READS: dict[tuple[str, tuple[int, int]], float] = {
    ("fable", (5, 1)): 0.025,
    ("mythos", (5, 1)): 0.025,
    ("opus", (5, 5)): 0.05,
    ("sonnet", (5, 5)): 0.05,
}
# From these versions on, thinking blocks are tied to the conversation they came from.
_PRESERVED_THINKING_FROM: dict[str, tuple[int, int]] = {
    "fable": (5, 1),
    "mythos": (5, 1),
    "opus": (5, 5),
    "sonnet": (5, 5),
    "haiku": (5, 5),
}

_CLAUDE = re.compile(r"(?<![a-z])claude(?![a-z])")
_CLAUDE_TIER = re.compile(
    r"(?<![a-z])(opus|sonnet|haiku|fable|mythos|instant)(?![a-z])"
)
# One or two digits, not the start of a date such as 20250514.
_VERSION = re.compile(r"(?<!\d)(\d{1,2})(?:[.-](\d{1,2})(?!\d))?(?!\d)")
_GEMINI = re.compile(r"(?<![a-z])gemini(?![a-z])")
_GEMINI_TIER = re.compile(r"(?<![a-z])(flash-lite|flash|pro|ultra|nano)(?![a-z])")
_OTHER = re.compile(
    r"(?<![a-z])(llama|qwen|qwq|mistral|mixtral|codestral|devstral|magistral|deepseek|"
    r"grok|kimi|glm|phi|command|nova|gemma|minimax|marco|yi|jamba|granite|nemotron)"
)
_GPT = re.compile(
    r"(?<![a-z0-9])(?:chat)?gpt-?(\d{1,2})(?:\.(\d)|-(\d)(?![0-9a-z]))?(o)?(?![a-z0-9])"
)
_O_SERIES = re.compile(r"(?<![a-z0-9])o([1-9])(?![0-9a-z.])")
_O200K_NAMES = re.compile(r"(?<![a-z0-9])(gpt-oss|codex|computer-use-preview)(?![a-z])")
_CL100K_NAMES = re.compile(
    r"(?<![a-z0-9])(text-embedding-(ada-002|3-small|3-large)|davinci-002|babbage-002)"
)
_OPENAI_TIER = re.compile(r"(?<![a-z])(mini|nano|turbo|pro|codex)(?![a-z])")

_MAX_ID_CHARS = 512  # longer ids are not model names; their head decides


@lru_cache(maxsize=1024)
def model_named(model: str) -> Model:
    """What the id tells about the model; never raises."""
    name = model[:_MAX_ID_CHARS].strip().lower()
    if _CLAUDE.search(name):
        return _claude(name)
    if _GEMINI.search(name):
        return _gemini(name)
    if not _OTHER.search(name) and (found := _openai(name)):
        return found
    return Model(
        family="other",
        tier="",
        version=(0, 0),
        tokenizer=None,
        context_tokens=128_000,
        preserves_thinking=False,
        cache=CacheRules(
            minimum_tokens=CLAUDE_LARGEST_MINIMUM,
            step_tokens=1,
            write=1.0,
            write_1h=1.0,
            read=0.5,
            ttl_s=_MINUTES_5,
            ttl_1h_s=_MINUTES_5,
        ),
    )


def family_of(model: str | None) -> Family:
    """The family of a model id, vendor prefixes and dates allowed."""
    return model_named(model).family if model else "other"


def cache_rules(model: str | None, api: str = "") -> CacheRules:
    """How prefixes of a model are cached behind an API.

    Args:
        model: its id.
        api: the provider family, as views name it. Compatible providers of OpenAI's
            APIs are taken to cache unknown models as OpenAI does.
    """
    found = model_named(model or "")
    if found.family == "other" and api.startswith("openai"):
        return replace(
            found.cache, minimum_tokens=OPENAI_MINIMUM, step_tokens=OPENAI_STEP
        )
    return found.cache


def cache_minimum_tokens(model: str | None, api: str = "") -> int:
    """The shortest prefix the provider caches; its largest one if not known."""
    return cache_rules(model, api).minimum_tokens


def _version(name: str, start: int) -> tuple[int, int]:
    found = _VERSION.search(name, start)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _claude(name: str) -> Model:
    start = name.rindex("claude")
    found = _CLAUDE_TIER.search(name, start)
    tier = found[1] if found else ""
    version = _version(name, start)
    key = (tier, version)
    preserved_from = _PRESERVED_THINKING_FROM.get(tier)
    is_long = version >= (5, 0) or (tier != "haiku" and version >= (4, 6))
    return Model(
        family="claude",
        tier=tier,
        version=version,
        tokenizer=None,
        context_tokens=1_000_000 if is_long or "[1m]" in name else 200_000,
        preserves_thinking=preserved_from is not None and version >= preserved_from,
        cache=CacheRules(
            minimum_tokens=_CLAUDE_MINIMUMS.get(key, CLAUDE_LARGEST_MINIMUM),
            step_tokens=1,
            write=1.25,
            write_1h=2.0,
            read=_CLAUDE_READS.get(key, _CLAUDE_READ),
            ttl_s=_MINUTES_5,
            ttl_1h_s=_HOUR,
        ),
    )


def _gemini(name: str) -> Model:
    start = name.rindex("gemini")
    found = _GEMINI_TIER.search(name, start)
    version = _version(name, start)
    return Model(
        family="gemini",
        tier=found[1] if found else "",
        version=version,
        tokenizer=None,
        context_tokens=1_048_576,
        preserves_thinking=False,
        cache=CacheRules(
            minimum_tokens=2048 if version == (2, 5) else 4096,
            step_tokens=1,
            write=1.0,
            write_1h=1.0,
            read=0.1 if version >= (2, 5) else 0.25,
            ttl_s=_MINUTES_5,
            ttl_1h_s=_HOUR,
        ),
    )


def _openai(name: str) -> Model | None:
    found = _OPENAI_TIER.search(name)
    tier = found[1] if found else ""
    if gpt := _GPT.search(name):
        version = (int(gpt[1]), int(gpt[2] or gpt[3] or 0))
        if version[0] == 35:  # Azure writes gpt-35-turbo
            version = (3, 5)
        if version[0] < 3:  # gpt-2 has a vocabulary of its own
            return None
        is_old = version[0] == 3 or (version == (4, 0) and not gpt[4])
        return _openai_model(tier, version, "cl100k_base" if is_old else "o200k_base")
    if series := _O_SERIES.search(name):
        return _openai_model(f"o{series[1]}", (int(series[1]), 0), "o200k_base")
    if _O200K_NAMES.search(name):
        return _openai_model(tier, (5, 0), "o200k_base")
    if _CL100K_NAMES.search(name):
        return _openai_model(tier, (3, 5), "cl100k_base")
    return None


def _openai_model(tier: str, version: tuple[int, int], tokenizer: Tokenizer) -> Model:
    is_series = tier.startswith("o")
    if is_series:
        read, context = (0.25 if version[0] >= 3 else 0.5), 200_000
    elif version >= (5, 0):
        read, context = 0.1, 400_000
    elif version == (4, 1):
        read, context = 0.25, 1_047_576
    else:
        read, context = 0.5, (128_000 if tokenizer == "o200k_base" else 8_192)
    # Writes are billed, and kept for 30 minutes, from GPT-5.6 on.
    is_billing_writes = not is_series and version >= (5, 6)
    write = 1.25 if is_billing_writes else 1.0
    ttl_s = _MINUTES_30 if is_billing_writes else _MINUTES_5
    return Model(
        family="openai",
        tier=tier,
        version=version,
        tokenizer=tokenizer,
        context_tokens=context,
        preserves_thinking=False,
        cache=CacheRules(
            minimum_tokens=OPENAI_MINIMUM,
            step_tokens=1 if is_billing_writes else OPENAI_STEP,
            write=write,
            write_1h=write,
            read=read,
            ttl_s=ttl_s,
            ttl_1h_s=ttl_s,
        ),
    )

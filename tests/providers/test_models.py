import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.providers.models import (
    cache_minimum_tokens,
    cache_rules,
    family_of,
    model_named,
)


@pytest.mark.parametrize(
    ("model", "tier", "version"),
    [
        ("claude-3-haiku-20240307", "haiku", (3, 0)),
        ("claude-3-5-sonnet-20241022", "sonnet", (3, 5)),
        ("anthropic/claude-3.7-sonnet:thinking", "sonnet", (3, 7)),
        ("claude-opus-4-20250514", "opus", (4, 0)),
        ("claude-opus-4@20250514", "opus", (4, 0)),
        ("claude-opus-4-1-20250805", "opus", (4, 1)),
        ("claude-sonnet-4-5[1m]", "sonnet", (4, 5)),
        ("claude-sonnet-4.5", "sonnet", (4, 5)),
        ("CLAUDE-HAIKU-4-5@20251001", "haiku", (4, 5)),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "haiku", (4, 5)),
        ("claude-fable-5-1", "fable", (5, 1)),
        ("anthropic.claude-v2:1", "", (2, 0)),
        ("claude-instant-1.2", "instant", (1, 2)),
        ("claude-opus", "opus", (0, 0)),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-6-v1",
            "opus",
            (4, 6),
        ),
    ],
)
def test_tier_and_version_are_read_from_every_spelling_of_a_claude_id(
    model, tier, version
):
    found = model_named(model)
    assert (found.family, found.tier, found.version) == ("claude", tier, version)
    assert found.tokenizer is None


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-4-1", 1024),
        ("claude-opus-4-5-20251101", 4096),
        ("anthropic/claude-opus-4.6", 4096),
        ("claude-opus-4-7", 2048),
        ("claude-opus-4-8", 1024),
        ("claude-opus-5", 512),
        ("claude-sonnet-4-5", 1024),
        ("claude-sonnet-4-6", 2048),
        ("claude-haiku-3-5", 2048),
        ("claude-3-5-haiku-20241022", 2048),
        ("claude-haiku-4-5", 4096),
        ("claude-fable-5-1", 512),
        ("claude-opus-9", 4096),
        ("gpt-4o", 1024),
        ("openai/o3", 1024),
        ("gemini-2.5-flash", 2048),
        ("gemini-3-pro-preview", 4096),
        ("gemini-flash-latest", 4096),
        ("unheard-of", 4096),
        ("", 4096),
        (None, 4096),
    ],
)
def test_the_shortest_cached_prefix_is_known_per_model(model, tokens):
    assert cache_minimum_tokens(model) == tokens


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-fable-5", False),
        ("claude-fable-5-1", True),
        ("claude-opus-5", False),
        ("claude-opus-5-5", True),
        ("anthropic/claude-sonnet-5.5", True),
        ("us.anthropic.claude-haiku-5-5-v1:0", True),
        ("claude-haiku-4-5", False),
        ("claude-opus-6", True),
        ("gpt-5.6", False),
    ],
)
def test_models_that_tie_thinking_to_its_conversation_are_known(model, expected):
    assert model_named(model).preserves_thinking is expected


def test_prices_are_in_units_of_an_uncached_token():
    assert model_named("claude-sonnet-4-5").cache.write == 1.25
    assert model_named("claude-sonnet-4-5").cache.write_1h == 2.0
    assert model_named("claude-sonnet-4-5").cache.read == 0.1
    assert model_named("claude-opus-5-5").cache.read == 0.05
    assert model_named("claude-fable-5-1").cache.read == 0.025
    assert model_named("gpt-4o").cache.write == 1.0
    assert model_named("gpt-4o").cache.read == 0.5
    assert model_named("gpt-5.2").cache.read == 0.1
    assert model_named("gpt-5.6-sol").cache.write == 1.25
    assert model_named("claude-opus-5").cache.ttl_s == 300
    assert model_named("claude-opus-5").cache.ttl_1h_s == 3600


def test_context_windows_are_known():
    assert model_named("claude-sonnet-4-5").context_tokens == 200_000
    assert model_named("claude-sonnet-4-5[1m]").context_tokens == 1_000_000
    assert model_named("claude-opus-5").context_tokens == 1_000_000
    assert model_named("gpt-4o").context_tokens == 128_000
    assert model_named("gpt-4.1").context_tokens == 1_047_576


def test_other_vendors_models_are_not_taken_for_openai_ones():
    for model in (
        "aidc/marco-o1",
        "gpt2",
        "gpt-neo-2.7b",
        "grok-4",
        "phi-4",
        "kimi-k3",
    ):
        assert family_of(model) == "other"


@given(st.text(max_size=80))
def test_any_text_at_all_is_answered(name):
    found = model_named(name)
    assert 512 <= found.cache.minimum_tokens <= 4096
    assert found.context_tokens > 0


@pytest.mark.parametrize(
    ("model", "minimum", "step"),
    [
        ("glm-4.6", 1024, 128),
        ("qwen/qwen3-coder-plus", 1024, 128),
        ("", 1024, 128),
        ("gpt-5", 1024, 128),
        ("gpt-5.6", 1024, 1),
        ("anthropic/claude-opus-4.5", 4096, 1),
    ],
)
def test_unknown_models_behind_openais_apis_are_cached_as_openais(model, minimum, step):
    found = cache_rules(model, "openai_chat")
    assert (found.minimum_tokens, found.step_tokens) == (minimum, step)
    assert cache_minimum_tokens(model, "openai_chat") == minimum
    if model_named(model).family == "other":
        assert cache_minimum_tokens(model, "anthropic") == 4096


@pytest.mark.parametrize(
    ("model", "family", "tokenizer", "minimum"),
    [
        ("anthropic/claude-sonnet-4.5", "claude", None, 1024),
        ("openrouter/anthropic/claude-opus-4.6", "claude", None, 4096),
        ("vertex_ai/claude-haiku-4-5@20251001", "claude", None, 4096),
        ("openai/gpt-5.2-mini", "openai", "o200k_base", 1024),
        ("azure/gpt-35-turbo", "openai", "cl100k_base", 1024),
        ("google/gemini-2.5-pro", "gemini", None, 2048),
        ("meta-llama/llama-4-maverick", "other", None, 1024),
        ("qwen/qwen3-coder:free", "other", None, 1024),
        ("moonshotai/kimi-k2", "other", None, 1024),
    ],
)
def test_vendor_prefixed_ids_find_their_tokenizer_and_cache(
    model, family, tokenizer, minimum
):
    found = model_named(model)
    assert (found.family, found.tokenizer) == (family, tokenizer)
    assert cache_minimum_tokens(model, "openai_chat") == minimum

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from headroom.inference.tokens import (
    count_tokens,
    counter_for,
    encoding_name_for,
    family_of,
    load_encoding,
)

TEXT = '{"id": 12345, "status": "active", "name": "Ada Lovelace"}\n' * 20


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        (None, "o200k_base"),
        ("", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-5.2-codex", "o200k_base"),
        ("openrouter/openai/gpt-4o", "o200k_base"),
        ("o3", "o200k_base"),
        ("openai/o4-mini-high", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-1106-preview", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-4-32k", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-16k", "cl100k_base"),
        ("ft:gpt-3.5-turbo:org", "cl100k_base"),
        ("text-embedding-3-large", "cl100k_base"),
        ("anthropic/claude-opus-4.5", "o200k_base"),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "o200k_base"),
        ("models/gemini-2.5-pro", "o200k_base"),
        ("meta-llama/llama-3.1-70b-instruct", "o200k_base"),
        ("some-model-of-tomorrow", "o200k_base"),
    ],
)
def test_every_spelling_of_a_model_id_finds_its_vocabulary(model, encoding):
    assert encoding_name_for(model) == encoding
    assert counter_for(model)(TEXT) == load_encoding(encoding).count(TEXT)


def test_counts_for_openai_models_are_exact():
    for model in ("gpt-4o", "gpt-4", "azure/gpt-4.1", None):
        found = count_tokens(TEXT, model)
        assert found.is_exact
        assert found.error_bound == 0.0
        assert found.tokens == counter_for(model)(TEXT)


@pytest.mark.parametrize(
    "model",
    ["claude-sonnet-4-5", "anthropic/claude-opus-5.5", "gemini-3-pro", "qwen/qwen3"],
)
def test_other_counts_are_estimates_that_say_how_far_off_they_may_be(model):
    found = count_tokens(TEXT, model)
    o200k = load_encoding("o200k_base").count(TEXT)
    assert not found.is_exact
    assert 0.0 < found.error_bound < 0.5
    assert found.tokens * (1 - found.error_bound) < o200k * 1.3
    assert found.tokens >= o200k


def test_the_bound_for_claude_covers_what_was_published():
    o200k = load_encoding("o200k_base").count(TEXT)
    before = count_tokens(TEXT, "claude-opus-4-6")
    after = count_tokens(TEXT, "claude-opus-4-7")
    for found, low, high in ((before, 1.0, 1.3), (after, 1.16, 1.3 * 1.35)):
        assert found.tokens * (1 - found.error_bound) <= o200k * low
        assert found.tokens * (1 + found.error_bound) >= o200k * high


def test_an_empty_text_has_no_tokens_for_any_model():
    for model in (None, "gpt-4", "claude-opus-4-5", "gemini-2.5-flash"):
        assert count_tokens("", model).tokens == 0
        assert counter_for(model)("") == 0


def test_counters_can_be_sent_to_worker_processes():
    counter = counter_for("gpt-4")
    assert len(pickle.dumps(counter)) < 300
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(counter, TEXT).result() == counter(TEXT)


def test_families_are_found_behind_vendor_prefixes():
    assert family_of("bedrock/us.anthropic.claude-opus-4-20250514-v1:0") == "claude"
    assert family_of("openrouter/openai/gpt-5") == "openai"
    assert family_of("vertex_ai/gemini-2.5-flash") == "gemini"
    assert family_of("deepseek/deepseek-chat") == "other"
    assert family_of(None) == "other"

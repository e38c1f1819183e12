"""The table of models: the user's file, the data package, what is built in."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import ConfigError
from headroom.inference import model_table
from headroom.inference.model_overrides import Overrides, read_overrides
from headroom.inference.model_table import ModelTable
from headroom.providers.models import cache_rules
from headroom.providers.prices import Prices

DAY = dt.date(2026, 11, 1)
FILE = """
updated = 2026-11-21

[[model]]
match = ["acme-*", "acme/*"]
context_tokens = 50_000
tokenizer = "o200k_base"
cache_minimum_tokens = 2048
cache_ttl_s = 60
prices = { input = 2.0, output = 8.0, cache_read = 0.5, cache_write = 2.5 }

[[model.long_context]]
above_tokens = 40_000
prices = { input = 4.0, output = 12.0 }

[[model]]
match = ["acme-large"]
context_tokens = 90_000

[[model]]
match = ["claude-opus-5"]
cache_minimum_tokens = 777
"""


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "models.toml"
    file.write_text(FILE)
    return ModelTable(read_overrides(str(file)), DAY)


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(model_table, "_package", lambda: None)


@pytest.mark.parametrize(
    "model",
    [
        "claude-sonnet-4-5",
        "anthropic/claude-sonnet-4.5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5@20250929",
        "openrouter/anthropic/claude-sonnet-4.5:thinking",
    ],
)
def test_prices_are_found_in_every_spelling(model):
    row = ModelTable(day=DAY).row(model)
    assert row.is_known
    assert row.prices == Prices(3.0, 15.0, 0.3, 3.75, 6.0)
    [step] = row.long_context
    assert step.above_tokens == 200_000
    assert step.prices.input == 6.0
    assert step.prices.cache_read == 0.6


def test_other_providers_models_are_found():
    table = ModelTable(day=DAY)
    assert table.row("openai/gpt-5").prices.cache_read == 0.125
    assert table.row("gpt-5").context_tokens == 400_000
    assert table.row("gemini-2.5-pro").long_context[0].above_tokens == 200_000
    assert table.row("x-ai/grok-4").is_known
    assert table.row("gpt-5.6").cache.minimum_tokens == 1024


def test_prices_are_those_of_the_day():
    before = ModelTable(day=dt.date(2026, 3, 1)).row("claude-sonnet-4-6")
    after = ModelTable(day=DAY).row("claude-sonnet-4-6")
    assert [step.above_tokens for step in before.long_context] == [200_000]
    assert after.long_context == ()


def test_the_users_file_wins_member_by_member(table):
    row = table.row("acme-large")
    assert (row.context_tokens, row.tokenizer) == (90_000, "o200k_base")
    assert row.prices == Prices(2.0, 8.0, 0.5, 2.5, 2.5)
    assert row.long_context[0].prices == Prices(4.0, 12.0, 4.0, 4.0, 4.0)
    assert row.cache.minimum_tokens == 2048
    assert (row.cache.read, row.cache.write, row.cache.ttl_s) == (0.25, 1.25, 60)
    assert row.is_known
    assert table.row("ACME/x").context_tokens == 50_000
    assert table.rules("claude-opus-5").minimum_tokens == 777
    assert table.row("claude-opus-5").prices is not None
    assert "acme-large" in set(table.names())


def test_unknown_models_get_careful_defaults():
    row = ModelTable(day=DAY).row("unheard-of-9")
    assert not row.is_known
    assert row.prices is None
    assert row.cache.minimum_tokens == 4096
    assert ModelTable().row("unheard-of-9", "openai_chat").cache.minimum_tokens == 1024


def test_without_the_package_the_built_in_rules_hold(without_package):
    table = ModelTable()
    row = table.row("anthropic/claude-opus-5")
    assert row.is_known
    assert row.prices is None
    assert row.cache == cache_rules("claude-opus-5")
    assert list(table.names()) == []


@given(st.text(max_size=30), st.sampled_from(["", "/", "claude-", "openai/", "[1m]"]))
def test_any_id_gives_a_row(text, prefix):
    row = ModelTable(day=DAY).row(prefix + text)
    assert row.context_tokens > 0
    assert row.prices is None or row.prices.input >= 0


@pytest.mark.parametrize(
    "text",
    [
        "[[model]]",
        "[[model]]\nmatch = []",
        '[[model]]\nmatch = ["x"]\ncontext_tokens = 0',
        '[[model]]\nmatch = ["x"]\ncolour = "red"',
        '[[model]]\nmatch = ["x"]\nprices = { input = -1.0, output = 1.0 }',
        '[[model]]\nmatch = ["x"]\ntokenizer = "other"',
        'updated = "yesterday"',
        "[[model]",
    ],
)
def test_a_bad_file_is_named_with_its_place(tmp_path, text):
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"models\.toml"):
        read_overrides(str(file))


def test_a_file_that_is_missing_is_an_error_and_none_is_none(tmp_path):
    with pytest.raises(ConfigError, match="gone"):
        read_overrides(str(tmp_path / "gone.toml"))
    assert read_overrides("") == Overrides()

"""The file of models: what is accepted, and what is said about the rest."""

import hashlib

import pytest

from headroom.broker import models_file
from headroom.broker.models_file import parse, read
from headroom.broker.registry import make_registry
from headroom.errors import ConfigError
from headroom.providers.prices import Prices

YAML = """
backends:
  a: {base_url: "https://api.example.org/v1", key_env: KEY}
models:
  m: {backends: [{backend: a}]}
"""
JSON = '{"backends":{"a":{"base_url":"http://x"}},"models":{"m":{"backends":[{"backend":"a"}]}}}'
TOML = """
[backends.a]
base_url = "http://x"
[[models.m.backends]]
backend = "a"
"""


def registry(text, environ=None, prices=None):
    file = parse(text.encode(), "models.yml")
    return make_registry(file, environ or {"KEY": "sk-1"}, lambda _: prices)


@pytest.mark.parametrize(
    ("text", "name"), [(YAML, "m.yml"), (JSON, "m.json"), (TOML, "m.toml")]
)
def test_yaml_json_and_toml_are_read(text, name):
    assert parse(text.encode(), name).models["m"].backends[0].backend == "a"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("backend: a", "backend: zz"), "models.m.backends[0]: no backend 'zz'"),
        (("key_env: KEY", "key: sk-secret"), "unknown field `key`"),
        (("key_env: KEY", "key_env: sk-secret"), "key_env"),
        (("https://api", "ftp://api"), "base_url"),
        (("https://api", "https://user:sk-secret@api"), "base_url"),
        (("models:", "modells:"), "modells"),
        (("  m:", "  m: {backends: []}\n  n:"), "backends"),
        (("  m: {b", "  m: {aliases: [m], b"), "'m' stands twice"),
        (("{backend: a}", "{backend: a, weight: 0}"), "weight"),
        (("{backend: a}", "{backend: a, weight: .nan}"), "weight"),
        (("{backend: a}]", "{backend: a}], limits: {budget_usd: 1}"), "prices of 'm'"),
        (("backends:", "default_backend: b\nbackends:"), "default_backend"),
        (("backends:", "keys: [{name: k}]\nbackends:"), "one of key_env and key_sha"),
        (("backends:", "attribution: {Host: x}\nbackends:"), "'host' cannot be set"),
        (("backends:", 'attribution: {X-A: "a\\nb"}\nbackends:'), "cannot be set"),
        (("backends:", "retries: {rounds: 99}\nbackends:"), "rounds"),
        (("models:", "backends: {}\nmodels:"), "stands twice"),
        (("models:", "models: ["), "line "),
        (("models:", "!!python/object:os.system models:"), ""),
    ],
)
def test_what_is_wrong_is_said_without_repeating_a_key(change, said):
    with pytest.raises(ConfigError) as caught:
        registry(YAML.replace(*change, 1))
    assert said in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"[1]", b"a", b"\x00", b"[" * 100_000, b"{" * 50_000,
     b"x" * (models_file.MAX_FILE_BYTES + 1), b"&a [*a]"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["m.yml", "m.json", "m.toml"])
def test_anything_else_is_a_config_error(data, name):
    with pytest.raises(ConfigError):
        parse(data, name)


def test_a_file_that_is_not_there_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.yml")


@pytest.mark.parametrize("value", ["", " ", "sk-é", "sk\n1"])
def test_a_key_that_is_missing_or_no_header_is_told_by_its_variable(value):
    with pytest.raises(ConfigError, match="KEY"):
        registry(YAML, {"KEY": value})


def test_keys_are_known_by_variable_or_by_hash():
    digest = hashlib.sha256(b"sk-b").hexdigest()
    keys = f"keys: [{{name: a, key_env: A}}, {{name: b, key_sha256: {digest}}}]\n"
    found = registry(keys + YAML, {"KEY": "sk-1", "A": "sk-a"})
    assert [found.client(k).name for k in (b"sk-a", b"sk-b")] == ["a", "b"]
    assert found.client(b"") is found.client(b"sk-1") is None
    twice = "keys: [{name: a, key_env: A}, {name: b, key_env: A}]\n"
    with pytest.raises(ConfigError, match="twice"):
        registry(twice + YAML, {"KEY": "sk-1", "A": "sk-a"})


def test_a_budget_in_dollars_is_taken_where_prices_are_known():
    text = YAML.replace("a}]", "a}], limits: {budget_usd: 1}")
    assert registry(text, prices=Prices(1, 1, 1, 1, 1)).model("m") is not None


def test_the_longest_beginning_counts_and_exact_names_before_it():
    entry = "{backends: [{backend: a}]}"
    found = registry(f'{YAML}  "gpt-*": {entry}\n  "gpt-5*": {entry}\n')
    assert found.model("gpt-5-mini").name == "gpt-5*"
    assert found.model("gpt-4").name == "gpt-*"
    assert found.model("m").name == "m"
    assert found.model("zz") is None


@pytest.mark.parametrize(
    "value", ['!!int ""', '!!float ""', '!!bool "x"', '!!timestamp "x"']
)
def test_values_that_are_not_what_their_tag_says_are_told(value):
    with pytest.raises(ConfigError):
        parse(f"backends: {value}".encode(), "models.yml")

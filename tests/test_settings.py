"""Settings: where values come from, what is allowed, what is said about the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

from headroom import settings
from headroom.core.types import KINDS
from headroom.errors import ConfigError
from headroom.settings import SETTINGS


def load(environ=None, flags=None):
    return settings.load(flags or {}, environ if environ is not None else {})


def test_defaults_are_what_the_documentation_says():
    made = load().settings
    assert (made.proxy.host, made.proxy.port) == ("127.0.0.1", 8787)
    assert made.proxy.compression_mode == "live_zone"
    assert made.proxy.compression is True
    assert made.proxy.reapply == "enabled"
    assert made.proxy.strip_internal_headers == "enabled"
    assert made.proxy.body_too_large_status == 413
    assert made.proxy.sse_buffer_max_bytes == 1_048_576
    assert made.proxy.max_body_bytes == made.compression_max_body_bytes == 100_000_000
    assert made.upstream.anthropic_url == "https://api.anthropic.com"
    assert made.store.retention_days == 30
    assert made.store.max_bytes == 2 * 1024**3
    assert made.require_core is True
    assert set(load().sources.values()) == {"default"}


def test_an_empty_environment_is_empty_and_not_this_process_s_own(monkeypatch):
    monkeypatch.setenv("HEADROOM_PROXY_PORT", "1234")
    assert load({}).settings.proxy.port == 8787
    assert settings.load({}).settings.proxy.port == 1234


def test_flags_beat_the_environment_which_beats_the_file(tmp_path):
    file = tmp_path / "some.toml"
    file.write_text("[proxy]\nport = 1\nworkers = 3\nhost = '::1'\n")
    env = {
        "HEADROOM_CONFIG": str(file),
        "HEADROOM_PROXY_PORT": "2",
        "HEADROOM_PROXY_WORKERS": "4",
    }
    loaded = load(env, {"proxy.port": "5"})
    proxy = loaded.settings.proxy
    assert (proxy.port, proxy.workers, proxy.host) == (5, 4, "::1")
    assert loaded.sources["proxy.port"] == "--port"
    assert loaded.sources["proxy.workers"] == "HEADROOM_PROXY_WORKERS"
    assert loaded.sources["proxy.host"] == str(file)
    assert loaded.sources["proxy.token"] == "default"


def test_the_file_in_the_configuration_directory_is_found(tmp_path):
    (tmp_path / "headroom").mkdir()
    (tmp_path / "headroom" / "headroom.toml").write_text("require_core = false\n")
    assert load({"XDG_CONFIG_HOME": str(tmp_path)}).settings.require_core is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[proxy]\nprot = 1\n", ["proxy.prot", "proxy.port"]),
        ("[prox]\nport = 1\n", ["prox.port"]),
        ("color = 'red'\n", ["color"]),
        ("[proxy]\nport = 'x'\n", ["proxy.port", "'x'", "65535"]),
        ("[proxy]\nport = true\n", ["proxy.port"]),
        ("[proxy\n", ["cannot read"]),
        ("a = " + "[" * 100_000, ["cannot read"]),
    ],
)
def test_a_bad_file_is_named_with_the_place(tmp_path, text, words):
    file = tmp_path / "headroom.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load({"HEADROOM_CONFIG": str(file)})
    assert all(word in str(caught.value) for word in [*words, str(file)])


def test_a_file_that_was_named_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load({"HEADROOM_CONFIG": str(tmp_path / "gone.toml")})


BAD = {
    bool: ["maybe", "2"],
    int: ["x", "1.5", "-9"],
    float: ["x", "-9"],
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda s: s.path)
def test_every_variable_sets_its_setting_and_refuses_garbage(setting):
    for variable in setting.env:
        good = setting.shown(setting.default) if not setting.is_secret else "t"
        good = good or ("http://x.example" if setting.is_url else "x.example")
        if setting.is_store:
            good = "memory://"
        loaded = load({variable: f"  {good.upper() if setting.choices else good} "})
        assert loaded.sources[setting.path] == variable
        if setting.default:
            assert loaded.value(setting) == setting.default or setting.is_store
        for bad in BAD.get(setting.type, ["garbage"] if setting.choices else []):
            with pytest.raises(ConfigError) as caught:
                load({variable: bad})
            message = str(caught.value)
            assert variable in message
            assert bad in message
            assert setting.allowed() in message


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda s: s.path)
def test_every_setting_is_described_and_every_number_has_its_unit(setting):
    assert setting.description.endswith(".")
    has_unit = setting.type not in {int, float} or setting.path == "proxy.port"
    assert setting.unit or has_unit


def test_the_first_of_two_variables_wins_and_empty_ones_are_unset():
    first, second = SETTINGS["proxy.strip_internal_headers"].env
    assert first == "HEADROOM_PROXY_STRIP_INTERNAL_HEADERS"
    env = {first: "enabled", second: "disabled"}
    assert load(env).settings.proxy.strip_internal_headers == "enabled"
    env[first] = " "
    assert load(env).settings.proxy.strip_internal_headers == "disabled"


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("0.0.0.0:99", ("0.0.0.0", 99)), ("[::1]:99", ("::1", 99))],
)
def test_listen_sets_host_and_port_together(listen, expected):
    env = {"HEADROOM_PROXY_LISTEN": listen}
    proxy = load(env).settings.proxy
    assert (proxy.host, proxy.port) == expected
    env["HEADROOM_PROXY_PORT"] = "7"
    assert load(env).settings.proxy.port == 7


@pytest.mark.parametrize("listen", ["99", "host", ":9", "host:x", "a:70000"])
def test_a_bad_listen_address_is_refused(listen):
    with pytest.raises(ConfigError, match="HEADROOM_PROXY_LISTEN"):
        load({"HEADROOM_PROXY_LISTEN": listen})


@pytest.mark.parametrize(
    "url",
    [
        "api.anthropic.com",
        "ftp://x",
        "http://",
        "https://user:hunter2@host",
        "https://host?x=1",
        "https://host#x",
        "https://host:port",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(ConfigError, match="HEADROOM_ANTHROPIC_URL") as caught:
        load({"HEADROOM_ANTHROPIC_URL": url})
    assert "hunter2" not in str(caught.value)


def test_a_url_may_have_a_path_and_loses_its_last_slash():
    made = load({"HEADROOM_OPENAI_URL": "http://h:1/v1/"}).settings
    assert made.upstream.openai_url == "http://h:1/v1"


@pytest.mark.parametrize("url", ["x", "sqlite://", "sqlite:///", "postgres://h/d"])
def test_a_store_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="HEADROOM_STORE"):
        load({"HEADROOM_STORE": url})


def test_the_store_is_in_the_data_directory_by_default(tmp_path):
    made = load({"HEADROOM_DATA_DIR": str(tmp_path / "a b")}).settings
    assert made.store_url == f"sqlite://{tmp_path}/a%20b/headroom.db"
    made = load({"XDG_DATA_HOME": str(tmp_path)}).settings
    assert made.data_dir == str(tmp_path / "headroom")
    made = load({"HOME": str(tmp_path)}).settings
    assert made.data_dir == str(tmp_path / ".local/share/headroom")


def test_lossy_thresholds_are_given_by_kind():
    env = {"HEADROOM_COMPRESSION_MIN_LOSSY_BYTES": "log=1, JSON = 2"}
    assert load(env).settings.compression.min_lossy_bytes == {"log": 1, "json": 2}
    for bad in ("logs=1", "log", "log=x", "log=-1"):
        env["HEADROOM_COMPRESSION_MIN_LOSSY_BYTES"] = bad
        with pytest.raises(ConfigError, match="MIN_LOSSY_BYTES"):
            load(env)


def test_lists_are_separated_by_commas():
    env = {"HEADROOM_BASE_URL_ALLOWLIST": " a.example, b.example:8080 ,"}
    assert load(env).settings.upstream.base_url_allowlist == (
        "a.example",
        "b.example:8080",
    )


def test_secrets_are_masked_wherever_they_are_shown():
    loaded = load({"HEADROOM_PROXY_TOKEN": "hunter2"})
    setting = SETTINGS["proxy.token"]
    assert loaded.value(setting) == "hunter2"
    assert setting.shown("hunter2") == "********"
    store = SETTINGS["store.url"]
    assert store.shown("redis://:hunter2@h:1/0") == "redis://********@h:1/0"


def test_the_reading_cap_is_never_above_the_cap_of_all_bodies():
    env = {
        "HEADROOM_PROXY_MAX_BODY_BYTES": "10",
        "HEADROOM_PROXY_COMPRESSION_MAX_BODY_BYTES": "20",
    }
    assert load(env).settings.compression_max_body_bytes == 10


def test_the_policy_follows_the_settings():
    env = {
        "HEADROOM_PROXY_REAPPLY": "disabled",
        "HEADROOM_COMPRESSION_MIN_LOSSLESS_BYTES": "9",
        "HEADROOM_COMPRESSION_USER_TEXT": "lossy",
    }
    policy = settings.policy_of(load(env).settings)
    assert policy.is_reapplying is False
    assert policy.min_lossless_bytes == 9
    assert policy.lossy_user_text is True
    assert set(policy.min_lossy_bytes) == set(KINDS)


def test_flags_are_unique():
    flags = [settings.flag_name(setting) for setting in SETTINGS.values()]
    assert len(flags) == len(set(flags))
    assert {"--host", "--port", "--anthropic-url", "--compression-mode"} <= set(flags)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("::1", True), ("0.0.0.0", False), ("example.com", False)],
)
def test_loopback_is_what_only_this_machine_reaches(host, expected):
    assert settings.is_loopback(host) is expected


def test_the_reference_page_is_up_to_date():
    root = Path(__file__).parent.parent
    script = root / "scripts" / "make_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run scripts/make_reference.py"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADROOM_ANTHROPIC_URL", "http://a b"),
        ("HEADROOM_UPSTREAM_CONNECT_TIMEOUT_S", "inf"),
        ("HEADROOM_UPSTREAM_KEEP_ALIVE_S", "1e400"),
        ("HEADROOM_STORE_RETENTION_DAYS", "1e308"),
        ("HEADROOM_STORE", "memory://x?y"),
        ("HEADROOM_STORE", "sqlite:///tmp/a%00b"),
    ],
)
def test_values_that_mean_nothing_are_refused(variable, value):
    with pytest.raises(ConfigError, match=variable):
        settings.load({}, {variable: value})

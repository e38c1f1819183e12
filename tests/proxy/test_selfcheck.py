"""The start-up check. HEADROOM_WRITE_GOLDEN=1 writes its sample's output anew."""

import os

import pytest

import headroom
from headroom import settings
from headroom.errors import ConfigError
from headroom.proxy import selfcheck


def load(**environ):
    env = {"HEADROOM_STORE": "memory://", **environ}
    return settings.load({}, env).settings


def test_this_installation_passes():
    if os.environ.get("HEADROOM_WRITE_GOLDEN"):
        path = selfcheck.GOLDEN / "golden_output.txt"
        path.write_text(selfcheck.compress_golden(), "utf-8")
    assert selfcheck.examine(load()).status == "loaded"


def test_the_sample_is_really_compressed():
    text = (selfcheck.GOLDEN / "golden_input.txt").read_text("utf-8")
    assert 0 < len(selfcheck.compress_golden()) < 0.6 * len(text)


def test_a_compressor_that_answers_otherwise_is_found(monkeypatch):
    monkeypatch.setattr(selfcheck, "compress_golden", lambda: "otherwise")
    with pytest.raises(ConfigError, match="self-check"):
        selfcheck.examine(load())


def test_a_mixed_installation_is_found(monkeypatch):
    monkeypatch.setattr(headroom, "__version__", "9.9.9")
    with pytest.raises(ConfigError, match=r"9\.9\.9"):
        selfcheck.examine(load())


def test_a_missing_vocabulary_is_found(monkeypatch):
    def fail():
        raise ConfigError("vocabulary file is gone")

    monkeypatch.setattr(selfcheck, "verify_vocabularies", fail)
    with pytest.raises(ConfigError, match="gone"):
        selfcheck.examine(load())
    found = selfcheck.examine(load(HEADROOM_REQUIRE_CORE="false"))
    assert (found.status, found.error) == ("missing", "vocabulary file is gone")


def test_a_store_that_does_not_open_is_found(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("no directory")
    url = f"sqlite://{taken}/x.db"
    with pytest.raises(ConfigError, match="HEADROOM_STORE"):
        selfcheck.examine(load(HEADROOM_STORE=url))
    off = load(HEADROOM_STORE=url, HEADROOM_PROXY_COMPRESSION_MODE="off")
    assert selfcheck.examine(off).status == "loaded"


def test_opting_out_is_told():
    found = selfcheck.examine(load(HEADROOM_REQUIRE_CORE="false"))
    assert (found.status, found.error) == ("disabled", "")

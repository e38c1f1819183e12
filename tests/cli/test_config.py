"""``headroom config``."""

import json

import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.settings import SETTINGS


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HEADROOM_PROXY_TOKEN", "hunter2")
    monkeypatch.setenv("HEADROOM_PROXY_PORT", "9000")


def test_every_setting_is_printed_with_value_and_source():
    done = CliRunner().invoke(main, ["config"])
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.output.splitlines()}
    assert set(lines) == set(SETTINGS)
    assert "9000" in lines["proxy.port"]
    assert "(HEADROOM_PROXY_PORT)" in lines["proxy.port"]
    assert "(default)" in lines["proxy.host"]


def test_secrets_are_masked():
    for arguments in (["config"], ["config", "--json"]):
        output = CliRunner().invoke(main, arguments).output
        assert "hunter2" not in output
        assert "****" in output


def test_json_is_one_object():
    report = json.loads(CliRunner().invoke(main, ["config", "--json"]).output)
    assert report["proxy.port"] == {
        "value": "9000",
        "source": "HEADROOM_PROXY_PORT",
        "env": "HEADROOM_PROXY_PORT",
    }


def test_a_bad_setting_ends_with_status_78(monkeypatch):
    monkeypatch.setenv("HEADROOM_PROXY_REAPPLY", "sometimes")
    done = CliRunner().invoke(main, ["config"])
    assert done.exit_code == 78
    assert "HEADROOM_PROXY_REAPPLY" in done.output
    assert "enabled, disabled" in done.output

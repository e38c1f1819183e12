"""``headroom proxy``: its options. What it serves is tested as a process."""

import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.settings import SETTINGS, flag_name


@pytest.fixture
def served(monkeypatch, tmp_path):
    """The settings the server was started with."""
    found = []

    def serve(settings, announce, flags=None):
        found.append(settings)
        announce("http://127.0.0.1:1")
        return 0

    monkeypatch.setattr("headroom.proxy.server.serve", serve)
    monkeypatch.setenv("HOME", str(tmp_path))
    return found


def test_every_setting_is_an_option():
    output = CliRunner().invoke(main, ["proxy", "--help"]).output
    assert not [s.path for s in SETTINGS.values() if flag_name(s) not in output]


def test_options_reach_the_server(served):
    arguments = ["--port", "9", "--compression-mode", " OFF ", "--no-compression"]
    done = CliRunner().invoke(main, ["proxy", *arguments, "--log-level", "debug"])
    assert done.exit_code == 0
    assert "http://127.0.0.1:1" in done.output
    proxy = served[0].proxy
    assert (proxy.port, proxy.compression_mode, proxy.compression) == (9, "off", False)
    assert served[0].log.level == "debug"


def test_an_option_beats_the_environment(served, monkeypatch):
    monkeypatch.setenv("HEADROOM_PROXY_COMPRESSION", "false")
    monkeypatch.setenv("HEADROOM_PROXY_WORKERS", "2")
    done = CliRunner().invoke(main, ["proxy", "--compression"])
    assert done.exit_code == 0
    assert (served[0].proxy.compression, served[0].proxy.workers) == (True, 2)


@pytest.mark.parametrize(
    "arguments",
    [["--compression-mode", "icm"], ["--port", "65536"], ["--log-level", "loud"]],
)
def test_a_bad_value_names_the_option_and_ends_with_78(served, arguments):
    done = CliRunner().invoke(main, ["proxy", *arguments])
    assert done.exit_code == 78
    assert arguments[0] in done.output
    assert arguments[1] in done.output
    assert not served


@pytest.mark.parametrize(
    "flag", ["--no-intelligent-context", "--no-compress-first", "--nonsense"]
)
def test_unknown_options_are_usage_errors(served, flag):
    assert CliRunner().invoke(main, ["proxy", flag]).exit_code == 2
    assert not served

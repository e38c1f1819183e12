"""The command line as a whole."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

import headroom
from headroom.cli import main as cli
from headroom.errors import ConfigError, StoreUnavailableError

HEAVY = {"uvicorn", "aiohttp", "tiktoken", "rich", "prometheus_client", "sqlite3"}


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys\nfrom headroom.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted(set(sys.modules) & set(sys.argv[1].split())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, " ".join(HEAVY)],
        capture_output=True,
        text=True,
        check=True,
    )
    *text, modules = done.stdout.splitlines()
    assert modules == "[]"
    for name, (_, line) in cli.COMMANDS.items():
        assert any(name in row and line.split()[0] in row for row in text)


def test_the_package_runs_as_a_module_where_its_script_is_not_on_the_path():
    done = subprocess.run(
        [sys.executable, "-m", "headroom", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"headroom, version {headroom.__version__}"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name):
    done = CliRunner().invoke(cli.main, [name, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_the_version_is_told():
    done = CliRunner().invoke(cli.main, ["--version"])
    assert headroom.__version__ in done.output


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(cli.main, ["nonsense"]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigError("bad thing"), 78), (StoreUnavailableError("bad thing"), 1)],
)
def test_errors_are_one_line_and_a_status(monkeypatch, error, status):
    def fail():
        raise error

    monkeypatch.setattr("headroom.settings.load", fail)
    done = CliRunner().invoke(cli.main, ["config"])
    assert done.exit_code == status
    assert "bad thing" in done.output
    assert "Traceback" not in done.output


def test_a_command_without_its_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "gone", ("no_such_package.x:command", "Gone."))
    done = CliRunner().invoke(cli.main, ["gone"])
    assert done.exit_code == 1
    assert "pip install" in done.output

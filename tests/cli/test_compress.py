"""``headroom compress``: what is left out can be fetched back."""

import json
import random

import pytest
from click.testing import CliRunner

from headroom.ccr.stores import open_store
from headroom.cli.main import COMMANDS, main
from headroom.core.digest import content_digest


def log():
    rng = random.Random(3)
    return "".join(
        f"2026-03-02T12:{i // 60:02d}:{i % 60:02d}Z INFO worker-{rng.randrange(8)}"
        f" took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(900)
    )


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "app.log"
    path.write_text(log())

    def run(*arguments, file=str(path), **options):
        env = {"HEADROOM_STORE": f"sqlite://{tmp_path}/store.db"}
        return CliRunner().invoke(main, ["compress", file, *arguments], env=env)

    run.store = tmp_path / "store.db"
    run.home = tmp_path
    return run


def test_a_lossy_form_ends_with_a_marker_that_gives_the_original_back(run):
    result = run("--lossy")
    assert result.exit_code == 0
    digest = content_digest(log())
    assert f"<<ccr:{digest}>>" in result.stdout.splitlines()[-1]
    env = {"HEADROOM_STORE": f"sqlite://{run.store}"}
    back = CliRunner().invoke(main, ["retrieve", digest], env=env)
    assert back.stdout_bytes == log().encode()


def test_json_names_the_marker(run):
    report = json.loads(run("--lossy", "--json").stdout)
    assert report["marker"] == f"<<ccr:{content_digest(log())}>>"
    assert report["marker"] in report["text"]
    assert report["omitted"]


@pytest.mark.parametrize("arguments", [["--lossy", "--no-store"], []])
def test_without_a_store_there_is_no_marker_and_no_file(run, arguments):
    result = run(*arguments)
    assert "<<ccr:" not in result.stdout
    assert not run.store.exists()
    assert json.loads(run(*arguments, "--json").stdout)["marker"] == ""


def test_a_lossless_form_stores_nothing(run):
    small = run.home / "small.txt"
    small.write_text("one line\n")
    assert run("--lossy", file=str(small)).stdout == "one line\n"
    store = open_store(f"sqlite://{run.store}")
    assert store.stats().entries == 0
    store.close()


def test_a_store_that_is_down_prints_no_marker_that_nothing_stands_behind(run):
    path = str(run.home / "app.log")
    env = {"HEADROOM_STORE": "redis://127.0.0.1:1/0"}
    result = CliRunner().invoke(main, ["compress", path, "--lossy"], env=env)
    assert result.exit_code != 0
    assert "<<ccr:" not in result.stdout


def test_the_way_back_is_a_command():
    assert "retrieve" in COMMANDS
    assert CliRunner().invoke(main, ["retrieve", "--help"]).exit_code == 0

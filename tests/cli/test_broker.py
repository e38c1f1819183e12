"""``headroom broker``: what stops it before it serves anything."""

import json

import pytest
from click.testing import CliRunner

from headroom.cli.main import EX_CONFIG, main

FILE = {
    "backends": {"a": {"base_url": "http://127.0.0.1:1"}},
    "models": {"m": {"backends": [{"backend": "a"}]}},
}


def run(tmp_path, *arguments, content=FILE, **environ):
    path = tmp_path / "models.yml"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    env = {"HEADROOM_DATA_DIR": str(tmp_path), "HOME": str(tmp_path), **environ}
    given = ["broker", "--models", str(path), "--port", "0", *arguments]
    return CliRunner().invoke(main, given, env=env)


def test_without_a_file_it_says_which_option_is_missing():
    done = CliRunner().invoke(main, ["broker"])
    assert done.exit_code == 2
    assert "--models" in done.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("models: [", "line 1"),
        ({**FILE, "keys": [{"name": "k", "key_env": "NO_SUCH"}]}, "NO_SUCH"),
        ({**FILE, "default_backend": "b"}, "no backend 'b'"),
    ],
)
def test_a_bad_file_ends_it_with_one_line(tmp_path, content, said):
    done = run(tmp_path, content=content)
    assert done.exit_code == EX_CONFIG
    assert said in done.output
    assert done.output.count("\n") == 1


def test_other_machines_are_served_with_a_key_or_a_token_only(tmp_path):
    done = run(tmp_path, "--host", "0.0.0.0")
    assert done.exit_code == EX_CONFIG
    assert "HEADROOM_PROXY_TOKEN" in done.output


def test_it_runs_in_one_process(tmp_path):
    done = run(tmp_path, HEADROOM_PROXY_WORKERS="2")
    assert done.exit_code == EX_CONFIG
    assert "HEADROOM_PROXY_WORKERS" in done.output

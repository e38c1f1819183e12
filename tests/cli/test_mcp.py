"""``headroom mcp``: where it may listen, and how it refuses to start."""

import pytest
from click.testing import CliRunner

from headroom.cli.main import main


def run(*arguments, **environment):
    environment = {f"HEADROOM_{name}": value for name, value in environment.items()}
    environment.setdefault("HEADROOM_STORE", "memory://")
    return CliRunner().invoke(main, ["mcp", *arguments], env=environment)


def test_beyond_this_machine_a_token_is_needed():
    result = run("--http", "0.0.0.0:0")
    assert result.exit_code == 78
    assert "HEADROOM_PROXY_TOKEN" in result.stderr


@pytest.mark.parametrize("address", ["8000", "127.0.0.1", "127.0.0.1:x", ":80", "a:b"])
def test_an_address_that_is_none_is_refused(address):
    result = run("--http", address)
    assert result.exit_code == 78
    assert "expected HOST:PORT" in result.stderr


def test_a_port_that_is_taken_is_refused():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("--http", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 78
    assert "cannot listen" in result.stderr


def test_a_store_that_is_down_is_loud():
    result = run(STORE="redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr or "redis" in result.stderr.lower()

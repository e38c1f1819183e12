import json

import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.memory.facts import Owner
from headroom.memory.store import MemoryStore


@pytest.fixture
def run(tmp_path):
    def invoke(*words, stdin=None, status=0):
        result = CliRunner().invoke(
            main,
            ["memory", *words],
            input=stdin,
            env={"HEADROOM_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)},
        )
        assert result.exit_code == status, result.output
        return result.output

    return invoke


@pytest.fixture
def store(tmp_path):
    made = MemoryStore(tmp_path / "memory")
    yield made
    made.close()


def test_users_and_facts_are_listed_and_searched(run, store):
    store.put(Owner("", "ann"), "the port is 8787")
    store.put(Owner("", "ann"), "tabs, not spaces")
    store.put(Owner(), "nobody's fact")
    assert run("list").split() == ["1", "(default", "user)", "2", "ann"]
    assert (
        run("list", "--user", "ann") == "[2] tabs, not spaces\n[1] the port is 8787\n"
    )
    assert run("search", "which port", "--user", "ann") == "[1] the port is 8787\n"
    assert run("search", "which port") == ""


def test_an_export_can_be_read_again_for_another_user(run, store):
    store.put(Owner("", "ann"), "the port is 8787")
    out = run("export", "--user", "ann")
    assert json.loads(out)["content"] == "the port is 8787"
    assert run("import", "-", "--user", "bob", stdin=out) == "1 facts read\n"
    assert run("list", "--user", "bob") == "[1] the port is 8787\n"
    assert len(run("export").splitlines()) == 2
    assert "line 1" in run("import", "-", stdin="nonsense", status=1)


def test_everything_of_a_user_is_deleted_when_that_is_confirmed(run, store):
    store.put(Owner("", "ann"), "the port is 8787")
    run("delete-user", "ann", stdin="n\n", status=1)
    assert store.count(Owner("", "ann")) == 1
    assert run("delete-user", "ann", "--yes") == "1 facts deleted\n"
    assert run("list") == ""


def test_a_package_of_embeddings_that_is_missing_ends_with_the_status_of_settings(
    run, monkeypatch
):
    monkeypatch.setenv("HEADROOM_MEMORY_EMBEDDINGS", "not_there")
    assert "not_there" in run("list", status=78)


@pytest.mark.parametrize("command", ["list", "export"])
def test_a_damaged_file_hides_nobody_else(run, store, command):
    store.put(Owner("", "ann"), "the port is 8787")
    damaged = store.folder / f"{'0' * 64}.db"
    damaged.write_bytes(b"this is no database" * 100)
    said = run(command, status=1)
    assert "ann" in said
    assert f"Error: {damaged}" in said

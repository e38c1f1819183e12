"""Originals at the shell: byte for byte, in parts, and errors that say what to do."""

import pytest
from click.testing import CliRunner

from headroom.ccr.stores import open_store
from headroom.cli.retrieve import command
from headroom.core.digest import content_digest

TEXT = "".join(f"line {i} é\n" for i in range(1, 40_001))
DIGEST = content_digest(TEXT)


@pytest.fixture
def run(tmp_path):
    url = f"sqlite://{tmp_path}/store.db"
    store = open_store(url)
    store.save([], {DIGEST: TEXT})
    store.close()

    def run(*arguments):
        return CliRunner().invoke(command, arguments, env={"HEADROOM_STORE": url})

    return run


def test_the_whole_original_is_printed_byte_for_byte(run):
    result = run(DIGEST)
    assert result.exit_code == 0
    assert result.stdout_bytes == TEXT.encode()


def test_a_marker_will_do_for_the_hash(run):
    assert run(f"<<ccr:{DIGEST}>>").stdout_bytes == TEXT.encode()


def test_parts_are_printed_as_asked_for(run):
    assert run(DIGEST, "--lines", "2-3").stdout == (
        "[lines 2-3 of 40000]\nline 2 é\nline 3 é\n"
    )
    assert "777: line 777 é" in run(DIGEST, "--grep", "line 777 é").stdout


def test_output_is_bounded_on_request(run):
    result = run(DIGEST, "--max-bytes", "2000")
    assert len(result.stdout_bytes) <= 2000
    assert "ask lines=" in result.stdout


@pytest.mark.parametrize(
    ("named", "said"), [("0" * 24, "run the original command again"), ("x", "24 hex")]
)
def test_what_is_not_there_is_told_on_standard_error(run, named, said):
    result = run(named)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stdout == ""


def test_lines_that_are_not_there_fail_and_say_what_there_is(run):
    result = run(DIGEST, "--lines", "50000-")
    assert result.exit_code == 1
    assert "there are lines 1-40000" in result.stderr

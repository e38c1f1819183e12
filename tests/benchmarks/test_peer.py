"""The comparison with other compressors, as ``make bench`` runs it."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.peer import NONE_HERE, environments, has

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).with_name("fake_peer.py")
LOG = "\n".join(f"INFO worker {i % 7} finished job-{i:04}" for i in range(200))


MODES = ("well", "crash", "hang", "larger", "logs alone")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    texts = {"log": f"{LOG}\nERROR disk full\n", "prose": "BAD news " * 50}
    lines = []
    for kind, text in texts.items():
        (folder / f"{kind}.txt").write_text(text)
        fact = {"q": "what?", "a": ["disk full" if kind == "log" else "BAD news"]}
        path = f"{kind}.txt"
        lines.append({"id": kind, "kind": kind, "path": path, "facts": [fact]})
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def compare(corpus, *arguments):
    command = [sys.executable, "-m", "benchmarks.peer", "--corpus", corpus]
    return subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def fake(mode):
    return f"--command={shlex.join([sys.executable, str(FAKE), mode])}"


@pytest.fixture(scope="module")
def printed(corpus):
    """What one comparison prints with peers that do well, crash, hang, and bloat."""
    fakes = map(fake, (*MODES, "well"))
    done = compare(corpus, *fakes, f"--json={corpus / 'report.json'}", "--timeout=5")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(corpus, printed):
    return json.loads((corpus / "report.json").read_text())


@pytest.fixture(scope="module")
def sides(report):
    return {side["name"]: side for side in report["sides"]}


def test_all_sides_get_the_same_texts_and_the_same_scorer(sides, report, printed):
    assert list(sides) == ["lossless", "lossy", *MODES, "2 well"]
    before = {
        tuple((text["id"], text["tokens_before"]) for text in side["texts"])
        for name, side in sides.items()
        if name != "logs alone"
    }
    assert len(before) == 1
    assert sides["lossless"]["facts"][""] == [2, 2]
    log, theirs = sides["lossless"]["kinds"]["log"], sides["well"]["kinds"]["log"]
    left = 100 - theirs["mean_reduction_pct"]
    assert report["ratios"]["lossless"]["well"]["log"]["tokens_left"] == pytest.approx(
        left / (100 - log["mean_reduction_pct"])
    )
    assert "tokens left, theirs over lossless here" in printed


def test_a_peer_made_for_some_kinds_gets_no_others(sides, report):
    assert list(sides["logs alone"]["kinds"]) == ["log", "all"]
    assert list(report["ratios"]["lossless"]["logs alone"]) == ["log", "all"]


def test_what_a_peer_writes_does_nothing_to_a_terminal(printed):
    assert "\x1b" not in printed
    assert "1?[2J" in printed


def test_a_text_on_which_a_peer_dies_counts_as_left_as_it_was(sides, printed):
    row = sides["crash"]["kinds"]["prose"]
    assert (row["mean_reduction_pct"], row["facts_kept"]) == (0, 1)
    died = "died with exit code 1: the model is missing"
    assert sides["crash"]["failures"] == {died: 1}
    assert f"crash: 1 × {died}" in printed


def test_a_text_that_a_peer_makes_larger_is_counted(sides):
    assert sides["larger"]["kinds"]["prose"]["larger"] == 1
    assert sides["larger"]["kinds"]["prose"]["mean_reduction_pct"] < -100


def test_a_text_on_which_a_peer_hangs_takes_as_long_as_it_was_waited_for(sides):
    (slow,) = (text for text in sides["hang"]["texts"] if text["kind"] == "prose")
    assert slow["seconds"] >= 5
    assert sides["hang"]["failures"] == {"timed out after 5 s": 1}


def test_a_command_that_does_not_start_cannot_be_compared(corpus):
    done = compare(corpus, "--command=/nowhere/at/all")
    assert done.returncode == 1
    assert "does not start" in done.stdout


def test_where_no_environment_is_one_line_says_how_to_get_one(tmp_path):
    done = compare(tmp_path, f"--peer={tmp_path / 'gone'}")
    assert done.returncode == 1
    assert done.stdout.strip() == NONE_HERE.format(tmp_path / "gone")
    assert "make peer" in done.stdout


def test_an_environment_without_an_interpreter_holds_nothing(tmp_path):
    python = tmp_path / "python"
    python.write_text("no program")
    assert not has(python, "headroom-ai")
    assert not has(Path(sys.executable), "no-such-distribution")
    assert has(Path(sys.executable), "pytest")


def test_environments_are_one_or_the_folders_in_one(tmp_path):
    def make(name):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
        return tmp_path / name

    assert environments(tmp_path / "gone") == []
    assert environments(tmp_path) == []
    first, second = make("a"), make("b")
    (tmp_path / "notes").mkdir()
    assert environments(tmp_path) == [first, second]
    assert environments(first) == [first]

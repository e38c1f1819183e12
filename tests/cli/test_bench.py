"""``headroom bench compress`` as it is run."""

import json

import pytest
from click.testing import CliRunner

from headroom.cli.main import main

LOG = "\n".join(f"INFO worker {i % 7} finished job-{i:04}" for i in range(400))


@pytest.fixture
def folder(tmp_path):
    text = f"{LOG}\nERROR disk full\n"
    (tmp_path / "a.txt").write_text(text)
    fact = {"q": "what failed?", "a": ["disk full"], "type": "error"}
    entry = {"id": "log/a", "kind": "log", "path": "a.txt", "facts": [fact]}
    (tmp_path / "items.jsonl").write_text(json.dumps(entry) + "\n")
    return tmp_path


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", "compress", *map(str, arguments)])


def test_a_corpus_is_scored_in_both_forms(folder):
    done = bench(folder)
    assert done.exit_code == 0, done.output
    for words in ("lossless", "lossy", "log/a", "1/1", "error 1/1", "ms/MB"):
        assert words in done.output


def test_json_is_printed_alone(folder):
    found = json.loads(bench(folder, "--json").stdout)
    assert set(found) == {"lossless", "lossy"}
    lossless = found["lossless"]
    assert lossless["kinds"]["log"]["items"] == 1
    assert lossless["facts"] == {"error": {"kept": 1, "all": 1}}
    item = lossless["items"][0]
    assert item["tokens_after"] < item["tokens_before"]
    assert lossless["all"]["mean_reduction_pct"] == item["reduction_pct"]
    assert lossless["all"]["total_reduction_pct"] == item["reduction_pct"]
    assert lossless["all"]["ms_per_mb"] == 1000 / lossless["all"]["mb_per_s"]


def test_a_page_shows_before_and_after(folder):
    page = folder / "page.html"
    assert bench(folder, "--html", page).exit_code == 0
    found = page.read_text()
    assert "INFO worker 0 finished job-0000" in found
    assert "log: before and after" in found


def test_kinds_can_be_chosen_and_nothing_to_measure_is_an_error(folder):
    assert bench(folder, "--kind", "log").exit_code == 0
    done = bench(folder, "--kind", "html")
    assert done.exit_code == 1
    assert "no text to measure" in done.output


def test_files_that_are_no_text_are_named_and_passed_over(tmp_path):
    (tmp_path / "a.log").write_text(LOG)
    (tmp_path / "image.bin").write_bytes(b"\xff\xfe\x00")
    for number in range(6):
        (tmp_path / f"z{number}").touch()
    done = bench(tmp_path)
    assert done.exit_code == 0
    assert f"passed over {tmp_path / 'image.bin'}: not UTF-8 text" in done.stderr
    assert "passed over 2 files more" in done.stderr
    assert "passed over" not in done.stdout


def test_a_page_that_cannot_be_written_is_told_before_anything_is_measured(folder):
    done = bench(folder, "--html", folder / "gone" / "page.html")
    assert done.exit_code == 1
    assert "there is no folder for" in done.output
    assert "lossless" not in done.output

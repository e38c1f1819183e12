import sqlite3
import threading

from headroom.learning.observations import NAME, Key, Observations

KEY = Key("payg", "claude", "ab" * 8)


def totals(directory):
    return {
        (key, found.outcome): (
            found.seen,
            found.saved_tokens,
            found.retrievals,
            found.retrieved_tokens,
        )
        for key, outcomes in Observations(directory).rows()
        for found in outcomes
    }


def test_counts_of_several_processes_add_up(tmp_path):
    for _ in range(2):
        observations = Observations(tmp_path)
        for _ in range(3):
            observations.compressed(KEY, "json", 10)
        observations.compressed(KEY, "left", 0)
        observations.close()
    assert totals(tmp_path) == {
        (KEY, "json"): (6, 60, 0, 0),
        (KEY, "left"): (2, 0, 0, 0),
    }


def test_a_retrieval_is_a_debit_of_what_was_left_out(tmp_path):
    first = Observations(tmp_path)
    first.compressed(KEY, "lossy:log", 900, "d1")
    first.close()
    second = Observations(tmp_path)
    second.retrieved("d1", 70)
    second.retrieved("unknown", 70)
    second.close()
    assert totals(tmp_path) == {(KEY, "lossy:log"): (1, 900, 1, 70)}


def test_rows_without_a_slice_count_as_unknown(tmp_path):
    Observations(tmp_path).close()
    first = Observations(tmp_path)
    first.compressed(KEY, "json", 1)
    first.close()
    with sqlite3.connect(tmp_path / NAME) as db:
        columns = "structure_hash, outcome, seen"
        db.execute(f"INSERT INTO observations ({columns}) VALUES ('old', 'json', 7)")
    assert totals(tmp_path)[Key("unknown", "unknown", "old"), "json"][0] == 7


def test_threads_lose_nothing(tmp_path):
    observations = Observations(tmp_path)

    def work():
        for _ in range(200):
            observations.compressed(KEY, "json", 1)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observations.close()
    assert totals(tmp_path)[KEY, "json"][0] == 3200


def test_a_file_that_is_no_database_fails_nothing(tmp_path):
    (tmp_path / NAME).write_bytes(b"not a database" * 99)
    observations = Observations(tmp_path)
    observations.compressed(KEY, "json", 1)
    observations.close()
    assert observations.lost == 1


def test_what_waits_is_bounded(tmp_path):
    (tmp_path / "file").write_text("in the way")
    observations = Observations(tmp_path / "file")
    for number in range(6000):
        observations.compressed(Key("payg", "claude", str(number)), "left", 0)
    assert observations.lost == 1000


def test_nothing_observed_is_nothing_kept(tmp_path):
    Observations(tmp_path).close()
    assert list(Observations(tmp_path).rows()) == []
    assert not (tmp_path / NAME).exists()

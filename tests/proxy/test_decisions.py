import threading

from headroom.proxy.decisions import NAME, OLDER, DecisionLog, find, newest_first


def kept(directory, count, max_bytes=1_000_000):
    log = DecisionLog(directory, max_bytes)
    for number in range(count):
        log.add({"request_id": f"r{number}", "n": number})
    log.close()
    return log


def test_records_are_found_by_their_id_newest_first(tmp_path):
    kept(tmp_path, 3)
    kept(tmp_path, 2)
    assert [r["n"] for r in newest_first(tmp_path)] == [1, 0, 2, 1, 0]
    assert find(tmp_path, "r2") == {"request_id": "r2", "n": 2}
    assert find(tmp_path, "r9") is None
    assert find(tmp_path / "missing", "r1") is None


def test_the_providers_id_finds_it_too(tmp_path):
    log = DecisionLog(tmp_path, 1000)
    log.add({"request_id": "a", "upstream_request_id": "req_1"})
    log.close()
    assert find(tmp_path, "req_1")["request_id"] == "a"


def test_the_files_stay_within_their_size(tmp_path):
    for _ in range(30):
        kept(tmp_path, 50, max_bytes=4000)
    sizes = [
        (tmp_path / name).stat().st_size
        for name in (NAME, OLDER)
        if (tmp_path / name).exists()
    ]
    assert sum(sizes) < 3 * 4000
    assert find(tmp_path, "r49") is not None


def test_damaged_lines_are_left_out(tmp_path):
    kept(tmp_path, 2)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"request_id":"torn\xff\n[1]\n\n{"request_id":')
    assert [r["n"] for r in newest_first(tmp_path)] == [1, 0]


def test_what_cannot_be_written_is_counted_and_fails_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert kept(tmp_path / "file", 3).dropped == 3


def test_nothing_is_kept_where_nothing_may_be(tmp_path):
    kept(tmp_path, 3, max_bytes=0)
    assert not list(tmp_path.iterdir())


def test_several_writers_do_not_mix_their_lines(tmp_path):
    threads = [threading.Thread(target=kept, args=(tmp_path, 200)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(newest_first(tmp_path))) == 8 * 200


def test_only_the_owner_may_read_them(tmp_path):
    kept(tmp_path, 1)
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0

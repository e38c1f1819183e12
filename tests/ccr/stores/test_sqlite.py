"""One file under attack: kills, locks, damage, a full disk, a moved clock."""

import hashlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from headroom.ccr.contract import OPEN_S, TOUCH_S, StoreConfig
from headroom.ccr.ledger import Ledger
from headroom.ccr.stores import open_store
from headroom.ccr.stores.sqlite import SCHEMA, SqliteStore
from headroom.core.digest import chain_key, content_digest
from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision, SlotEdit
from headroom.errors import (
    CorruptOriginalError,
    DamagedRecordError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from headroom.storage.sqlite_file import SqliteFile
from store_backends import Clock

DAY_S = 86_400.0
LEFT = Decision()


def name(key):
    return LedgerKey(chain_key(key.encode()), b"lineage")


def originals(first, count, size=100):
    texts = [f"{i} ".ljust(size, "x") for i in range(first, first + count)]
    return {content_digest(text): text for text in texts}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "store.db"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(path, clock):
    opened = []

    def make(busy_timeout_s=0.1, **options):
        file = SqliteFile(path, SCHEMA, busy_timeout_s=busy_timeout_s)
        opened.append(SqliteStore(file, StoreConfig(clock=clock, **options)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_file_and_folder_are_their_owners_alone(make, path):
    make().save([(name("a"), LEFT)], {})
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for part in path.parent.iterdir():
        assert stat.S_IMODE(part.stat().st_mode) == 0o600


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    open_store(f"sqlite://{folder}/store.db").close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_path_with_odd_characters_is_that_path(tmp_path):
    odd = tmp_path / "with space?#%.db"
    url = f"sqlite://{tmp_path}/with%20space%3F%23%25.db"
    open_store(url).close()
    assert odd.exists()


WRITER = """
import sys
from headroom.ccr.stores import open_store
from headroom.core.digest import chain_key, content_digest
from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision

store = open_store(sys.argv[1])
number = int(sys.argv[2])
while True:
    texts = [f"{number} {i} " * 400 for i in range(20)]
    originals = {content_digest(text): text for text in texts}
    keys = [LedgerKey(chain_key(f"{number} {i}".encode()), b"own") for i in range(20)]
    store.save([(key, Decision()) for key in keys], originals)
    print(number, flush=True)
    number += 1
"""


def test_a_writer_killed_at_any_time_loses_nothing_it_had_acknowledged(path):
    url = f"sqlite://{path}"
    number = 0
    for attempt in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        acknowledged = number
        for _ in range(10):
            acknowledged = int(writer.stdout.readline())
        time.sleep(0.003 * attempt)
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()
        store = open_store(url)
        for batch in range(acknowledged + 2):
            texts = [f"{batch} {i} " * 400 for i in range(20)]
            keys = [chain_key(f"{batch} {i}".encode()) for i in range(20)]
            found = len(store.load(keys))
            assert found == 20 if batch <= acknowledged else found in {0, 20}
            kept = 0
            for text in texts:
                try:
                    assert store.get(content_digest(text)) == text
                except OriginalNotFoundError:
                    continue
                kept += 1
            assert kept == found, "a batch is written whole or not at all"
        store.close()
        number = acknowledged + 1
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_ten_thousand_originals_are_read_by_another_process_a_week_later(make, path):
    store = make()
    texts = originals(0, 10_000, 200)
    for start in range(0, 10_000, 1000):
        store.save([], dict(list(texts.items())[start : start + 1000]))
    wanted = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
    reader = textwrap.dedent(
        """
        import hashlib, sys, time
        from headroom.ccr.stores import open_store
        store = open_store(sys.argv[1], clock=lambda: float(sys.argv[2]))
        while store.purge():
            pass
        whole = hashlib.sha256()
        for digest in sys.stdin.read().split():
            whole.update(store.get(digest).encode())
        store.close()
        print(whole.hexdigest())
        """
    )
    later = store._config.clock() + 7 * DAY_S
    got = subprocess.run(
        [sys.executable, "-c", reader, f"sqlite://{path}", str(later)],
        input="\n".join(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    assert got.stdout.strip() == wanted


def test_what_is_read_stays_and_what_is_not_expires(make, clock):
    store = make()
    texts = originals(0, 4)
    store.save([], texts)
    used, *unused = texts
    for _ in range(8):
        clock.advance(7 * DAY_S)
        assert store.get(used) == texts[used]
        while store.purge():
            pass
    for digest in unused:
        with pytest.raises(OriginalNotFoundError):
            store.get(digest)


def test_above_the_cap_the_least_recently_used_go_first(make, clock):
    store = make(max_bytes=1_000_000)
    for batch in range(30):
        store.save([], originals(batch * 10, 10, 10_000))
        clock.advance(OPEN_S)
    while store.purge():
        pass
    assert store.stats().used_bytes <= 1_000_000
    texts = originals(0, 300, 10_000)
    kept = []
    for digest in texts:
        try:
            kept.append(store.get(digest) == texts[digest])
        except OriginalNotFoundError:
            kept.append(False)
    assert kept == sorted(kept)
    assert sum(kept) > 70


def test_the_cap_never_takes_what_an_open_conversation_needs(make, clock):
    """The records loaded within the hour, and the originals that these name."""
    store = make(max_bytes=500_000)
    (digest, text), *_ = originals(0, 1, 50_000).items()
    edit = SlotEdit("0", digest, "short", "made_up", "1", is_lossy=True)
    store.save([(name("open"), Decision((edit,)))], {digest: text})
    for batch in range(1, 40):
        clock.advance(1800)
        assert len(store.load([name("open").key])) == 1
        store.save([], originals(batch * 10, 10, 20_000))
        while store.purge():
            pass
    assert store.get(digest) == text
    assert store.stats().used_bytes < 2_000_000
    clock.advance(OPEN_S + TOUCH_S)
    store.save([], originals(5000, 30, 20_000))
    while store.purge():
        pass
    with pytest.raises(OriginalNotFoundError):
        store.get(digest)


def test_a_purge_takes_little_at_a_time(make, clock):
    store = make()
    store.save([], originals(0, 2000))
    clock.advance(40 * DAY_S)
    removed = []
    while (count := store.purge()) > 0:
        removed.append(count)
    assert sum(removed) == 2000
    assert max(removed) <= 256


def test_freed_room_is_used_again(make, clock, path):
    store = make(max_bytes=2_000_000)
    sizes = []
    for batch in range(60):
        store.save([], originals(batch * 20, 20, 10_000))
        clock.advance(OPEN_S)
        sizes.append(store.stats().used_bytes)
    store.close()
    assert max(sizes) < 2_600_000
    assert path.stat().st_size < 3_000_000


def test_a_file_that_cannot_be_written_says_so(make):
    store = make()
    store.save([(name("a"), LEFT)], {})
    for idle in store._file._idle.values():
        for db in idle:
            db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        store.save([(name("b"), LEFT)], {})
    assert len(store.load([name("a").key])) == 1


def test_a_full_disk_is_told_and_survived(make):
    store = make()
    store.save([(name("a"), LEFT)], originals(0, 1))
    for idle in store._file._idle.values():
        for db in idle:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        store.save([(name("b"), LEFT)], originals(10, 5, 100_000))
    assert store.load([name("b").key]) == []
    assert store.save([(name("b"), LEFT)], originals(10, 5, 100_000)) == {}


def test_a_lock_held_too_long_is_told_while_reading_goes_on(make, path):
    store = make()
    store.save([(name("a"), LEFT)], originals(0, 1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="lock"):
        store.save([(name("b"), LEFT)], {})
    assert time.monotonic() - start < 2
    assert store.try_save([(name("b"), LEFT)], {}) is None
    assert len(store.load([name("a").key])) == 1
    assert store.get(next(iter(originals(0, 1)))).startswith("0 ")
    other.execute("ROLLBACK")
    other.close()
    assert store.save([(name("b"), LEFT)], {}) == {}


def test_a_ledger_outlives_a_lock_of_any_length(make, path):
    ledger = Ledger(make(), first_retry_s=0.02)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    saved = [ledger.save([(name(str(i)), LEFT)], {}) for i in range(20)]
    assert not any(one.is_durable for one in saved)
    assert ledger.health()["status"] == "degraded"
    other.execute("ROLLBACK")
    other.close()
    deadline = time.monotonic() + 10
    while ledger.health()["status"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(make().load([name(str(i)).key for i in range(20)])) == 20
    ledger.close()


def test_what_is_no_database_is_an_error_at_start_up(path):
    path.parent.mkdir()
    path.write_bytes(b"something else entirely " * 1000)
    with pytest.raises(StoreUnavailableError, match="no SQLite database"):
        open_store(f"sqlite://{path}")


def test_a_damaged_file_is_an_error_and_never_an_answer(make, path):
    store = make()
    texts = originals(0, 200, 5000)
    store.save([(name("a"), LEFT)], texts)
    store.close()
    data = bytearray(path.read_bytes())
    for at in range(4096 * 3, len(data), 4096):
        data[at : at + 512] = os.urandom(512)
    path.write_bytes(bytes(data))
    told = 0
    store = make()
    for digest, text in texts.items():
        try:
            assert store.get(digest) == text
        except (StoreUnavailableError, CorruptOriginalError, OriginalNotFoundError):
            told += 1
    assert told > 0


def test_another_programs_database_is_left_alone(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious(x)")
    db.close()
    with pytest.raises(StoreUnavailableError, match="other tables"):
        open_store(f"sqlite://{path}")


def test_a_file_of_a_later_version_is_left_alone(make, path):
    make().close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreUnavailableError, match="found 99"):
        open_store(f"sqlite://{path}")


def test_a_place_where_no_file_can_be_is_an_error_at_start_up(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailableError):
        open_store(f"sqlite://{tmp_path}/file/store.db")
    with pytest.raises(StoreUnavailableError):
        open_store(f"sqlite://{tmp_path}")


def change(path, statement, *values):
    with sqlite3.connect(path) as db:
        assert db.execute(statement, values).rowcount == 1
    db.close()


def test_a_body_that_does_not_hash_to_its_key_is_an_error_until_it_is_saved_again(
    make, path
):
    store = make()
    ((digest, text),) = originals(0, 1).items()
    store.save([], {digest: text})
    change(path, "UPDATE bodies SET body = ?", text.replace("x", "y", 1).encode())
    with pytest.raises(CorruptOriginalError, match=digest):
        store.get(digest)
    store.save([], {digest: text})
    assert store.get(digest) == text
    change(path, "DELETE FROM bodies")
    with pytest.raises(CorruptOriginalError, match="missing"):
        store.get(digest)


def test_a_record_with_a_flipped_bit_is_an_error_until_it_is_saved_again(make, path):
    store = make()
    edit = SlotEdit("0", "0" * 24, "replacement", "made_up", "1")
    decision = Decision((edit,))
    store.save([(name("a"), decision)], {})
    ((value,),) = sqlite3.connect(path).execute("SELECT value FROM entries")
    flipped = value.replace(b"replacement", b"repmacement")
    change(path, "UPDATE entries SET value = ?", flipped)
    with pytest.raises(DamagedRecordError):
        store.load([name("a").key])
    assert store.save([(name("a"), decision)], {}) == {}
    assert [r.decision for r in store.load([name("a").key])] == [decision]


def test_processes_that_open_one_file_at_once_all_succeed(path):
    code = (
        "import sys; from headroom.ccr.stores import open_store;"
        "s = open_store(sys.argv[1]); s.remember({sys.argv[2].encode(): b'x'});"
        "s.close()"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, f"sqlite://{path}", str(n)])
        for n in range(4)
    ]
    assert [one.wait(30) for one in running] == [0] * 4
    store = open_store(f"sqlite://{path}")
    assert len(store.recall([str(n).encode() for n in range(4)])) == 4
    store.close()


def test_readers_and_writers_do_not_disturb_each_other(make):
    store = make(busy_timeout_s=5)
    store.save([], originals(0, 50))
    errors = []
    stop = threading.Event()

    def read():
        try:
            while not stop.is_set():
                for digest in originals(0, 50):
                    store.get(digest)
        except StoreUnavailableError as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for batch in range(30):
        store.save([(name(f"{batch} {i}"), LEFT) for i in range(20)], {})
        store.maintain()
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []

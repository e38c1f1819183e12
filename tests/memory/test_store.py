import sqlite3
import subprocess
import sys
import threading

import pytest

from headroom.errors import (
    DamagedRecordError,
    LimitExceededError,
    StoreUnavailableError,
)
from headroom.memory.facts import MemoryConfig, Owner
from headroom.memory.store import MAX_OPEN, MemoryStore

ANN, BOB = Owner("", "ann"), Owner("", "bob")


@pytest.fixture
def store(tmp_path):
    made = MemoryStore(tmp_path / "memory", MemoryConfig(clock=lambda: 1000.0))
    yield made
    made.close()


def contents(facts):
    return [fact.content for fact in facts]


def only_file(store):
    (path,) = store.folder.glob("*.db")
    return path


def test_a_fact_is_kept_found_changed_and_forgotten(store):
    fact = store.put(ANN, "  The staging database is called heron.\n")
    assert fact.content == "The staging database is called heron."
    assert (fact.id, fact.created, fact.updated) == (1, 1000, 1000)
    assert store.get(ANN, 1) == fact
    assert store.search(ANN, "which database do we use in staging?") == [fact]
    changed = store.update(ANN, 1, "The staging database is called egret.")
    assert store.search(ANN, "heron") == []
    assert store.search(ANN, "egret") == [changed]
    assert store.delete(ANN, 1)
    assert not store.delete(ANN, 1)
    assert store.search(ANN, "egret") == []
    assert store.get(ANN, 1) is None
    assert store.update(ANN, 1, "x") is None


def test_ids_are_never_used_again(store):
    assert store.put(ANN, "one").id == 1
    store.delete(ANN, 1)
    assert store.put(ANN, "two").id == 2


def test_the_same_words_are_kept_once(store):
    first = store.put(ANN, "tabs, not spaces")
    assert store.put(ANN, "tabs, not spaces ") == first
    assert store.count(ANN) == 1
    store.put(ANN, "other")
    with pytest.raises(LimitExceededError, match="fact 1 says the same"):
        store.update(ANN, 2, "tabs, not spaces")


def test_the_newest_come_first_and_can_be_paged_through(store):
    for number in range(7):
        store.put(ANN, f"fact number {number}")
    first = store.newest(ANN, 3)
    assert [f.id for f in first] == [7, 6, 5]
    assert [f.id for f in store.newest(ANN, 3, before_id=first[-1].id)] == [4, 3, 2]
    assert [f.id for f in store.newest(ANN, 3, before_id=-(10**30))] == [7, 6, 5]


def test_facts_that_say_more_come_first_and_ties_go_to_the_oldest(store):
    store.put(ANN, "deploys happen on friday and nobody likes deploys on friday")
    store.put(ANN, "the kiosk service deploys with make ship")
    store.put(ANN, "a kiosk that deploys with make ship")
    store.put(ANN, "lunch is at noon")
    found = [f.id for f in store.search(ANN, "how do I ship the kiosk?")]
    assert found == [2, 3]


def test_the_same_query_gives_the_same_facts_in_every_process(store, tmp_path):
    for number in range(300):
        store.put(ANN, f"service {number % 7} has port {number} near {number % 3}")
    first = store.search(ANN, "service near port 2", 20)
    other = MemoryStore(tmp_path / "memory")
    assert first
    for _ in range(5):
        assert other.search(ANN, "service near port 2", 20) == first
    other.close()


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("Der Schlüssel liegt im Büro", "schlussel"),
        ("本番環境のデータベースは鷺です", "データベース"),
        ("uses MAX_FACTS from settings", "facts"),
        ("ＦＵＬＬ ｗｉｄｔｈ", "full width"),
        ("the port is 8787", "8787"),
    ],
)
def test_words_are_found_in_other_spellings(store, content, query):
    store.put(ANN, content)
    assert contents(store.search(ANN, query)) == [content]


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "AND OR NOT",
        "a* NEAR(b)",
        "^x:y",
        "words:",
        "'; DROP TABLE facts",
        "\0",
        "",
    ],
)
def test_a_query_is_words_never_operators(store, query):
    store.put(ANN, "near words and columns")
    store.search(ANN, query)
    assert store.count(ANN) == 1


def test_words_that_nearly_all_facts_hold_give_the_newest(store, monkeypatch):
    monkeypatch.setattr("headroom.memory.user_file.MAX_VISITS", 10)
    for number in range(30):
        store.put(ANN, f"project fact {number}")
    assert [f.id for f in store.search(ANN, "project", 3)] == [30, 29, 28]
    assert [f.id for f in store.search(ANN, "project 17", 3)] == [18]


def test_users_never_see_each_others_facts(store):
    store.put(ANN, "ann's secret is heron")
    store.put(BOB, "bob's secret is egret")
    store.put(Owner("other", "ann"), "a third secret is stork")
    assert contents(store.search(ANN, "secret")) == ["ann's secret is heron"]
    assert contents(store.newest(BOB)) == ["bob's secret is egret"]
    assert store.newest(Owner()) == []
    assert store.owners() == [ANN, BOB, Owner("other", "ann")]


def test_names_that_run_together_are_two_users(store):
    store.put(Owner("a", "bc"), "one")
    assert store.newest(Owner("ab", "c")) == []


def test_asking_makes_no_file(store):
    assert store.search(ANN, "x") == []
    assert store.get(ANN, 1) is None
    assert not store.delete(ANN, 1)
    assert store.delete_user(ANN) == 0
    assert not list(store.folder.glob("*"))


def test_nothing_of_a_deleted_user_is_left_on_the_disk(store):
    for number in range(50):
        store.put(ANN, f"zanzibar {number} " + "x" * 500)
    store.put(BOB, "stays")
    assert store.delete_user(ANN) == 50
    assert store.newest(ANN) == []
    assert store.search(ANN, "zanzibar") == []
    assert store.owners() == [BOB]
    data = b"".join(path.read_bytes() for path in store.folder.iterdir())
    assert b"zanzibar" not in data
    assert b"ann" not in data
    assert store.put(ANN, "begins again").id > 0
    assert ANN in store.owners()


def test_another_process_that_has_the_file_open_sees_the_deletion(store, tmp_path):
    other = MemoryStore(tmp_path / "memory")
    store.put(ANN, "heron")
    assert other.count(ANN) == 1
    store.delete_user(ANN)
    assert other.search(ANN, "heron") == []
    other.put(ANN, "egret")
    assert contents(store.newest(ANN)) == ["egret"]
    other.close()


def test_a_full_memory_says_so(tmp_path):
    store = MemoryStore(tmp_path, MemoryConfig(max_facts=2, max_fact_bytes=10))
    store.put(ANN, "one")
    store.put(ANN, "two")
    assert store.put(ANN, "one").id == 1
    with pytest.raises(LimitExceededError, match="full"):
        store.put(ANN, "three")
    with pytest.raises(LimitExceededError, match="at most 10 bytes"):
        store.put(ANN, "é" * 6)
    with pytest.raises(LimitExceededError):
        store.put(ANN, "  ")
    with pytest.raises(LimitExceededError):
        store.put(ANN, "\ud800")
    store.close()


def test_there_are_only_so_many_users(tmp_path):
    store = MemoryStore(tmp_path, MemoryConfig(max_users=2))
    store.put(ANN, "x")
    store.put(BOB, "x")
    with pytest.raises(LimitExceededError, match="2 users"):
        store.put(Owner("", "eve"), "x")
    with pytest.raises(LimitExceededError, match="at most 256 bytes"):
        store.put(Owner("", "x" * 300), "x")
    store.close()


def test_more_users_than_open_files_are_served(store):
    for number in range(MAX_OPEN + 6):
        store.put(Owner("", f"user {number}"), f"fact of {number}")
    assert len(store._open) <= MAX_OPEN
    for number in range(MAX_OPEN + 6):
        found = store.newest(Owner("", f"user {number}"))
        assert contents(found) == [f"fact of {number}"]


def test_a_damaged_fact_is_never_shown(store):
    store.put(ANN, "the port is 8787")
    store.put(ANN, "the port is closed")
    db = sqlite3.connect(only_file(store))
    with db:
        db.execute("UPDATE facts SET content = 'the port is 9999' WHERE id = 1")
    db.close()
    assert contents(store.newest(ANN)) == ["the port is closed"]
    assert contents(store.search(ANN, "port")) == ["the port is closed"]
    with pytest.raises(DamagedRecordError, match="fact 1"):
        store.get(ANN, 1)
    assert store.delete(ANN, 1)
    assert contents(store.search(ANN, "port")) == ["the port is closed"]
    assert store.search(ANN, "8787") == []
    assert store.put(ANN, "the port is 8787").id == 3
    assert contents(store.search(ANN, "8787")) == ["the port is 8787"]


def test_a_damaged_fact_can_be_written_over(store):
    store.put(ANN, "the port is 8787")
    db = sqlite3.connect(only_file(store))
    with db:
        db.execute("UPDATE facts SET content = x'ff'")
    db.close()
    store.update(ANN, 1, "the port is 1234")
    assert contents(store.search(ANN, "port 1234")) == ["the port is 1234"]
    assert store.search(ANN, "8787") == []


def test_a_deletion_that_leaves_traces_says_so(store, monkeypatch):
    monkeypatch.setattr("headroom.memory.user_file._ERASE_S", 0.1)
    store.put(ANN, "zanzibar")
    reader = sqlite3.connect(only_file(store), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM facts").fetchone()
    with pytest.raises(StoreUnavailableError):
        store.delete_user(ANN)
    reader.execute("COMMIT")
    reader.close()
    assert store.delete_user(ANN) == 0
    data = b"".join(path.read_bytes() for path in store.folder.iterdir())
    assert b"zanzibar" not in data


def test_half_a_character_in_a_question_is_no_word(store):
    store.put(ANN, "the port is 8787")
    assert len(store.search(ANN, "\ud800 port \udfff")) == 1


def test_a_folder_that_cannot_be_read_is_an_error_in_plain_words(tmp_path):
    store = MemoryStore(tmp_path / ("n" * 300))
    with pytest.raises(StoreUnavailableError):
        store.search(ANN, "x")


def test_a_file_that_is_no_database_is_an_error_in_plain_words(store):
    store.put(ANN, "x")
    path = only_file(store)
    store.close()
    for old in store.folder.iterdir():
        old.unlink()
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailableError, match="move it away"):
        store.search(ANN, "x")


def test_a_file_of_a_later_version_is_refused(store):
    store.put(ANN, "x")
    path = only_file(store)
    store.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreUnavailableError, match="found 99"):
        store.search(ANN, "x")


def test_facts_survive_a_restart(store, tmp_path):
    store.put(ANN, "heron")
    store.close()
    again = MemoryStore(tmp_path / "memory")
    assert contents(again.search(ANN, "heron")) == ["heron"]
    again.close()


def test_sixteen_threads_lose_nothing(store):
    errors = []

    def work(number):
        try:
            for turn in range(12):
                store.put(Owner("", f"u{turn % 3}"), f"fact {number} {turn}")
                store.search(Owner("", f"u{turn % 3}"), f"fact {number}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(store.count(Owner("", f"u{n}")) for n in range(3)) == 16 * 12


FILL = """
import sys
from pathlib import Path
from headroom.memory.facts import Owner
from headroom.memory.store import MemoryStore
store = MemoryStore(Path(sys.argv[1]))
for turn in range(40):
    store.put(Owner("", "ann"), f"process {sys.argv[2]} turn {turn}")
store.close()
"""


def test_two_processes_share_a_memory(store):
    workers = [
        subprocess.Popen([sys.executable, "-c", FILL, str(store.folder), number])
        for number in "12"
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert store.count(ANN) == 80
    assert len({fact.id for fact in store.newest(ANN, 100)}) == 80

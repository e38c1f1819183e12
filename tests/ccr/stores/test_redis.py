"""A real server that goes away, fills up, speaks TLS, asks for a user, is a cluster."""

import socket
import subprocess
import threading
import time

import pytest
import redis

from headroom.ccr.ledger import Ledger
from headroom.ccr.stores import open_store
from headroom.core.digest import chain_key, content_digest
from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision, SlotEdit
from headroom.errors import (
    ConfigError,
    CorruptOriginalError,
    DamagedRecordError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from store_backends import RedisServer, free_port

LEFT = Decision()
TEXT = "an original"
DIGEST = content_digest(TEXT)
DAY_S = 86_400


def name(key, lineage=b"lineage"):
    return LedgerKey(chain_key(key.encode()), lineage)


def short(lossy=False):
    return Decision((SlotEdit("0", DIGEST, "short", "made_up", "1", lossy),))


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def store(client, redis_server):
    made = open_store(redis_server.url, retention_s=30 * DAY_S)
    client.flushall()
    yield made
    made.close()


@pytest.fixture
def start():
    servers = []

    def start(*options, **more):
        servers.append(RedisServer(*options, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def round_trip(url):
    store = open_store(url)
    assert store.save([(name("a"), short())], {DIGEST: TEXT}) == {}
    assert store.save([(name("a"), LEFT)], {}) == {name("a"): short()}
    assert [r.decision for r in store.load([name("a").key])] == [short()]
    assert store.get(DIGEST) == TEXT
    store.close()


def test_keys_are_the_same_hashes_as_everywhere_under_their_namespace(store, client):
    store.scoped("team a").save([(name("a"), LEFT)], {DIGEST: TEXT})
    store.scoped("team a").remember({b"\1": b"v"})
    assert sorted(client.keys()) == sorted(
        [
            f"{{headroom.team%20a}}:ccr:{DIGEST}".encode(),
            f"{{headroom.team%20a}}:rec:{name('a').key.hex()}".encode(),
            b"{headroom.team%20a}:note:01",
        ]
    )


def test_every_key_expires_and_every_use_renews_it(store, client):
    store.save([(name("a"), short(lossy=True))], {DIGEST: TEXT})
    store.remember({b"n": b"v"})
    keys = client.keys()
    assert len(keys) == 3

    def renewed(use):
        for key in keys:
            assert client.ttl(key) > 0
            client.expire(key, 7 * DAY_S)
        use()
        fresh = {key for key in keys if client.ttl(key) > 29 * DAY_S}
        return sorted(key.split(b":")[1] for key in fresh)

    assert renewed(lambda: store.load([name("a").key])) == [b"ccr", b"rec"]
    assert renewed(lambda: store.recall([b"n"])) == [b"note"]
    assert renewed(lambda: store.get(DIGEST)) == [b"ccr"]
    assert renewed(lambda: store.save([(name("a"), LEFT)], {})) == [b"rec"]


def test_what_is_not_used_is_gone_after_the_retention(redis_server, client):
    store = open_store(redis_server.url, retention_s=0.3)
    store.save([(name("a"), LEFT)], {DIGEST: TEXT})
    for _ in range(4):
        time.sleep(0.15)
        assert store.get(DIGEST) == TEXT
    assert store.load([name("a").key]) == []
    time.sleep(0.4)
    with pytest.raises(OriginalNotFoundError):
        store.get(DIGEST)
    store.close()


def test_a_body_that_does_not_hash_to_its_key_is_an_error(store, client):
    store.save([], {DIGEST: TEXT})
    client.set(client.keys()[0], b"something else")
    with pytest.raises(CorruptOriginalError):
        store.get(DIGEST)


def test_a_damaged_record_is_an_error_until_it_is_saved_again(store, client):
    store.save([(name("a"), short())], {})
    (key,) = client.keys()
    client.hset(key, b"lineage", b"000000000garbage")
    with pytest.raises(DamagedRecordError):
        store.load([name("a").key])
    assert store.save([(name("a"), short())], {}) == {}
    assert [r.decision for r in store.load([name("a").key])] == [short()]


@pytest.mark.parametrize("value", [b"", b"x", b"no number here"])
def test_values_of_others_under_our_keys_are_no_answers(store, client, value):
    client.hset(f"{{headroom.}}:rec:{name('a').key.hex()}", b"lineage", value)
    with pytest.raises(StoreUnavailableError):
        store.load([name("a").key])
    client.set(f"{{headroom.}}:rec:{name('b').key.hex()}", b"a string")
    with pytest.raises(StoreUnavailableError):
        store.load([name("b").key])


def test_a_server_that_is_down_is_an_error_at_start_up():
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1"):
        open_store(f"redis://127.0.0.1:{free_port()}/0")
    assert time.monotonic() - start < 3


def test_passwords_are_never_told():
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(f"redis://user:hunter2@127.0.0.1:{free_port()}/0")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://host:port/0", "redis://[::1", "redis://h/x y"]
)
def test_an_url_that_is_none_is_an_error_at_start_up(url):
    with pytest.raises((ConfigError, StoreUnavailableError)):
        open_store(url)


def test_without_the_client_the_error_names_the_extra(monkeypatch):
    import sys

    for module in [m for m in sys.modules if m.split(".")[0] == "redis"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"headroom\[redis\]"):
        open_store("redis://127.0.0.1:1/0")


def test_a_user_with_a_password_and_few_rights_is_enough(start):
    rights = "on >s3cret ~{headroom.* +@read +@write +@scripting +ping +client +hello"
    server = start(
        *("--user", "default", "off", "--user", "proxy", *rights.split()),
    )
    round_trip(f"redis://proxy:s3cret@127.0.0.1:{server.port}/0")
    with pytest.raises(StoreUnavailableError):
        open_store(f"redis://proxy:wrong@127.0.0.1:{server.port}/0")
    with pytest.raises(StoreUnavailableError):
        open_store(server.url)


def test_tls_is_spoken_and_certificates_are_checked(start, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    server = start(
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"),
        tls=True,
    )
    url = f"rediss://127.0.0.1:{server.port}/0"
    round_trip(f"{url}?ssl_ca_certs={certificate}")
    with pytest.raises(StoreUnavailableError):
        open_store(url)


def test_a_cluster_takes_whole_batches(start, tmp_path):
    server = start(
        *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
        *("--cluster-config-file", str(tmp_path / "nodes.conf")),
    )
    with redis.Redis(port=server.port) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 20
        while client.cluster("info")["cluster_state"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    round_trip(f"redis+cluster://127.0.0.1:{server.port}")
    store = open_store(f"redis+cluster://127.0.0.1:{server.port}", namespace="ns")
    names = [name(str(i)) for i in range(100)]
    store.save([(n, short(lossy=True)) for n in names], {DIGEST: TEXT})
    assert len(store.load([n.key for n in names])) == 100
    store.close()


def test_a_full_server_is_told_and_nothing_is_half_written(start):
    server = start("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    store = open_store(server.url)
    big = "x" * 200_000

    def save(i):
        text = f"{i}{big}"
        store.save([(name(str(i)), LEFT)], {content_digest(text): text})

    with pytest.raises(StoreUnavailableError, match="memory"):  # noqa: PT012
        for i in range(50):
            save(i)
    loaded = {r.key for r in store.load([name(str(i)).key for i in range(50)])}
    for i in range(50):
        if name(str(i)).key in loaded:
            assert store.get(content_digest(f"{i}{big}")) == f"{i}{big}"
    assert loaded
    store.close()


def test_a_server_that_answers_nonsense_is_told():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    stop = threading.Event()

    def serve():
        listener.settimeout(0.1)
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with pytest.raises(StoreUnavailableError):
            open_store(f"redis://127.0.0.1:{port}/0")
    finally:
        stop.set()
        thread.join()
        listener.close()


def test_a_server_that_never_answers_is_waited_for_briefly():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        assert time.monotonic() - start < 10


def test_requests_flow_while_the_server_is_away_and_it_heals_by_itself(start):
    server = start()
    ledger = Ledger(open_store(server.url), first_retry_s=0.05)
    ledger.save([(name("before"), short())], {DIGEST: TEXT})
    server.stop()
    assert ledger.lookup([name("before").key], b"lineage").is_complete
    unknown = ledger.lookup([name("unknown").key], b"lineage")
    assert not unknown.is_complete
    start_at = time.monotonic()
    saved = [ledger.save([(name(str(i)), LEFT)], {}) for i in range(50)]
    assert time.monotonic() - start_at < 5
    assert not any(one.is_durable for one in saved)
    with pytest.raises(StoreUnavailableError):
        ledger.get(DIGEST)
    assert ledger.health()["status"] == "degraded"
    start(port=server.port)
    deadline = time.monotonic() + 20
    while ledger.health()["status"] != "ok":
        assert time.monotonic() < deadline, ledger.health()
        time.sleep(0.02)
    other = open_store(server.url)
    assert len(other.load([name(str(i)).key for i in range(50)])) == 50
    other.close()
    ledger.close()


def test_hosts_agree_on_one_winner(redis_server, client):
    ledgers = [Ledger(open_store(redis_server.url)) for _ in range(4)]
    forwarded = [{} for _ in ledgers]
    barrier = threading.Barrier(4)

    def work(number):
        barrier.wait()
        for i in range(50):
            mine = Decision((SlotEdit("0", DIGEST, f"by {number}", "s", "1"),))
            saved = ledgers[number].save([(name(str(i)), mine)], {})
            forwarded[number][i] = saved.winners.get(name(str(i)), mine)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in ledgers:
        ledger.close()
    assert all(one == forwarded[0] for one in forwarded)
    assert len(forwarded[0]) == 50

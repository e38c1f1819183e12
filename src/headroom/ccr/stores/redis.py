"""Originals and ledger records in Redis, shared by several hosts (extra ``redis``).

Keys are ``{headroom.NAMESPACE}:ccr:HASH`` for originals, ``…:rec:HEX`` for the records
under one chain key (a hash: lineage → value) and ``…:note:HEX``. The part in braces is
what a Cluster places keys by (https://redis.io/docs/latest/operate/oss_and_stack/
reference/cluster-spec/#hash-tags), so that one script writes a whole batch, all of it
or nothing. Every use renews the expiry; the cap is the server's own ``maxmemory``.

What always holds: no call waits longer than its short timeouts; what the server answers
is checked before it is believed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from headroom.ccr.contract import TOUCH_S, StoreConfig, StoreStats
from headroom.ccr.encoding import (
    decode_decision,
    decode_original,
    encode_decision,
    encode_original,
    original_key,
    originals_of,
    seal,
    unseal,
)
from headroom.core.protocols import LedgerKey, Record
from headroom.core.types import Decision
from headroom.errors import (
    ConfigError,
    DamagedRecordError,
    OriginalNotFoundError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from redis import Redis

CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 1.0
_HEALTH_CHECK_S = 15

_NOTE = b"note"
_ORDER_DIGITS = 9
"""A record's value begins with how many lineages its key had before, in decimals."""

_LOAD = """
local ttl, touch, found = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  local stale = 0
  if left >= 0 and left < ttl - touch then
    redis.call('PEXPIRE', key, ttl)
    stale = 1
  end
  found[i] = {stale, redis.call('HGETALL', key)}
end
return found
"""

_SAVE = """
local ttl, count, winners = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i = 1, count do
  local key, lineage, value = KEYS[i], ARGV[2 * i + 1], ARGV[2 * i + 2]
  local known = redis.call('HGET', key, lineage)
  if known then
    winners[i] = known
  else
    local order = string.format('%09d', redis.call('HLEN', key))
    redis.call('HSET', key, lineage, order .. value)
    winners[i] = false
  end
  redis.call('PEXPIRE', key, ttl)
end
for i = count + 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 + count + i], 'PX', ttl)
end
return winners
"""

_Row = tuple[bytes, bytes, int, bytes | None, bool]
"""Key, lineage, order, sealed value (``None``: unreadable), whether it was stale."""


class RedisStore:
    """One namespace's view of a server; safe to use from threads and processes."""

    is_remote: Final = True

    def __init__(
        self, client: "Redis", name: str, config: StoreConfig | None = None
    ) -> None:
        self._client = client
        self._name = name
        self._config = config or StoreConfig()
        self._ttl_ms = max(1, int(self._config.retention_s * 1000))
        tag = quote(self._config.namespace, safe="")
        self._prefix = f"{{headroom.{tag}}}:"

    def scoped(self, namespace: str) -> "RedisStore":
        """The same server for another namespace."""
        config = msgspec.structs.replace(self._config, namespace=namespace)
        return RedisStore(self._client, self._name, config)

    def load(self, keys: Sequence[bytes]) -> list[Record]:
        """All records under any of ``keys``; see ``Store.load``."""
        found: list[Record] = []
        stale: list[str] = []
        with self._errors():
            for key, lineage, _, value, is_stale in self._rows("rec", keys):
                decision = decode_decision(value)
                if decision is None:
                    raise DamagedRecordError(
                        f"{self._name}: the record {key.hex()} is damaged"
                    )
                found.append(Record(key, lineage, decision))
                if is_stale:
                    stale += [self._original(d) for d in originals_of(decision)]
            if stale:
                with self._client.pipeline(transaction=False) as pipeline:
                    for name in stale:
                        pipeline.pexpire(name, self._ttl_ms)
                    pipeline.execute()
        return found

    def save(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision]:
        """Write originals and put-if-absent records; see ``Store.save``."""
        winners: dict[LedgerKey, Decision] = {}
        fresh: dict[LedgerKey, Decision] = {}
        for name, decision in records:
            if name in fresh:
                winners[name] = fresh[name]
            fresh.setdefault(name, decision)
        values = [
            (self._key("rec", n.key), n.lineage, encode_decision(d))
            for n, d in fresh.items()
        ]
        bodies = {self._original(d): encode_original(t) for d, t in originals.items()}
        with self._errors():
            answers = self._put(values, bodies)
            for name, item, answer in zip(fresh, values, answers, strict=True):
                if answer is None:
                    continue
                winner = decode_decision(_value(answer))
                if winner is not None:
                    winners[name] = winner
                else:
                    order = b"0" * _ORDER_DIGITS
                    self._client.hset(item[0], item[1], order + item[2])
        return winners

    def try_save(
        self,
        records: Sequence[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision] | None:
        """Never at once: the network has to be waited for."""
        del records, originals
        return None

    def maintain(self) -> None:
        """Nothing to do: the server removes what has expired."""

    def get(self, digest: str) -> str:
        """The original kept under ``digest``; see ``Store.get``."""
        key = self._original(digest)
        with self._errors():
            body: Any = self._client.getex(key, px=self._ttl_ms)
        if body is None:
            raise OriginalNotFoundError(f"no original is kept under {digest}")
        return decode_original(digest, body)

    def remember(self, notes: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Keep small values; see ``ManagedStore.remember``."""
        values = [
            (self._key("note", key), _NOTE, seal(value)) for key, value in notes.items()
        ]
        winners: dict[bytes, bytes] = {}
        with self._errors():
            for key, answer in zip(notes, self._put(values, {}), strict=True):
                winner = unseal(_value(answer))
                if winner is not None:
                    winners[key] = winner
        return winners

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Kept small values; see ``ManagedStore.recall``."""
        with self._errors():
            rows = list(self._rows("note", keys))
        found = {row[0]: unseal(row[3]) for row in rows}
        return {key: value for key, value in found.items() if value is not None}

    def check(self) -> None:
        """Write and read one value; see ``ManagedStore.check``."""
        key = f"{self._prefix}check"
        with self._errors():
            self._client.ping()
            self._client.set(key, b"1", px=1000)

    def purge(self) -> int:
        """Nothing to do: the server removes what has expired."""
        return 0

    def stats(self) -> StoreStats:
        """What the server tells about its memory; it may hold others' data too."""
        with self._errors():
            memory: Any = self._client.info("memory")
            used_bytes = int(memory.get("used_memory", -1))
        return StoreStats("redis", -1, used_bytes, 0)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _put(
        self, values: Sequence[tuple[str, bytes, bytes]], bodies: Mapping[str, bytes]
    ) -> list[object]:
        """Write one batch; per value what was there already, or ``None``."""
        keys = [name for name, _, _ in values] + list(bodies)
        if not keys:
            return []
        arguments: list[Any] = [self._ttl_ms, len(values)]
        for _, lineage, value in values:
            arguments += [lineage, value]
        arguments += bodies.values()
        answers: Any = self._client.eval(_SAVE, len(keys), *keys, *arguments)
        if not isinstance(answers, list) or len(answers) != len(values):
            raise StoreUnavailableError(f"{self._name}: answered a save with nonsense")
        return answers

    def _rows(self, kind: str, keys: Sequence[bytes]) -> Iterator[_Row]:
        """What hashes hold under any of ``keys``, oldest first per key."""
        unique = list(dict.fromkeys(keys))
        if not unique:
            return
        names = [self._key(kind, key) for key in unique]
        touch_ms = min(int(TOUCH_S * 1000), self._ttl_ms // 4)
        answers: Any = self._client.eval(
            _LOAD, len(names), *names, self._ttl_ms, touch_ms
        )
        if not isinstance(answers, list) or len(answers) != len(unique):
            raise StoreUnavailableError(f"{self._name}: answered a load with nonsense")
        for key, (stale, flat) in zip(unique, answers, strict=True):
            pairs = zip(flat[::2], flat[1::2], strict=True)
            rows = [
                (key, bytes(lineage), _order(data), _value(data), stale == 1)
                for lineage, data in pairs
            ]
            yield from sorted(rows, key=lambda row: row[2])

    def _key(self, kind: str, key: bytes) -> str:
        return f"{self._prefix}{kind}:{key.hex()}"

    def _original(self, digest: str) -> str:
        original_key(self._config.namespace, digest)
        return f"{self._prefix}ccr:{digest}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the client raises, also over garbage, into one error."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - the extra's own module

        try:
            yield
        except (RedisError, OSError, ValueError, TypeError, LookupError) as error:
            raise StoreUnavailableError(
                f"{self._name}: {type(error).__name__}: {error}"
            ) from error


def _order(data: bytes) -> int:
    return int(data[:_ORDER_DIGITS])


def _value(data: object) -> bytes | None:
    return data[_ORDER_DIGITS:] if isinstance(data, bytes) else None


def open_url(url: str, config: StoreConfig) -> RedisStore:
    """Open ``redis://`` or ``rediss://`` (TLS), each also with ``+cluster``.

    User, password, database and TLS files are given as the client's own URLs take them:
    https://redis.readthedocs.io/en/stable/connections.html

    Raises:
        ConfigError: the client is not installed or the URL is not one of its.
        StoreUnavailableError: the server does not answer.
    """
    try:
        import redis  # noqa: PLC0415 - an optional extra
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.cluster import RedisCluster  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "store: Redis needs its client: pip install 'headroom[redis]'"
        ) from error
    name = _without_password(url)
    scheme, _, rest = url.partition("://")
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "health_check_interval": _HEALTH_CHECK_S,
        "decode_responses": False,
    }
    connect: Callable[..., Any] = redis.Redis.from_url
    if scheme.endswith("+cluster"):
        connect = RedisCluster.from_url
    else:
        # One more try, at once: a pooled connection may have been closed meanwhile.
        # One that is slow will not be faster then.
        errors = (redis.exceptions.ConnectionError,)
        options["retry"] = Retry(NoBackoff(), 1, supported_errors=errors)
    try:
        client = connect(f"{scheme.removesuffix('+cluster')}://{rest}", **options)
    except ValueError as error:
        raise ConfigError(f"store: {name}: {error}") from error
    except (
        redis.exceptions.RedisError,
        redis.exceptions.RedisClusterException,
    ) as error:
        raise StoreUnavailableError(f"{name}: {error}") from error
    store = RedisStore(client, name, config)
    store.check()
    return store


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname}:{parts.port or 6379}"
    except ValueError as error:
        raise ConfigError(f"store: not a Redis URL: {error}") from error
    return f"{parts.scheme}://{where}{parts.path}"

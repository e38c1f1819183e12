"""The file of models, checked as a whole and ready for use.

Everything that refers to something else is resolved here: backends by name, keys by
environment variable, aliases. Immutable; a reload makes another one.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from headroom.broker import models_file
from headroom.broker.models_file import Api, Limits, ModelsFile, Retries
from headroom.errors import ConfigError
from headroom.providers.prices import Prices

PricesOf = Callable[[str], Prices | None]

_OWN_HEADERS = frozenset(
    {"authorization", "connection", "content-length", "cookie", "host", "x-api-key",
     "transfer-encoding", "x-goog-api-key"}
)  # fmt: skip


class Backend(Struct, frozen=True):
    """A backend with its key.

    Attributes:
        key: empty if it needs none.
        headers: sent with every request.
        attribution: templates; see ``models_file.Backend``.
    """

    name: str
    api: Api
    base_url: str
    key: str
    serves_messages: bool
    headers: tuple[tuple[str, str], ...]
    attribution: tuple[tuple[str, str], ...]
    connect_timeout_s: float
    timeout_s: float
    open_after: int
    open_s: float


class Target(Struct, frozen=True):
    """A backend of a model; ``model`` is empty where the name asked for is sent."""

    backend: Backend
    model: str
    weight: float


class Model(Struct, frozen=True):
    """What can be asked for; ``name`` is the entry's, for logs and metrics."""

    name: str
    targets: tuple[Target, ...]
    fallbacks: tuple[Target, ...]
    limits: Limits


class Client(Struct, frozen=True):
    """Who calls; the name is empty where anybody may."""

    name: str = ""
    models: tuple[str, ...] = ()
    limits: Limits = Limits()

    def may_use(self, asked: str, model: Model) -> bool:
        """Whether a model may be asked for under the name given."""
        if not self.models:
            return True
        return any(
            fnmatchcase(name, pattern)
            for pattern in self.models
            for name in (asked, model.name)
        )


ANYBODY = Client()


class Registry(Struct, frozen=True):
    """Everything the file says.

    Attributes:
        models: by name and alias.
        beginnings: of names, longest first, with their models.
        clients: by the SHA-256 of their keys.
    """

    file: ModelsFile
    backends: dict[str, Backend]
    models: dict[str, Model]
    beginnings: tuple[tuple[str, Model], ...]
    clients: dict[bytes, Client]

    def with_compression(self, forced: bool) -> "Registry":
        """The same with compression on if it is forced; else as the file has it."""
        if not forced or self.file.compression_enabled:
            return self
        return replace(self, file=replace(self.file, compression_enabled=True))

    @property
    def default_backend(self) -> Backend | None:
        """Where requests go that name no model."""
        return self.backends.get(self.file.default_backend)

    @property
    def retries(self) -> Retries:
        """What happens when backends fail."""
        return self.file.retries

    def model(self, name: str) -> Model | None:
        """The model that a name stands for."""
        found = self.models.get(name)
        if found is None:
            for beginning, model in self.beginnings:
                if name.startswith(beginning):
                    return model
        return found

    def client(self, key: bytes) -> Client | None:
        """Who brings a key; ``None``: nobody who may call."""
        if not self.clients:
            return ANYBODY
        # What is looked up is a digest: how long it takes tells nothing of keys.
        return self.clients.get(hashlib.sha256(key).digest()) if key else None


def make_registry(
    file: ModelsFile, environ: Mapping[str, str], prices_of: PricesOf
) -> Registry:
    """Resolve everything in a file.

    Args:
        file: as read.
        environ: where keys are.
        prices_of: the table of prices; asked only where something has a budget in USD.

    Raises:
        ConfigError: something refers to nothing, or stands twice.
    """
    backends = {
        name: _backend(name, entry, file, environ)
        for name, entry in file.backends.items()
    }
    if file.default_backend and file.default_backend not in backends:
        raise ConfigError(f"default_backend: no backend {file.default_backend!r}")
    models: dict[str, Model] = {}
    for name, entry in file.models.items():
        made = Model(
            name,
            tuple(_targets(f"models.{name}.backends", entry.backends, backends)),
            tuple(_targets(f"models.{name}.fallbacks", entry.fallbacks, backends)),
            entry.limits,
        )
        _check_prices(file, made, prices_of)
        for called in (name, *entry.aliases):
            if not called or called in models:
                raise ConfigError(f"models.{name}: the name {called!r} stands twice")
            models[called] = made
    beginnings = [(n[:-1], m) for n, m in models.items() if n.endswith("*")]
    beginnings.sort(key=lambda pair: -len(pair[0]))
    exact = {n: m for n, m in models.items() if not n.endswith("*")}
    clients = _clients(file, environ)
    return Registry(file, backends, exact, tuple(beginnings), clients)


def _backend(
    name: str, entry: models_file.Backend, file: ModelsFile, environ: Mapping[str, str]
) -> Backend:
    where = f"backends.{name}"
    headers = tuple((k.lower(), v) for k, v in entry.headers.items())
    attribution = {
        k.lower(): v for k, v in (*file.attribution.items(), *entry.attribution.items())
    }
    for field, value in (*headers, *attribution.items()):
        is_name = field.isascii() and field.replace("-", "").replace("_", "").isalnum()
        if not is_name or field in _OWN_HEADERS or not value.isprintable():
            raise ConfigError(f"{where}: the header {field!r} cannot be set")
    return Backend(
        name=name,
        api=entry.api,
        base_url=entry.base_url.rstrip("/"),
        key=_secret(where, entry.key_env, environ),
        serves_messages=entry.serves_messages,
        headers=headers,
        attribution=tuple(attribution.items()),
        connect_timeout_s=entry.connect_timeout_s,
        timeout_s=entry.timeout_s,
        open_after=entry.open_after,
        open_s=entry.open_s,
    )


def _targets(
    where: str, entries: Iterable[models_file.Target], backends: Mapping[str, Backend]
) -> Iterable[Target]:
    for number, entry in enumerate(entries):
        backend = backends.get(entry.backend)
        if backend is None:
            raise ConfigError(f"{where}[{number}]: no backend {entry.backend!r}")
        yield Target(backend, entry.model, entry.weight)


def _clients(file: ModelsFile, environ: Mapping[str, str]) -> dict[bytes, Client]:
    clients: dict[bytes, Client] = {}
    names: set[str] = set()
    for entry in file.keys:
        where = f"keys.{entry.name}"
        if bool(entry.key_env) == bool(entry.key_sha256):
            raise ConfigError(f"{where}: give one of key_env and key_sha256")
        digest = bytes.fromhex(entry.key_sha256)
        if entry.key_env:
            secret = _secret(where, entry.key_env, environ)
            digest = hashlib.sha256(secret.encode()).digest()
        if entry.name in names or digest in clients:
            raise ConfigError(f"{where}: the name or its key stands twice")
        names.add(entry.name)
        clients[digest] = Client(entry.name, entry.models, entry.limits)
    return clients


def _check_prices(file: ModelsFile, model: Model, prices_of: PricesOf) -> None:
    """A budget in USD needs prices.

    Raises:
        ConfigError: a model under such a budget has none.
    """
    limits = [model.limits, *(key.limits for key in file.keys)]
    if all(limit.budget_usd is None for limit in limits):
        return
    for target in (*model.targets, *model.fallbacks):
        name = target.model or model.name
        if not name.endswith("*") and prices_of(name) is None:
            raise ConfigError(
                f"models.{model.name}: budget_usd needs the prices of {name!r}; give "
                "them in the file that HEADROOM_MODELS_FILE names"
            )


def _secret(where: str, variable: str, environ: Mapping[str, str]) -> str:
    if not variable:
        return ""
    value = environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"{where}: the environment variable {variable} is not set")
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"{where}: {variable} holds no key that a header can carry")
    return value

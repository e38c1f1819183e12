"""The broker put together: settings and a file of models in, an ASGI app out."""

import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from pathlib import Path

from headroom.broker import models_file
from headroom.broker.billing import Billing
from headroom.broker.compression import Compression
from headroom.broker.dispatch import Backends
from headroom.broker.endpoints import Endpoints, is_own
from headroom.broker.endpoints import Parts as EndpointParts
from headroom.broker.fake import KEY, KEY_VARIABLE, fake_file
from headroom.broker.metrics import COUNTERS
from headroom.broker.registry import Registry, make_registry
from headroom.broker.relay import BrokerRelay, Parts
from headroom.broker.reloading import Reloading
from headroom.ccr.contract import ManagedStore
from headroom.errors import ConfigError
from headroom.inference.model_overrides import read_overrides
from headroom.inference.model_table import ModelTable
from headroom.providers.prices import Prices
from headroom.proxy.app import open_settings_store
from headroom.proxy.metrics import Metrics
from headroom.proxy.originals import StoreOnDemand
from headroom.proxy.replies import Receive, Scope, Send
from headroom.settings import Settings, is_loopback

Load = Callable[[], Registry]


def make_metrics() -> Metrics:
    """The figures of a broker."""
    return Metrics(more=COUNTERS)


def make_loader(
    path: Path | None,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    compression: bool = False,
    fake_url: str = "",
) -> Load:
    """What reads the file of models, at the start and again after every change.

    Args:
        path: of the file; ``None`` only with a fake provider.
        settings: say where is listened, and which models have prices.
        environ: where keys are.
        compression: it is on, whatever the file says.
        fake_url: of the provider that answers instead of all backends.
    """
    table = ModelTable(read_overrides(settings.models_file))
    known = ChainMap({KEY_VARIABLE: KEY} if fake_url else {}, dict(environ))

    def prices_of(model: str) -> Prices | None:
        return table.row(model).prices

    def load() -> Registry:
        file = models_file.read(path) if path is not None else None
        if fake_url:
            file = fake_file(file, fake_url)
        assert file is not None  # the caller has one or the other
        registry = make_registry(file, known, prices_of)
        check_listen(settings, registry)
        return registry.with_compression(compression)

    return load


def check_listen(settings: Settings, registry: Registry) -> None:
    """Refuse to serve other machines without a key or token.

    Raises:
        ConfigError: names what to set.
    """
    proxy = settings.proxy
    if not is_loopback(proxy.host) and not proxy.token and not registry.clients:
        raise ConfigError(
            f"HEADROOM_PROXY_HOST: {proxy.host!r} can be reached from other machines; "
            "give the file of models keys, set HEADROOM_PROXY_TOKEN, or listen on "
            "127.0.0.1"
        )


class BrokerApp:
    """The ASGI application.

    Args:
        settings: validated settings.
        load: reads the file of models; see ``make_loader``.
        path: of that file, to watch; ``None``: it does not change.
        metrics: figures to add to.
        store: instead of the one that the settings name.
        clock: of budgets, seconds since the epoch.

    Raises:
        ConfigError: the file is not right.
    """

    def __init__(
        self,
        settings: Settings,
        load: Load,
        path: Path | None,
        *,
        metrics: Metrics | None = None,
        store: ManagedStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics or make_metrics()
        self._settings = settings
        self._load = load
        self._path = path
        self._first = load()
        self._store = StoreOnDemand(lambda: store or open_settings_store(settings))
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            if is_own(scope["method"], scope["path"]):
                await self._endpoints.handle(scope, receive, send)
            else:
                await self._relay.handle(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted this is answered with 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "lifespan":
            await receive()
            await self.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.close()
            await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Make what needs the running loop."""
        settings, metrics = self._settings, self.metrics
        self.reloading = Reloading(self._path, self._load, self._first, metrics)
        self.backends = Backends(settings.upstream, metrics)
        table = ModelTable(read_overrides(settings.models_file))
        self._compression = Compression(
            self._store, table, settings.compression_max_body_bytes
        )
        self._billing = Billing(Path(settings.data_dir), table, metrics, self._clock)
        self._relay = BrokerRelay(
            Parts(
                settings=settings,
                registry=lambda: self.reloading.registry,
                backends=self.backends,
                compression=self._compression,
                billing=self._billing,
                metrics=metrics,
            )
        )
        self._endpoints = Endpoints(
            EndpointParts(
                settings=settings,
                reloading=self.reloading,
                backends=self.backends,
                store=self._store,
                metrics=metrics,
            )
        )
        await self._billing.start()
        self.reloading.start()

    async def close(self) -> None:
        """Release it, last things first."""
        await self.reloading.close()
        await self._billing.close()
        await self.backends.close()
        self._compression.close()
        self._store.close()

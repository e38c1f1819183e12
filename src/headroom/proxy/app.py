"""The composition root: settings in, an ASGI application out.

Everything that needs a running loop (the connection pool, the stages' workers) is made
when the server starts and released when it has served its last request.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from headroom.ccr.contract import ManagedStore
from headroom.ccr.ledger import Ledger
from headroom.ccr.stores import open_store
from headroom.inference.model_overrides import read_overrides
from headroom.inference.model_table import ModelTable
from headroom.proxy.clouds import Clouds
from headroom.proxy.current import Current
from headroom.proxy.endpoints import Core, Endpoints, Parts, is_own
from headroom.proxy.google_tokens import TokenSource
from headroom.proxy.hidden_notes import HiddenNotes
from headroom.proxy.learner import make_learner
from headroom.proxy.memories import make_memories
from headroom.proxy.metrics import Metrics
from headroom.proxy.originals import Originals, StoreOnDemand
from headroom.proxy.relay import Relay
from headroom.proxy.replies import Receive, Scope, Send
from headroom.proxy.sidecar import Sidecar
from headroom.proxy.stages import Stage
from headroom.proxy.stages.betas import BetaStage
from headroom.proxy.stages.compress import CompressStage, Guidance
from headroom.proxy.stages.retrieve import RetrieveStage
from headroom.proxy.stages.watch import WatchStage
from headroom.proxy.steps import Steps
from headroom.proxy.upstream import Upstream
from headroom.proxy.websocket.provider import ProviderSockets
from headroom.proxy.websocket.relay import WebSocketRelay
from headroom.settings import Settings

Clock = Callable[[], float]

_DAY_S = 24 * 3600.0


class App:
    """The ASGI application; one per server process.

    Attributes:
        current: the settings in force.
        metrics: its figures.
        stages: the steps of every exchange, in order.
        token_source: where access tokens for Vertex come from; ``None``: Google's
            default credentials. Read by ``start``.
    """

    def __init__(
        self,
        current: Current,
        stages: Sequence[Stage],
        *,
        core: Core,
        source: Ledger | StoreOnDemand,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.metrics = metrics
        self.stages = tuple(stages)
        self.token_source: TokenSource | None = None
        self.current = current
        self._settings = current.settings
        self._core = core
        self._source = source
        self._clock = clock
        self._upstream: Upstream | None = None
        self._steps: Steps | None = None
        self._clouds: Clouds | None = None
        self._relay: Relay | None = None
        self._providers: ProviderSockets | None = None
        self._sockets: WebSocketRelay | None = None
        self._endpoints: Endpoints | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            assert self._relay is not None
            assert self._endpoints is not None
            if is_own(scope["path"]):
                await self._endpoints.handle(scope, receive, send)
            else:
                await self._relay.handle(scope, receive, send)
        elif scope["type"] == "websocket":
            assert self._sockets is not None
            await self._sockets.handle(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def start(self) -> None:
        """Make what needs the running loop."""
        cloud = self._settings.cloud
        self._upstream = Upstream(self._settings.upstream, cloud)
        self._clouds = clouds = Clouds(
            cloud, token_source=self.token_source, clock=self._clock
        )
        self._steps = steps = Steps(self._settings, self.stages, self.metrics)
        self._relay = Relay(self.current, self._upstream, steps, self.metrics, clouds)
        self._providers = ProviderSockets(
            self._settings.upstream, self._settings.proxy.max_body_bytes
        )
        source = self._source
        ledger = source if isinstance(source, Ledger) else None
        self._sockets = WebSocketRelay(
            self._settings,
            self._upstream,
            self._providers,
            steps,
            self.metrics,
            keeps_state=lambda: self._keeps_state(ledger),
        )
        originals = Originals(source, self.metrics)
        sidecar = Sidecar(self.current, self.stages, steps.decisions, self.metrics)
        self._endpoints = Endpoints(
            self._settings,
            self._upstream,
            self.metrics,
            Parts(self._core, self.stages, ledger, originals, sidecar),
            self._clock,
        )
        for stage in self.stages:
            await stage.start()

    def _keeps_state(self, ledger: Ledger | None) -> bool:
        """Whether decisions are found again by every worker, whatever comes next."""
        proxy, store = self._settings.proxy, self._settings.store_url
        is_shared = proxy.workers == 1 or not store.startswith("memory:")
        is_up = ledger is None or ledger.health()["status"] == "ok"
        return is_up and is_shared and proxy.reapply == "enabled"

    async def close(self) -> None:
        """Release it, last things first."""
        for stage in reversed(self.stages):
            await stage.close()
        if self._steps is not None:
            await asyncio.to_thread(self._steps.decisions.close)
        if self._providers is not None:
            await self._providers.close()
        if self._clouds is not None:
            self._clouds.close()
        if self._upstream is not None:
            await self._upstream.close()
        self._source.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    settings: Settings,
    *,
    clock: Clock = time.time,
    store: ManagedStore | None = None,
    core: Core | None = None,
    stages: Sequence[Stage] | None = None,
    metrics: Metrics | None = None,
) -> App:
    """Wire everything.

    Args:
        settings: validated settings.
        clock: seconds since the epoch.
        store: originals and ledger; ``None``: the one the settings name.
        core: what the start-up check found.
        stages: the steps of an exchange instead of the usual ones.
        metrics: figures to add to.

    Raises:
        ConfigError: the store's URL, or the file of models, is unusable.
        StoreUnavailableError: the store cannot be opened.
    """
    core = core or Core()
    ledger = None
    source: Ledger | StoreOnDemand
    if is_compressing(settings, core):
        source = ledger = Ledger(store or open_settings_store(settings, clock=clock))
    else:
        source = StoreOnDemand(
            lambda: store or open_settings_store(settings, clock=clock)
        )
    metrics = metrics or Metrics()
    current = Current(settings)
    if stages is None:
        stages = _make_stages(current, ledger, metrics)
    return App(
        current,
        stages,
        core=core,
        source=source,
        metrics=metrics,
        clock=clock,
    )


def _make_stages(
    current: Current, ledger: Ledger | None, metrics: Metrics
) -> tuple[Stage, ...]:
    """The stages in the order of ``STAGES``; none where compression is off."""
    if ledger is None:
        return ()
    settings = current.settings
    notes = HiddenNotes(ledger)
    memories = make_memories(current)
    stages: list[Stage] = [
        CompressStage(
            ledger,
            Guidance(
                current,
                ModelTable(read_overrides(settings.models_file)),
                make_learner(settings),
                memories,
            ),
            notes=notes,
        )
    ]
    if settings.proxy.beta_header_sticky == "enabled":
        sessions = settings.proxy.beta_tracker_max_sessions
        stages.append(BetaStage(current, max_sessions=sessions))
    if settings.watch.enabled:
        sessions = settings.watch.max_sessions
        stages.append(WatchStage(metrics, time.monotonic, max_sessions=sessions))
    stages.append(
        RetrieveStage(ledger, notes, policies=current, answerers=memories.answerers)
    )
    return tuple(stages)


def is_compressing(settings: Settings, core: Core) -> bool:
    """Whether any body is read and changed at all."""
    proxy = settings.proxy
    is_on = proxy.compression and proxy.compression_mode != "off"
    return is_on and core.status == "loaded"


def open_settings_store(
    settings: Settings, *, clock: Clock = time.time
) -> ManagedStore:
    """The store that the settings name.

    Raises:
        ConfigError: its URL is unusable.
        StoreUnavailableError: it cannot be opened.
    """
    return open_store(
        settings.store_url,
        retention_s=settings.store.retention_days * _DAY_S,
        max_bytes=settings.store.max_bytes,
        clock=clock,
    )

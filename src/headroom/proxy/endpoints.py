"""Headroom's own endpoints; none of them is ever forwarded.

``/healthz`` the process answers · ``/readyz`` it can serve · ``/healthz/upstream`` the
providers can be reached · ``/health`` everything that is known · ``/metrics`` ·
``/v1/retrieve`` originals (see ``originals``) · ``/v1/compress`` for gateways (see
``sidecar``). Else only GET and HEAD; only under safe names (see ``access``); with a
token set, only with it, ``/healthz`` excepted: it tells nothing, and supervisors that
probe it have none.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from msgspec import Struct

import headroom
from headroom.ccr.ledger import Ledger
from headroom.core.types import JsonValue
from headroom.proxy import access, metrics, originals, replies, sidecar
from headroom.proxy.bodies import ClientGoneError
from headroom.proxy.metrics import Metrics
from headroom.proxy.originals import Originals
from headroom.proxy.replies import Receive, Scope, Send
from headroom.proxy.sidecar import Sidecar
from headroom.proxy.stages import Stage
from headroom.proxy.upstream import Upstream
from headroom.settings import SETTINGS, Settings

OWN_PATHS = frozenset(
    {"/healthz", "/healthz/upstream", "/readyz", "/health", "/metrics"}
)
_NO_STORE = (b"cache-control", b"no-store")


class Core(Struct, frozen=True):
    """What the start-up check found.

    Attributes:
        status: ``loaded``, ``disabled`` (switched off) or ``missing`` (it failed).
        error: why, if it failed.
    """

    status: str = "loaded"
    error: str = ""


class Parts(Struct, frozen=True):
    """What ``/health`` reports on, and what answers under paths of its own.

    Attributes:
        ledger: ``None`` where nothing is compressed.
    """

    core: Core
    stages: Sequence[Stage]
    ledger: Ledger | None
    originals: Originals
    sidecar: Sidecar


def is_own(path: str) -> bool:
    """Whether Headroom itself answers under this path."""
    path = sidecar.without_base(path)
    return path in OWN_PATHS or originals.is_own(path) or sidecar.is_own(path)


class Endpoints:
    """Answers for Headroom itself."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        figures: Metrics,
        parts: Parts,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._metrics = figures
        self._parts = parts
        self._clock = clock
        self._started = clock()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to a path that ``is_own``."""
        path = sidecar.without_base(scope["path"])
        if not access.is_own_host(scope["headers"], self._settings):
            await _refuse(send, 403, "this host or origin may not call Headroom")
            return
        token = self._settings.proxy.token
        is_open = not token or path == "/healthz"
        if not is_open and not access.has_token(
            scope["headers"], token, allows_bearer=True
        ):
            await _refuse(send, 401, "the proxy's token is missing or wrong")
            return
        allowed = _methods(path)
        if scope["method"] not in allowed:
            allow = (b"allow", ", ".join(allowed).encode())
            await _refuse(send, 405, f"only {allowed[0]} is served here", allow)
            return
        if originals.is_own(path) or sidecar.is_own(path):
            with contextlib.suppress(ClientGoneError):
                if sidecar.is_own(path):
                    status, body = await self._parts.sidecar.answer(scope, receive)
                else:
                    status, body = await self._parts.originals.answer(
                        {**scope, "path": path}, receive
                    )
                await replies.send_bytes(send, status, body, [_NO_STORE])
            return
        if path == "/metrics":
            body = self._metrics.render()
            await replies.send_bytes(send, 200, body, content_type=metrics.CONTENT_TYPE)
            return
        status, value = await self._report(path)
        await replies.send_json(send, status, value)

    async def _report(self, path: str) -> tuple[int, JsonValue]:
        if path == "/healthz":
            return 200, {"ok": True, "service": "headroom"}
        if path == "/readyz":
            return 200, {"ready": True}
        if path == "/healthz/upstream":
            return await self._upstreams()
        return 200, self._health()

    async def _upstreams(self) -> tuple[int, JsonValue]:
        """Probe the providers whose URL was set; if none was, Anthropic."""
        chosen: dict[str, str] = {}
        for name in ("anthropic", "openai", "gemini"):
            url = getattr(self._settings.upstream, f"{name}_url")
            if url != SETTINGS[f"upstream.{name}_url"].default:
                chosen[name] = url
        chosen = chosen or {"anthropic": self._settings.upstream.anthropic_url}
        found = await asyncio.gather(*map(self._upstream.is_reachable, chosen.values()))
        upstreams: dict[str, JsonValue] = dict(zip(chosen, found, strict=True))
        is_ok = all(found)
        return 200 if is_ok else 503, {"ok": is_ok, "upstreams": upstreams}

    def _health(self) -> dict[str, JsonValue]:
        parts = self._parts
        stages: dict[str, JsonValue] = {s.name: s.health() for s in parts.stages}
        store = None if parts.ledger is None else parts.ledger.health()
        is_ok = parts.core.status != "missing" and all(
            part.get("status", "ok") == "ok"
            for part in (store, *stages.values())
            if isinstance(part, dict)
        )
        proxy = self._settings.proxy
        report: dict[str, JsonValue] = {
            "ok": is_ok,
            "status": "ok" if is_ok else "degraded",
            "service": "headroom",
            "version": headroom.__version__,
            "core": parts.core.status,
            "compression": proxy.compression,
            "compression_mode": proxy.compression_mode,
            "workers": {"configured": proxy.workers, "pid": os.getpid()},
            "uptime_s": round(self._clock() - self._started, 3),
            "store": store,
            "stages": stages,
        }
        if parts.core.error:
            report["core_error"] = parts.core.error
        return report


def _methods(path: str) -> tuple[str, ...]:
    """The methods that one of our paths takes."""
    if originals.is_own(path):
        return originals.methods(path)
    return ("POST",) if sidecar.is_own(path) else ("GET", "HEAD")


async def _refuse(
    send: Send, status: int, message: str, *extra: tuple[bytes, bytes]
) -> None:
    await replies.send_json(send, status, {"error": {"message": message}}, list(extra))

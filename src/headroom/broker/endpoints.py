"""The broker's own endpoints: health, figures, originals, and the list of models.

``/healthz``, ``/readyz``, ``/health``, ``/metrics`` as the proxy's: only under names
that cannot be rebound, and with the token where one is set. ``/v1/models`` and
``/v1/retrieve/HASH`` are for whoever may ask for answers; originals are found only
under the key whose conversation they are from.
"""

import contextlib
import os
import time
from collections.abc import Callable
from urllib.parse import unquote

from msgspec import Struct

import headroom
from headroom.broker import places
from headroom.broker.dispatch import Backends
from headroom.broker.registry import ANYBODY, Client, Registry
from headroom.broker.reloading import Reloading
from headroom.core.types import JsonValue
from headroom.proxy import access, headers, metrics, originals, replies
from headroom.proxy.bodies import ClientGoneError
from headroom.proxy.metrics import Metrics
from headroom.proxy.originals import Originals, StoreOnDemand
from headroom.proxy.replies import Receive, Scope, Send
from headroom.proxy.routes import Headers
from headroom.settings import Settings, is_loopback

_OPERATOR = frozenset({"/healthz", "/readyz", "/health", "/metrics"})
_MODELS = "/v1/models"
_NO_STORE = (b"cache-control", b"no-store")
_CREATED = 0
"""Of models in the list: the file does not say."""


class Parts(Struct, frozen=True):
    """What the endpoints tell of."""

    settings: Settings
    reloading: Reloading
    backends: Backends
    store: StoreOnDemand
    metrics: Metrics


def is_own(method: str, path: str) -> bool:
    """Whether the broker itself answers."""
    is_list = method in {"GET", "HEAD"} and (
        path == _MODELS or path.startswith(_MODELS + "/")
    )
    return path in _OPERATOR or is_list or originals.is_own(path)


def caller(
    registry: Registry, settings: Settings, received: Headers, query: bytes
) -> tuple[Client | None, bytes]:
    """Who calls, ``None`` if nobody who may; and the query without a key."""
    key, rest = places.key_of(received, query)
    if registry.clients:
        return registry.client(key), rest
    if token := settings.proxy.token:
        is_known = access.has_token(received, token, allows_bearer=True)
    else:
        # Else a page in a browser could spend the operator's money.
        is_known = access.is_own_host(received, settings)
    return ANYBODY if is_known else None, rest


class Endpoints:
    """Answers for the broker itself."""

    def __init__(
        self, parts: Parts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._started = clock()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that ``is_own``."""
        path = scope["path"]
        if path in _OPERATOR:
            await self._operate(scope, send)
            return
        parts = self._parts
        registry = parts.reloading.registry
        client, _ = caller(
            registry, parts.settings, scope["headers"], scope["query_string"]
        )
        if client is None:
            await _refuse(send, 401, "the key is missing or unknown", "invalid_api_key")
        elif originals.is_own(path):
            if scope["method"] not in originals.methods(path):
                await _refuse(send, 405, "not with this method", "method_not_allowed")
                return
            found = Originals(parts.store, parts.metrics, namespace=client.name)
            with contextlib.suppress(ClientGoneError):
                status, body = await found.answer(scope, receive)
                await replies.send_bytes(send, status, body, [_NO_STORE])
        else:
            await self._models(scope, send, registry, client)

    async def _operate(self, scope: Scope, send: Send) -> None:
        path, settings = scope["path"], self._parts.settings
        if not access.is_own_host(scope["headers"], settings):
            await _refuse(send, 403, "this host or origin may not call", "origin")
            return
        token = settings.proxy.token
        # With keys the broker may listen to other machines without a token. What it
        # says of them all is not for everybody there; that it runs is.
        is_local = not token and is_loopback(settings.proxy.host)
        is_open = is_local or path == "/healthz" or (not token and path == "/readyz")
        if not is_open and not (
            token and access.has_token(scope["headers"], token, allows_bearer=True)
        ):
            await _refuse(send, 401, "the token is missing or wrong", "bad_token")
        elif scope["method"] not in {"GET", "HEAD"}:
            await _refuse(send, 405, "only GET is served here", "method_not_allowed")
        elif path == "/metrics":
            body = self._parts.metrics.render()
            await replies.send_bytes(send, 200, body, content_type=metrics.CONTENT_TYPE)
        elif path == "/healthz":
            await replies.send_json(send, 200, {"ok": True, "service": "headroom"})
        elif path == "/readyz":
            await replies.send_json(send, 200, {"ready": True})
        else:
            await replies.send_json(send, 200, self._health())

    def _health(self) -> dict[str, object]:
        reloading = self._parts.reloading
        registry, file = reloading.registry, reloading.health()
        backends = self._parts.backends.health(registry)
        is_ok = file["status"] == "ok" and all(
            found["circuit"] == "closed" for found in backends.values()
        )
        return {
            "ok": is_ok,
            "status": "ok" if is_ok else "degraded",
            "service": "headroom broker",
            "version": headroom.__version__,
            "compression": registry.file.compression_enabled,
            "models_file": file,
            "backends": backends,
            "models": len(registry.file.models),
            "keys": len(registry.clients),
            "workers": {"configured": 1, "pid": os.getpid()},
            "uptime_s": round(self._clock() - self._started, 3),
        }

    async def _models(
        self, scope: Scope, send: Send, registry: Registry, client: Client
    ) -> None:
        """The list, or one of it, in the shape of the API that is asked for."""
        is_anthropic = headers.find(scope["headers"], b"anthropic-version") is not None
        names = [
            name for name, model in registry.models.items()
            if client.may_use(name, model)
        ]  # fmt: skip
        named = unquote(scope["path"].removeprefix(_MODELS).strip("/"))
        if not named:
            listed: list[JsonValue] = [_model(name, is_anthropic) for name in names]
            more: dict[str, JsonValue] = {"has_more": False} if is_anthropic else {}
            await replies.send_json(
                send, 200, {"object": "list", "data": listed, **more}
            )
            return
        found = registry.model(named)
        if found is None or not client.may_use(named, found):
            text = f"the model {named!r} does not exist or is not open to you"
            await _refuse(send, 404, text, "model_not_found")
            return
        await replies.send_json(send, 200, _model(named, is_anthropic))


def _model(name: str, is_anthropic: bool) -> dict[str, JsonValue]:
    """One model (https://platform.openai.com/docs/api-reference/models/object)."""
    if is_anthropic:
        created = "1970-01-01T00:00:00Z"
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": created,
        }
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "headroom"}


async def _refuse(send: Send, status: int, message: str, code: str) -> None:
    body = replies.error_body("openai", status, message, code)
    await replies.send_bytes(send, status, body)

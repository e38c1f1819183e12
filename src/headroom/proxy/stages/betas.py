"""The stage that keeps a session's beta words; runs when the session is known.

A session here is one of one model under one key: sessions are told by how they begin,
and what one client may ask for another may not. Words of a request that the provider
refuses are forgotten: clients then leave out the one that was to blame and try again.
"""

import logging
from collections.abc import AsyncIterator

from headroom.core.types import JsonValue
from headroom.proxy.auth import AuthPolicies
from headroom.proxy.betas import HEADERS, SessionBetaTracker, client_value
from headroom.proxy.exchange import Exchange

log = logging.getLogger("headroom.proxy")

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})
_REFUSED = range(400, 500)


class BetaStage:
    """Sends again what a session asked for before; one per server process."""

    name = "betas"

    def __init__(self, policies: AuthPolicies, *, max_sessions: int) -> None:
        self._policies = policies
        self._tracker = SessionBetaTracker(max_sessions)

    async def start(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held."""

    async def on_request(self, exchange: Exchange) -> None:
        """Add the words that the session has used and this request has not."""
        name = HEADERS.get(exchange.route.api)
        if name is None or not exchange.session_id:
            return
        if not self._policies[exchange.auth_mode].keeps_betas:
            return
        given = client_value(exchange.headers, name)
        merged = self._tracker.merged(exchange.route.api, _session(exchange), given)
        if _count(merged) > _count(given):
            exchange.set_headers[name.decode()] = merged
        log.debug(
            "beta_header_merge",
            extra={
                "request_id": exchange.request_id,
                "provider": exchange.route.api,
                "session_id": exchange.session_id,
                "client_betas": _count(given),
                "sticky_betas": _count(merged) - _count(given),
                "headroom_added": 0,
            },
        )

    def on_response(
        self,
        exchange: Exchange,
        chunks: AsyncIterator[bytes],  # noqa: ARG002 - the shape of a stage
    ) -> AsyncIterator[bytes] | None:
        """Responses pass as they are; what was refused is forgotten."""
        if exchange.response_status in _REFUSED and exchange.session_id:
            self._tracker.forget(exchange.route.api, _session(exchange))
        return None

    async def on_end(self, exchange: Exchange) -> None:
        """Nothing is left to do."""

    def health(self) -> dict[str, JsonValue]:
        """How many sessions are remembered."""
        return {"ok": True, "sessions": len(self._tracker)}


def _session(exchange: Exchange) -> str:
    """Whose words these are; of the key only a hash that this process alone knows."""
    keys = tuple(value for name, value in exchange.headers if name in _CREDENTIALS)
    return f"{exchange.session_id} {hash((exchange.model, keys))}"


def _count(words: str) -> int:
    return len({word.strip().casefold() for word in words.split(",") if word.strip()})

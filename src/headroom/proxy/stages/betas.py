"""The stage that keeps a session's beta words; runs when the session is known.

A session here is one of one model under one key: sessions are told by how they begin,
and what one client may ask for another may not. Words of a request that the provider
refuses are forgotten: clients then leave out the one that was to blame and try again.

The handshake of a WebSocket comes before any conversation is known. Its session is the
one that its client names in a header, and has the words of that session's requests and
of its earlier handshakes.
"""

import logging
from collections.abc import AsyncIterator

from headroom.core.types import JsonValue
from headroom.proxy import headers
from headroom.proxy.auth import AuthPolicies
from headroom.proxy.betas import HEADERS, SessionBetaTracker, client_value
from headroom.proxy.exchange import Exchange

log = logging.getLogger("headroom.proxy")

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})
_REFUSED = range(400, 500)
_SESSION_HEADERS = (b"session-id", b"session_id", b"thread-id", b"x-session-id")
"""What clients name their sessions in (codex, pi, opencode)."""

_MAX_NAME_BYTES = 256


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
        if named := _named_session(exchange):
            self._tracker.merged(exchange.route.api, named, given)
        if _count(merged) > _count(given):
            exchange.set_headers[name.decode()] = merged
        self._log(exchange, given, merged)

    def of_handshake(self, exchange: Exchange) -> str:
        """The value that a handshake's beta header is to have.

        Args:
            exchange: the handshake, whose conversation is not known.

        Returns:
            The client's words and those that its session has used; empty if the header
            is to stay as it came.
        """
        name = HEADERS.get(exchange.route.api)
        session = _named_session(exchange)
        if name is None or not session:
            return ""
        if not self._policies[exchange.auth_mode].keeps_betas:
            return ""
        given = client_value(exchange.headers, name)
        merged = self._tracker.merged(exchange.route.api, session, given)
        self._log(exchange, given, merged)
        return merged if _count(merged) > _count(given) else ""

    def refused(self, exchange: Exchange) -> None:
        """A handshake was answered with an error; forget its session's words."""
        session = _named_session(exchange)
        if session and exchange.response_status in _REFUSED:
            self._tracker.forget(exchange.route.api, session)

    def _log(self, exchange: Exchange, given: str, merged: str) -> None:
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
            self.refused(exchange)
        return None

    async def on_end(self, exchange: Exchange) -> None:
        """Nothing is left to do."""

    def health(self) -> dict[str, JsonValue]:
        """How many sessions are remembered."""
        return {"ok": True, "sessions": len(self._tracker)}


def _session(exchange: Exchange) -> str:
    """Whose words these are; of the key only a hash that this process alone knows."""
    return f"{exchange.session_id} {hash((exchange.model, _keys(exchange)))}"


def _named_session(exchange: Exchange) -> str:
    """The session that the client names, under its key; empty if it names none."""
    given = next(
        (v for n in _SESSION_HEADERS for k, v in exchange.headers if k == n), b""
    )
    name = headers.find(exchange.headers, b"x-headroom-session-id") or given
    if not name.strip():
        return ""
    return f"named {hash((name[:_MAX_NAME_BYTES], _keys(exchange)))}"


def _keys(exchange: Exchange) -> tuple[bytes, ...]:
    return tuple(value for name, value in exchange.headers if name in _CREDENTIALS)


def _count(words: str) -> int:
    return len({word.strip().casefold() for word in words.split(",") if word.strip()})

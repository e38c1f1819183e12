"""What arrives from clients becomes exchanges: an id, a route, an auth mode."""

import itertools
import secrets

from headroom.proxy import auth, headers, routes
from headroom.proxy.exchange import Exchange, log
from headroom.proxy.routes import Headers

_CLOUDS = frozenset({"bedrock", "vertex"})
"""Where requests run under an account of a cloud, whatever their headers look like."""


class Arrivals:
    """Makes the exchanges of one server process."""

    def __init__(self) -> None:
        # Unique is enough, and asking the kernel for every id is slow.
        self._id_prefix = secrets.token_hex(8)
        self._ids = itertools.count()
        self._contradicted: set[str] = set()

    def exchange(
        self, method: str, path: bytes, request: Headers, query: bytes = b""
    ) -> Exchange:
        """The exchange of a request.

        Args:
            method: as received.
            path: as received, without the query.
            request: its headers, names in lower case.
            query: as received.
        """
        own = headers.request_id(request)
        route = routes.choose(path, request, query)
        made = Exchange(own or self._next_id(), method, path, request, route)
        found = auth.classify(request)
        made.auth_mode = found.mode
        if route.upstream in _CLOUDS:
            made.auth_mode = "oauth"
            self._tell_contradiction(made, found.mode)
        if found.problem:
            log.warning(
                "auth_mode_classified",
                extra={
                    "request_id": made.request_id,
                    "auth_mode": found.mode,
                    "problem": found.problem,
                },
            )
        return made

    def _tell_contradiction(self, exchange: Exchange, mode: str) -> None:
        """Log, once for each, that the headers of a cloud's request say otherwise."""
        if mode == exchange.auth_mode or mode in self._contradicted:
            return
        self._contradicted.add(mode)
        log.warning(
            "auth_mode_classified",
            extra={
                "request_id": exchange.request_id,
                "auth_mode": exchange.auth_mode,
                "problem": f"the headers say {mode}, and the path a cloud's account",
            },
        )

    def by_path(self, method: str, path: bytes, request: Headers) -> Exchange:
        """The exchange of a request whose credentials say nothing about its way."""
        route = routes.choose(path, [])
        own = headers.request_id(request)
        return Exchange(own or self._next_id(), method, path, request, route)

    def inside(self, method: str, opening: Exchange) -> Exchange:
        """The exchange of a request inside a connection that was opened by another."""
        made = Exchange(
            self._next_id(), method, opening.path, opening.headers, opening.route
        )
        made.auth_mode = opening.auth_mode
        return made

    def _next_id(self) -> str:
        return f"{self._id_prefix}{next(self._ids):016x}"

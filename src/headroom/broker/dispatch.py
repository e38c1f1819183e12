"""Sends one request to the first backend that answers it.

Backends are asked in the order given, past those whose circuit is open; then, after a
short wait, all of them again. What is asked again is only what nobody has begun to
answer: no connection, no head of an answer, or a head that says 429 or 5xx. From the
first byte of an answer on the client has it as it comes.

What always holds: a client is told a provider's own words where any were said; with all
circuits open the request is sent all the same, for it might be served.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime

from msgspec import Struct

from headroom.broker.circuits import Attempt, Circuit
from headroom.broker.models_file import Retries
from headroom.broker.registry import Backend, Registry, Target
from headroom.errors import UpstreamError, UpstreamUnreachableError
from headroom.proxy import headers
from headroom.proxy.metrics import Metrics
from headroom.proxy.routes import Headers
from headroom.proxy.upstream import Body, Upstream, UpstreamResponse
from headroom.proxy.upstream import Target as Place
from headroom.settings import UpstreamSettings

log = logging.getLogger("headroom.broker")

_TOO_MANY = 429
_DRAINED_BYTES = 64 * 1024
_NOBODY = Attempt(-1, is_probe=False)


class Outgoing(Struct, frozen=True):
    """A request as one backend gets it."""

    place: Place
    headers: list[tuple[str, str]]
    body: Body


class Answer(Struct, frozen=True):
    """The head of an answer, and who gave it."""

    response: UpstreamResponse
    target: Target
    attempt: Attempt


class Backends:
    """Connections to all backends, and what is known of their health.

    Args:
        settings: of the HTTP client; timeouts are the backends' own.
        metrics: figures to add to.
        clock: seconds; never goes back.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._pools: dict[tuple[float, float], Upstream] = {}
        self._circuits: dict[str, tuple[Backend, Circuit]] = {}

    async def send(
        self,
        method: str,
        targets: Sequence[Target],
        make: Callable[[Target], Outgoing],
        retries: Retries,
        request_id: str,
    ) -> Answer:
        """Ask until somebody answers.

        Args:
            method: as received.
            targets: in the order to ask them; at least one.
            make: the request as one of them gets it.
            retries: how often all are asked again.
            request_id: for the log.

        Raises:
            UpstreamError: nobody said anything; the last failure.
        """
        last_failure: list[UpstreamError] = []
        for number in range(retries.rounds + 1):
            is_last_round = number == retries.rounds
            asked = self._admitted(targets) or targets[:1]
            wait_s = 0.0
            for place, target in enumerate(asked):
                is_last = place == len(asked) - 1
                try:
                    answer = await self._ask(method, target, make(target))
                except UpstreamError as error:
                    # Without its frames: one of them is this, and what refers to
                    # itself lives long.
                    last_failure[:] = [error.with_traceback(None)]
                    self._tell(target, error.code, request_id)
                    continue
                status = answer.response.status
                if not _may_be_asked_again(status):
                    return answer
                wait_s = _retry_after(answer.response.headers)
                if is_last and (is_last_round or wait_s > retries.max_wait_s):
                    return answer
                self.released(answer)
                await _let_go(answer.response)
                self._tell(target, str(status), request_id)
            if not is_last_round:
                longest = min(retries.max_wait_s, retries.wait_s * 2**number)
                # All who failed together would come back together.
                jitter = random.uniform(0.5, 1.0)  # noqa: S311
                # A backend may have asked for more before another one failed.
                wait_s = min(wait_s, retries.max_wait_s)
                await asyncio.sleep(max(wait_s, longest * jitter))
        raise last_failure.pop() if last_failure else UpstreamUnreachableError("nobody")

    def succeeded(self, answer: Answer) -> None:
        """An answer came to its end."""
        self._circuit(answer.target.backend).succeeded(answer.attempt)

    def failed(self, answer: Answer) -> None:
        """An answer was broken off by its backend."""
        self._failed(answer.target.backend, answer.attempt)

    def released(self, answer: Answer) -> None:
        """An answer was given up; that says nothing about its backend."""
        self._circuit(answer.target.backend).released(answer.attempt)

    def health(self, registry: Registry) -> dict[str, dict[str, object]]:
        """The state of every backend."""
        now = self._clock()
        found: dict[str, dict[str, object]] = {}
        for name, backend in registry.backends.items():
            circuit = self._circuit(backend)
            state = circuit.state(now)
            found[name] = {"circuit": state, "failures": circuit.failures}
        return found

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.close()

    async def _ask(self, method: str, target: Target, made: Outgoing) -> Answer:
        backend = target.backend
        circuit = self._circuit(backend)
        attempt = circuit.begin()
        pool = self._pool(backend)
        try:
            response = await pool.send(method, made.place, made.headers, made.body)
        except UpstreamError:
            if isinstance(made.body, bytes | None):
                self._failed(backend, attempt)
            else:
                # It may be the client whose body broke off, or was too long.
                circuit.released(attempt)
            self._metrics.count("headroom_broker_attempts", backend.name, "no_answer")
            raise
        except asyncio.CancelledError:
            circuit.released(attempt)
            raise
        status = response.status
        self._metrics.count("headroom_broker_attempts", backend.name, str(status))
        if status >= 500:
            self._failed(backend, attempt)
            attempt = _NOBODY
        elif attempt.is_probe and status != _TOO_MANY:
            # Others need not wait for the end of a long answer.
            circuit.succeeded(attempt)
        return Answer(response, target, attempt)

    def _admitted(self, targets: Sequence[Target]) -> list[Target]:
        now = self._clock()
        return [t for t in targets if self._circuit(t.backend).admits(now)]

    def _failed(self, backend: Backend, attempt: Attempt) -> None:
        circuit = self._circuit(backend)
        chance = random.random()  # noqa: S311 - nothing secret hangs on it
        if circuit.failed(attempt, self._clock(), chance):
            log.warning("circuit_opened", extra={"backend": backend.name})

    def _circuit(self, backend: Backend) -> Circuit:
        """A backend's circuit; another one where the file says something else of it."""
        known = self._circuits.get(backend.name)
        if known is None or (known[0] is not backend and known[0] != backend):
            made = Circuit(backend.open_after, backend.open_s)
            self._circuits[backend.name] = known = (backend, made)
        return known[1]

    def _pool(self, backend: Backend) -> Upstream:
        timeouts = backend.connect_timeout_s, backend.timeout_s
        pool = self._pools.get(timeouts)
        if pool is None:
            connect_s, idle_s = timeouts
            settings = UpstreamSettings(
                connect_timeout_s=connect_s,
                idle_timeout_s=idle_s,
                keep_alive_s=self._settings.keep_alive_s,
            )
            self._pools[timeouts] = pool = Upstream(settings)
        return pool

    def _tell(self, target: Target, why: str, request_id: str) -> None:
        self._metrics.count("headroom_broker_passed_over", target.backend.name)
        extra = {"request_id": request_id, "backend": target.backend.name, "why": why}
        log.warning("backend_passed_over", extra=extra)


def _may_be_asked_again(status: int) -> bool:
    return status == _TOO_MANY or status >= 500


async def _let_go(response: UpstreamResponse) -> None:
    """Read a short answer to its end, so that its connection can be used again."""
    size = 0
    try:
        while size < _DRAINED_BYTES and not response.is_complete:
            size += len(await response.read_some())
    except UpstreamError:
        pass
    finally:
        response.close()


def _retry_after(found: Headers) -> float:
    """The seconds that a provider asks for (RFC 9110, section 10.2.3)."""
    lowered = [(name.lower(), value) for name, value in found]
    value = (headers.find(lowered, b"retry-after") or b"").decode("latin-1").strip()
    try:
        if value.replace(".", "", 1).isdigit() and value.isascii():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0

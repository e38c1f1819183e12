"""One file per step of an exchange, in the order of ``STAGES``.

Stages are composed, never inherited. Each sees the request before it leaves, the
response while it passes, and the end; the app makes them once and runs them in the same
order for all three. A stage that fails changes nothing: the request leaves as the
client sent it.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from headroom.core.types import JsonValue

if TYPE_CHECKING:
    from headroom.proxy.exchange import Exchange

STAGES: tuple[str, ...] = ("compress", "betas", "watch", "retrieve")
"""The order of the stages: what edits the body runs before what only watches; the beta
words of a session are known when its conversation is."""


class Stage(Protocol):
    """One step."""

    @property
    def name(self) -> str:
        """The step's name, in logs, metrics and ``/health``."""
        ...

    async def start(self) -> None:
        """Acquire what the stage works with; runs once, inside the server's loop."""
        ...

    async def close(self) -> None:
        """Release it; no exchange is running any more."""
        ...

    async def on_request(self, exchange: "Exchange") -> None:
        """Look at a request whose body was read, and change it by ``replace_body``.

        May be cancelled at any ``await`` when the client leaves.
        """
        ...

    def on_response(
        self, exchange: "Exchange", chunks: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes] | None:
        """What the client gets instead of ``chunks``; ``None``: exactly these.

        Called when the head of the response has arrived and before it is passed on.
        """
        ...

    async def on_end(self, exchange: "Exchange") -> None:
        """The client has its whole response, and the provider's usage is known."""
        ...

    def health(self) -> dict[str, JsonValue]:
        """The stage's part of ``/health``; ``status`` is ``ok`` or ``degraded``."""
        ...

"""Access tokens for Vertex AI: Google's application default credentials, cached.

Credentials come from google-auth's chain (a file named by the environment, the user's
own login, a workload's metadata server). Fetching blocks, so that it runs in a thread
of its own; one fetch serves all who wait. A token is fetched anew 60 seconds before it
expires. Needs the extra ``vertex``
(https://docs.cloud.google.com/docs/authentication/application-default-credentials).

What always holds: without a token nothing is sent; no part of one is logged.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from msgspec import Struct

from headroom.errors import VertexTokenError

REFRESH_BEFORE_S = 60.0
_UNKNOWN_LIFE_S = 300.0
"""How long a token is used that does not say when it expires."""


class Token(Struct, frozen=True):
    """One access token.

    Attributes:
        expires_at_s: seconds since the epoch.
        quota_project: whom use is charged to, if not the project in the path.
    """

    value: str
    expires_at_s: float
    quota_project: str = ""


TokenSource: TypeAlias = Callable[[], Token]
"""Fetches a token; may block. Raises ``VertexTokenError``."""


class TokenCache:
    """Hands out tokens; one per server process.

    Args:
        fetch: where they come from.
        clock: seconds since the epoch.
    """

    def __init__(
        self, fetch: TokenSource, clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: Token | None = None
        self._lock = asyncio.Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="headroom-token")

    async def token(self) -> Token:
        """A token that is good for another minute.

        Raises:
            VertexTokenError: none could be had.
        """
        if (token := self._good()) is not None:
            return token
        async with self._lock:
            if (token := self._good()) is not None:
                return token
            loop = asyncio.get_running_loop()
            token = await loop.run_in_executor(self._threads, self._fetch)
            if not token.value:
                raise VertexTokenError("Google gave an empty access token")
            self._token = token
            return token

    def close(self) -> None:
        """Let go of the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _good(self) -> Token | None:
        token = self._token
        if token is None or token.expires_at_s - REFRESH_BEFORE_S <= self._clock():
            return None
        return token


class DefaultCredentials:
    """The ``TokenSource`` of application default credentials.

    Args:
        scope: what the tokens are good for.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._credentials: Any = None  # google-auth has no types

    def __call__(self) -> Token:
        """Fetch a token.

        Raises:
            VertexTokenError: there are no credentials, or Google refused them.
        """
        try:
            import google.auth  # noqa: PLC0415 - an extra, imported where it is wrapped
            import google.auth.exceptions  # noqa: PLC0415
            import google.auth.transport.requests  # noqa: PLC0415
        except ImportError as error:
            raise VertexTokenError(
                "tokens for Vertex come from google-auth: install headroom[vertex]"
            ) from error
        try:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[self._scope])
            credentials = self._credentials
            credentials.refresh(google.auth.transport.requests.Request())
        except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
            raise VertexTokenError(
                f"Google gave no access token: {type(error).__name__}"
            ) from error
        expiry = credentials.expiry
        if expiry is None:
            expires_at_s = time.time() + _UNKNOWN_LIFE_S
        else:
            expires_at_s = expiry.replace(tzinfo=dt.UTC).timestamp()
        quota = getattr(credentials, "quota_project_id", None) or ""
        return Token(credentials.token or "", expires_at_s, quota)

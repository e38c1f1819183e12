"""Signs requests for Bedrock: signature version 4, over the bytes that leave.

Credentials come from botocore's chain (environment, profile, container, instance, SSO),
which also refreshes them. Asking it blocks, so that this is done in a thread of its
own, at first and when they are about to expire; else a request is signed where it is,
since handing it over takes longer than signing it. Needs the extra ``bedrock``
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

What always holds: what cannot be signed is not sent. The client's own signature covers
other bytes and another host, and is left out; its API key for Bedrock (a bearer token)
is no signature, and stays. Nothing of a credential is logged: botocore's own debug
records, which would hold session tokens, are switched off.
"""

import asyncio
import datetime as dt
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headroom.errors import BedrockSigningError
from headroom.settings import CloudSettings

SERVICE = "bedrock"
_SIGNATURE = frozenset(
    {
        "authorization",
        "date",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
    }
)
"""What a client's signature consists of, and where ours is written."""

_SIGNED_PREFIX = "x-amz-"

_INLINE_BYTES = 2 * 1024 * 1024
"""Bodies up to this are digested where they are: half a millisecond per MB with the
processor's own instructions. Longer ones must not hold up other requests."""


class AwsSigner:
    """Signs for one region under one profile; one per server process."""

    def __init__(self, settings: CloudSettings) -> None:
        self._region = settings.bedrock_region
        self._profile = settings.aws_profile
        self._credentials: Any = None  # botocore has no types
        self._signer: Any = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="headroom-sign")

    async def signed(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes
    ) -> list[tuple[str, str]]:
        """The headers to send, signature included.

        Args:
            method: as it is sent.
            url: the whole URL as it is sent.
            headers: names in lower case; a signature among them is left out.
            body: as it is sent.

        Raises:
            BedrockSigningError: there are no credentials, or they cannot be had.
        """
        signer = self._known() or await self._in_thread(self._resolved)
        digest = (
            _digest(body)
            if len(body) <= _INLINE_BYTES
            else await self._in_thread(_digest, body)
        )
        kept: list[tuple[str, str]] = []
        signed: dict[str, str] = {}
        for pair in headers:
            name, value = pair
            if name in _SIGNATURE:
                continue
            kept.append(pair)
            if name.startswith(_SIGNED_PREFIX):
                signed[name] = f"{signed[name]},{value}" if name in signed else value
        try:
            now = dt.datetime.now(dt.UTC)
            added = signer.added(method, url, signed, digest, now)
        except ValueError as error:
            raise BedrockSigningError("the request cannot be signed") from error
        kept += added.items()
        return kept

    def close(self) -> None:
        """Let go of the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    def _known(self) -> Any:
        """A signer for the credentials of this moment; ``None``: they must be had."""
        credentials = self._credentials
        if credentials is None or _may_block(credentials):
            return None
        return self._signer_for(credentials.get_frozen_credentials())

    def _resolved(self) -> Any:
        """The same, out of botocore's chain, which refreshes what expires; blocks.

        Raises:
            BedrockSigningError: there are none, or they cannot be had.
        """
        try:
            import botocore.exceptions  # noqa: PLC0415 - an extra
            import botocore.session  # noqa: PLC0415
        except ImportError as error:
            raise BedrockSigningError(
                "requests for Bedrock are signed by botocore: install headroom[bedrock]"
            ) from error
        try:
            if self._credentials is None:
                logging.getLogger("botocore").setLevel(logging.WARNING)
                session = botocore.session.Session(profile=self._profile or None)
                self._credentials = session.get_credentials()
            if self._credentials is None:
                raise botocore.exceptions.NoCredentialsError
            return self._signer_for(self._credentials.get_frozen_credentials())
        except (botocore.exceptions.BotoCoreError, OSError, ValueError) as error:
            raise BedrockSigningError(
                f"no AWS credentials could be had: {type(error).__name__}"
            ) from error

    def _signer_for(self, frozen: Any) -> Any:
        """The signer for credentials: the one before as long as they stay."""
        signer = self._signer
        if signer is None or signer.credentials != frozen:
            from headroom.proxy.sigv4 import Signer  # noqa: PLC0415 - needs the extra

            self._signer = signer = Signer(frozen, SERVICE, self._region)
        return signer


def _may_block(credentials: Any) -> bool:
    """Whether botocore would fetch credentials anew: some expire."""
    is_due = getattr(credentials, "refresh_needed", None)
    return is_due is not None and bool(is_due())


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()

"""Signs requests for Bedrock: signature version 4, over the bytes that leave.

Credentials come from botocore's chain (environment, profile, container, instance, SSO),
which also refreshes them; it blocks, so that all of this runs in a thread of its own.
Needs the extra ``bedrock``
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

What always holds: what cannot be signed is not sent. The client's own signature covers
other bytes and another host, and is left out; its API key for Bedrock (a bearer token)
is no signature, and stays. Nothing of a credential is logged: botocore's own debug
records, which would hold session tokens, are switched off.
"""

import asyncio
import hashlib
import logging
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


class AwsSigner:
    """Signs for one region under one profile; one per server process."""

    def __init__(self, settings: CloudSettings) -> None:
        self._region = settings.bedrock_region
        self._profile = settings.aws_profile
        self._credentials: Any = None  # botocore has no types
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
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._signed, method, url, headers, body
        )

    def close(self) -> None:
        """Let go of the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _signed(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes
    ) -> list[tuple[str, str]]:
        try:
            import botocore.auth  # noqa: PLC0415 - an extra, imported where it is wrapped
            import botocore.awsrequest  # noqa: PLC0415
            import botocore.exceptions  # noqa: PLC0415
        except ImportError as error:
            raise BedrockSigningError(
                "requests for Bedrock are signed by botocore: install headroom[bedrock]"
            ) from error
        kept = [pair for pair in headers if pair[0] not in _SIGNATURE]
        signed = {
            name: ",".join(value for key, value in kept if key == name)
            for name, _ in kept
            if name.startswith(_SIGNED_PREFIX)
        }
        signed["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
        request = botocore.awsrequest.AWSRequest(
            method=method, url=url, headers=signed, data=body
        )
        try:
            frozen = self._frozen()
            botocore.auth.SigV4Auth(frozen, SERVICE, self._region).add_auth(request)
        except (botocore.exceptions.BotoCoreError, OSError, ValueError) as error:
            raise BedrockSigningError(
                f"no AWS credentials could be had: {type(error).__name__}"
            ) from error
        added = {name.lower(): value for name, value in request.headers.items()}
        return kept + [(name, added[name]) for name in _SIGNATURE if name in added]

    def _frozen(self) -> Any:
        """The credentials of this moment; refreshed by botocore where they expire."""
        import botocore.exceptions  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415

        if self._credentials is None:
            logging.getLogger("botocore").setLevel(logging.WARNING)
            session = botocore.session.Session(profile=self._profile or None)
            self._credentials = session.get_credentials()
        if self._credentials is None:
            raise botocore.exceptions.NoCredentialsError
        return self._credentials.get_frozen_credentials()

"""Signature version 4: what of it is new with every request, and what is kept.

A method and a URL are written in their canonical form once, by botocore; the key of a
day, four digests away from the secret, is kept until the day or the credentials change.
What remains for a request are its headers and two short digests. Imports botocore: for
``aws_signing`` only
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

import datetime as dt
import hashlib
import hmac
from functools import lru_cache
from urllib.parse import urlsplit

import botocore.auth
from botocore.credentials import ReadOnlyCredentials
from msgspec import Struct
from yarl import URL

_ALGORITHM = "AWS4-HMAC-SHA256"
_STAMP_CHARS = len("20260101T000000")
_DAY_CHARS = len("20260101")
_MAX_PLACES = 256
"""URLs whose canonical form is kept: there is one per model and operation."""


class _Place(Struct, frozen=True):
    """Where requests go.

    Attributes:
        host: the header's value.
        head: the first lines of the canonical request, up to the headers.
    """

    host: str
    head: str


class Signer:
    """Signs for one service in one region with credentials that do not change."""

    def __init__(
        self, credentials: ReadOnlyCredentials, service: str, region: str
    ) -> None:
        self.credentials = credentials
        self._service = service
        self._region = region
        self._day = ""
        self._scope = ""
        self._keyed = hmac.new(b"", digestmod="sha256")

    def added(
        self,
        method: str,
        url: str,
        signed: dict[str, str],
        body_digest: str,
        now: dt.datetime,
    ) -> dict[str, str]:
        """The headers that make a request a signed one, names in lower case.

        Args:
            method: as it is sent.
            url: the whole URL as it is sent.
            signed: further headers to sign, names in lower case.
            body_digest: SHA-256 of the body, in hex.
            now: the time, in UTC.

        Raises:
            ValueError: that is no URL.
        """
        stamp = _stamp(now)
        if stamp[:_DAY_CHARS] != self._day:
            self._begin_day(stamp[:_DAY_CHARS])
        made = {"x-amz-content-sha256": body_digest, "x-amz-date": stamp}
        if self.credentials.token:
            made["x-amz-security-token"] = self.credentials.token
        place = _place(method, url)
        found = sorted({"host": place.host, **signed, **made}.items())
        names = ";".join([name for name, _ in found])
        lines = "".join(
            [f"{name}:{' '.join(value.split())}\n" for name, value in found]
        )
        canonical = f"{place.head}{lines}\n{names}\n{body_digest}"
        made["authorization"] = (
            f"{_ALGORITHM} Credential={self.credentials.access_key}/{self._scope}, "
            f"SignedHeaders={names}, Signature={self._signature(stamp, canonical)}"
        )
        return made

    def _signature(self, stamp: str, canonical: str) -> str:
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        keyed = self._keyed.copy()
        keyed.update(f"{_ALGORITHM}\n{stamp}\n{self._scope}\n{digest}".encode())
        return keyed.hexdigest()

    def _begin_day(self, day: str) -> None:
        """Make the key of a day."""
        key = f"AWS4{self.credentials.secret_key}".encode()
        parts = (day, self._region, self._service, "aws4_request")
        for part in parts:
            key = hmac.digest(key, part.encode(), "sha256")
        self._day, self._scope = day, "/".join(parts)
        self._keyed = hmac.new(key, digestmod="sha256")


def _stamp(now: dt.datetime) -> str:
    """The time as AWS writes it: ``20260101T000000Z``."""
    found = now.isoformat("T", "seconds").replace("-", "").replace(":", "")
    return f"{found[:_STAMP_CHARS]}Z"


@lru_cache(_MAX_PLACES)
def _place(method: str, url: str) -> _Place:
    """Where requests of a method to a URL go; its canonical form is botocore's.

    Raises:
        ValueError: that is no URL.
    """
    host = URL(url, encoded=True).host_port_subcomponent or ""
    signer = botocore.auth.SigV4Auth(None, "", "")
    parts = urlsplit(url)
    path = signer._normalize_url_path(parts.path)
    query = signer._canonical_query_string_url(parts)
    return _Place(host, f"{method.upper()}\n{path}\n{query}\n")

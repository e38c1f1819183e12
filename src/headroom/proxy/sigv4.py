"""Signature version 4 by botocore, without what it does anew for every request.

Botocore's signer writes the canonical request and what is signed; it gets a request of
the few members it looks at, and the key of a day, which is four digests away from the
secret, is kept until the day or the credentials change. Imports botocore: for
``aws_signing`` only
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

import datetime as dt
import hmac
from functools import lru_cache
from typing import Any

import botocore.auth
from botocore.credentials import ReadOnlyCredentials
from yarl import URL

_STAMP = "%Y%m%dT%H%M%SZ"
_DAY_CHARS = 8
_MAX_PATHS = 256
"""Paths whose canonical form is kept: there is one per model and operation."""


class SignedRequest:
    """What botocore's signer looks at in a request.

    Attributes:
        method, url: as they are sent.
        headers: those that are signed, names in lower case; the digest of the body
            under the name by which botocore looks for it, too.
        params: none; the query stands in the URL.
        context: when it is signed.
    """

    __slots__ = ("context", "headers", "method", "params", "url")

    def __init__(self, method: str, url: str, headers: "SignedHeaders") -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.params: dict[str, str] = {}
        self.context = {"timestamp": headers["x-amz-date"]}


class SignedHeaders(dict[str, str]):
    """Headers of one value each, found whatever the case of their names."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get_all(self, name: str) -> list[str]:
        """All values of a header, as botocore asks for them."""
        return [self[name]]


class Signer(botocore.auth.SigV4Auth):
    """Signs for one service in one region with credentials that do not change."""

    def __init__(
        self, credentials: ReadOnlyCredentials, service: str, region: str
    ) -> None:
        super().__init__(credentials, service, region)
        self._day = ""
        self._day_key = b""

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
        """
        made = {
            "x-amz-content-sha256": body_digest,
            "x-amz-date": now.strftime(_STAMP),
        }
        if self.credentials.token:
            made["x-amz-security-token"] = self.credentials.token
        host = URL(url, encoded=True).host_port_subcomponent or ""
        headers = SignedHeaders({**signed, **made, "host": host})
        request = SignedRequest(method, url, headers)
        to_sign = self.string_to_sign(request, self.canonical_request(request))
        made["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.scope(request)}, "
            f"SignedHeaders={self.signed_headers(headers)}, "
            f"Signature={self.signature(to_sign, request)}"
        )
        return made

    def headers_to_sign(self, request: SignedRequest) -> SignedHeaders:
        """All that the request has."""
        return request.headers

    def signature(self, string_to_sign: str, request: SignedRequest) -> str:
        """The signature, by the key of the day."""
        day = request.context["timestamp"][:_DAY_CHARS]
        if day != self._day:
            key = f"AWS4{self.credentials.secret_key}".encode()
            for part in (day, self._region_name, self._service_name, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day_key, self._day = key, day
        return hmac.digest(self._day_key, string_to_sign.encode(), "sha256").hex()

    def _normalize_url_path(self, path: str) -> Any:
        return _normalized(path)


@lru_cache(_MAX_PATHS)
def _normalized(path: str) -> Any:
    """A path in its canonical form, as botocore writes it."""
    return botocore.auth.SigV4Auth(None, "", "")._normalize_url_path(path)

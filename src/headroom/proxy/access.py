"""Who may talk to Headroom, and where it may be told to send requests.

Headroom's own endpoints answer only under names that cannot be rebound by a web page's
DNS: IP literals, ``localhost`` and the names the operator lists; a request that carries
an ``Origin`` must come from the very address it is sent to. Nothing sends CORS headers.
"""

import hmac
import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from headroom.errors import ConfigError, RequestError
from headroom.proxy import headers
from headroom.proxy.routes import Headers
from headroom.settings import Settings, is_loopback

_MAX_NAMES = 64
"""Names in ``Host`` headers about which is remembered whether they are ours."""


def check_listen(settings: Settings) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        ConfigError: names the setting and what to do.
    """
    host = settings.proxy.host
    if not is_loopback(host) and not settings.proxy.token:
        raise ConfigError(
            f"HEADROOM_PROXY_HOST: {host!r} can be reached from other machines; set "
            "HEADROOM_PROXY_TOKEN, or listen on 127.0.0.1"
        )


def has_token(request: Headers, token: str, *, allows_bearer: bool = False) -> bool:
    """Whether a request brings the proxy's token; compared in constant time."""
    given = headers.find(request, b"x-headroom-token")
    if given is None and allows_bearer:
        value = headers.find(request, b"authorization") or b""
        scheme, _, rest = value.partition(b" ")
        given = rest.strip() if scheme.lower() == b"bearer" else None
    return given is not None and hmac.compare_digest(given, token.encode())


def is_own_host(request: Headers, settings: Settings) -> bool:
    """Whether ``Host`` and ``Origin`` are those of Headroom itself."""
    host = (headers.find(request, b"host") or b"").decode("latin-1")
    proxy = settings.proxy
    if not _is_safe_name(_name(host), proxy.host, proxy.allowed_hosts):
        return False
    origin = headers.find(request, b"origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() == host.lower()
    except ValueError:
        return False


def checked_base_url(given: bytes, allowlist: Sequence[str]) -> str:
    """The base URL that a client asked for.

    Raises:
        RequestError: it is no plain URL, or its host is not on the list.
    """
    text = given.decode("latin-1").strip().rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise RequestError("x-headroom-base-url is not a URL") from None
    host = parts.hostname or ""
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise RequestError("x-headroom-base-url is not a plain http or https URL")
    names = {name.lower() for name in allowlist}
    if host not in names and f"{host}:{port}" not in names:
        raise RequestError("x-headroom-base-url names a host that is not allowed")
    return text


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


@lru_cache(_MAX_NAMES)
def _is_safe_name(name: str, own: str, listed: tuple[str, ...]) -> bool:
    """Whether no web page's DNS can make a name mean this machine."""
    allowed = {own.lower(), *map(str.lower, listed)}
    if name == "localhost" or (name and name in allowed):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

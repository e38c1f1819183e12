"""The operator's accounts at Amazon and Google: where their models are, who signs.

A request for Bedrock is signed, and one for Vertex gets an access token, unless its
client brings a credential that is good there. Since the proxy spends its operator's
money here, web pages must not be able to ask for it: without the proxy's token such
requests are answered only under names that cannot be rebound (see ``access``).

What always holds: hosts are built from validated names of regions and locations; what
is meant for a cloud and cannot be authorised is not sent; our credentials never go to a
host that a client chose.
"""

import time
from collections.abc import Callable

from headroom.errors import RequestError
from headroom.proxy import headers as found_headers
from headroom.proxy.aws_signing import AwsSigner
from headroom.proxy.google_tokens import DefaultCredentials, TokenCache, TokenSource
from headroom.proxy.routes import Headers, Route
from headroom.proxy.upstream import Target
from headroom.settings import CloudSettings

Pairs = list[tuple[str, str]]

_SCOPES = "https://www.googleapis.com/auth/"
"""What scopes of Google's begin with; people leave it out."""

_KEYS = (b"sk-",)
"""How keys of Anthropic's and OpenAI's own APIs begin; no cloud takes them, and none
gets to see them."""


class Clouds:
    """Authorises requests; one per server process, made inside its loop."""

    def __init__(
        self,
        settings: CloudSettings,
        *,
        token_source: TokenSource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._serves_bedrock = settings.bedrock_native
        self._signer = AwsSigner(settings)
        scope = settings.vertex_adc_scope
        if "://" not in scope:
            scope = f"{_SCOPES}{scope}"
        source = token_source or DefaultCredentials(scope)
        self._tokens = TokenCache(source, clock)

    def refusal(self, route: Route) -> str:
        """Why nothing is served under a route; empty: it is."""
        if route.upstream == "bedrock" and not self._serves_bedrock:
            return "Bedrock is switched off in this proxy"
        return route.refusal

    async def authorised(
        self, route: Route, method: str, target: Target, pairs: Pairs, body: bytes
    ) -> Pairs:
        """The headers that a request for a cloud is sent with.

        Args:
            route: one that ``needs_credentials``.
            method: as it is sent.
            target: where to.
            pairs: its headers, names in lower case.
            body: as it is sent; used for Bedrock only.

        Raises:
            RequestError: the client chose the host.
            BedrockSigningError, VertexTokenError: there are no credentials.
        """
        if target.is_chosen:
            raise RequestError("x-headroom-base-url needs the client's own credentials")
        if route.upstream == "bedrock":
            url = str(target.url())
            return await self._signer.signed(method, url, pairs, body)
        token = await self._tokens.token()
        sent = [pair for pair in pairs if pair[0] != "authorization"]
        sent.append(("authorization", f"Bearer {token.value}"))
        has_quota = any(name == "x-goog-user-project" for name, _ in pairs)
        if token.quota_project and not has_quota:
            sent.append(("x-goog-user-project", token.quota_project))
        return sent

    def close(self) -> None:
        """Let go of what fetches and signs."""
        self._signer.close()
        self._tokens.close()


_BY_ONESELF = {
    "bedrock": "only operations of Bedrock's runtime API are signed here:"
    " bring an API key for Bedrock of your own for this",
    "vertex": "only calls of models are made under the operator's account:"
    " bring credentials of your own for this",
}


def own_credentials(route: Route, method: str) -> str:
    """Why the operator's account does not serve a request; empty: it does."""
    return "" if method in route.operator_methods else _BY_ONESELF[route.upstream]


def needs_credentials(route: Route, request: Headers, query: bytes) -> bool:
    """Whether the operator's credentials are added to a request.

    Args:
        route: where it goes.
        request: its headers, names in lower case.
        query: as received: Google's API keys may stand in it.
    """
    if route.upstream == "bedrock":
        return not _has_bearer(request)
    if route.upstream != "vertex":
        return False
    has_key = found_headers.find(request, b"x-goog-api-key") is not None
    in_query = any(part.startswith(b"key=") for part in query.split(b"&"))
    return not (_has_bearer(request) or has_key or in_query)


def _has_bearer(request: Headers) -> bool:
    value = found_headers.find(request, b"authorization") or b""
    scheme, _, token = value.strip().partition(b" ")
    token = token.strip()
    return scheme.lower() == b"bearer" and token != b"" and not token.startswith(_KEYS)

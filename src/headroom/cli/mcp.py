"""``headroom mcp``: the MCP server, over standard input and output or over HTTP."""

import asyncio
import socket
from typing import Any

import click
import uvicorn

from headroom import settings
from headroom.cli.store import opened_store
from headroom.errors import ConfigError
from headroom.integrations.mcp import PATH, App, HeadroomServer
from headroom.proxy import access, replies
from headroom.settings import Settings, is_loopback

_BACKLOG = 128


@click.command("mcp")
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Serve streamable HTTP there (port 0: a free one) instead of standard input "
    "and output. Beyond this machine only with HEADROOM_PROXY_TOKEN.",
)
def command(http: str | None) -> None:
    """Serve headroom_retrieve, headroom_compress and headroom_stats to MCP clients.

    Originals are those of the settings' store, which the proxy uses as well. Over HTTP
    the rules of the proxy's own endpoints hold: known hosts and origins only, and with
    a token set only with it (x-headroom-token, or as a bearer token).
    """
    loaded = settings.load().settings
    listener = None if http is None else _listen(http, loaded)
    with opened_store(loaded) as store:
        server = HeadroomServer(store)
        if listener is None:
            asyncio.run(server.run_stdio())
        else:
            _serve(guarded(server.http_app(), loaded), listener)


def guarded(app: App, loaded: Settings) -> App:
    """The application for those who may call Headroom's own endpoints.

    Args:
        app: whom it lets through to.
        loaded: their token and host names.
    """
    token = loaded.proxy.token

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if not access.is_own_host(scope["headers"], loaded):
                message = "this host or origin may not call Headroom"
                await replies.send_json(send, 403, {"error": {"message": message}})
                return
            if token and not access.has_token(
                scope["headers"], token, allows_bearer=True
            ):
                message = "the token is missing or wrong"
                await replies.send_json(send, 401, {"error": {"message": message}})
                return
        await app(scope, receive, send)

    return guard


def _listen(address: str, loaded: Settings) -> socket.socket:
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--http: expected HOST:PORT, found {address!r}")
    if not is_loopback(host) and not loaded.proxy.token:
        raise ConfigError(
            f"--http: {host!r} can be reached from other machines; set "
            "HEADROOM_PROXY_TOKEN, or listen on 127.0.0.1"
        )
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        return socket.create_server(where[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--http: cannot listen on {address}: {reason}") from error


def _serve(app: App, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    # Connections wait in the backlog until the server takes them.
    click.echo(f"headroom mcp listening on http://{name}:{port}{PATH}")
    config = uvicorn.Config(
        app, log_level="warning", lifespan="on", server_header=False
    )
    with listener:
        uvicorn.Server(config).run([listener])

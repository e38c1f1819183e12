"""``headroom proxy``: the server."""

import sys
from typing import Any

import click

from headroom import settings
from headroom.cli.options import given_flags, settings_options


@click.command("proxy")
@settings_options
def command(**arguments: Any) -> None:
    """Serve agents on this machine: point their base URL here.

    Anthropic: ANTHROPIC_BASE_URL=http://127.0.0.1:8787. Everything the agent sends is
    forwarded to the provider; tool outputs are compressed when they are first seen.
    """
    flags = given_flags(arguments)
    loaded = settings.load(flags)
    from headroom.proxy.server import serve

    sys.exit(serve(loaded.settings, _announce, flags))


def _announce(url: str) -> None:
    click.echo(f"headroom proxy listening on {url}")

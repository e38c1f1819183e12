"""``headroom broker``: one address for many backends."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from headroom import settings
from headroom.cli.options import given_flags, options_for


@click.command("broker")
@click.option(
    "--models",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of models: YAML, JSON or TOML; read again when it changes.",
)
@click.option(
    "--compression", is_flag=True, help="Compress, whatever the file of models says."
)
@click.option(
    "--fake",
    is_flag=True,
    help="A built-in provider answers instead of all backends; no key is needed, and "
    "without --models it serves a model called fake.",
)
@options_for(
    "data_dir",
    "log.",
    "models_file",
    "proxy.allowed_hosts",
    "proxy.graceful_shutdown_s",
    "proxy.host",
    "proxy.keep_alive_s",
    "proxy.max_body_bytes",
    "proxy.port",
    "proxy.token",
    "store.",
)
def command(
    models: Path | None, *, compression: bool, fake: bool, **arguments: Any
) -> None:
    """Serve OpenAI's, Anthropic's and Gemini's paths for the models of a file.

    Point a client's base URL here: http://127.0.0.1:8787/v1 for OpenAI's.
    """
    if models is None and not fake:
        raise click.UsageError("--models FILE is missing (or try --fake)")
    loaded = settings.load(given_flags(arguments)).settings
    from headroom.broker.app import make_loader
    from headroom.broker.fake import fake_provider
    from headroom.broker.server import serve

    with contextlib.ExitStack() as stack:
        fake_url = stack.enter_context(fake_provider()) if fake else ""
        load = make_loader(
            models,
            loaded,
            settings.environment(),
            compression=compression,
            fake_url=fake_url,
        )
        status = serve(loaded, load, models, _announce)
    sys.exit(status)


def _announce(url: str) -> None:
    click.echo(f"headroom broker listening on {url}")

"""``headroom config``: what is set, to what, and by whom."""

import sys

import click
import msgspec

from headroom import settings


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Print every setting with its value and where it comes from.

    Secrets are masked. Settings come from flags, the environment, the file named by
    HEADROOM_CONFIG (else headroom.toml in the user's configuration directory), and
    defaults, in this order.
    """
    loaded = settings.load()
    rows = [
        (
            setting.path,
            setting.shown(loaded.value(setting)),
            loaded.sources[setting.path],
            setting.env[0],
        )
        for setting in settings.SETTINGS.values()
    ]
    if as_json:
        report = {
            path: {"value": value, "source": source, "env": env}
            for path, value, source, env in rows
        }
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        return
    width = max(len(path) for path, *_ in rows)
    for path, value, source, _ in rows:
        click.echo(f"{path:{width}}  {value or '-'}  ({source})")

"""``headroom learn``: what the proxy has observed, and recommendations made of it."""

import sqlite3
from pathlib import Path

import click

from headroom import settings
from headroom.learning import Observations, publish, to_toml
from headroom.learning.observations import Key, Totals
from headroom.learning.publish import MIN_OBSERVATIONS


@click.group("learn")
def command() -> None:
    """What compression came to, by structure of results, and what to make of it."""


@command.command("publish")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("recommendations.toml"),
    show_default=True,
)
@click.option(
    "--min-observations",
    type=click.IntRange(1),
    default=MIN_OBSERVATIONS,
    show_default=True,
    help="Structures seen less often are left out.",
)
@click.option("--verbose", is_flag=True, help="Print every row.")
def publish_command(output: Path, min_observations: int, *, verbose: bool) -> None:
    """Write recommendations for the next start of the proxy.

    Read the file before you use it: it is named by HEADROOM_RECOMMENDATIONS_PATH, and
    holds for tool results that are first seen afterwards.
    """
    rows = publish(_observed(), min_observations)
    try:
        output.write_text(to_toml(rows), "utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error}") from error
    if verbose:
        for row in rows:
            click.echo(
                f"{row.auth_mode} {row.model_family} {row.structure_hash} "
                f"{row.strategy_hint} {row.confidence:.3f} {row.observations}"
            )
    click.echo(f"{len(rows)} recommendations in {output}")


@command.command("show")
def show_command() -> None:
    """Print what was observed."""
    for key, outcomes in _observed():
        click.echo(f"{key.auth_mode} {key.model_family} {key.structure_hash}")
        for totals in outcomes:
            click.echo(
                f"  {totals.outcome:16} {totals.seen:7,} seen  "
                f"{totals.saved_tokens:10,} tokens saved  "
                f"{totals.retrievals:5,} asked back "
                f"({totals.retrieved_tokens:,} tokens)"
            )


def _observed() -> list[tuple[Key, list[Totals]]]:
    directory = Path(settings.load().settings.data_dir)
    try:
        return list(Observations(directory).rows())
    except sqlite3.Error as error:
        raise click.ClickException(f"cannot read what was observed: {error}") from error

"""``headroom retrieve HASH``: an original, or a part of it, to standard output."""

import sys

import click

from headroom import settings
from headroom.ccr.retrieve import retrieve
from headroom.cli.store import opened_store

_UNLIMITED = sys.maxsize


@click.command("retrieve")
@click.argument("hash", metavar="HASH")
@click.option("--lines", metavar="A-B", help="These lines only, counted from 1.")
@click.option("--rows", metavar="A-B", help="These rows of a JSON array, JSONL or CSV.")
@click.option("--grep", metavar="TEXT", help="What contains this, with line numbers.")
@click.option(
    "--max-bytes",
    type=click.IntRange(500),
    default=_UNLIMITED,
    show_default="all",
    help="Print at most so much, and what to ask for next.",
)
def command(
    hash: str,  # noqa: A002 - the tool's own word
    lines: str | None,
    rows: str | None,
    grep: str | None,
    max_bytes: int,
) -> None:
    """Print the original behind a <<ccr:HASH>> marker, byte for byte.

    With --lines, --rows or --grep, print a part of it. Where nothing is kept under the
    hash, the status is 1 and standard error says what to do.
    """
    loaded = settings.load().settings
    with opened_store(loaded) as store:
        found = retrieve(
            hash, store.get, lines=lines, rows=rows, query=grep, max_bytes=max_bytes
        )
    if found.error:
        raise click.ClickException(found.text.strip("[]"))
    text = found.text
    if (lines or rows or grep) and not text.endswith("\n"):
        text += "\n"
    sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))

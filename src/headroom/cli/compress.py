"""``headroom compress FILE|-``: one text, compressed, to standard output."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any

import click
import msgspec

from headroom import api, settings
from headroom.core.protocols import Store
from headroom.core.types import KINDS


@click.command(name="compress")
@click.argument("file", type=click.File("rb"))
@click.option("--kind", type=click.Choice(KINDS), help="What it is; else detected.")
@click.option("--query", help="What the reader wants to know (for --lossy).")
@click.option("--model", help="Whose tokenizer counts.  [default: o200k]")
@click.option("--lossy", is_flag=True, help="Allow leaving out what matters least.")
@click.option(
    "--no-store",
    is_flag=True,
    help="With --lossy: keep no original, and print no marker.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(file: IO[bytes], *, no_store: bool, as_json: bool, **options: Any) -> None:
    """Print the compressed form of FILE (- for standard input).

    What is no UTF-8 text is printed as it came. With --lossy, the original is kept in
    the settings' store where something is left out, and the text ends with its marker:
    `headroom retrieve HASH` gives it back.
    """
    data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if as_json:
            raise click.ClickException(f"not UTF-8 text: {error}") from error
        sys.stdout.buffer.write(data)
        return
    with _store(is_needed=options["lossy"] and not no_store) as store:
        result = api.compress_text(text, store=store, **options)
    if as_json:
        report = {
            "text": result.text,
            "kind": result.kind,
            "strategy": result.strategy,
            "lossless": result.lossless,
            "tokens_before": result.tokens_before,
            "tokens_after": result.tokens_after,
            "marker": result.marker,
            "omitted": result.omitted,
        }
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        sys.stdout.buffer.write(result.text.encode("utf-8"))


def _store(*, is_needed: bool) -> AbstractContextManager[Store | None]:
    """The settings' store where it is needed; other uses work without settings."""
    if not is_needed:
        return nullcontext()
    from headroom.cli.store import opened_store

    return opened_store(settings.load().settings)

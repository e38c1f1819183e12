"""``headroom compress FILE|-``: one text, compressed, to standard output."""

import sys
from typing import IO

import click
import msgspec

from headroom import api
from headroom.core.types import KINDS


@click.command(name="compress")
@click.argument("file", type=click.File("rb"))
@click.option("--kind", type=click.Choice(KINDS), help="What it is; else detected.")
@click.option("--query", help="What the reader wants to know (for --lossy).")
@click.option("--model", help="Whose tokenizer counts.  [default: o200k]")
@click.option("--lossy", is_flag=True, help="Allow leaving out what matters least.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    file: IO[bytes],
    kind: str | None,
    query: str | None,
    model: str | None,
    lossy: bool,
    as_json: bool,
) -> None:
    """Print the compressed form of FILE (- for standard input).

    What is no UTF-8 text is printed as it came. With --lossy, the originals of what is
    left out stay where they are: in FILE.
    """
    data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if as_json:
            raise click.ClickException(f"not UTF-8 text: {error}") from error
        sys.stdout.buffer.write(data)
        return
    result = api.compress_text(text, kind=kind, query=query, model=model, lossy=lossy)
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

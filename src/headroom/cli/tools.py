"""``headroom tools FILE``: what each tool definition costs, and what could be saved."""

from typing import IO

import click
import msgspec

from headroom.core.tool_list import compacted
from headroom.core.types import Span
from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError
from headroom.inference.tokens import counter_for
from headroom.providers.messages import text_of


@click.command("tools")
@click.argument("file", type=click.File("rb"))
@click.option("--model", help="Whose tokenizer counts.  [default: the request's]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: IO[bytes], *, model: str | None, as_json: bool) -> None:
    """Tokens of every tool in FILE (- for standard input), as sent and compacted.

    FILE is a request body of any API, or a tool list. What compacting takes out means
    nothing to a model: blank lines and indentation in descriptions, keywords of schemas
    that say what holds anyway. HEADROOM_STABILISE_TOOL_COMPACT=enabled does it for
    conversations that begin under an API key.
    """
    body = file.read()
    try:
        tools, named = _read(body)
    except MalformedBodyError as error:
        raise click.ClickException(f"no tool list: {error}") from error
    count = counter_for(model or named)
    rows = [
        (name, count(text.decode("utf-8")), count(compacted(text).decode("utf-8")))
        for name, text in tools
    ]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    if as_json:
        report = [
            {"tool": name, "tokens": before, "tokens_compacted": after}
            for name, before, after in rows
        ]
        click.echo(msgspec.json.encode(report))
        return
    width = max(len(row[0]) for row in rows)
    click.echo(f"{'tool':{width}}  tokens  compacted  saved")
    for name, before, after in rows:
        saved = 100 * (before - after) / before if before else 0.0
        click.echo(f"{name:{width}}  {before:6,}  {after:9,}  {saved:4.1f}%")


def _read(body: bytes) -> tuple[list[tuple[str, bytes]], str]:
    """Every tool by name, without white space between values; and the model."""
    whole = json_spans.whole(body)
    model = ""
    if json_spans.is_object(body, whole):
        top = json_spans.members(body, whole)
        model = text_of(body, top.get("model"))
        if "tools" not in top:
            raise MalformedBodyError("the request has no tools")
        whole = top["tools"]
    found = []
    for span in json_spans.elements(body, whole):
        for tool in _tools(body, span):
            members = json_spans.members(body, tool)
            inner = members.get("function")
            if inner is not None and json_spans.is_object(body, inner):
                members = json_spans.members(body, inner)
            name = text_of(body, members.get("name")) or text_of(
                body, members.get("type")
            )
            found.append((name, msgspec.json.format(tool.of(body), indent=-1)))
    return found, model


def _tools(body: bytes, span: Span) -> list[Span]:
    """An element of a tool list; of Gemini's, which holds several, each of them."""
    members = json_spans.members(body, span)
    several = members.get("functionDeclarations")
    if several is not None and json_spans.is_array(body, several):
        return json_spans.elements(body, several)
    return [span]

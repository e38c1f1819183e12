"""``headroom models [MODEL]``: what is known of models, and where the prices are."""

from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from headroom.providers.prices import ModelRow


@click.command("models")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, model: str | None, as_json: bool) -> None:
    """Context, cache rules and prices of MODEL; of all listed ones without it.

    Any spelling of an id will do. Prices need the extra `prices`, or the file that
    HEADROOM_MODELS_FILE names, which wins.
    """
    from headroom import settings
    from headroom.inference.model_overrides import read_overrides
    from headroom.inference.model_table import ModelTable

    loaded = settings.load().settings
    table = ModelTable(read_overrides(loaded.models_file))
    names = [model] if model else sorted(set(table.names()))
    rows = [table.row(name) for name in names]
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    if not rows:
        raise click.ClickException("no models are listed: install headroom[prices]")
    width = max(len(row.model) for row in rows)
    click.echo(
        f"{'model':{width}}  {'family':6}  {'context':>9}  {'cached from':>11}  "
        f"{'input':>7}  {'output':>7}  {'read':>7}  {'write':>7}  {'1h':>7}  steps"
    )
    for row in rows:
        click.echo(_line(row, width))
    if model and not rows[0].is_known:
        click.echo("No source lists this model: these are careful defaults.")


def _line(row: "ModelRow", width: int) -> str:
    prices = row.prices
    costs = ["?"] * 5
    if prices is not None:
        costs = [f"{value:.4g}" for value in msgspec.structs.astuple(prices)]
    shown = "  ".join(f"{cost:>7}" for cost in costs)
    steps = ", ".join(
        f">{step.above_tokens:,}: {step.prices.input:.4g}/{step.prices.output:.4g}"
        for step in row.long_context
    )
    line = (
        f"{row.model:{width}}  {row.family:6}  {row.context_tokens:9,}  "
        f"{row.cache.minimum_tokens:11,}  {shown}  {steps}"
    )
    return line.rstrip()

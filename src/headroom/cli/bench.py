"""``headroom bench``: how well texts compress, as a table, as JSON, as a page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from headroom.workbench.items import Item
    from headroom.workbench.scoring import Score, Summary

_FILE_COLUMNS = 120
_TOLD = 5


@click.group("bench")
def command() -> None:
    """Measure compression."""


@command.command()
@click.argument(
    "paths",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True),
    metavar="[PATHS]...",
)
@click.option("--model", help="Whose tokenizer counts.  [default: o200k]")
@click.option("--kind", multiple=True, help="Only texts of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with every text before and after.",
)
def compress(
    paths: tuple[Path, ...],
    model: str | None,
    kind: tuple[str, ...],
    as_json: bool,
    page: Path | None,
) -> None:
    """Compress the texts at PATHS, losslessly and lossily, and score the results.

    PATHS are files, folders of files, or corpora: folders with an items.jsonl that
    names texts, their kinds and the facts that must survive. Without PATHS the tool
    outputs of the conversation that ships with the package are taken.

    Saved are tokens: in the mean over texts, of all tokens together, and of the text
    that shrank least, which the last column names. Times are of one core, the median
    over texts, and the slowest text of 10 KB or more.
    """
    from headroom.workbench.items import load
    from headroom.workbench.scoring import FORMS, measure

    if page is not None and not page.absolute().parent.is_dir():
        raise click.ClickException(f"there is no folder for {page}")
    passed_over: list[str] = []
    items = load(paths, tell=passed_over.append)
    for line in passed_over[:_TOLD]:
        click.echo(f"passed over {line}", err=True)
    if len(passed_over) > _TOLD:
        click.echo(f"passed over {len(passed_over) - _TOLD} files more", err=True)
    forms: dict[str, list[Score]] = {}
    for form in FORMS:
        scores = measure(items, is_lossy=form == "lossy", model=model)
        forms[form] = list(_watched(scores, items, is_quiet=as_json))
        if kind:
            forms[form] = [score for score in forms[form] if score.kind in kind]
    if not all(forms.values()):
        raise click.ClickException("there is no text to measure")
    if page is not None:
        from headroom.workbench.page import render

        try:
            page.write_text(render(forms), encoding="utf-8")
        except OSError as error:
            raise click.ClickException(
                f"{page} cannot be written: {error.strerror}"
            ) from error
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(_report(forms)))
    else:
        _print_tables(forms)
        if page is not None:
            click.echo(f"\nbefore and after: {page}")


def _watched(
    scores: "Iterable[Score]", items: "Sequence[Item]", *, is_quiet: bool
) -> "Iterator[Score]":
    """The scores, with a bar on standard error if someone is looking at it."""
    if is_quiet:
        yield from scores
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        scores,
        description="compressing",
        total=len(items),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _report(forms: "Mapping[str, Sequence[Score]]") -> "dict[str, object]":
    from headroom.workbench.scoring import by_fact_type, by_kind, summarise

    return {
        form: {
            "all": summarise(scores),
            "kinds": by_kind(scores),
            "facts": {
                name: {"kept": kept, "all": total}
                for name, (kept, total) in by_fact_type(scores).items()
            },
            "items": [
                {
                    "id": score.item.id,
                    "kind": score.kind,
                    "strategy": score.strategy,
                    "tokens_before": score.tokens_before,
                    "tokens_after": score.tokens_after,
                    "reduction_pct": score.reduction_pct,
                    "seconds": score.seconds,
                    "facts": len(score.facts),
                    "facts_kept": sum(fact.is_kept for fact in score.facts),
                    "omitted": score.omitted,
                }
                for score in scores
            ],
        }
        for form, scores in forms.items()
    }


def _print_tables(forms: "Mapping[str, Sequence[Score]]") -> None:
    from rich.console import Console
    from rich.table import Table

    from headroom.workbench.scoring import by_fact_type, by_kind, summarise

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_COLUMNS
    for form, scores in forms.items():
        table = Table(
            title=form, title_justify="left", box=None, pad_edge=False, min_width=60
        )
        table.add_column("kind", no_wrap=True)
        for name in (
            "texts", "KB", "saved %", "total %", "worst %", "larger", "facts",
            "ms/MB", "slowest", "MB/s",
        ):  # fmt: skip
            table.add_column(name, justify="right", no_wrap=True)
        # The one column that may wrap is the one that gives way where all are too wide.
        table.add_column("worst text", overflow="ellipsis")
        for kind, summary in by_kind(scores).items():
            table.add_row(kind, *_cells(summary))
        table.add_row("all", *_cells(summarise(scores)), style="bold")
        console.print(table)
        types = by_fact_type(scores)
        if types:
            kept = "  ".join(f"{name} {a}/{b}" for name, (a, b) in types.items())
            console.print(f"facts kept: {kept}", markup=False)
        console.print()


def _cells(summary: "Summary") -> tuple[str, ...]:
    return (
        str(summary.items),
        f"{summary.bytes / 1000:,.{0 if summary.bytes >= 10_000 else 1}f}",
        f"{summary.mean_reduction_pct:.1f}",
        f"{summary.total_reduction_pct:.1f}",
        f"{summary.worst_reduction_pct:.1f}",
        str(summary.larger),
        f"{summary.facts_kept}/{summary.facts}" if summary.facts else "",
        f"{summary.ms_per_mb:,.0f}",
        f"{summary.slowest_ms_per_mb:,.0f}",
        f"{summary.mb_per_s:.1f}",
        summary.worst_id,
    )

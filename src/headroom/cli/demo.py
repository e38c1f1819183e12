"""``headroom demo``: one coding conversation, directly and through Headroom.

Starts the billing provider in this process and the proxy beside it on free ports with a
data directory of its own, replays the conversation that ships with the package, prints
what both ways cost, and shows one block before and after. Nothing stays running, and
the exit status is 1 if a prefix was broken, a request failed or nothing was saved.
"""

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from headroom.cachelab.measure import Result
    from headroom.cachelab.prefix import Json

_SHOWN_ROWS = 9


@click.command("demo")
def command() -> None:
    """Watch a coding conversation go through Headroom, beside the same one direct."""
    import asyncio

    from rich.console import Console

    from headroom.cachelab import report
    from headroom.errors import ConfigError

    console = Console(highlight=False)
    try:
        found, before, after = asyncio.run(_replay(console))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        raise click.Abort from error
    _print_comparison(console, found)
    _print_block(console, before, after)
    problems = report.problems([found])
    if found.ratio >= 1:
        problems.append("nothing was saved")
    for line in problems:
        console.print(f"[red]{line}[/red]")
    if problems:
        raise SystemExit(1)


async def _replay(console: "Console") -> "tuple[Result, Json, Json]":
    """The result and the last request as it arrived directly and through Headroom."""
    from headroom.cachelab.conversations import SHIPPED, load
    from headroom.cachelab.launcher import end_on_sigterm, headroom
    from headroom.cachelab.replay import Options, Restart, bench

    end_on_sigterm()
    conversations = load([SHIPPED])
    name = conversations[0].name
    console.print("[bold]headroom demo[/bold]: a provider that bills like the real one")
    with contextlib.ExitStack() as stack:

        async def target(upstream: str) -> tuple[str, Restart | None]:
            proxy = stack.enter_context(headroom(upstream))
            await proxy.ready()
            console.print(f"  provider {upstream}   headroom proxy {proxy.url}\n")
            return proxy.url, None

        async with bench(Options(keeps_requests=True), target=target) as running:
            assert running.target is not None
            with _live(console) as progress:
                progress.watch(running)
                results = await running.run(conversations, progress.step)
            return (
                results[0],
                running.direct.lab.last_requests.get(name, {}),
                running.target.lab.last_requests.get(name, {}),
            )


class _Live:
    """A bar for the turns, and under it what both ways have cost so far."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[bill]}"),
            console=console,
        )
        self._task = self.bars.add_task("turns", total=None, bill="")
        self._bench: Any = None  # the bench exists only after the bar is on screen

    def watch(self, bench: Any) -> None:
        self._bench = bench

    def step(self, _name: str, turn: int, turns: int) -> None:
        direct = sum(r.cost for r in self._bench.direct.lab.records)
        through = sum(r.cost for r in self._bench.target.lab.records)
        bill = f"bill: direct {direct:,.0f}  through headroom {through:,.0f}"
        self.bars.update(self._task, completed=turn, total=turns, bill=bill)


@contextlib.contextmanager
def _live(console: "Console") -> "Iterator[_Live]":
    live = _Live(console)
    with live.bars:
        yield live


def _print_comparison(console: "Console", result: "Result") -> None:
    from rich.table import Table

    from headroom.cachelab.measure import percentile

    direct, target = result.direct, result.target
    assert target is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("direct", "through headroom", "change"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, float, float]] = [
        ("input tokens", direct.usage.total, target.usage.total),
        ("  read from cache (x 0.1)", direct.usage.read, target.usage.read),
        ("  written to cache (x 1.25)", direct.usage.write_5m, target.usage.write_5m),
        ("  uncached (x 1)", direct.usage.uncached, target.usage.uncached),
        ("bill (base tokens)", direct.cost, target.cost),
        ("  of it tool outputs", direct.tool_cost, target.tool_cost),
    ]
    for name, before, after in rows:
        change = f"{after / before - 1:+.1%}" if before else ""
        table.add_row(name, f"{before:,.0f}", f"{after:,.0f}", change)
    table.add_row("prefix breaks", "0", str(len(result.breaks)), "")
    table.add_row("errors", str(len(direct.errors)), str(len(target.errors)), "")
    middle = percentile(result.added_ms, 0.5)
    most = percentile(result.added_ms, 0.99)
    table.add_row("latency added", "", f"{middle:.1f} ms", f"p99 {most:.1f} ms")
    console.print()
    console.print(table)


def _print_block(console: "Console", before: "Json", after: "Json") -> None:
    """The tool output that shrank most, as the client sent it and as it arrived."""
    there = _tool_texts(after)
    pairs = [
        (text, there[call])
        for call, text in _tool_texts(before).items()
        if call in there and len(there[call]) < len(text)
    ]
    if not pairs:
        console.print("\nNo block was compressed.")
        return
    text, short = max(pairs, key=lambda pair: len(pair[0]) - len(pair[1]))
    width = console.width - 2
    for title, shown in (("before", text), ("after", short)):
        console.print(f"\n[bold]one block {title}[/bold] ({len(shown):,} characters)")
        folded = (
            line[start : start + width]
            for line in shown.splitlines()
            for start in range(0, max(1, len(line)), width)
        )
        for row in itertools.islice(folded, _SHOWN_ROWS):
            console.print(f"  {row}", markup=False)
        if next(folded, None) is not None:
            console.print("  …", style="dim")


def _tool_texts(request: "Json") -> dict[str, str]:
    from headroom.cachelab.prefix import as_blocks

    return {
        block["tool_use_id"]: "\n".join(
            str(part.get("text", "")) for part in as_blocks(block.get("content"))
        )
        for message in request.get("messages", ())
        for block in as_blocks(message["content"])
        if block["type"] == "tool_result"
    }

"""The figures of a replay as tables for people and as JSON for programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headroom.cachelab.clients import Replayed
from headroom.cachelab.measure import Result, SideTotals, percentile, total
from headroom.cachelab.prefix import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_SHOWN_PROBLEMS = 10


def as_json(results: Sequence[Result], unattributed: int) -> Json:
    """All figures; costs are in base-input-token units, latencies in milliseconds."""
    return {
        "conversations": [_row(result) for result in results],
        "all": _row(total(results)),
        "mean_ratio": mean_ratio(results),
        "unattributed_requests": unattributed,
    }


def mean_ratio(results: Sequence[Result]) -> float:
    """The mean over conversations of the bill in units of the direct one."""
    return sum(r.ratio for r in results) / len(results) if results else 1.0


def problems(results: Sequence[Result]) -> list[str]:
    """What must not happen through a proxy: breaks, rewrites, errors, other answers."""
    found: list[str] = []
    for result in results:
        for side, totals in (("direct", result.direct), ("target", result.target)):
            if totals is None:
                continue
            found += [f"{result.name}: {side}: {error}" for error in totals.errors]
            if totals.answers_changed:
                count = totals.answers_changed
                found.append(f"{result.name}: {side}: {count} answers changed")
        found += [
            f"{result.name}: turn {b.turn + 1}: prefix break at {b.where}, "
            f"{b.lost_tokens} cached tokens lost"
            for b in result.breaks
        ]
        if result.rewrites:
            found.append(f"{result.name}: {result.rewrites} turns rewrite history")
    return found


def client_problems(replays: Sequence[Replayed]) -> list[str]:
    """What must not happen to a recorded client, answers with other bytes included."""
    found = problems([replayed.result for replayed in replays])
    for replayed in replays:
        numbers = ", ".join(str(number + 1) for number in replayed.changed)
        if numbers:
            name = replayed.result.name
            found.append(f"{name}: answers with other bytes: requests {numbers}")
    return found


def clients_as_json(replays: Sequence[Replayed]) -> Json:
    """All figures of recorded clients."""
    return {
        "clients": [
            {
                **_row(replayed.result),
                "skipped": replayed.skipped,
                "changed_answers": [number + 1 for number in replayed.changed],
                "spliced_answers": replayed.spliced,
                "tool_tokens": list(replayed.tool_tokens),
                "input_tokens": list(replayed.input_tokens),
            }
            for replayed in replays
        ]
    }


def print_clients(console: "Console", replays: Sequence[Replayed]) -> None:
    """A table of recorded clients; then what went wrong."""
    from rich.table import Table  # noqa: PLC0415  (slow to import)

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("client", no_wrap=True)
    names = ["requests", "skipped", "breaks", "own breaks", "errors", "other bytes"]
    names += ["spliced", "tool tokens", "saved", "input", "ratio", "of it tool"]
    for name in names:
        table.add_column(name, justify="right")
    for replayed in replays:
        result = replayed.result
        sides = [side for side in (result.direct, result.target) if side is not None]
        errors = sum(len(side.errors) for side in sides)
        table.add_row(
            result.name,
            str(result.turns),
            str(replayed.skipped),
            str(len(result.breaks)),
            str(result.client_breaks),
            str(errors),
            str(len(replayed.changed)),
            str(replayed.spliced),
            f"{replayed.tool_tokens[0]:,}",
            _saved(replayed.tool_tokens),
            _saved(replayed.input_tokens),
            f"{result.ratio:.3f}",
            f"{result.tool_price:.3f}",
        )
    console.print(table)
    _print_tool_price(console, total([replayed.result for replayed in replays]))
    for line in client_problems(replays):
        console.print(f"[red]{line}[/red]", highlight=False)


def _saved(tokens: tuple[int, int]) -> str:
    before, after = tokens
    return f"{1 - after / before:.1%}" if before else ""


def print_report(
    console: "Console", results: Sequence[Result], unattributed: int
) -> None:
    """Tables: every conversation, then all; then what went wrong."""
    whole = total(results)
    sides = [side for side in (whole.direct, whole.target) if side is not None]
    has_1h = any(side.usage.write_1h for side in sides)
    table = _table(has_target=whole.target is not None, has_1h=has_1h)
    for result in [*results, *([whole] if len(results) > 1 else [])]:
        _add_rows(table, result, has_1h=has_1h)
    console.print(table)
    _print_summary(console, results)
    if unattributed:
        console.print(
            f"{unattributed} requests reached the provider without naming their "
            "conversation; they are in no figure above."
        )
    found = problems(results)
    for line in found[:_SHOWN_PROBLEMS]:
        console.print(f"[red]{line}[/red]", highlight=False)
    if len(found) > _SHOWN_PROBLEMS:
        console.print(f"[red]… and {len(found) - _SHOWN_PROBLEMS} more[/red]")


def _table(*, has_target: bool, has_1h: bool) -> "Table":
    from rich.table import Table  # noqa: PLC0415  (slow to import)

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("conversation", no_wrap=True)
    names = ["turns", "uncached", "write 5m", "read", "bill"]
    if has_1h:
        names.insert(3, "write 1h")
    if has_target:
        table.add_column("")
        names += ["ratio", "breaks", "errors", "added ms", "p99"]
    for name in names:
        table.add_column(name, justify="right")
    return table


def _add_rows(table: "Table", result: Result, *, has_1h: bool) -> None:
    target = result.target
    direct = (str(result.turns), *_usage(result.direct, has_1h=has_1h))
    if target is None:
        table.add_row(result.name, *direct)
        return
    errors = str(len(result.direct.errors))
    table.add_row(result.name, "direct", *direct, "1.000", "", errors)
    table.add_row(
        "",
        "target",
        "",
        *_usage(target, has_1h=has_1h),
        f"{result.ratio:.3f}",
        str(len(result.breaks)),
        str(len(target.errors)),
        f"{percentile(result.added_ms, 0.5):.1f}",
        f"{percentile(result.added_ms, 0.99):.1f}",
    )


def _usage(totals: SideTotals, *, has_1h: bool) -> tuple[str, ...]:
    usage = totals.usage
    numbers = [usage.uncached, usage.write_5m, usage.read]
    if has_1h:
        numbers.insert(2, usage.write_1h)
    return (*(f"{number:,}" for number in numbers), f"{totals.cost:,.0f}")


def _print_summary(console: "Console", results: Sequence[Result]) -> None:
    whole = total(results)
    share = whole.direct.tool_cost / whole.direct.cost if whole.direct.cost else 0.0
    line = f"Tool outputs are {share:.1%} of the direct bill"
    target = whole.target
    if target is None:
        console.print(f"{line}.")
        return
    saved = 1 - target.tool_cost / whole.direct.tool_cost if share else 0.0
    console.print(
        f"{line}; {saved:.1%} of that was saved. Mean ratio of the conversations: "
        f"{mean_ratio(results):.4f}."
    )
    _print_tool_price(console, whole)
    if whole.client_breaks:
        console.print(
            f"{whole.client_breaks} turns rewrite history in the client itself; "
            "they are not counted as breaks."
        )


def _print_tool_price(console: "Console", whole: Result) -> None:
    target = whole.target
    if target is not None and (target.retrieval_cost or target.retrievals):
        console.print(
            f"The retrieval tool's definition and calls cost "
            f"{target.retrieval_cost:,.0f} of the target's bill, "
            f"{whole.tool_price:.3f} of the direct one; "
            f"{target.retrievals} results were fetched back."
        )


def _row(result: Result) -> Json:
    row: Json = {
        "name": result.name,
        "turns": result.turns,
        "direct": _side(result.direct),
    }
    if result.target is not None:
        saved = result.direct.tool_cost - result.target.tool_cost
        row |= {
            "target": _side(result.target),
            "ratio": result.ratio,
            "tool_price": result.tool_price,
            "prefix_breaks": len(result.breaks),
            "breaks": [
                {"turn": b.turn + 1, "where": b.where, "lost_tokens": b.lost_tokens}
                for b in result.breaks
            ],
            "rewrites": result.rewrites,
            "client_breaks": result.client_breaks,
            "added_ms": {
                "median": percentile(result.added_ms, 0.5),
                "p99": percentile(result.added_ms, 0.99),
            },
            "tool_output_saved": (
                saved / result.direct.tool_cost if result.direct.tool_cost else 0.0
            ),
        }
    return row


def _side(totals: SideTotals) -> Json:
    usage = totals.usage
    return {
        "requests": totals.requests,
        "uncached": usage.uncached,
        "write_5m": usage.write_5m,
        "write_1h": usage.write_1h,
        "read": usage.read,
        "input_tokens": usage.total,
        "cost": totals.cost,
        "tool_output_cost": totals.tool_cost,
        "tool_output_share": totals.tool_cost / totals.cost if totals.cost else 0.0,
        "retrieval_tool_cost": totals.retrieval_cost,
        "retrievals": totals.retrievals,
        "thinking_dropped": totals.thinking_dropped,
        "answers_changed": totals.answers_changed,
        "errors": list(totals.errors),
    }

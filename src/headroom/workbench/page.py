"""The measurements as one HTML page: figures on top, every text before and after.

The page is complete in itself (no script, nothing loaded from anywhere) and everything
that comes from a text is escaped, so that a text cannot become part of the page.
"""

from collections.abc import Mapping, Sequence
from html import escape

from headroom.workbench.scoring import Score, Summary, by_kind, summarise

_SHOWN_CHARS = 20_000
"""Of each text; a browser should open the page of a whole corpus at once."""

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;
max-width:120rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse}
td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8884}
td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}
summary{cursor:pointer;padding:.3rem 0}
summary b{display:inline-block;min-width:4.5rem;text-align:right;margin-right:.8rem}
summary span{opacity:.7}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
pre{margin:0;padding:.6rem;max-height:36rem;overflow:auto;background:#8881;
border-radius:.4rem;font:12px/1.4 ui-monospace,monospace;white-space:pre-wrap;
overflow-wrap:anywhere}
.note{margin:.3rem 0;opacity:.8}
"""

_COLUMNS = (
    "kind", "texts", "KB", "mean reduction", "worst", "facts kept", "MB/s",
    "slowest ms/MB", "worst text",
)  # fmt: skip


def render(forms: Mapping[str, Sequence[Score]]) -> str:
    """The page of one or more forms (``lossless``, ``lossy``) of the same texts."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        "<title>headroom bench compress</title>",
        f"<style>{_STYLE}</style></head><body><h1>headroom bench compress</h1>",
    ]
    for form, scores in forms.items():
        parts.append(f"<h2>{escape(form)}</h2>{_table(scores)}")
    for form, scores in forms.items():
        parts.append(f"<h2>{escape(form)}: before and after</h2>")
        parts += [_pair(score) for score in scores]
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _table(scores: Sequence[Score]) -> str:
    rows = [_row(kind, summary) for kind, summary in by_kind(scores).items()]
    if scores:
        rows.append(_row("all", summarise(scores)))
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _row(kind: str, summary: Summary) -> str:
    kept = f"{summary.facts_kept} of {summary.facts}" if summary.facts else ""
    cells = (
        kind,
        str(summary.items),
        f"{summary.bytes / 1000:,.0f}",
        f"{summary.mean_reduction_pct:.1f} %",
        f"{summary.worst_reduction_pct:.1f} %",
        kept,
        f"{summary.mb_per_s:.1f}",
        f"{summary.slowest_ms_per_mb:,.0f}",
        summary.worst_id,
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _pair(score: Score) -> str:
    facts = ""
    if score.facts:
        kept = sum(fact.is_kept for fact in score.facts)
        facts = f", facts {kept} of {len(score.facts)}"
    line = (
        f"{score.tokens_before:,} → {score.tokens_after:,} tokens,"
        f" {score.strategy or 'left as it is'}{facts}"
    )
    note = f'<p class="note">{escape(score.omitted)}</p>' if score.omitted else ""
    return (
        f"<details><summary><b>{score.reduction_pct:.1f} %</b>"
        f"{escape(score.kind)} {escape(score.item.id)} <span>{escape(line)}</span>"
        f'</summary>{note}<div class="pair">'
        f"<pre>{_shown(score.item.text)}</pre><pre>{_shown(score.after)}</pre>"
        "</div></details>"
    )


def _shown(text: str) -> str:
    rest = len(text) - _SHOWN_CHARS
    tail = f"\n… {rest:,} more characters" if rest > 0 else ""
    return escape(text[:_SHOWN_CHARS] + tail)

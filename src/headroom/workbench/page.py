"""The measurements as one HTML page: figures on top, every text before and after.

The page is complete in itself (no script, nothing loaded from anywhere) and everything
that comes from a text is escaped, so that a text cannot become part of the page. Each
text stands there once, beside all its forms, so that a page of a whole corpus stays
small enough to open at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby

from headroom.workbench.scoring import Score, Summary, by_kind, summarise

_SHOWN_CHARS = 20_000
"""Of each text; a browser should open the page of a whole corpus at once."""

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;
max-width:120rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
a{color:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #8884;
white-space:nowrap}
td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}
tr:last-child td{font-weight:600}
details{border-bottom:1px solid #8884}
summary{cursor:pointer;padding:.3rem 0}
summary b{display:inline-block;min-width:4rem;text-align:right;margin-right:.8rem;
font-variant-numeric:tabular-nums}
summary span,.note{opacity:.75}
.bad{color:#c62828;font-weight:600}
@media(prefers-color-scheme:dark){.bad{color:#ff8a80}}
.forms{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);gap:1rem;
padding-bottom:1rem}
@media(max-width:60rem){.forms{grid-auto-flow:row}}
h3{font-size:.95rem;margin:.4rem 0}small{font-weight:400;opacity:.75}
pre{margin:0;padding:.6rem;max-height:36rem;overflow:auto;background:#8881;
border-radius:.4rem;font:12px/1.4 ui-monospace,monospace;white-space:pre-wrap;
overflow-wrap:anywhere}
.note,.lost{margin:.3rem 0}
"""

_COLUMNS = (
    "kind", "texts", "KB", "tokens", "after", "saved, mean", "total", "worst", "larger",
    "facts kept", "ms/MB", "slowest", "MB/s", "worst text",
)  # fmt: skip

_LEGEND = (
    "Saved are tokens: in the mean over texts, of all tokens together, and of the text"
    " that shrank least. Times are of one core, detection and counting included: the"
    " median over texts, and the slowest text of 10 KB or more."
)


def render(forms: Mapping[str, Sequence[Score]]) -> str:
    """The page of one or more forms (``lossless``, ``lossy``) of the same texts."""
    texts = list(zip(*forms.values(), strict=True))
    anchors = {scores[0].item.id: f"t{at}" for at, scores in enumerate(texts)}
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        "<title>headroom bench compress</title>",
        f"<style>{_STYLE}</style></head><body><h1>headroom bench compress</h1>",
        f'<p class="note">{len(texts)} texts. {_LEGEND}</p>',
    ]
    for form, scores in forms.items():
        parts.append(f"<h2>{escape(form)}</h2>{_table(scores, anchors)}")
    texts.sort(key=lambda scores: scores[0].kind)
    for kind, group in groupby(texts, key=lambda scores: scores[0].kind):
        parts.append(
            f'<h2 id="k-{escape(kind)}">{escape(kind)}: before and after'
            f" <small>saved {escape(', '.join(forms))}</small></h2>"
        )
        parts += [_text(forms, scores, anchors) for scores in group]
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _table(scores: Sequence[Score], anchors: Mapping[str, str]) -> str:
    rows = [_row(kind, found, anchors) for kind, found in by_kind(scores).items()]
    if scores:
        rows.append(_row("all", summarise(scores), anchors))
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _row(kind: str, summary: Summary, anchors: Mapping[str, str]) -> str:
    kept = f"{summary.facts_kept} of {summary.facts}" if summary.facts else ""
    name = escape(kind)
    cells = (
        name if kind == "all" else f'<a href="#k-{name}">{name}</a>',
        str(summary.items),
        f"{summary.bytes / 1000:,.0f}",
        f"{summary.tokens_before:,}",
        f"{summary.tokens_after:,}",
        f"{summary.mean_reduction_pct:.1f} %",
        f"{summary.total_reduction_pct:.1f} %",
        f"{summary.worst_reduction_pct:.1f} %",
        _bad(str(summary.larger)) if summary.larger else "0",
        kept if summary.facts_kept == summary.facts else _bad(kept),
        f"{summary.ms_per_mb:,.0f}",
        f"{summary.slowest_ms_per_mb:,.0f}",
        f"{summary.mb_per_s:.1f}",
        f'<a href="#{anchors[summary.worst_id]}">{escape(summary.worst_id)}</a>',
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _text(
    forms: Iterable[str], scores: Sequence[Score], anchors: Mapping[str, str]
) -> str:
    first = scores[0]
    saved = "".join(f"<b>{score.reduction_pct:.1f} %</b>" for score in scores)
    lost = sum(not fact.is_kept for score in scores for fact in score.facts)
    panes = [_pane("before", f"{first.tokens_before:,} tokens", first.item.text)]
    shown = {first.item.text: "before"}
    for form, score in zip(forms, scores, strict=True):
        panes.append(_form(form, score, shown.setdefault(score.after, form)))
    return (
        f'<details id="{anchors[first.item.id]}"><summary>{saved}'
        f"{escape(first.item.id)} <span>{first.tokens_before:,} tokens</span>"
        f"{_bad(f' facts missing: {lost}') if lost else ''}</summary>"
        f'<div class="forms">{"".join(panes)}</div></details>'
    )


def _form(form: str, score: Score, same: str) -> str:
    facts = ""
    if score.facts:
        kept = sum(fact.is_kept for fact in score.facts)
        facts = f", facts {kept} of {len(score.facts)}"
    line = f"{score.tokens_after:,} tokens, {score.strategy or 'as it was'}{facts}"
    notes = [f'<p class="note">{escape(score.omitted)}</p>'] if score.omitted else []
    for fact, found in zip(score.item.facts, score.facts, strict=True):
        if not found.is_kept:
            words = f"{fact.type}: {fact.q} {' … '.join(fact.a)}"
            where = "only its white space differs" if found.is_kept_loosely else "gone"
            notes.append(f'<p class="lost">{_bad(where)} {escape(words)}</p>')
    if same == form:
        return _pane(form, line, score.after, "".join(notes))
    note = f'<p class="note">the same as {escape(same)}</p>'
    return f"<div>{_heading(form, line)}{''.join(notes)}{note}</div>"


def _pane(name: str, line: str, text: str, notes: str = "") -> str:
    return f"<div>{_heading(name, line)}{notes}<pre>{_shown(text)}</pre></div>"


def _heading(name: str, line: str) -> str:
    return f"<h3>{escape(name)} <small>{escape(line)}</small></h3>"


def _bad(words: str) -> str:
    return f'<span class="bad">{escape(words)}</span>'


def _shown(text: str) -> str:
    # The first line end after <pre> is the page's, not the text's.
    rest = len(text) - _SHOWN_CHARS
    tail = f"\n… {rest:,} more characters" if rest > 0 else ""
    return "\n" + escape(text[:_SHOWN_CHARS] + tail)

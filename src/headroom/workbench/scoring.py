"""How much texts shrink, which facts survive, and how long it takes.

One score per text and form; one summary per kind. Reductions are means over texts, so
that one huge text does not speak for its kind. A fact counts as kept if every string of
it stands in the result verbatim, JSON-escaped or HTML-unescaped.
"""

import html
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from statistics import mean, median

from msgspec import Struct

from headroom import api
from headroom.core.types import CountTokens
from headroom.inference.tokens import counter_for
from headroom.workbench.items import Fact, Item

FORMS = ("lossless", "lossy")


class FactScore(Struct, frozen=True, gc=False):
    """Whether a fact survived; ``is_kept_loosely``: if white space does not count."""

    type: str
    is_kept: bool
    is_kept_loosely: bool


class Score(Struct, frozen=True):
    """What became of one text.

    Attributes:
        kind: what the corpus says it is, else what it was detected as; ``none`` if
            neither.
        after: the compressed text.
        omitted: what is missing, in units of the source.
        seconds: time of one core, whatever else the machine had to do.
    """

    item: Item
    kind: str
    strategy: str
    after: str
    omitted: str
    tokens_before: int
    tokens_after: int
    seconds: float
    facts: tuple[FactScore, ...]

    @property
    def reduction_pct(self) -> float:
        """Tokens saved, in percent; negative if the text grew."""
        return 100 * (1 - self.tokens_after / max(1, self.tokens_before))

    @property
    def bytes_before(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.item.text.encode())

    @property
    def mb_per_s(self) -> float:
        """Throughput, detection and counting included."""
        return self.bytes_before / 1e6 / max(self.seconds, 1e-9)


class Summary(Struct, frozen=True):
    """The scores of one kind (or of all) in one line.

    Attributes:
        tokens_before: of all texts together; ``tokens_after`` likewise.
        total_reduction_pct: tokens saved of all tokens; large texts count for more.
        mean_reduction_pct: mean over texts.
        worst_id: the text that shrank least.
        larger: texts that grew.
        mb_per_s: median over texts; ``ms_per_mb`` is the same the other way round.
        slowest_ms_per_mb: of the slowest text of at least 10 KB; of any, if none has.
    """

    items: int
    bytes: int
    tokens_before: int
    tokens_after: int
    total_reduction_pct: float
    mean_reduction_pct: float
    worst_reduction_pct: float
    worst_id: str
    larger: int
    facts: int
    facts_kept: int
    facts_kept_loosely: int
    mb_per_s: float
    ms_per_mb: float
    slowest_ms_per_mb: float


def measure(
    items: Iterable[Item], *, is_lossy: bool, model: str | None = None
) -> Iterator[Score]:
    """Compress each text and score it, in order."""
    count = counter_for(model)
    count("the vocabulary is loaded with the first text")
    for item in items:
        yield _score(item, count, is_lossy=is_lossy, model=model)


def _score(
    item: Item, count: CountTokens, *, is_lossy: bool, model: str | None
) -> Score:
    start = time.thread_time()
    result = api.compress_text(item.text, lossy=is_lossy, model=model)
    seconds = time.thread_time() - start
    return Score(
        item=item,
        kind=item.kind or result.kind or "none",
        strategy=result.strategy,
        after=result.text,
        omitted=result.omitted,
        tokens_before=count(item.text),
        tokens_after=count(result.text),
        seconds=seconds,
        facts=check(item.facts, result.text),
    )


def check(facts: Sequence[Fact], text: str) -> tuple[FactScore, ...]:
    """Which facts can be found in ``text``, in order."""
    return tuple(_checked(facts, text))


def _checked(facts: Sequence[Fact], text: str) -> Iterator[FactScore]:
    packed = "".join(text.split()) if facts else ""
    for fact in facts:
        is_kept = all(any(form in text for form in _forms(a)) for a in fact.a)
        is_loose = is_kept or all(
            any("".join(form.split()) in packed for form in _forms(a)) for a in fact.a
        )
        yield FactScore(fact.type, is_kept, is_loose)


def _forms(answer: str) -> Iterator[str]:
    yield answer
    yield json.dumps(answer, ensure_ascii=False)[1:-1]
    yield html.unescape(answer)
    try:
        yield str(json.loads(f'"{answer}"'))
    except ValueError:
        return


def summarise(scores: Sequence[Score]) -> Summary:
    """One line for scores of which there is at least one."""
    worst = min(scores, key=lambda score: score.reduction_pct)
    large = [s for s in scores if s.bytes_before >= 10_000] or scores
    facts = [fact for score in scores for fact in score.facts]
    before = sum(score.tokens_before for score in scores)
    after = sum(score.tokens_after for score in scores)
    mb_per_s = median(score.mb_per_s for score in scores)
    return Summary(
        items=len(scores),
        bytes=sum(score.bytes_before for score in scores),
        tokens_before=before,
        tokens_after=after,
        total_reduction_pct=100 * (1 - after / max(1, before)),
        mean_reduction_pct=mean(score.reduction_pct for score in scores),
        worst_reduction_pct=worst.reduction_pct,
        worst_id=worst.item.id,
        larger=sum(score.tokens_after > score.tokens_before for score in scores),
        facts=len(facts),
        facts_kept=sum(fact.is_kept for fact in facts),
        facts_kept_loosely=sum(fact.is_kept_loosely for fact in facts),
        mb_per_s=mb_per_s,
        ms_per_mb=1000 / mb_per_s,
        slowest_ms_per_mb=max(1000 / score.mb_per_s for score in large),
    )


def by_kind(scores: Iterable[Score]) -> dict[str, Summary]:
    """A summary per kind, in order of names."""
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.kind, []).append(score)
    return {kind: summarise(found[kind]) for kind in sorted(found)}


def by_fact_type(scores: Iterable[Score]) -> dict[str, tuple[int, int]]:
    """Facts kept verbatim, and all, per type of fact."""
    found: dict[str, tuple[int, int]] = {}
    for score in scores:
        for fact in score.facts:
            kept, total = found.get(fact.type, (0, 0))
            found[fact.type] = (kept + fact.is_kept, total + 1)
    return dict(sorted(found.items()))

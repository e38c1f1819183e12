"""The references of one request: what its results may be told by, and what is noted.

Between the rewrite, which knows the request's blocks, and ``referring``, which makes
forms of texts. A result may be told by earlier ones of the request and, where it goes
on from an answer, by those that the provider keeps and a note lists.

Where the provider keeps what a form refers to it may drop it unseen, so that such a
form is a lossy one. It has a marker then; or, where whoever answers retrievals knows
the conversation, the numbers that stand in it are what the model can ask for. The texts
they name are stored before the form leaves, and noted from then on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from headroom.core import referring, standing
from headroom.core.calls import Calls
from headroom.core.earlier import Earlier, Found, Told
from headroom.core.markers import find_markers
from headroom.core.plan import Chain, Plan
from headroom.core.protocols import Provider
from headroom.core.repeats import MIN_SOURCE_CHARS, Source, SourceMemo, names_in
from headroom.core.threads import NOTHING, Thread
from headroom.core.types import (
    BlockOutcome,
    BlockTask,
    CountTokens,
    Decision,
    RequestView,
)

MAX_NUMBERED = 256
"""Texts to be asked for by number that a note may list, about 8 KB of it; behind them
forms have markers again. What the message that reaches it names is listed beyond it."""


class References:
    """Those of one request that has been planned.

    Attributes:
        noted: what later requests may refer to; after ``note``.
        results_total: tool results that the model has seen; ``-1``: not known.
        numbered: name → content digest, of the kept texts that forms name and that the
            model can ask for; ``None``: where it cannot.
    """

    def __init__(
        self,
        view: RequestView,
        provider: Provider,
        chain: Chain,
        plan: Plan,
        calls: Calls,
    ) -> None:
        self._view = view
        self._provider = provider
        self._chain = chain
        self._plan = plan
        self._calls = calls
        self._looking: dict[int, referring.Looking] = {}
        self._kept: Found | None = None
        self._found = Found([], [])
        self._promised: dict[str, Source] = {}
        self.noted = standing.Noted()
        self.results_total = -1
        thread = chain.thread
        # Whether the model was told of numbers is not known behind an unknown answer.
        begun: dict[str, str] | None = None if view.continues else {}
        self.numbered = begun if thread is None else thread.numbered

    def refer(
        self,
        tasks: Sequence[BlockTask],
        edited: Callable[[], Mapping[tuple[int, str], Told]],
        memo: SourceMemo,
        count: CountTokens,
    ) -> dict[int, BlockOutcome]:
        """Tell those of a message's results that repeat earlier ones by these.

        Args:
            tasks: the message's blocks.
            edited: how the results before it leave.
            memo: kept by the caller from request to request.
            count: the gate's counter.

        Returns:
            Outcomes by index into ``tasks``.
        """
        self._looking = {}
        wanted = [i for i, task in enumerate(tasks) if self._may_refer(task)]
        if not wanted:
            return {}
        before = tasks[0].message_index
        found = self._all_before(before, memo, self._plan.decisions, edited())
        self._found = found
        way = referring.Way(count, self._marker, found.named)
        self._looking = {
            i: referring.Looking(tasks[i], found.sources, way)
            for i in wanted
            if len(tasks[i].text) <= referring.MAX_FORM_CHARS
        }
        told: dict[int, BlockOutcome] = {}
        for i in wanted:
            outcome = referring.refer_block(
                tasks[i], found.sources, way
            ) or referring.relate_block(tasks[i], found.bases, way)
            if outcome is not None:
                told[i] = outcome
                self._promise(tasks[i], outcome, way)
        return told

    def again(self, i: int, outcome: BlockOutcome) -> BlockOutcome | None:
        """A compressor's form with references for what it still repeats, if it does.

        Args:
            i: index into the tasks given to ``refer``.
            outcome: of that block.
        """
        looking = self._looking.get(i)
        if looking is None:
            return None
        found = looking.again(outcome, self._plan.policy.marker)
        if found is not None:
            self._promise(looking.task, found, looking.way)
        return found

    def _promise(
        self, task: BlockTask, outcome: BlockOutcome, way: referring.Way
    ) -> None:
        """Remember what a form names, if that is to be asked for by number."""
        if way.marker == "":
            names = _asked_in(outcome.replacement or "", task.digest)
            named = (one for one in _sources(self._found) if one.name in names)
            self._promised |= {one.name: one for one in named}

    def missing_texts(self, tasks: Iterable[BlockTask], memo: SourceMemo) -> list[str]:
        """Digests of originals to read before ``refer``; mostly none.

        Args:
            tasks: all of the request.
            memo: as for ``refer``.
        """
        thread = self._chain.thread
        if thread is None or not any(map(self._may_refer, tasks)):
            return []
        return standing.missing(thread.standing, memo)

    def give(self, texts: Mapping[str, str], memo: SourceMemo) -> None:
        """Take the texts that were missing, and index them.

        Args:
            texts: by digest, as far as they were found.
            memo: as for ``refer``.
        """
        if texts and self._chain.thread is not None:
            self._kept = standing.find(self._chain.thread, texts, memo)

    def texts_named(self, outcomes: Iterable[BlockOutcome]) -> dict[str, str]:
        """What the model may ask for by the numbers in forms, by content digest.

        Args:
            outcomes: of the request's blocks, as accepted.
        """
        forms = [one.replacement or "" for one in outcomes if one.refers_to]
        names = set[str]().union(*map(names_in, forms))
        return {
            one.form_digest or one.digest: "\n".join(one.lines.raw)
            for one in self._promised.values()
            if one.name in names
        }

    def note(
        self,
        memo: SourceMemo,
        decisions: Mapping[int, Decision],
        is_kept: Callable[[str], bool],
    ) -> dict[str, str]:
        """Note what later requests may refer to, and ask for.

        Args:
            memo: as for ``refer``.
            decisions: as forwarded.
            is_kept: tells by its digest whether a text is kept already.

        Returns:
            Texts to keep together with the note, by content digest.
        """
        view, thread = self._view, self._chain.thread
        if not view.is_threaded or self._is_unknown:
            return {}
        known = thread or NOTHING
        self._number(known, memo, decisions)
        if view.may_drop_earlier:
            return {}
        self.noted = standing.Noted(known.standing, named=known.named)
        if thread is None or thread.results_total >= 0:
            earlier = self._earlier(memo)
            if not any(decision.hidden for decision in decisions.values()):
                self.results_total = earlier.results_total()
            policy = self._plan.policy
            if policy.may_refer and policy.allow_lossy:
                here = earlier.before(len(view.messages), decisions, {})
                self.noted = standing.note(here, known, is_kept)
        return self.noted.texts

    def _number(
        self, known: Thread, memo: SourceMemo, decisions: Mapping[int, Decision]
    ) -> None:
        """List what forms name that have no marker."""
        names = {
            name
            for one in decisions.values()
            for edit in one.edits
            if edit.is_lossy and edit.refers_to
            for name in _asked_in(edit.replacement, edit.digest)
        }
        if self.numbered is None or not names:
            return
        here = self._all_before(len(self._view.messages), memo, decisions, {})
        named = Found([*self._promised.values(), *here.sources], here.bases)
        self.numbered = self.numbered | standing.numbered(named, known, names)

    def digest_of(self, name: str) -> str | None:
        """Content digest of a text that is kept with a note; after ``note``.

        Args:
            name: what forms call it; see ``repeats.Source``.
        """
        found = {one.name: one.text for one in self.noted.standing}
        return (found | (self.numbered or {})).get(name)

    def text_of(
        self, name: str, memo: SourceMemo, decisions: Mapping[int, Decision]
    ) -> str | None:
        """A result, or a text of a call, as it stands in the request.

        Args:
            name: what forms call it; see ``repeats.Source``.
            memo: as for ``refer``.
            decisions: as forwarded.
        """
        before = len(self._view.messages)
        for source in _sources(self._all_before(before, memo, decisions, {})):
            if source.name == name:
                return "\n".join(source.lines.raw)
        return None

    def _may_refer(self, task: BlockTask) -> bool:
        """Whether a result may be told by earlier ones.

        Where the provider keeps these it may drop them, so that references are lossy
        there; and what it keeps must be known.
        """
        if not self._plan.policy.may_refer or self._view.may_drop_earlier:
            return False
        if self._view.continues and not (self._chain.thread and task.wants_lossy):
            return False
        return task.slot.is_tool and len(task.text) >= MIN_SOURCE_CHARS

    @property
    def _marker(self) -> str | None:
        """How forms with references are given; see ``referring.Way``."""
        if not self._view.continues:
            return None
        policy = self._plan.policy
        if not policy.asks_by_number or self.numbered is None:
            return policy.marker
        listed = self.numbered.keys() | self._promised.keys()
        return "" if len(listed) < MAX_NUMBERED else policy.marker

    @property
    def _is_unknown(self) -> bool:
        """Whether it goes on from an answer of which nothing is known."""
        return bool(self._view.continues) and self._chain.thread is None

    def _all_before(
        self,
        before: int,
        memo: SourceMemo,
        decisions: Mapping[int, Decision],
        edited: Mapping[tuple[int, str], Told],
    ) -> Found:
        """What the provider keeps, and what stands in the request."""
        thread = self._chain.thread
        kept = self._kept or Found([], [])
        if self._is_unknown:
            # The model counts results that nobody here has seen.
            return kept
        if thread is not None:
            if self._kept is None:
                kept = self._kept = standing.find(thread, {}, memo)
            if thread.results_total < 0:
                # Results of this request have no numbers.
                return kept
        here = self._earlier(memo).before(before, decisions, edited)
        return Found(
            [*kept.sources, *here.sources],
            [*kept.bases, *here.bases],
            kept.named | here.named,
        )

    def _earlier(self, memo: SourceMemo) -> Earlier:
        return Earlier(self._view, self._provider, self._chain, memo, self._calls)


def _sources(found: Found) -> list[Source]:
    return [*found.sources, *(base.source for base in found.bases)]


def _asked_in(form: str, digest: str) -> set[str]:
    """What a form names that can be got back by its number alone.

    Args:
        form: what is sent.
        digest: content digest of the text it stands for: what its own marker names.
    """
    if any(marker.digest == digest for marker in find_markers(form)):
        return set()
    return names_in(form)

"""The earlier tool results of a request that a new one may refer to.

Between the planner and ``repeats``: which results stand in full before a message, as
they are forwarded, and what number each has among all results the model sees.

What always holds: the choice depends on what stands before the message alone. Results
are numbered by block, whatever they hold, and where a hidden exchange has put further
results before them, they are not referred to: the model would count otherwise. In an
excerpt results may be missing, so that a number may be too low: there a result is told
by a line of it, and not referred to if another one is told alike.
"""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from headroom.core.calls import Calls
from headroom.core.digest import content_digest
from headroom.core.plan import Chain
from headroom.core.protocols import Provider
from headroom.core.repeats import (
    MIN_SOURCE_CHARS,
    MessageSources,
    Source,
    SourceMemo,
    given_sources,
    make_form_source,
    make_source,
    names_told_in,
)
from headroom.core.repeats.records import STRATEGY as RECORD_STRATEGY
from headroom.core.repeats.records import Base
from headroom.core.tool_choice import is_retrieval_tool
from headroom.core.types import (
    RESULT_TYPES,
    BlockOutcome,
    Decision,
    RequestView,
    Slot,
    SlotEdit,
    ToolCall,
)
from headroom.core.wire import json_spans

VERBATIM_STRATEGIES = frozenset({"read_gutter"})
"""Edits that leave every line readable word for word, so that it may be referred to."""

WINDOW_CHARS = 2_000_000
"""Results further back than this many characters of results are not referred to: the
model hardly finds them, and a conversation's index has to fit in memory."""

COMPLETE_STRATEGIES = VERBATIM_STRATEGIES | {"json_table", RECORD_STRATEGY}
"""Edits that leave every value readable, so that records may be told by them."""

REFERRING_STRATEGIES = frozenset({RECORD_STRATEGY})
"""Edits that are lossy only where the provider may drop what they refer to."""


class Told(Struct, frozen=True):
    """How a result leaves.

    Attributes:
        is_verbatim: every line can be read word for word.
        is_complete: every value of a JSON document can be read.
        form: what is sent instead, where it has lines that can be read as they are.
        refers_to: digests of what a reader has to look up.
    """

    is_verbatim: bool = True
    is_complete: bool = True
    refers_to: tuple[str, ...] = ()
    form: str = ""


AS_IT_STANDS = Told()


def told_of(edit: SlotEdit | BlockOutcome) -> Told:
    """How a result leaves under an edit, recorded or about to be."""
    return Told(
        is_verbatim=edit.strategy in VERBATIM_STRATEGIES,
        is_complete=edit.strategy in COMPLETE_STRATEGIES
        and (not edit.is_lossy or edit.strategy in REFERRING_STRATEGIES),
        refers_to=edit.refers_to,
        form="" if edit.strategy in COMPLETE_STRATEGIES else (edit.replacement or ""),
    )


class Found(Struct, frozen=True):
    """What a message may refer to, oldest first.

    Attributes:
        sources: results whose lines can be read where they stand.
        bases: JSON results whose values can.
        named: what forms tell of those they refer to; see ``names_told_in``.
    """

    sources: list[Source]
    bases: list[Base]
    named: frozenset[str] = frozenset()


class Earlier:
    """Finds sources in one request; lives as long as its rewrite."""

    def __init__(
        self,
        view: RequestView,
        provider: Provider,
        chain: Chain,
        memo: SourceMemo,
        calls: Calls | None = None,
    ) -> None:
        self._view = view
        self._made = calls or Calls(view, provider)
        self._provider = provider
        self._keys = chain.keys
        self._memo = memo
        thread = chain.thread
        self._results_before = 0 if thread is None else max(0, thread.results_total)
        known = () if thread is None else thread.calls
        self._calls_before = {call.id: call for call in known}

    def before(
        self,
        index: int,
        decisions: Mapping[int, Decision],
        edited: Mapping[tuple[int, str], Told],
    ) -> Found:
        """Sources for message ``index``, oldest first.

        Args:
            index: the message whose results may refer.
            decisions: of the messages before it.
            edited: how results leave, by ``(message, slot address)``, beside those that
                ``decisions`` tell.
        """
        hidden_at = min((i for i, d in decisions.items() if d.hidden), default=index)
        users = [i for i in range(index) if self._view.messages[i].role == "user"]
        ordinals = self._ordinals(users)
        sources: list[Source] = []
        bases: list[Base] = []
        named: set[str] = set()
        chars = 0
        for i in reversed(users):
            if i >= hidden_at:
                continue
            if chars > WINDOW_CHARS:
                break
            message = self._message(i, ordinals[i])
            chars += message.chars
            told = {e.address: told_of(e) for e in decisions[i].edits}
            for address, source in reversed(message.sources.items()):
                how = told.get(address) or edited.get((i, address), AS_IT_STANDS)
                named.update(names_told_in(how.form))
                if how.is_verbatim:
                    sources.append(source)
                elif how.form:
                    sources.append(self._form_source(self._keys[i], source, how.form))
                if how.is_complete and source.value is not None:
                    bases.append(Base(source, how.refers_to))
        if self._view.is_excerpt:
            # Its numbers may be others next time: a result is told in every form.
            return Found(*_told_apart(sources[::-1], bases[::-1]))
        return Found(sources[::-1], bases[::-1], frozenset(named))

    def _form_source(self, key: bytes, source: Source, form: str) -> Source:
        """The lines that stand in what is sent in place of a result."""
        digest = content_digest(form)
        memo_key = b"".join((key, source.name.encode(), b"=", digest.encode()))
        found = self._memo.get(memo_key)
        if found is None:
            label = source.label
            if self._view.is_excerpt:
                # Without a call it is told by a line, which has to be one that is sent.
                label = make_source(source.name, source.digest, form, None).label
            made = make_form_source(source.name, source.digest, form, label)
            found = MessageSources({"": made}, made.chars)
            self._memo.put(memo_key, found)
        return found.sources[""]

    def _ordinals(self, users: list[int]) -> dict[int, int]:
        """How many results stand before each message."""
        ordinals: dict[int, int] = {}
        total = self._results_before
        for i in users:
            ordinals[i] = total
            total += self._count(i)
        return ordinals

    def results_total(self) -> int:
        """How many results stand behind the last message."""
        roles = [message.role for message in self._view.messages]
        counts = [self._count(i) for i, role in enumerate(roles) if role == "user"]
        return self._results_before + sum(counts)

    def _count(self, index: int) -> int:
        """How many results are in a message."""
        count = self._memo.count(self._keys[index])
        if count is None:
            count = len(self._result_blocks(index))
            self._memo.put_count(self._keys[index], count)
        return count

    def _result_blocks(self, index: int) -> dict[int, list[Slot]]:
        """Block index → text slots, of every result in a message, texts or not."""
        blocks: dict[int, list[Slot]] = {}
        for slot in self._provider.slots(self._view, index):
            if slot.block_type in RESULT_TYPES:
                slots = blocks.setdefault(slot.block_index or 0, [])
                if isinstance(slot, Slot):
                    slots.append(slot)
        return blocks

    def _calls(self, index: int) -> Mapping[str, ToolCall]:
        """The calls that results in a message answer: made by the nearest assistant.

        Parallel results may be several messages in a row.
        """
        found = self._made.before(index)
        return self._calls_before if found is None else found

    def _message(self, index: int, ordinal: int) -> MessageSources:
        """The sources of one message; from the memo where its chain key is known."""
        found = self._memo.get(self._keys[index])
        if found is not None:
            return found
        calls = self._calls(index)
        sources: dict[str, Source] = {}
        for slots in self._result_blocks(index).values():
            ordinal += 1
            # Of a result in several parts a line number would not say which part.
            slot = slots[0] if len(slots) == 1 else None
            call = calls.get(slots[0].call_id) if slots else None
            if slot is None or (call is not None and is_retrieval_tool(call.name)):
                continue
            for given in given_sources(call, MIN_SOURCE_CHARS, str(ordinal)):
                sources[f"{slot.address}{given.name[-1]}"] = given
            text = json_spans.string(self._view.body, slot.literal)
            if len(text) >= MIN_SOURCE_CHARS:
                digest = content_digest(text)
                name = str(ordinal)
                sources[slot.address] = make_source(name, digest, text, call)
        found = MessageSources(sources, sum(s.chars for s in sources.values()))
        self._memo.put(self._keys[index], found)
        return found


def _told_apart(
    sources: list[Source], bases: list[Base]
) -> tuple[list[Source], list[Base]]:
    """Those whose label no other result has."""
    told = {(source.name, source.label) for source in sources}
    told |= {(base.source.name, base.source.label) for base in bases}
    count = Counter(label for _, label in told)
    return (
        [source for source in sources if count[source.label] == 1],
        [base for base in bases if count[base.source.label] == 1],
    )

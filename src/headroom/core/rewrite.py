"""One request on its way through the core, without any input or output.

The order of a rewrite is fixed, and so is who does what: the core decides, the shell
reads and writes in between. Whoever drives it (``driving``, tests) calls
the steps in this order and does what they return::

    rewrite = Rewrite(view, provider, policy, namespace=…, auth_mode=…)
    records  = ledger.lookup(rewrite.keys)            # the shell reads
    records += ledger.lookup(rewrite.orphan_keys(records))
    notes    = ledger.recall(rewrite.hidden_keys(records))
    rewrite.plan(records, notes=notes)
    rewrite.append(what_fits(rewrite.question))       # if anything may be appended
    rewrite.give(ledger.texts(rewrite.missing_texts(memo)), memo)
    for tasks in rewrite.groups():
        rest = rewrite.refer(tasks, memo, count)      # repeats of earlier results
        rewrite.add({i: compress_block(tasks[i], policy, count) for i in rest})
    batch    = rewrite.settle()
    winners  = store.save(batch.records, batch.originals)   # the shell writes, first
    body     = rewrite.finish(winners)                # … and only then forwards
    texts    = rewrite.note_results(memo)         # what later ones may refer to
    threads.keep(reply.id, rewrite.thread_after(reply))   # when it has been answered

What always holds: ``finish`` changes nothing but what decisions say that are in the
ledger by then, or were there before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
from msgspec import Struct

from headroom.core import accepting, plan, recording, tool_choice
from headroom.core.attempts import Failed, attempted
from headroom.core.calls import Calls
from headroom.core.earlier import Told, told_of
from headroom.core.forwarding import make_edits
from headroom.core.hidden import Placement
from headroom.core.plan import Plan
from headroom.core.protocols import LedgerKey, Provider, Record
from headroom.core.references import References
from headroom.core.repeats import SourceMemo
from headroom.core.rivals import better
from headroom.core.splice import splice
from headroom.core.stabilise import BREAKPOINTS, stabilise
from headroom.core.threads import Reply, Thread, follow
from headroom.core.types import (
    BlockOutcome,
    BlockTask,
    CountTokens,
    Decision,
    Edit,
    Manifest,
    Policy,
    RequestView,
)


class Batch(Struct, frozen=True):
    """What has to be stored before the request may leave."""

    records: list[tuple[LedgerKey, Decision]]
    originals: dict[str, str]


class Rewrite:
    """The state of one request between the steps; see the module.

    Attributes:
        reasons: why the body from ``finish`` differs, one word each.
        failures: what failed alone, beside blocks, which the manifest tells.
        unfit: messages whose recorded decision does not fit them: they leave as they
            came.
    """

    def __init__(
        self,
        view: RequestView,
        provider: Provider,
        policy: Policy,
        *,
        namespace: str = "",
        auth_mode: str = "unknown",
        thread: Thread | None = None,
    ) -> None:
        self.view = view
        self.policy = policy
        self.chain = plan.make_chain(
            view, namespace=namespace, auth_mode=auth_mode, thread=thread
        )
        self._provider = provider
        self._calls = Calls(view, provider)
        self._records: Sequence[Record] = ()
        self._hidden_keys: dict[int, tuple[bytes, ...]] = {}
        self._plan: Plan | None = None
        self._outcomes: list[BlockOutcome | None] = []
        self._group_start = self._group_end = 0
        self._tried_again: set[int] = set()
        self._floor: accepting.PrefixFloor | None = None
        self._references: References | None = None
        self._outcome: accepting.Outcome | None = None
        self.decisions: dict[int, Decision] = {}
        self.reasons: tuple[str, ...] = ()
        self.failures: list[Failed] = []
        self.unfit: frozenset[int] = frozenset()

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The chain keys to look up first."""
        return self.chain.keys

    @property
    def records(self) -> Sequence[Record]:
        """What the ledger had of the request, as ``plan`` was told."""
        return self._records

    def needs_store(self, records: Sequence[Record]) -> bool:
        """Whether the store must be read beside the records found in memory."""
        return plan.needs_store(self.view, self.chain, records)

    def orphan_keys(self, records: Sequence[Record]) -> list[bytes]:
        """Keys of block records to look up next; mostly none."""
        return plan.orphan_keys(self.view, self._provider, self.chain, records)

    def hidden_keys(self, records: Sequence[Record]) -> list[bytes]:
        """Keys of notes about what the client did not see; mostly none."""
        self._hidden_keys = plan.hidden_keys(self.view, self.chain, records)
        return [key for keys in self._hidden_keys.values() for key in keys]

    def plan(
        self,
        records: Sequence[Record],
        *,
        notes: Mapping[bytes, bytes] | None = None,
        is_complete: bool = True,
    ) -> None:
        """Decide what is known and what has to be worked out.

        Args:
            records: all that was found under both kinds of keys.
            notes: what was found under ``hidden_keys``.
            is_complete: ``False`` if the ledger could not be read in full.
        """
        self._records = records
        self._plan = plan.make(
            self.view,
            self._provider,
            self.chain,
            records,
            self.policy,
            is_complete=is_complete,
        )
        self._put_back(notes or {})
        self.policy = self._plan.policy
        if BREAKPOINTS in self._plan.stabilisers:
            self.view = msgspec.structs.replace(self.view, is_caching=True)
        self._outcomes = [None] * len(self._plan.tasks)
        self._floor = accepting.PrefixFloor(self.view, self._plan, self.policy)
        self._references = References(
            self.view, self._provider, self.chain, self._plan, self._calls
        )

    def _put_back(self, notes: Mapping[bytes, bytes]) -> None:
        """Decide what is put back into messages that come back for the first time."""
        decisions = self.made_plan.decisions
        for index, keys in self._hidden_keys.items():
            found = [notes[key] for key in keys if key in notes]
            find = partial(plan.find_hidden, self.view, self._provider, index, found)
            # What is not found now is never put back: worth trying once more.
            hidden = find() if self.policy.is_deciding else attempted(find)
            if isinstance(hidden, Failed):
                self.failures.append(hidden)
            elif hidden:
                decisions[index] = msgspec.structs.replace(
                    decisions[index], hidden=hidden
                )

    @property
    def question(self) -> str:
        """What the user says newly, where something may be appended; else empty."""
        target = self.made_plan.tail
        return "" if target is None else target.question

    def append(self, text: str) -> None:
        """Append a text to what the user says newly, from then on in every request."""
        target = self.made_plan.tail
        if target is None or not text:
            return
        decisions = self.made_plan.decisions
        decisions[target.index] = msgspec.structs.replace(
            decisions[target.index], tail=target.tail(text)
        )

    @property
    def is_first(self) -> bool:
        """Whether no message of the request is known to have been sent."""
        return self.made_plan.frontier < 0

    @property
    def is_beginning(self) -> bool:
        """Whether it was decided in this request what its conversation begins with."""
        return self.made_plan.is_beginning

    @property
    def more_tools(self) -> tuple[str, ...]:
        """Headroom's tools beside the retrieval tool that the body has."""
        own = self.own_tools
        return tuple(name for name in self.made_plan.begun.more_tools if name in own)

    def only_lossless(self) -> None:
        """Leave nothing out of what is new: originals cannot be stored."""
        self.revise(
            lambda task: (
                task
                if self._is_sent(task)
                else msgspec.structs.replace(task, wants_lossy=False)
            )
        )

    def _is_sent(self, task: BlockTask) -> bool:
        """Whether a block is only decided again, the ledger being unreadable."""
        found = self.made_plan
        return found.is_recomputing and task.message_index < found.live_from

    def revise(self, change: Callable[[BlockTask], BlockTask]) -> None:
        """Change what is wanted of the blocks that are seen for the first time."""
        found = self.made_plan
        tasks = tuple(change(task) for task in found.tasks)
        self._plan = msgspec.structs.replace(found, tasks=tasks)

    def results(self) -> list[tuple[BlockTask, BlockOutcome]]:
        """The blocks of all groups with what became of them."""
        return [
            (task, outcome)
            for task, outcome in zip(self.made_plan.tasks, self._outcomes, strict=True)
            if outcome is not None
        ]

    def groups(self) -> Iterator[tuple[BlockTask, ...]]:
        """The blocks to compress, message by message.

        A message's blocks may refer to earlier messages, so its group comes when the
        outcomes of the one before have been added.
        """
        tasks = self.made_plan.tasks
        start = 0
        while start < len(tasks):
            end = start + 1
            while (
                end < len(tasks)
                and tasks[end].message_index == tasks[start].message_index
            ):
                end += 1
            self._admit(start)
            self._group_start, self._group_end = start, end
            yield tasks[start:end]
            start = end

    def _admit(self, end: int) -> None:
        """Settle the outcomes before a task: later ones may refer to what is sent."""
        assert self._floor is not None, "plan() comes first"
        self._floor.settle(self.made_plan.tasks, self._outcomes, end)

    def refer(
        self, tasks: Sequence[BlockTask], memo: SourceMemo, count: CountTokens
    ) -> list[int]:
        """Replace repeats of earlier results in a group by references.

        Args:
            tasks: the group.
            memo: kept by the caller from request to request.
            count: the gate's counter.

        Returns:
            Indices into ``tasks`` of those that a compressor should still try.
        """
        told = attempted(lambda: self._refers.refer(tasks, self._edited, memo, count))
        rest = range(len(tasks))
        if isinstance(told, Failed):
            self.failures.append(told)
            return list(rest)
        for i, outcome in told.items():
            self._outcomes[self._group_start + i] = outcome
        return [i for i in rest if i not in told or not _is_settled(told[i])]

    def _edited(self) -> dict[tuple[int, str], Told]:
        """How the results leave that were decided so far."""
        return {
            (task.message_index, task.slot.address): told_of(outcome)
            for task, outcome in self.results()
            if outcome.replacement is not None
        }

    def missing_texts(self, memo: SourceMemo) -> list[str]:
        """Digests of originals to read before blocks are referred; mostly none.

        Args:
            memo: as for ``refer``.
        """
        return self._refers.missing_texts(self.made_plan.tasks, memo)

    def give(self, texts: Mapping[str, str], memo: SourceMemo) -> None:
        """Take the texts that were missing, and index them.

        Args:
            texts: by digest, as far as they were found.
            memo: as for ``refer``.
        """
        self._refers.give(texts, memo)

    def add(self, outcomes: Mapping[int, BlockOutcome]) -> None:
        """Take what compressors made of the current group, by index into it.

        What a form still repeats of earlier results is told by references, too.
        """
        for i, outcome in outcomes.items():
            position = self._group_start + i
            rival = self._outcomes[position]
            found = better(rival, outcome)
            again = attempted(partial(self._refers.again, i, outcome))
            if isinstance(again, Failed):
                self.failures.append(again)
            elif again is not None:
                found = better(found, again)
            self._outcomes[position] = found

    def too_short(self) -> dict[int, BlockTask]:
        """What of the group to compress once more, by index, nothing being left out.

        As it is, the prefix would fall below what the provider caches, and what would
        is left whole. Each block is told once; mostly there is none.
        """
        assert self._floor is not None, "plan() comes first"
        tasks = self.made_plan.tasks
        found = self._floor.rejected(tasks, self._outcomes, self._group_end)
        fresh = [position for position in found if position not in self._tried_again]
        self._tried_again.update(fresh)
        return {
            position - self._group_start: msgspec.structs.replace(
                tasks[position], wants_lossy=False
            )
            for position in fresh
        }

    def instead(self, outcomes: Mapping[int, BlockOutcome]) -> None:
        """Take what became of these, by index into the group."""
        for i, outcome in outcomes.items():
            if outcome.replacement is not None:
                self._outcomes[self._group_start + i] = outcome

    def settle(self) -> Batch:
        """What to store, given the outcomes of all groups."""
        self._admit(len(self._outcomes))
        outcomes = [
            outcome or BlockOutcome("no_compression_applied")
            for outcome in self._outcomes
        ]
        outcome = accepting.accept(self.view, self.made_plan, outcomes)
        self._outcome = outcome
        self.decisions = outcome.decisions
        records = recording.new_records(
            self.view, self.chain, self._records, outcome.decisions, outcome.call_ids
        )
        named = self._refers.texts_named(outcomes)
        return Batch(records, named | outcome.originals)

    def note_results(
        self, memo: SourceMemo, is_kept: Callable[[str], bool] = lambda _: False
    ) -> dict[str, str]:
        """Note what later requests may refer to; to be taken after ``finish``.

        Args:
            memo: as for ``refer``.
            is_kept: tells by its digest whether a text is kept already.

        Returns:
            Texts to keep together with the thread, by content digest.
        """
        return self._refers.note(memo, self.decisions, is_kept)

    def digest_of(self, name: str) -> str | None:
        """Content digest of a text that is kept with the note, by its number."""
        return self._refers.digest_of(name)

    def text_of(self, name: str, memo: SourceMemo) -> str | None:
        """A result as it stands in the request, by its number; after ``finish``."""
        return self._refers.text_of(name, memo, self.decisions)

    def finish(self, winners: Mapping[LedgerKey, Decision] | None = None) -> bytes:
        """The body to forward.

        Args:
            winners: decisions that others had recorded first, as the store returned
                them; they are what is forwarded.

        Raises:
            OverlappingEditsError: two changes of the body meet.
        """
        edits = self._edits(winners or {})
        if any(d.edits or d.hidden for d in self.decisions.values()):
            self.reasons = ("compression",)
        if any(d.tail for d in self.decisions.values()):
            self.reasons = (*self.reasons, "memory_injection")
        thread = self.chain.thread
        if thread is not None and thread.results:
            behind = Placement((), thread.results)
            edits += self._provider.hidden_edits(self.view, -1, behind)
            self.reasons = (*self.reasons, "retrieval_result")
        added = self._tool_edits()
        if added and self.made_plan.tools == "added":
            self.reasons = (*self.reasons, "retrieval_tool")
        if added and self.made_plan.begun.more_tools:
            self.reasons = (*self.reasons, "memory_tools")
        edits += added
        stabilised = stabilise(
            self.view,
            self._provider,
            self.made_plan.stabilisers,
            self.decisions,
            self.policy.cache_minimum_tokens,
        )
        self.reasons = (*self.reasons, *stabilised.names)
        return splice(self.view.body, [*edits, *stabilised.edits])

    def _edits(self, winners: Mapping[LedgerKey, Decision]) -> list[Edit]:
        """What the decisions mean that hold in the end."""
        mine = self.decisions
        settled = recording.with_winners(self.chain, mine, winners)
        edits, unfit = make_edits(self.view, self._provider, settled)
        for index in unfit:
            settled[index] = msgspec.structs.replace(
                settled[index], edits=(), hidden=b"", tail=None
            )
        if winners or unfit:
            assert self._outcome is not None, "settle() comes first"
            self._outcome = accepting.corrected(self._outcome, mine, settled)
            self.decisions = settled
            self.failures += unfit.values()
            self.unfit = frozenset(unfit)
        return edits

    @property
    def lost(self) -> frozenset[int]:
        """Messages of which it cannot be repeated how they left, if they left changed.

        What is recorded does not fit them, or nothing can be read of what is, and
        deciding again has failed.
        """
        failed = {
            task.message_index
            for task, outcome in self.results()
            if outcome.action == "compressor_error" and self._is_sent(task)
        }
        return self.unfit | failed

    def is_contradicted(self, winners: Mapping[LedgerKey, Decision]) -> bool:
        """Whether who recorded these messages first decided otherwise about the front.

        Then the whole request has to be planned again with their records: what may be
        left out depends on the tools.
        """
        return any(
            _front(winner) != self.front for winner in self._chain_winners(winners)
        )

    def _chain_winners(
        self, winners: Mapping[LedgerKey, Decision]
    ) -> Iterator[Decision]:
        lineage = self.chain.lineage
        for key in self.keys:
            winner = winners.get(LedgerKey(key, lineage))
            if winner is not None:
                yield winner

    def thread_after(self, reply: Reply, results: bytes | None = None) -> Thread:
        """What to note under the id of the answer, once it has ended.

        To be taken after ``finish``: the decisions are those that were forwarded.

        Args:
            reply: what the client saw of the answer.
            results: of what it did not see; see ``Thread``. ``None``: it saw all, and
                counts as many results as the model.
        """
        is_countable = results is None and not reply.is_compacted
        view, refers = self.view, self._refers
        sent = self.made_plan.earlier_bytes + reply.chars
        sent += sum(m.span.end - m.span.start for m in view.messages)
        return Thread(
            key=follow(self.chain.end, reply.links),
            tools=self.made_plan.tools,
            calls=reply.calls,
            prefix_bytes=sent - accepting.removed_bytes(view, self.decisions),
            stabilisers=self.made_plan.stabilisers,
            results=results or b"",
            more_tools=self.made_plan.begun.more_tools,
            results_total=refers.results_total if is_countable else -1,
            standing=() if reply.is_compacted else refers.noted.standing,
            named=() if reply.is_compacted else refers.noted.named,
            keeps_tools=self._keeps_tools
            or (view.tools_given is not None and bool(self._tool_edits())),
            numbered=refers.numbered,
        )

    @property
    def own_tools(self) -> frozenset[str]:
        """Names of Headroom's own tools that the model can call."""
        is_offered = self._keeps_tools or self._tool_edits()
        return frozenset(self._own_tools()) if is_offered else frozenset()

    def _own_tools(self) -> tuple[str, ...]:
        """Those the conversation began with; one that the client brings wins."""
        if not self.view.may_add_tool:
            # A call that nobody answers inside the answer would reach the client.
            return ()
        theirs = self.view.tool_names
        ours = tuple(n for n in self.made_plan.begun.own_tools if n not in theirs)
        return tool_choice.fitting(self.view, ours)

    @property
    def _keeps_tools(self) -> bool:
        thread = self.chain.thread
        return thread is not None and thread.keeps_tools

    def _tool_edits(self) -> list[Edit]:
        if self._keeps_tools:
            return []
        return self._provider.tool_edits(self.view, self._own_tools())

    @property
    def front(self) -> tuple[str, ...]:
        """What is added to and put in order in front of the messages, in words."""
        return _front(self.made_plan.begun)

    @property
    def _refers(self) -> References:
        assert self._references is not None, "plan() comes first"
        return self._references

    @property
    def made_plan(self) -> Plan:
        """The plan; only after ``plan`` was called."""
        assert self._plan is not None, "plan() comes first"
        return self._plan

    @property
    def manifest(self) -> Manifest:
        """What happened to every block; only after ``settle`` was called."""
        assert self._outcome is not None, "settle() comes first"
        return self._outcome.manifest


def _front(begun: Decision) -> tuple[str, ...]:
    return (begun.tools, *begun.stabilisers, *begun.more_tools)


def _is_settled(outcome: BlockOutcome) -> bool:
    """References tell so much of a result that no compressor need try it."""
    return outcome.compressed_tokens * 5 <= outcome.original_tokens

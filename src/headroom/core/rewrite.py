"""One request on its way through the core, without any input or output.

The order of a rewrite is fixed, and so is who does what: the core decides, the shell
reads and writes in between. Whoever drives it (the proxy's stage, the library, a test)
calls the steps in this order and does what they return::

    rewrite = Rewrite(view, provider, policy, namespace=…, auth_mode=…)
    records  = ledger.lookup(rewrite.keys)            # the shell reads
    records += ledger.lookup(rewrite.orphan_keys(records))
    tasks    = rewrite.plan(records)
    outcomes = [compress_block(task, policy, count) for task in tasks]
    batch    = rewrite.settle(outcomes)
    winners  = store.save(batch.records, batch.originals)   # the shell writes, first
    body     = rewrite.finish(winners)                # … and only then forwards

What always holds: ``finish`` changes nothing but the slots of decisions that are in the
ledger by then, or were there before.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from headroom.core import pipeline, plan
from headroom.core.plan import Plan
from headroom.core.protocols import LedgerKey, Provider, Record
from headroom.core.splice import splice
from headroom.core.types import (
    BlockOutcome,
    BlockTask,
    Decision,
    Manifest,
    Policy,
    RequestView,
)


class Batch(Struct, frozen=True):
    """What has to be stored before the request may leave."""

    records: list[tuple[LedgerKey, Decision]]
    originals: dict[str, str]


class Rewrite:
    """The state of one request between the steps; see the module."""

    def __init__(
        self,
        view: RequestView,
        provider: Provider,
        policy: Policy,
        *,
        namespace: str = "",
        auth_mode: str = "unknown",
    ) -> None:
        self.view = view
        self.policy = policy
        self.chain = plan.make_chain(view, namespace=namespace, auth_mode=auth_mode)
        self._provider = provider
        self._records: Sequence[Record] = ()
        self._plan: Plan | None = None
        self._outcome: pipeline.Outcome | None = None
        self.decisions: dict[int, Decision] = {}

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The chain keys to look up first."""
        return self.chain.keys

    def orphan_keys(self, records: Sequence[Record]) -> list[bytes]:
        """Keys of block records to look up next; mostly none."""
        return plan.orphan_keys(self.view, self._provider, self.chain, records)

    def plan(
        self, records: Sequence[Record], *, is_complete: bool = True
    ) -> tuple[BlockTask, ...]:
        """The blocks to compress.

        Args:
            records: all that was found under both kinds of keys.
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
        return self._plan.tasks

    def settle(self, outcomes: Sequence[BlockOutcome]) -> Batch:
        """What to store, given the outcomes of the tasks, in their order."""
        made = self.made_plan
        outcome = pipeline.accept(self.view, made, outcomes, self.policy)
        self._outcome = outcome
        self.decisions = outcome.decisions
        records = plan.new_records(
            self.view, self.chain, self._records, outcome.decisions, outcome.call_ids
        )
        return Batch(records, outcome.originals)

    def finish(self, winners: Mapping[LedgerKey, Decision] | None = None) -> bytes:
        """The body to forward.

        Args:
            winners: decisions that others had recorded first, as the store returned
                them; they are what is forwarded.

        Raises:
            CompressionError: a recorded edit does not fit this body.
        """
        self.decisions = plan.with_winners(self.chain, self.decisions, winners or {})
        edits = pipeline.make_edits(self.view, self._provider, self.decisions)
        return splice(self.view.body, edits)

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

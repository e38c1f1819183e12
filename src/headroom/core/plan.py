"""Request view + what was sent before → what to do with each block.

The planner is pure; the shell asks it for keys, reads the ledger, and asks it for the
plan. Three things can happen to a message: it lies in the **prefix** and leaves as it
left before; it lies in the **live zone** and its blocks may be compressed; or it was
sent by somebody else before (an assistant message stands behind it) and is left, unless
one of its blocks is known from another prefix.

What always holds: what a block becomes depends on the block and on what stands before
it, never on what comes after, on the clock or on other conversations.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from headroom.core import digest
from headroom.core.calls import Calls
from headroom.core.hidden import choose, note_keys
from headroom.core.protocols import Provider, Record
from headroom.core.stabilise import first_stabilisers
from headroom.core.tails import Target, target_of
from headroom.core.threads import Thread, follow, unknown_start
from headroom.core.tool_choice import (
    effective_policy,
    first_more_tools,
    first_tools,
    is_retrieval_tool,
)
from headroom.core.types import (
    BlockOutcome,
    BlockTask,
    Decision,
    HotBlock,
    ManifestEntry,
    Policy,
    RequestView,
    Slot,
    SlotEdit,
    ToolCall,
)
from headroom.core.wire import json_spans
from headroom.errors import CompressionError

BLOCK_LINEAGE = b"block"
"""Lineage of records that are found by tool call id and content alone."""

QUESTION_MESSAGES = 100
QUESTION_CHARS = 600
"""How far back a question is looked for, and how much of it is used."""


class Chain(Struct, frozen=True):
    """The keys of one request: one per message, and the lineage it belongs to.

    Attributes:
        end: the chain key behind the last message, from which its answer goes on; the
            last of ``keys`` unless the model produced that message.
        thread: what is known of the answer that the request goes on from.
    """

    namespace: str
    keys: tuple[bytes, ...]
    lineage: bytes
    end: bytes = b""
    thread: Thread | None = None


class Plan(Struct, frozen=True):
    """What to do with each message of one request.

    Attributes:
        frontier: index of the last message known to have been sent; ``-1``: none.
        live_from: index of the first message of the live zone.
        decisions: one per message: repeated from records, ``left`` for messages that
            were sent before Headroom saw them, and for live messages what is known
            before their tasks are run.
        tasks: the live blocks to compress, in order.
        entries: manifest lines of blocks that are not tasks.
        tail: where something may be appended, if anywhere.
        begun: what was decided when the conversation began: ``tools``,
            ``stabilisers`` and ``more_tools`` of a ``Decision``.
        policy: what holds for this request: lossy results only if its model can get
            originals back.
        is_beginning: ``begun`` was decided for this request.
        is_recomputing: the ledger could not be read; decisions are made again.
        earlier_bytes: a low estimate of what the provider keeps before this request.
    """

    frontier: int
    live_from: int
    decisions: dict[int, Decision]
    tasks: tuple[BlockTask, ...]
    entries: tuple[ManifestEntry, ...]
    policy: Policy
    begun: Decision = Decision()
    tail: Target | None = None
    is_beginning: bool = False
    is_recomputing: bool = False
    earlier_bytes: int = 0

    @property
    def tools(self) -> str:
        """How this conversation gets originals back; see ``Decision.tools``."""
        return self.begun.tools

    @property
    def stabilisers(self) -> tuple[str, ...]:
        """What is put in order in front of it; see ``Decision.stabilisers``."""
        return self.begun.stabilisers


def make_chain(
    view: RequestView, *, namespace: str, auth_mode: str, thread: Thread | None = None
) -> Chain:
    """The chain key after each message, and the request's lineage.

    A message that need not come back as it was has a key of its own beside the chain.

    Args:
        view: the request.
        namespace: separates tenants; never derived from the provider credential.
        auth_mode: whose credential this is; part of the lineage.
        thread: what is known of the answer it goes on from.
    """
    # Sorted: the same tools in another order are the same conversation's.
    names = "\0".join(sorted(view.tool_names))
    lineage = digest.chain_key(auth_mode.encode(), names.encode("utf-8"))
    if thread is not None:
        key = thread.key
    elif view.continues:
        key = unknown_start(namespace, view.api, view.continues)
    else:
        key = digest.chain_key(namespace.encode(), view.api.encode())
    if view.user and thread is None:
        key = digest.chain_key(key, b"user", view.user.encode())
    keys = []
    for message in view.messages:
        if message.links is None:
            key = digest.chain_key(key, message.canonical)
            keys.append(key)
        else:
            key = follow(key, message.links)
            keys.append(digest.chain_key(key, b"said", message.canonical))
    return Chain(namespace, tuple(keys), lineage, key, thread)


def block_key(chain: Chain, call_id: str, content_digest: str) -> bytes:
    """The key of a block's record: its tool call and its content, nothing else."""
    return digest.chain_key(
        chain.namespace.encode(), b"block", call_id.encode(), content_digest.encode()
    )


def last_assistant(view: RequestView) -> int:
    """Index of the last assistant message, ``-1`` if there is none."""
    for index in range(len(view.messages) - 1, -1, -1):
        if view.messages[index].role == "assistant":
            return index
    return -1


def sent_until(view: RequestView) -> int:
    """Messages before this index may have been sent before.

    Those behind which an assistant message stands, and all of an excerpt, which lacks
    what would tell.
    """
    return len(view.messages) if view.is_excerpt else last_assistant(view)


def needs_store(view: RequestView, chain: Chain, records: Sequence[Record]) -> bool:
    """Whether records beyond those in memory could change what is planned.

    They cannot if memory has every user message that may have been sent: what is newer
    has not been, or was sent by another worker a moment ago, whose record then wins
    when ours is written.
    """
    known = {r.key for r in records if r.lineage == chain.lineage}
    return any(
        view.messages[index].role == "user" and chain.keys[index] not in known
        for index in range(sent_until(view))
    )


def orphan_keys(
    view: RequestView, provider: Provider, chain: Chain, records: Sequence[Record]
) -> list[bytes]:
    """Keys of block records to look up where the client has edited its own history.

    Empty on a turn that extends a known conversation: then nothing that was sent
    before lacks a chain record, and newest results cannot have been sent.
    """
    known = {record.key for record in records}
    last = sent_until(view)
    found: list[bytes] = []
    is_broken = False
    for index, message in enumerate(view.messages):
        if message.role != "user" or chain.keys[index] in known:
            continue
        is_broken = is_broken or index < last
        if not is_broken:
            continue
        for slot in provider.slots(view, index):
            if isinstance(slot, Slot) and slot.record_id:
                text = json_spans.string(view.body, slot.literal)
                content = digest.content_digest(text)
                found.append(block_key(chain, slot.record_id, content))
    return found


def hidden_keys(
    view: RequestView, chain: Chain, records: Sequence[Record]
) -> dict[int, tuple[bytes, ...]]:
    """Note keys of what may be hidden in messages that come back for the first time.

    Only behind a message that was answered while Headroom's tool was at hand; mostly
    one message, or none.

    Returns:
        Note keys by message index.
    """
    known = {record.key: record.decision for record in records}
    found = {}
    for index in range(1, len(view.messages)):
        before = known.get(chain.keys[index - 1])
        if (
            view.messages[index].role == "assistant"
            and chain.keys[index] not in known
            and before is not None
            and before.own_tools
        ):
            found[index] = note_keys(chain.namespace, chain.keys[index - 1])
    return found


def find_hidden(
    view: RequestView, provider: Provider, index: int, notes: Iterable[bytes]
) -> bytes:
    """What is to be put back into message ``index``; see ``Decision.hidden``."""
    after = index + 1
    has_next = after < len(view.messages) and view.messages[after].role == "user"
    anchors = provider.anchors(view, index)
    encoded, placement = choose(notes, anchors, has_next=has_next)
    if placement is None:
        return b""
    try:
        provider.hidden_edits(view, index, placement)
    except CompressionError:
        # What is recorded is repeated on every turn, so it has to fit now.
        return b""
    return encoded


def make(
    view: RequestView,
    provider: Provider,
    chain: Chain,
    records: Sequence[Record],
    policy: Policy,
    *,
    is_complete: bool = True,
) -> Plan:
    """Decide about every message of a request.

    Args:
        view: the request.
        provider: the module that made the view.
        chain: the request's keys.
        records: all ledger records found under its chain and block keys.
        policy: what the credential and the settings allow.
        is_complete: the ledger answered in full; else messages without a record are
            decided again as they were at first sight (failing open means the bytes
            forwarded last time).
    """
    planner = _Planner(view, provider, chain, records, policy)
    return planner.run(is_complete=is_complete)


class _Planner:
    """The state of making one plan; lives for one call of ``make``."""

    def __init__(
        self,
        view: RequestView,
        provider: Provider,
        chain: Chain,
        records: Sequence[Record],
        policy: Policy,
    ) -> None:
        self.view = view
        self.provider = provider
        self.thread = thread = chain.thread
        self.chain = chain
        self.policy = policy
        self.known = _by_key(records)
        self.last_assistant = last_assistant(view)
        self.lossless_from = 0
        self.is_beginning = False
        # Digests of texts that leave otherwise than another lineage sent them.
        self.otherwise: set[str] = set()
        self.decisions: dict[int, Decision] = {}
        self.tasks: list[BlockTask] = []
        self.entries: list[ManifestEntry] = []
        known = () if thread is None else thread.calls
        self.calls: dict[str, ToolCall] = {call.id: call for call in known}
        self.made = Calls(view, provider)

    def run(self, *, is_complete: bool) -> Plan:
        view = self.view
        frontier = self._frontier() if self.policy.is_reapplying else -1
        live_from = max(frontier, self.last_assistant) + 1
        policy = self.policy
        if not policy.is_reapplying and policy.honours_markers:
            live_from = max(live_from, view.frozen_count)
        self.lossless_from = len(view.messages) if is_complete else live_from
        begun = self._begun(frontier, is_complete=is_complete)
        if not policy.keeps_tools:
            more = first_more_tools(policy, view)
            begun = msgspec.structs.replace(begun, more_tools=more)
        keeps_tools = self.thread is not None and self.thread.keeps_tools
        self.policy = effective_policy(
            self.policy, view, begun.tools, keeps_tools=keeps_tools
        )
        for index in range(len(view.messages)):
            record = self._record(index) if index <= frontier else None
            if record is not None:
                self.decisions[index] = record
            elif index >= live_from and not self.policy.is_deciding:
                self.decisions[index] = self._repeat_live(index)
            elif index >= live_from or not is_complete:
                self._plan_live(index)
            else:
                self.decisions[index] = self._plan_sent(index)
        return Plan(
            frontier=frontier,
            live_from=live_from,
            decisions=self.decisions,
            tasks=tuple(self.tasks),
            entries=tuple(self.entries),
            begun=begun,
            tail=target_of(view, self.provider, live_from)
            if policy.appends
            and policy.is_reapplying
            and is_complete
            and self.policy.is_deciding
            else None,
            policy=self.policy,
            is_beginning=self.is_beginning,
            is_recomputing=not is_complete,
            earlier_bytes=0 if self.thread is None else self.thread.prefix_bytes,
        )

    def _begun(self, frontier: int, *, is_complete: bool) -> Decision:
        """What was decided for this conversation when it began: tools, stabilisers.

        A request without any record takes it from the records of its blocks; only if it
        has none of these and no assistant message yet does a conversation begin here.
        Where the ledger cannot be read, it is decided again as it was then.
        """
        for index in range(frontier + 1):
            record = self._record(index)
            if record is not None:
                return _beginning(record)
        thread = self.thread
        if thread is not None:
            return Decision(
                tools=thread.tools,
                stabilisers=thread.stabilisers,
                more_tools=thread.more_tools,
            )
        if is_complete or self.view.continues:
            for records in self.known.values():
                if records[0].lineage == BLOCK_LINEAGE:
                    return _beginning(records[0].decision)
            if self.last_assistant >= 0 or self.view.continues:
                return Decision()
        self.is_beginning = True
        return Decision(
            tools=first_tools(self.policy, self.view),
            stabilisers=first_stabilisers(self.policy, self.provider, self.view),
            more_tools=first_more_tools(self.policy, self.view),
        )

    def _frontier(self) -> int:
        """The last message with a record that counts for this request.

        A request without any record of its own lineage that has not got past the first
        assistant message merely began with the same words as another conversation.
        """
        keys = self.chain.keys
        seen = [index for index, key in enumerate(keys) if key in self.known]
        if not seen:
            return -1
        first_assistant = next(
            (i for i, m in enumerate(self.view.messages) if m.role == "assistant"),
            len(keys),
        )
        lineage = self.chain.lineage
        if seen[-1] < first_assistant and not self.view.continues:
            own = [
                i
                for i in seen
                if any(r.lineage == lineage for r in self.known[keys[i]])
            ]
            return own[-1] if own else -1
        return seen[-1]

    def _record(self, index: int) -> Decision | None:
        """The decision recorded for a message: own lineage first, else the oldest."""
        records = self.known.get(self.chain.keys[index])
        if not records:
            return None
        own = (r.decision for r in records if r.lineage == self.chain.lineage)
        found = next(own, None) or self._of_another(records[0].decision)
        kept = {(edit.digest, edit.replacement) for edit in found.edits}
        self.otherwise.update(
            edit.digest
            for record in records
            for edit in record.decision.edits
            if (edit.digest, edit.replacement) not in kept
        )
        return found

    def _of_another(self, decision: Decision) -> Decision:
        """What of another lineage's decision holds in this one.

        Where a result leaves otherwise than there, lines that are referred to by their
        numbers are not where they were.
        """
        kept = tuple(
            edit
            for edit in decision.edits
            if (self.policy.allow_lossy or not edit.is_lossy)
            and self.otherwise.isdisjoint(edit.refers_to)
        )
        return msgspec.structs.replace(decision, edits=kept)

    def _plan_sent(self, index: int) -> Decision:
        """A message somebody sent before: what its blocks' own records say, or left.

        A reference to another block is decided anew: what it pointed at, or its number,
        may have gone with the client's edit. In an excerpt it stays: what it pointed at
        stands in the conversation, though it was not handed over this time.
        """
        if self.view.messages[index].role != "user":
            return Decision()
        edits = []
        for slot in self.provider.slots(self.view, index):
            if isinstance(slot, Slot) and slot.record_id:
                edit = self._block_edit(slot)
                if edit is not None and self._may_dangle(edit):
                    if self.policy.is_deciding:
                        self._plan_slot(index, slot)
                elif edit is not None:
                    edits.append(edit)
        return Decision(edits=tuple(edits))

    def _repeat_live(self, index: int) -> Decision:
        """A live message where nothing new is decided.

        Looked into only where blocks of it may be known from another prefix: what made
        the request fail may stand in it.
        """
        has_blocks = any(r[0].lineage == BLOCK_LINEAGE for r in self.known.values())
        if not has_blocks or self.view.is_prewarm:
            return Decision()
        return self._plan_sent(index)

    def _may_dangle(self, edit: SlotEdit) -> bool:
        return bool(edit.refers_to) and not self.view.is_excerpt

    def _block_edit(self, slot: Slot) -> SlotEdit | None:
        text = json_spans.string(self.view.body, slot.literal)
        key = block_key(self.chain, slot.record_id, digest.content_digest(text))
        records = self.known.get(key)
        if not records or not records[0].decision.edits:
            return None
        edit = records[0].decision.edits[0]
        if edit.is_lossy and not self.policy.allow_lossy:
            return None
        return msgspec.structs.replace(edit, address=slot.address)

    def _plan_live(self, index: int) -> None:
        """Tasks for every block of a live message; settled at once if it has none."""
        if self.view.messages[index].role != "user" or self.view.is_prewarm:
            self.decisions[index] = Decision()
            return
        edits: list[SlotEdit] = []
        for slot in self.provider.slots(self.view, index):
            if isinstance(slot, HotBlock):
                self._exclude(index, slot.block_index, slot.block_type)
                continue
            edit = self._block_edit(slot) if slot.record_id else None
            if edit is not None and not self._may_dangle(edit):
                edits.append(edit)
            else:
                self._plan_slot(index, slot)
        self.decisions[index] = Decision(edits=tuple(edits))

    def _plan_slot(self, index: int, slot: Slot) -> None:
        size_bytes = slot.literal.end - slot.literal.start - 2
        threshold = self.policy.min_lossless_bytes
        if 0 < size_bytes < threshold:
            outcome = BlockOutcome(
                "below_byte_threshold",
                original_bytes=size_bytes,
                threshold_bytes=threshold,
            )
            self.entries.append(
                ManifestEntry(index, slot.block_index, slot.block_type, outcome)
            )
            return
        if size_bytes == 0:
            return
        call = self._call(index, slot)
        if call is not None and is_retrieval_tool(call.name):
            self._exclude(index, slot.block_index, slot.block_type, "retrieval_answer")
            return
        text = json_spans.string(self.view.body, slot.literal)
        # What cannot be stored now is not left out: only what was left out before.
        wants_lossy = (
            self.policy.allow_lossy
            and index < self.lossless_from
            and (slot.is_tool or self.policy.lossy_user_text)
        )
        self.tasks.append(
            BlockTask(
                message_index=index,
                slot=slot,
                digest=digest.content_digest(text),
                text=text,
                model=self.view.model,
                call=call,
                question=self._question(index) if wants_lossy else "",
                wants_lossy=wants_lossy,
            )
        )

    def _question(self, index: int) -> str:
        """What the user last asked before a message, or in it; reminders aside."""
        for before in range(index, max(-1, index - QUESTION_MESSAGES), -1):
            if self.view.messages[before].role != "user":
                continue
            for slot in self.provider.slots(self.view, before):
                if isinstance(slot, Slot) and not slot.is_tool:
                    text = json_spans.string(self.view.body, slot.literal)
                    if text.strip() and not text.lstrip().startswith("<"):
                        return text[:QUESTION_CHARS]
        return ""

    def _exclude(
        self,
        index: int,
        block_index: int | None,
        block_type: str,
        reason: str = "hot_zone_block_type",
    ) -> None:
        outcome = BlockOutcome("excluded", reason=reason)
        self.entries.append(ManifestEntry(index, block_index, block_type, outcome))

    def _call(self, index: int, slot: Slot) -> ToolCall | None:
        """The call a result answers; it stands in the assistant message before it."""
        if not slot.call_id:
            return None
        if slot.is_positional:
            return self._calls_before(index).get(slot.call_id)
        if slot.call_id not in self.calls:
            self.calls.update(self._calls_before(index))
        return self.calls.get(slot.call_id)

    def _calls_before(self, index: int) -> Mapping[str, ToolCall]:
        return self.made.before(index) or {}


def _by_key(records: Iterable[Record]) -> dict[bytes, list[Record]]:
    known: dict[bytes, list[Record]] = {}
    for record in records:
        known.setdefault(record.key, []).append(record)
    return known


def _beginning(decision: Decision) -> Decision:
    """What a decision repeats of its conversation's beginning, and nothing else."""
    return msgspec.structs.replace(decision, edits=(), hidden=b"", tail=None)

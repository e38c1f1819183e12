"""What is written to the ledger of a request, and who decides where two wrote.

Between the pipeline and the store. What always holds: every message of a request has a
record when it leaves, and whoever recorded a message first decided about it.
"""

from collections.abc import Mapping, Sequence

import msgspec

from headroom.core.plan import BLOCK_LINEAGE, Chain, block_key
from headroom.core.protocols import LedgerKey, Record
from headroom.core.types import Decision, RequestView


def new_records(
    view: RequestView,
    chain: Chain,
    records: Sequence[Record],
    decisions: Mapping[int, Decision],
    call_ids: Mapping[tuple[int, str], str],
) -> list[tuple[LedgerKey, Decision]]:
    """The records to write before the request leaves: one per message without one.

    Args:
        view: the request.
        chain: its keys.
        records: what the ledger knew.
        decisions: what was decided, for every message of the request.
        call_ids: ``(message index, slot address)`` → tool call id, of edited slots.
    """
    own = {r.key for r in records if r.lineage == chain.lineage}
    batch: list[tuple[LedgerKey, Decision]] = []
    for index in range(len(view.messages)):
        key = chain.keys[index]
        if key in own:
            continue
        decision = decisions[index]
        batch.append((LedgerKey(key, chain.lineage), decision))
        for edit in decision.edits:
            call_id = call_ids.get((index, edit.address))
            if call_id:
                block = block_key(chain, call_id, edit.digest)
                found = msgspec.structs.replace(
                    decision, edits=(edit,), hidden=b"", tail=None
                )
                batch.append((LedgerKey(block, BLOCK_LINEAGE), found))
    return batch


def with_winners(
    chain: Chain,
    decisions: Mapping[int, Decision],
    winners: Mapping[LedgerKey, Decision],
) -> dict[int, Decision]:
    """The decisions to forward: whoever recorded a message first decided about it."""
    settled = dict(decisions)
    if winners:
        for index, key in enumerate(chain.keys):
            winner = winners.get(LedgerKey(key, chain.lineage))
            if winner is not None:
                settled[index] = winner
    return settled

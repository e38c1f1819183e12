"""The alarm for the law: does what was sent once leave as it left before?

An alarm, not a mechanism: its count must stay 0. It remembers how this process
forwarded messages; of those that it has not seen, it asks what the ledger says.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from headroom.core.plan import Chain
from headroom.core.protocols import Record
from headroom.core.trail import change_of


class PrefixWatch:
    """Remembers how messages were forwarded and counts those that leave otherwise."""

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._sent: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()

    def breaks(
        self,
        chain: Chain,
        changes: Sequence[bytes],
        records: Iterable[Record],
        lost: Collection[int] = (),
    ) -> int:
        """How many messages of this request leave otherwise than they left before.

        Args:
            chain: the request's keys.
            changes: what became of each message; see ``trail.change_of``.
            records: what the ledger had of them before.
            lost: messages that count where nothing is known of how they left.
        """
        lineage = chain.lineage
        recorded = {r.key: r.decision for r in records if r.lineage == lineage}
        found = 0
        for index, key in enumerate(chain.keys):
            change = changes[index]
            before = self._sent.get((key, lineage))
            if before is None and key in recorded:
                before = change_of(recorded[key])
            found += index in lost if before is None else before != change
            self._sent[key, lineage] = change
        while len(self._sent) > self._max_messages:
            self._sent.popitem(last=False)
        return found

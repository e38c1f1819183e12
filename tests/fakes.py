"""Stand-ins that obey the contracts of what they stand in for."""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from headroom.core.pipeline import compress_block
from headroom.core.protocols import Compressor, LedgerKey, Record
from headroom.core.repeats import SourceMemo
from headroom.core.rewrite import Rewrite
from headroom.core.threads import Thread
from headroom.core.types import Candidate, Compressed, Context, Decision, Policy
from headroom.errors import OriginalNotFoundError, StoreUnavailableError
from headroom.providers import PROVIDERS


class DictStore:
    """A store in two dictionaries; ``is_down`` makes every call fail.

    Attributes:
        pending: what could not be saved while it was down, written when it is up again
            (the ledger in front of a real store does this).
    """

    def __init__(self) -> None:
        self.records: dict[LedgerKey, Decision] = {}
        self.pending: list[tuple[LedgerKey, Decision]] = []
        self.originals: dict[str, str] = {}
        self.notes: dict[bytes, bytes] = {}
        self.is_down = False

    def load(self, keys: Sequence[bytes]) -> list[Record]:
        self._check()
        wanted = set(keys)
        return [
            Record(key.key, key.lineage, decision)
            for key, decision in self.records.items()
            if key.key in wanted
        ]

    def save(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision]:
        self._check()
        self.originals.update(originals)
        winners = {}
        for key, decision in records:
            if self.records.setdefault(key, decision) is not decision:
                winners[key] = self.records[key]
        return winners

    def get(self, digest: str) -> str:
        self._check()
        if digest not in self.originals:
            raise OriginalNotFoundError(f"no original under {digest}")
        return self.originals[digest]

    def remember(self, notes: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        self._check()
        found = {key: self.notes[key] for key in notes if key in self.notes}
        self.notes = {**notes, **self.notes}
        return found

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._check()
        return {key: self.notes[key] for key in keys if key in self.notes}

    def close(self) -> None:
        """Nothing is held."""

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailableError("switched off by the test")
        for key, decision in self.pending:
            self.records.setdefault(key, decision)
        self.pending.clear()


def count_words(text: str) -> int:
    """A token counter that needs no vocabulary."""
    return len(text) // 4 + 1


def _halve(text: str, context: Context) -> Compressed | None:
    """Keeps the even lines; calls it lossless, which only its name may do."""
    if text.startswith("~"):
        return None
    lines = text.splitlines(keepends=True)
    short = "~" + "".join(lines[::2])
    lossy = Candidate(
        f"{short[: len(short) // 4]}\n", "quarter", omitted="3 of 4 parts"
    )
    return Compressed(
        lossless=Candidate(short, "halve"),
        lossy=lossy if context.wants_lossy else None,
    )


def settled(found: Compressed | None) -> Compressed | None:
    """What a compressor found, its lossless form proven beside a lossy one too."""
    return None if found is None else found.settled()


HALVE = Compressor(name="halve", kind="log", detect=lambda _: 1.0, compress=_halve)


def forward(
    body: bytes | dict,
    store: DictStore,
    *,
    policy: Policy | None = None,
    api: str = "anthropic",
    auth_mode: str = "payg",
    memo: SourceMemo | None = None,
    thread: Thread | None = None,
    remembered: Callable[[str], str] = lambda _: "",
    user: str = "",
) -> tuple[bytes, Rewrite]:
    """What the proxy would forward for a body, and how it got there."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    provider = PROVIDERS[api]
    policy = policy or Policy(cache_minimum_tokens=0)
    view = msgspec.structs.replace(provider.parse(raw), user=user)
    rewrite = Rewrite(view, provider, policy, auth_mode=auth_mode, thread=thread)
    try:
        records = store.load(rewrite.keys)
        records += store.load(rewrite.orphan_keys(records))
        notes = store.recall(rewrite.hidden_keys(records))
        is_complete = True
    except StoreUnavailableError:
        records = [
            Record(key.key, key.lineage, decision) for key, decision in store.pending
        ]
        notes, is_complete = {}, False
    rewrite.plan(records, notes=notes, is_complete=is_complete)
    if rewrite.question:
        rewrite.append(remembered(rewrite.question))
    memo = SourceMemo() if memo is None else memo
    kept = {d: store.originals.get(d) for d in rewrite.missing_texts(memo)}
    found = {d: text for d, text in kept.items() if text is not None}
    rewrite.give(found, memo)
    for tasks in rewrite.groups():
        rest = rewrite.refer(tasks, memo, count_words)
        rewrite.add(
            {i: compress_block(tasks[i], rewrite.policy, count_words) for i in rest}
        )
    batch = rewrite.settle()
    try:
        winners = store.save(batch.records, batch.originals)
    except StoreUnavailableError:
        winners = {}
        store.pending += batch.records
    if rewrite.is_contradicted(winners):
        again = {"policy": policy, "api": api, "auth_mode": auth_mode, "memo": memo}
        again |= {"remembered": remembered, "user": user}
        return forward(raw, store, thread=thread, **again)
    forwarded = rewrite.finish(winners)
    texts = rewrite.note_results(memo)
    with contextlib.suppress(StoreUnavailableError):
        store.save([], texts)
    return forwarded, rewrite

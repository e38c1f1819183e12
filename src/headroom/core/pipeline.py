"""Run a plan: compress each block, count tokens, accept or reject, say what happened.

Between the planner and the splice. ``compress_block`` is a pure function of one task,
so that the shell may run it inline, in a thread or in another process; ``accepting``
turns the outcomes into decisions in the order of the conversation.

What always holds: a replacement has strictly fewer tokens and bytes than what it stands
for; a failing block stays as it was and its siblings go on.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from headroom.core import markers, mixed
from headroom.core.attempts import Failed, attempted
from headroom.core.compressors import COMPRESSORS, json_table
from headroom.core.content.hints import HINT_BONUS, NO_HINT, Hint, hint_of
from headroom.core.content.seal import is_sealed
from headroom.core.content.tags import MAX_WRAPS, find_wraps, is_unbalanced, lost_of
from headroom.core.mixed import Section, compress_sections
from headroom.core.own_forms import (
    above_marker,
    at_rest,
    has_header,
    is_decodable,
    is_own_form,
)
from headroom.core.pieces import compress_pieces
from headroom.core.protocols import Compressor
from headroom.core.rivals import Rival, better, chosen
from headroom.core.types import (
    RESULT_TYPES,
    BlockOutcome,
    BlockTask,
    Candidate,
    Compressed,
    Context,
    CountTokens,
    LostTag,
    Policy,
    ToolCall,
)

AT_REST = 0.9
"""A lossy form that would lose less than a tenth as a text is left as it is."""

MIN_CONFIDENCE = 0.5
"""A compressor less sure than this is not asked."""

SURE = 0.9
"""A compressor at least this sure is asked at once; see ``ranked``."""

USER_TEXT_KINDS = frozenset({"json", "log", "build", "diff", "table"})
"""Machine output that people paste; the rest of what people wrote stays."""

PARSED_KINDS = frozenset({"code", "diff", "html", "listing", "search", "table"})
"""Their compressors read a text to its end, or not at all; others only fold lines."""

DEFAULT_MIN_LOSSY_BYTES = 1024
"""Below this a marker and a possible retrieval outweigh what is left out (SPEC B.3)."""

_HIDDEN_SHARE = 0.9
"""A form of which sections save less than the rest of this is one as a whole."""

LONG_BYTES = 400_000
"""Longer texts are served piece by piece."""


def compress_block(task: BlockTask, policy: Policy, count: CountTokens) -> BlockOutcome:
    """Try to shorten one block; it is left where anything in that fails."""
    found = attempted(lambda: _compress(task, policy, count))
    if not isinstance(found, Failed):
        return found
    return BlockOutcome(
        "compressor_error",
        reason=found.reason,
        original_bytes=len(task.text.encode("utf-8", "surrogatepass")),
    )


def _compress(task: BlockTask, policy: Policy, count: CountTokens) -> BlockOutcome:
    try:
        size_bytes = len(task.text.encode("utf-8"))
    except UnicodeEncodeError:
        return BlockOutcome("no_compression_applied", reason="a lone surrogate")
    if size_bytes > policy.max_block_bytes:
        return BlockOutcome(
            "no_compression_applied",
            reason="block is larger than max_block_bytes",
            original_bytes=size_bytes,
        )
    hint = hint_of(task.call)
    is_long = size_bytes > LONG_BYTES and not hint.is_file and not _is_whole(task)
    context = Context(
        count=count if is_long else _counting_once(count),
        call=_call_of(task),
        question=task.question,
        wants_lossy=task.wants_lossy,
        is_tool=task.slot.is_tool,
    )
    # Of long texts pieces alone have forms.
    may_be_own = not is_long or task.text.startswith(f"[{mixed.NAME} ")
    work = _Block(task, size_bytes, context, policy)
    is_own = may_be_own and attempted(lambda: is_own_form(task.text)) is True
    if is_own and not work.hides_others():
        return BlockOutcome(
            "no_compression_applied",
            reason="a form already",
            original_bytes=size_bytes,
        )
    if is_long:
        return work.pieces()
    found = work.best()
    if has_header(task.text) and _hardly_changes(found, found.original_tokens):
        # As it may have been sent as a lossy form.
        return BlockOutcome(
            "no_compression_applied",
            reason="a form already, or hardly longer than one",
            original_bytes=size_bytes,
        )
    return found if work.is_final(found) else work.final()


def _hardly_changes(found: BlockOutcome, tokens: int) -> bool:
    """Whether what became of a form saves less than a tenth of its tokens."""
    is_change = found.replacement is not None
    return is_change and found.compressed_tokens >= AT_REST * tokens


def _is_whole(task: BlockTask) -> bool:
    """Whether the text is of a kind that is not cut into pieces."""
    whole = [compressor for compressor in COMPRESSORS if compressor.reads_whole]
    return any(c.kind == task.kind or c.detect(task.text) >= SURE for c in whole)


def _is_of_one(whole: BlockOutcome) -> bool:
    """Whether the whole text was read as one document, which has no sections."""
    if whole.replacement is None:
        return False
    return whole.kind in PARSED_KINDS or whole.strategy == json_table.NAME


def _is_little(outcome: BlockOutcome) -> bool:
    """Whether next to nothing was gained: the text may be of another kind."""
    return outcome.compressed_tokens * 100 > outcome.original_tokens * 97


def _counting_once(count: CountTokens) -> CountTokens:
    """The same counts, each text being counted once: compressors and the gate ask."""
    known: dict[str, int] = {}

    def count_once(text: str) -> int:
        tokens = known.get(text)
        if tokens is None:
            tokens = known[text] = count(text)
        return tokens

    return count_once


def _call_of(task: BlockTask) -> ToolCall | None:
    """The call behind a block; one without a name where there was one, but unknown.

    A text that nobody asked a tool for is told from a result whose call cannot be seen:
    the latter may be a file that is about to be edited.
    """
    if task.call is None and task.slot.block_type in RESULT_TYPES:
        return ToolCall(task.slot.call_id, "", b"")
    return task.call


def ranked(
    text: str,
    *,
    kind: str = "",
    is_tool: bool = True,
    hint: Hint = NO_HINT,
    wants_lossy: bool = True,
) -> Iterator[Compressor]:
    """The compressors that may serve a text, the surest first.

    One that is sure is asked before the others have even looked: on short texts the
    looking would cost more than the compressing.

    Args:
        text: the text.
        kind: what the caller knows it to be; compressors of that kind come first,
            whatever they think of it.
        is_tool: a tool returned it; of what people wrote only machine output is served.
        hint: what the call that asked for it tells; a file's own text is served by
            compressors of code alone, which alter no line.
        wants_lossy: a lossy form could be used.
    """
    able = [
        compressor
        for compressor in COMPRESSORS
        if (is_tool or compressor.kind in USER_TEXT_KINDS)
        and (compressor.kind == "code" or not hint.is_file)
        and (wants_lossy or not compressor.is_lossy_only)
    ]
    # Named ones first, then those the call expects, then as registered: a stable sort.
    able.sort(key=lambda found: (found.kind != kind, found.kind != hint.kind))
    rest: list[tuple[float, int, Compressor]] = []
    for position, compressor in enumerate(able):
        # Those that cannot be surer than the ones found look if these gain nothing.
        rest.sort(key=lambda entry: entry[:2])
        while rest and all(
            c.kind != kind
            and c.most + HINT_BONUS * (c.kind == hint.kind) <= -rest[0][0]
            for c in able[position:]
        ):
            yield rest.pop(0)[2]
        found = attempted(partial(compressor.detect, text))
        # What a compressor cannot look at is none of its kind.
        confidence = 0.0 if isinstance(found, Failed) else found
        if compressor.kind == hint.kind and confidence >= MIN_CONFIDENCE:
            confidence += HINT_BONUS
        if compressor.kind == kind or confidence >= SURE:
            yield compressor
        elif confidence >= MIN_CONFIDENCE:
            rest.append((-confidence, position, compressor))
    for _, _, compressor in sorted(rest, key=lambda entry: entry[:2]):
        yield compressor


def _head_of(kind: str, text: str) -> str:
    """The lines at a text's beginning that tell what its pieces of that kind mean."""
    heads = (c.head for c in COMPRESSORS if c.kind == kind and c.head is not None)
    return "".join(head(text) for head in heads)


class _Block:
    """One block on its way through the compressors; lives for one call.

    Attributes:
        skipped_kind: compressors of this kind are not asked about the whole text.
        is_lossy_rather: where there is a lossy form, the lossless one is not tried.
    """

    def __init__(
        self, task: BlockTask, size_bytes: int, context: Context, policy: Policy
    ) -> None:
        self.task = task
        self.size_bytes = size_bytes
        self.context = context
        self.policy = policy
        self.hint = hint_of(task.call)
        if task.expects and not self.hint.is_file:
            self.hint = msgspec.structs.replace(self.hint, kind=task.expects)
        self.tokens: int | None = None
        self.skipped_kind = ""
        self.is_lossy_rather = False

    def best(self) -> BlockOutcome:
        """The better of the whole text's result and that of its sections."""
        whole = self.whole()
        if not self._keeps_wraps(whole):
            return self._best_with_wraps()
        cut = None if self.hint.is_file or _is_of_one(whole) else self.sections()
        if cut is None or not self._keeps_wraps(cut):
            return whole
        return better(whole if whole.replacement is not None else None, cut)

    def _keeps_wraps(self, found: BlockOutcome) -> bool:
        """Whether all that a harness put among the lines stands there (SPEC R168)."""
        form = found.replacement
        if form is None or "</" not in self.task.text:
            return True
        text = self.task.text
        # What pages say escaped (&lt;file-name&gt;) looks like a tag when it is read.
        if found.is_lossy and found.kind != "html" and is_unbalanced(text, form):
            return False
        wraps = find_wraps(text)
        if len(wraps) > MAX_WRAPS:
            return not found.is_lossy
        return all(text[start:end] in form for start, end in wraps)

    def _best_with_wraps(self) -> BlockOutcome:
        """The first result that keeps what the harness put among the lines."""
        task = msgspec.structs.replace(self.task, wants_lossy=False)
        lossless = _Block(task, self.size_bytes, self.context, self.policy)
        for work in (self, lossless):
            cut = None if self.hint.is_file else work.sections()
            for found in (cut, lossless.whole() if work is lossless else None):
                is_good = found is not None and found.replacement is not None
                if found is not None and is_good and self._keeps_wraps(found):
                    return found
        return BlockOutcome(
            "no_compression_applied",
            reason="a passage of the harness would be lost",
            original_bytes=self.size_bytes,
        )

    def is_final(self, found: BlockOutcome) -> bool:
        """Whether the result stays as it is when it comes as a text (SPEC F28)."""
        form = found.replacement
        if form is None:
            return True
        task = msgspec.structs.replace(self.task, text=form, kind="")
        again = _Block(task, len(form.encode("utf-8")), self.context, self.policy)
        is_proven = not found.is_lossy and is_decodable(form, found.kind)
        if is_proven or attempted(lambda: is_own_form(form)) is True:
            return not again.hides_others()
        if not self.task.wants_lossy and found.strategy != mixed.STRATEGY:
            # What wrote it has brought it to rest.
            again.skipped_kind = found.kind
        rest = again.best()
        if rest.replacement is None:
            return True
        # Where parts are left out a marker tells so, and a few blanks less in the form
        # are no reason to send several times as much.
        return found.is_lossy and _hardly_changes(rest, found.compressed_tokens)

    def hides_others(self) -> bool:
        """Whether sections of a form would be shortened: others stand behind it.

        A form may hold lines as they were, and whoever writes it in front of a text
        must not switch compression off. What is sealed has nothing behind it.
        """
        text = self.task.text
        if text.startswith(f"[{mixed.NAME} ") or any(
            is_sealed(name, text) for name in ("html", "prose")
        ):
            return False
        found = None if self.hint.is_file else self.sections()
        if found is None or found.replacement is None:
            return False
        return found.compressed_tokens < _HIDDEN_SHARE * found.original_tokens

    def final(self) -> BlockOutcome:
        """The first result that stays as it is, where the best one does not."""
        works = [self]
        if self.task.wants_lossy:
            lossy = _Block(self.task, self.size_bytes, self.context, self.policy)
            lossy.is_lossy_rather = True
            task = msgspec.structs.replace(self.task, wants_lossy=False)
            lossless = _Block(task, self.size_bytes, self.context, self.policy)
            works += [lossy, lossless]
        for work in works:
            for found in (work.whole(), work.sections()):
                if found is None or found.replacement is None:
                    continue
                if self.is_final(found):
                    return found
        return BlockOutcome(
            "no_compression_applied",
            reason="no form would stay as it is",
            original_bytes=self.size_bytes,
        )

    def whole(self) -> BlockOutcome:
        """The result of the surest compressor that gains anything on the whole text.

        One that gains next to nothing may have mistaken it: the others are asked for a
        lossless form that gains more.
        """
        task = self.task
        rejected: BlockOutcome | None = None
        best: BlockOutcome | None = None
        for compressor in ranked(
            task.text,
            kind=task.kind,
            is_tool=task.slot.is_tool,
            hint=self.hint,
            wants_lossy=task.wants_lossy,
        ):
            if compressor.kind == self.skipped_kind:
                continue
            outcome = self.attempt(compressor, is_lossless=best is not None)
            if outcome is not None and outcome.action == "compressed":
                best = outcome if best is None else better(best, outcome)
                if best.kind in PARSED_KINDS or not _is_little(best):
                    return best
            rejected = rejected or outcome
        return (
            best
            or rejected
            or BlockOutcome("no_compression_applied", original_bytes=self.size_bytes)
        )

    def sections(self) -> BlockOutcome | None:
        """The text with each of its sections served by its own kind."""

        def shorten(section: str) -> Section | None:
            task = msgspec.structs.replace(self.task, text=section, kind="")
            size_bytes = len(section.encode("utf-8"))
            policy = msgspec.structs.replace(self.policy, marker="")
            found = _Block(task, size_bytes, self.context, policy).whole()
            # What was merely cleaned is not worth an announcement.
            if found.replacement is None or found.kind == "mixed":
                return None
            return Section(
                found.kind, found.replacement, found.omitted, found.lost_tags
            )

        candidate = compress_sections(self.task.text, shorten)
        if candidate is None:
            return None
        is_lossy = bool(candidate.omitted)
        replacement = self._marked(candidate) if is_lossy else candidate.text
        return self._gate("mixed", candidate, replacement, is_lossy=is_lossy)

    def pieces(self) -> BlockOutcome:
        """A long text piece by piece, each as a text of its own would be served."""
        policy = msgspec.structs.replace(self.policy, marker="")
        left = BlockOutcome("no_compression_applied", original_bytes=self.size_bytes)

        def shorten(text: str, expected: str) -> Section | None:
            nonlocal left
            expects = self.task.expects or expected
            task = msgspec.structs.replace(self.task, text=text, expects=expects)
            count = _counting_once(self.context.count)
            share = min(1.0, len(text) / len(self.task.text))
            context = msgspec.structs.replace(self.context, count=count, share=share)
            found = _Block(task, len(text.encode()), context, policy).best()
            if found.replacement is None:
                left = found if found.action == "compressor_error" else left
                return None
            return Section(
                found.kind, found.replacement, found.omitted, found.lost_tags
            )

        joined = compress_pieces(self.task.text, shorten, _head_of)
        if joined is None:
            return left
        kind, candidate = joined
        is_lossy = bool(candidate.omitted)
        replacement = self._marked(candidate) if is_lossy else candidate.text
        return self._gate(kind, candidate, replacement, is_lossy=is_lossy) or left

    def attempt(
        self, compressor: Compressor, *, is_lossless: bool = False
    ) -> BlockOutcome | None:
        """One compressor's best result, gated; ``None`` if it found nothing to gain."""
        context = self.context
        may_be_lossy = not is_lossless and self._may_be_lossy(compressor)
        if context.wants_lossy and not may_be_lossy:
            context = msgspec.structs.replace(context, wants_lossy=False)

        def work() -> BlockOutcome | None:
            found = compressor.compress(self.task.text, context)
            if found is None:
                return None
            return self._settle(compressor.kind, found, is_lossy=may_be_lossy)

        outcome = attempted(work)
        if not isinstance(outcome, Failed):
            return outcome
        return BlockOutcome(
            "compressor_error",
            kind=compressor.kind,
            strategy=compressor.name,
            reason=outcome.reason,
            original_bytes=self.size_bytes,
        )

    def _settle(
        self, kind: str, found: Compressed, *, is_lossy: bool
    ) -> BlockOutcome | None:
        """The better of two forms; what a lossy one beats need not be proven."""
        lossy = self._rival(kind, found.lossy if is_lossy else None)
        # The text of a page keeps no markup: enough of what was fetched to be read, not
        # of a file somebody works on.
        if kind == "html" and self.task.call is not None and self.hint.kind != "html":
            return lossy.outcome()
        if self.is_lossy_rather and lossy.chars:
            return lossy.outcome()
        lossless = found.lossless
        if found.draft is not None:
            if lossy.clearly_beats(found.draft.least_chars):
                return lossy.outcome()
            form = found.draft.write()
            if lossy.chars:
                likely = self._chosen(kind, Candidate(form, ""), lossy)
                if likely is not None and likely.is_lossy:
                    return likely
            lossless = found.draft.prove(form)
        if lossless is None:
            return lossy.outcome()
        return self._chosen(kind, lossless, lossy)

    def _rival(self, kind: str, lossy: Candidate | None) -> Rival:
        if lossy is None:
            return Rival(kind, 0, lambda: None)
        marked = self._marked(lossy)
        gate = partial(self._gate, kind, lossy, marked, is_lossy=True)
        return Rival(kind, len(marked), gate)

    def _chosen(
        self, kind: str, lossless: Candidate, lossy: Rival
    ) -> BlockOutcome | None:
        form = lossless.text if self.hint.is_file else at_rest(lossless.text)
        return chosen(partial(self._gate, kind, lossless, form), len(form), lossy)

    def _may_be_lossy(self, compressor: Compressor) -> bool:
        if not self.task.wants_lossy:
            return False
        minimum = self.policy.min_lossy_bytes.get(
            compressor.kind, DEFAULT_MIN_LOSSY_BYTES
        )
        return self.size_bytes >= max(minimum, self.task.slot.min_lossy_bytes)

    def _marked(self, candidate: Candidate) -> str:
        if not self.policy.marker:
            return candidate.text
        text, account = above_marker(candidate.text, candidate.omitted)
        newline = "" if text.endswith("\n") else "\n"
        marker = markers.write_marker(self.task.digest, account, self.policy.marker)
        return f"{text}{newline}{marker}"

    def _lost_tags(self, candidate: Candidate, form: str) -> tuple[LostTag, ...]:
        if candidate.lost_tags or not candidate.omitted:
            return candidate.lost_tags
        return lost_of(self.task.text, form)

    def _gate(
        self,
        kind: str,
        candidate: Candidate,
        replacement: str,
        *,
        is_lossy: bool = False,
    ) -> BlockOutcome | None:
        """Accept only what has strictly fewer tokens and bytes (SPEC R121, F27)."""
        if replacement == self.task.text:
            return None
        if self.tokens is None:
            self.tokens = self.context.count(self.task.text)
        after = self.context.count(replacement)
        compressed_bytes = len(replacement.encode("utf-8"))
        is_smaller = after < self.tokens and compressed_bytes < self.size_bytes
        return BlockOutcome(
            "compressed" if is_smaller else "rejected_not_smaller",
            kind=kind,
            strategy=candidate.strategy,
            original_bytes=self.size_bytes,
            compressed_bytes=compressed_bytes,
            original_tokens=self.tokens,
            compressed_tokens=after,
            is_lossy=is_lossy,
            omitted=candidate.omitted if is_lossy else "",
            lost_tags=self._lost_tags(candidate, replacement) if is_smaller else (),
            replacement=replacement if is_smaller else None,
            refers_to=candidate.refers_to,
        )

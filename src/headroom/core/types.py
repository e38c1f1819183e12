"""The words of the project as values: spans, edits, views, plans, manifests.

Everything here is frozen and holds no behaviour beyond small derived values. Spans are
half-open byte ranges into the *original* request body; texts are ``str``.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

JsonValue: TypeAlias = (
    "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
)

Kind: TypeAlias = Literal[
    "json", "table", "listing", "log", "build", "trace",
    "search", "diff", "html", "prose", "code", "mixed",
]  # fmt: skip
"""What a tool output is; the same twelve words in results, manifests and metrics."""

KINDS: tuple[Kind, ...] = (
    "json", "table", "listing", "log", "build", "trace",
    "search", "diff", "html", "prose", "code", "mixed",
)  # fmt: skip

RESULT_TYPES = frozenset(
    {"tool_result", "tool_content", "output_item", "function_response"}
)
"""Types of blocks that hold the result of a tool call, in all APIs."""

RETRIEVAL_TOOL = "headroom_retrieve"
"""The tool by which a model gets originals back."""

CountTokens: TypeAlias = Callable[[str], int]
"""Tokens of a text by the counter that gates results (a low-bias, real tokenizer)."""


class Span(Struct, frozen=True, gc=False, order=True):
    """A half-open range ``[start, end)`` of byte offsets into a body."""

    start: int
    end: int

    def of(self, body: bytes) -> bytes:
        """The bytes this span covers."""
        return body[self.start : self.end]


class Edit(Struct, frozen=True, gc=False):
    """One replacement of one span; an empty span inserts."""

    span: Span
    replacement: bytes


class ToolCall(Struct, frozen=True, gc=False):
    """The call that asked for a tool result.

    Attributes:
        id: the provider's call id; empty where the API has none (Gemini).
        name: the tool's name, as the client spells it.
        input: the arguments, raw JSON as it stands in the body.
    """

    id: str
    name: str
    input: bytes


class Slot(Struct, frozen=True, gc=False):
    """One place in a message whose string literal may be replaced.

    Attributes:
        address: where in the message, stable under markers: ``"2"`` for the text of
            block 2, ``"2.0"`` for its part 0; string content is block ``"0"``.
        block_index: index of the block, ``None`` for string content.
        block_type: ``tool_result``, ``text``, ``string_content``, …; those of results
            are the ``RESULT_TYPES``.
        literal: the JSON string literal, quotes included.
        is_tool: the text was returned by a tool (else a person or harness wrote it).
        call_id: the id of the tool call that asked for it; empty if there is none.
        is_error: the client flagged the result as an error.
        min_lossy_bytes: below this nothing is left out of it, whatever its kind.
        is_positional: ``call_id`` says which call of the message before it the text
            answers, and means nothing anywhere else: the API has no ids of its own.
    """

    address: str
    block_index: int | None
    block_type: str
    literal: Span
    is_tool: bool
    call_id: str = ""
    is_error: bool = False
    min_lossy_bytes: int = 0
    is_positional: bool = False

    @property
    def record_id(self) -> str:
        """The id its block record is kept under; empty: it can have none."""
        return "" if self.is_positional else self.call_id


class HotBlock(Struct, frozen=True, gc=False):
    """A block that is never touched wherever it stands."""

    block_index: int
    block_type: str


class ToolSpan(Struct, frozen=True, gc=False):
    """One element of a request's tool list.

    Attributes:
        span: the whole element.
        name: the tool's name; empty if it has none.
        schema: the JSON Schema of its arguments, if it has one.
        is_marked: a cache marker stands on it.
    """

    span: Span
    name: str
    schema: Span | None = None
    is_marked: bool = False


class Front(Struct, frozen=True, gc=False):
    """What stands in front of the messages and may be put in order.

    Attributes:
        tools: the elements of the tool list, in the body's order.
        cache_key: what adds the key that steers requests to one cache; ``None`` if the
            API has none, or the client set its own.
        takes_breakpoints: the API caches up to markers in the request, and the client
            has set none.
    """

    tools: tuple[ToolSpan, ...] = ()
    cache_key: Edit | None = None
    takes_breakpoints: bool = False


class Breakpoints(Struct, frozen=True, gc=False):
    """Cache markers for one request.

    Attributes:
        edits: what sets those in the system prompt and the messages.
        tool_member: the member to add to the last tool; empty for none.
    """

    edits: tuple[Edit, ...] = ()
    tool_member: bytes = b""


class MessageView(Struct, frozen=True, gc=False):
    """One message: who wrote it, where it stands, what it is for the ledger.

    Attributes:
        role: ``user`` (tool results included, whatever the API calls them),
            ``assistant`` or ``other`` (system, developer: never live).
        span: the whole message object.
        raw: hash of the message's own bytes, for memos of what was read in them.
        canonical: hash of what enters the chain key, ``cache_control`` cut out.
        markers: the values of the ``cache_control`` members in it, in order.
        links: what enters the chain key instead of ``canonical``, where the model
            produced the message and clients need not send it back as it was; none at
            all leave the chain as it is. ``None``: ``canonical`` enters it.
        parts: the items of a message that is a run of them, in order.
    """

    role: Literal["user", "assistant", "other"]
    span: Span
    raw: bytes
    canonical: bytes
    markers: tuple[Span, ...] = ()
    links: tuple[bytes, ...] | None = None
    parts: tuple[Span, ...] = ()


class RequestView(Struct, frozen=True, gc=False):
    """What a provider module read out of a body; it points into it and copies little.

    Attributes:
        api: the provider family, part of every chain key (``anthropic``, …).
        tool_names: the names of the client's tools, in the body's order.
        frozen_count: messages at or below the client's last marker (SPEC R23).
        is_caching: the provider may cache this prefix (markers, or automatic).
        text_before: spans of what precedes the messages in the provider's prefix
            (tools, system), for the estimate of its length.
        may_drop_earlier: the provider may remove earlier blocks from this request
            (context management, compaction); what it keeps behind the answer named by
            ``continues`` is another matter.
        is_excerpt: messages of the conversation are missing, what the assistant said
            among them: any of these may have been sent before.
        tools: the tool list, if the request has one.
        tools_given: a tool list that stands in a message instead; where the provider
            keeps the conversation, it is sent once.
        is_threaded: the provider keeps the conversation; later requests may carry
            nothing but what is new, neither tools nor earlier messages.
        may_add_tool: calls of a tool that Headroom adds can be answered inside the
            answer to this request, and what they said be put back later.
        is_choice_limited: the client says which tools may be called, and one that is
            added is not among them: no conversation begins with one here, and one that
            has one keeps it, since tools stand first in the provider's prefix.
        continues: id of the answer that this request goes on from, where the provider
            keeps what came before it; empty: the request carries all of it.
        conversation: id of a conversation of the provider's own, which others may add
            to; then nothing is known about what stands before.
        unknown_types: types of items that this version has not heard of.
        is_prewarm: nothing is answered yet: the request only prepares what comes, and
            its messages leave as they came.
        user: whom it is for, where the shell was told: conversations of two users are
            never one.
    """

    api: str
    body: bytes
    model: str
    messages: tuple[MessageView, ...]
    tool_names: tuple[str, ...]
    is_stream: bool
    frozen_count: int
    is_caching: bool
    text_before: tuple[Span, ...]
    may_drop_earlier: bool = False
    tools: Span | None = None
    warnings: tuple[str, ...] = ()
    is_threaded: bool = False
    may_add_tool: bool = True
    is_choice_limited: bool = False
    is_excerpt: bool = False
    continues: str = ""
    conversation: str = ""
    unknown_types: tuple[str, ...] = ()
    is_prewarm: bool = False
    user: str = ""
    tools_given: Span | None = None


class PathView(Struct, frozen=True, gc=False):
    """What a request's path says beside its body; see ``Provider.parse``.

    Some APIs name the model in the path and have one path for streams and one for
    whole answers (Gemini, Azure deployments, Bedrock, Vertex).

    Attributes:
        model: the model's name, percent-encoding undone; empty: the body names it.
        is_stream: the answer is streamed; ``None``: the body tells.
    """

    model: str = ""
    is_stream: bool | None = None


NO_PATH = PathView()
"""The path of an API whose bodies say everything."""


class SlotEdit(Struct, frozen=True, gc=False, array_like=True):
    """A recorded replacement: what was sent in place of a slot's text.

    Attributes:
        address: the slot within its message.
        digest: content digest of the original text.
        replacement: the text that was sent.
        strategy: the compressor that made it.
        recipe: version of what made the replacement; see ``accepting.RECIPE``.
        is_lossy: facts were left out; the original is in the store.
        refers_to: digests of earlier texts that the replacement points at.
        original_tokens: tokens of the original, by the counter that gated the result.
        compressed_tokens: tokens of the replacement, by the same counter.
    """

    address: str
    digest: str
    replacement: str
    strategy: str
    recipe: str
    is_lossy: bool = False
    refers_to: tuple[str, ...] = ()
    original_tokens: int = 0
    compressed_tokens: int = 0


class Tail(Struct, frozen=True, gc=False, array_like=True):
    """What is appended to one text of a message.

    Attributes:
        address: the slot within the message.
        text: what stands behind its text, the blank line between them included.
    """

    address: str
    text: str


class Decision(Struct, frozen=True, gc=False, array_like=True):
    """What was decided about one message when it was first forwarded.

    No edits means ``left``: the message leaves as the client wrote it, for ever.

    Attributes:
        tools: how this conversation gets originals back, decided on its first request
            and repeated in every record: ``added`` (Headroom adds its tool to every
            request), ``client`` (the client brings one), ``shell``, or empty: it does
            not, and nothing lossy is sent.
        hidden: what is put back into the message (see ``core.hidden``): calls of the
            tool that were answered inside the stream, which the client never saw.
        stabilisers: what is put in order in front of this conversation's messages (see
            ``core.stabilise``), decided and repeated like ``tools``.
        more_tools: names of the tools that Headroom adds beside the retrieval tool,
            decided and repeated like it.
        tail: what is appended to a text of the message.
    """

    edits: tuple[SlotEdit, ...] = ()
    tools: str = ""
    hidden: bytes = b""
    stabilisers: tuple[str, ...] = ()
    more_tools: tuple[str, ...] = ()
    tail: Tail | None = None

    @property
    def own_tools(self) -> tuple[str, ...]:
        """Names of all tools that Headroom adds in this conversation, in order."""
        retrieval = (RETRIEVAL_TOOL,) if self.tools == "added" else ()
        return (*retrieval, *self.more_tools)


class Policy(Struct, frozen=True, gc=False):
    """The frozen numbers and switches the core works by, built from settings.

    Attributes:
        is_reapplying: repeat recorded edits (off: compare with the naive way only).
        is_deciding: decide about what is new (off: it is left, without being looked
            into, and what was sent before is repeated).
        honours_markers: where nothing is reapplied, messages up to the client's last
            cache marker are left alone (SPEC R23 to R27).
        min_lossless_bytes: below this a block is not looked at (UTF-8 bytes).
        min_lossy_bytes: the same for lossy results, by kind; absent: ``5120``.
        allow_lossy: the credential's policy permits lossy results of tool output.
        lossy_user_text: … and of text that people wrote.
        cache_minimum_tokens: shortest prefix the provider caches for this model.
        max_block_bytes: larger blocks are left alone.
        may_refer: repeats of earlier results may become references to them.
        retrieval: how the model of a conversation may get originals back: ``tool`` (a
            tool is added to its list), ``shell`` (a command of its shell tool), ``mcp``
            (a tool the client brings), ``gateway`` (whoever sends the request on adds
            one when it is told of hashes), ``elsewhere`` (the caller serves them by a
            way of its own, whatever tools there are), or ``off``: then nothing lossy
            is sent.
        marker: how a lossy result tells the way back: ``tool``, ``shell``, ``hash`` (a
            tool, by a word that gateways look for), or empty for
            no marker at all (the caller keeps the original).
        stabilisers: what may be put in order in front of conversations that begin.
        more_tools: names of tools, beside the retrieval tool, that are added to
            conversations that begin.
        appends: facts may be appended to messages that have not been sent.
        asks_by_number: whoever answers retrievals knows the conversation, so that
            the model can ask for what references name by its number.
        keeps_tools: conversations keep the tools they began with (off: each request
            has those of its own policy, and the cache is lost when that changes).
    """

    is_reapplying: bool = True
    is_deciding: bool = True
    honours_markers: bool = True
    min_lossless_bytes: int = 256
    min_lossy_bytes: dict[str, int] = {}
    allow_lossy: bool = False
    lossy_user_text: bool = False
    cache_minimum_tokens: int = 4096
    max_block_bytes: int = 16 * 1024 * 1024
    may_refer: bool = True
    retrieval: Literal["tool", "shell", "mcp", "gateway", "elsewhere", "off"] = "off"
    marker: str = ""
    stabilisers: tuple[str, ...] = ()
    more_tools: tuple[str, ...] = ()
    keeps_tools: bool = True
    appends: bool = False
    asks_by_number: bool = False


class LostTag(Struct, frozen=True, gc=False):
    """A tag that compression lost, told to the log.

    Attributes:
        tag_preview: its beginning.
        compressed_length: characters of the compressed text.
    """

    tag_preview: str
    compressed_length: int


class Candidate(Struct, frozen=True, gc=False):
    """One shorter form of a text.

    Attributes:
        text: the form itself.
        strategy: which encoding, for manifests and metrics (``json_table``, …).
        omitted: for a lossy form, what is missing, in units of the source, such as
            ``lines 120-980 omitted: 861 lines, 3 templates``; empty if lossless.
        refers_to: digests of earlier texts in the conversation it points at.
        lost_tags: custom tags of the text that are not in a lossy form.
    """

    text: str
    strategy: str
    omitted: str = ""
    refers_to: tuple[str, ...] = ()
    lost_tags: tuple[LostTag, ...] = ()


class Draft(Struct, frozen=True, gc=False):
    """A lossless form that is written and proven only if it is needed.

    Proven is what may be sent; where a lossy form is clearly smaller, neither is.

    Attributes:
        write: the form as it would be.
        prove: what may be sent of a form that was written; ``None`` if nothing may.
        least_chars: the form will have as many characters or more, where that is known
            without writing it.
    """

    write: Callable[[], str]
    prove: Callable[[str], Candidate | None]
    least_chars: int = 0

    def made(self) -> Candidate | None:
        """The form, written and proven."""
        return self.prove(self.write())


class Compressed(Struct, frozen=True, gc=False):
    """What a compressor found: at most one form of each class.

    Attributes:
        lossless: the lossless form, if it is there.
        lossy: the lossy form.
        draft: what stands for the lossless form where a lossy one was asked for.
    """

    lossless: Candidate | None = None
    lossy: Candidate | None = None
    draft: Draft | None = None

    @classmethod
    def of(cls, draft: Draft | None, lossy: Candidate | None) -> "Compressed | None":
        """Both forms, the lossless one proven at once if there is no lossy one."""
        if lossy is not None:
            return cls(lossy=lossy, draft=draft)
        lossless = None if draft is None else draft.made()
        return None if lossless is None else cls(lossless)

    def settled(self) -> "Compressed":
        """The same with the lossless form in place of its draft."""
        if self.draft is None:
            return self
        return Compressed(self.draft.made(), self.lossy)


class Context(Struct, frozen=True, gc=False):
    """All that a compressor may look at beside the text itself; causal by construction.

    Attributes:
        count: exact (or gate) token count; costly, count only what can win.
        call: the tool call that asked for the text, if there was one; without a name
            and arguments where it is not known.
        question: the last thing the user asked before it; empty if unknown.
        wants_lossy: a lossy form could be used; else do not spend time on one.
        is_tool: the text was returned by a tool.
        share: the part of a long text that the text is a piece of; where a lossy form
            keeps so many rows at most, it keeps that part of them.
    """

    count: CountTokens
    call: ToolCall | None = None
    question: str = ""
    wants_lossy: bool = False
    is_tool: bool = True
    share: float = 1.0


class BlockTask(Struct, frozen=True, gc=False):
    """One block to compress: everything the work needs, as picklable values.

    Attributes:
        digest: content digest of ``text``.
        kind: what the caller knows the text to be; empty: detect it.
        expects: the kind that is likely, from what was learned; empty: none.
    """

    message_index: int
    slot: Slot
    digest: str
    text: str
    model: str
    call: ToolCall | None = None
    question: str = ""
    wants_lossy: bool = False
    kind: str = ""
    expects: str = ""


Action: TypeAlias = Literal[
    "no_compression_applied",
    "below_byte_threshold",
    "compressed",
    "rejected_not_smaller",
    "compressor_error",
    "excluded",
]


class BlockOutcome(Struct, frozen=True, gc=False):
    """What happened to one block and why (SPEC B.4).

    Attributes:
        reason: for ``excluded``: ``hot_zone_block_type``, ``below_frozen_floor``,
            ``above_live_zone``; for the rest, words for a person.
        replacement: the text to send, with its marker; only if ``compressed``.
        is_standing: it is lossy, but what is left out stands earlier in what the
            provider keeps.
        lost_tags: custom tags of the text that a lossy replacement went without.
    """

    action: Action
    kind: str = ""
    strategy: str = ""
    reason: str = ""
    original_bytes: int = 0
    compressed_bytes: int = 0
    original_tokens: int = 0
    compressed_tokens: int = 0
    threshold_bytes: int = 0
    is_lossy: bool = False
    is_standing: bool = False
    omitted: str = ""
    replacement: str | None = None
    refers_to: tuple[str, ...] = ()
    lost_tags: tuple[LostTag, ...] = ()


class ManifestEntry(Struct, frozen=True, gc=False):
    """One block's line in the manifest."""

    message_index: int
    block_index: int | None
    block_type: str
    outcome: BlockOutcome
    is_reapplied: bool = False


class Manifest(Struct, frozen=True, gc=False):
    """What happened to every block that was looked at in one request (SPEC B.5)."""

    messages_total: int
    messages_below_frozen_floor: int
    latest_user_message_index: int | None
    entries: tuple[ManifestEntry, ...]

    def tokens_saved(self) -> int:
        """Tokens saved by blocks first compressed in this request."""
        return sum(
            e.outcome.original_tokens - e.outcome.compressed_tokens
            for e in self.entries
            if e.outcome.action == "compressed" and not e.is_reapplied
        )

    def tokens(self) -> tuple[int, int]:
        """Tokens of all texts that were looked at, before and after."""
        before = after = 0
        for entry in self.entries:
            outcome = entry.outcome
            before += outcome.original_tokens
            is_shorter = outcome.action == "compressed"
            after += (
                outcome.compressed_tokens if is_shorter else outcome.original_tokens
            )
        return before, after

    def transforms_applied(self) -> tuple[str, ...]:
        """Unique strategies of compressed blocks, in first-seen order."""
        return tuple(
            dict.fromkeys(
                e.outcome.strategy
                for e in self.entries
                if e.outcome.action == "compressed"
            )
        )

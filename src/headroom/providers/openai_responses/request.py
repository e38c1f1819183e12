"""Responses requests: where items, texts and tool calls stand in the bytes.

Shape: https://platform.openai.com/docs/api-reference/responses/create. ``input`` is a
string (what the user says) or a list of items. A message of the view is one item of the
client's, or a run of items that the model produced. Live text stands in user messages
and in the results of function, custom, shell and patch tools; everything else is hot:
reasoning, calls (arguments, commands and patches stay as the model wrote them), search
results, pictures, system and developer messages, compacted history, unknown types.

Results that a program of the model's asked for (``caller``) are read by that program,
not by the model, and are hot too.

A request that names the answer it goes on from carries only what is new; the provider
keeps the rest. The prefix cache is automatic (from 1,024 tokens on); the breakpoints by
which clients steer it move from turn to turn and are no part of a message.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

from headroom.core.digest import chain_key
from headroom.core.hidden import Placement
from headroom.core.protocols import Splicer
from headroom.core.types import (
    NO_PATH,
    Edit,
    Front,
    HotBlock,
    MessageView,
    PathView,
    RequestView,
    Slot,
    Span,
    ToolCall,
)
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.errors import MalformedBodyError
from headroom.providers.front import (
    AutomaticCache,
    appended_tools,
    cache_key_edit,
    tool_spans,
)
from headroom.providers.messages import MAX_KEPT, SlotMemo, said_in, text_of
from headroom.providers.openai_responses import replay
from headroom.providers.openai_responses.items import (
    CALLS,
    GIVEN_TOOLS,
    LIVE_OUTPUTS,
    Item,
    call_id_of,
    call_name,
    is_known,
    kind_of,
    qualified,
    read_item,
    said_by_user,
    text_reader,
)
from headroom.providers.openai_responses.splice_json import JsonSplicer
from headroom.providers.openai_responses.splice_stream import StreamSplicer
from headroom.providers.rounds import RETRIEVAL_ONLY

API = "openai_responses"

MIN_LOSSY_BYTES = 2048
"""Results below this are kept in full (SPEC B.2): what a shell says of a step in a few
lines is what the next step is built on."""


class OpenAIResponses(AutomaticCache):
    """The ``Provider`` for ``/v1/responses``; holds no state but what bytes mean."""

    api = API

    def __init__(self) -> None:
        self._items: dict[bytes, Item] = {}
        self._slots = SlotMemo(_read_slots)

    def parse(
        self,
        body: bytes,
        path: PathView = NO_PATH,
    ) -> RequestView:
        """Read a request body, or a ``response.create`` event of a WebSocket.

        Raises:
            MalformedBodyError: in any doubt; the body is then forwarded as it came.
        """
        top = json_spans.members(body, json_spans.whole(body))
        given = top.get("input")
        tools = top.get("tools")
        if tools is not None and not is_array(body, tools):
            tools = None
        instructions = top.get("instructions")
        before = [tools, instructions]
        kinds: dict[str, None] = {}
        messages = self._messages(body, given, kinds)
        names, tools_given = _tool_names(body, tools), None
        if not names and GIVEN_TOOLS in kinds:
            tools_given = self._tools_given(body, messages)
            names = _tool_names(body, tools_given)
        previous = text_of(body, top.get("previous_response_id"))
        # The connection keeps what the request asks not to store.
        is_message = text_of(body, top.get("type")) == "response.create"
        is_stored = not _is(body, top.get("store"), b"false")
        return RequestView(
            api=API,
            body=body,
            model=text_of(body, top.get("model")) or path.model,
            messages=messages,
            tool_names=names,
            is_stream=_is(body, top.get("stream"), b"true"),
            frozen_count=0,
            is_caching=True,
            text_before=tuple(span for span in before if span is not None),
            may_drop_earlier=_may_drop(body, top, kinds),
            tools=tools,
            is_threaded=is_stored or is_message or bool(previous),
            # Behind a stored first round stands a call without its result: a request
            # that goes on from its id would be refused wherever it leaves as it came,
            # and who gets the answer by its id would find that call. One that is made
            # in the background is fetched later.
            may_add_tool=not is_stored
            and not _is(body, top.get("background"), b"true"),
            is_choice_limited=_is_limited(body, top.get("tool_choice")),
            continues=previous,
            conversation=_conversation(body, top.get("conversation")),
            unknown_types=tuple(kind for kind in kinds if not is_known(kind)),
            is_prewarm=_is(body, top.get("generate"), b"false"),
            tools_given=tools_given,
        )

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The texts of message ``index`` in order, hot blocks included."""
        message = view.messages[index]
        if message.parts:
            return tuple(
                HotBlock(number, self._item(view.body, span)[1].kind)
                for number, span in enumerate(message.parts)
            )
        return self._slots.slots(view.body, message)

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The tool calls that message ``index`` makes, by call id."""
        calls: dict[str, ToolCall] = {}
        for span in view.messages[index].parts:
            if (call := _tool_call(view.body, span)) is not None:
                calls[call.id] = call
        return calls

    def tool_edits(self, view: RequestView, names: Sequence[str]) -> list[Edit]:
        """Headroom's tools at the end of the tool list, wherever that stands."""
        return appended_tools(view, API, names)

    def front(self, view: RequestView) -> Front:
        """The tools, and the key that steers to one cache."""
        return Front(
            tools=tool_spans(view.body, view.tools),
            cache_key=cache_key_edit(view, _instructions(view), view.tools),
        )

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the items of a run apart; see ``core.hidden``."""
        return tuple(
            self._item(view.body, span)[1].canonical.decode("utf-8")
            for span in view.messages[index].parts
        )

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden items back into the run that message ``index`` is.

        Index ``-1`` is the answer that the request goes on from.

        Raises:
            CompressionError: the run is not the one they were placed in.
        """
        if index < 0:
            return replay.results_edits(view, placement.results)
        return replay.hidden_edits(view, index, placement)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins the rounds of one answer into one response."""
        return StreamSplicer(own=own) if is_stream else JsonSplicer(own)

    def _messages(
        self, body: bytes, given: Span | None, kinds: dict[str, None]
    ) -> tuple[MessageView, ...]:
        """One message per item of the client's, one per run of the model's."""
        if given is not None and is_string(body, given):
            raw = chain_key(given.of(body))
            return (MessageView("user", given, raw, said_by_user(given.of(body))),)
        if given is None or not is_array(body, given):
            raise MalformedBodyError("no input", reason="no_messages")
        messages: list[MessageView] = []
        run: list[tuple[Span, bytes, Item]] = []
        for span in elements(body, given):
            raw, item = self._item(body, span)
            kinds[item.kind] = None
            if item.role == "assistant":
                run.append((span, raw, item))
                continue
            if run:
                messages.append(_run_view(run))
                run = []
            messages.append(MessageView(item.role, span, raw, item.canonical))
        if run:
            messages.append(_run_view(run))
        return tuple(messages)

    def _tools_given(self, body: bytes, messages: Iterable[MessageView]) -> Span | None:
        """The tool list of the first item that gives one."""
        for message in messages:
            if message.parts or is_string(body, message.span):
                continue
            if self._item(body, message.span)[1].kind == GIVEN_TOOLS:
                tools = json_spans.members(body, message.span).get("tools")
                return tools if tools is not None and is_array(body, tools) else None
        return None

    def _item(self, body: bytes, span: Span) -> tuple[bytes, Item]:
        data = span.of(body)
        raw = chain_key(data)
        item = self._items.get(raw)
        if item is None:
            item = read_item(data)
            if len(self._items) >= MAX_KEPT:
                self._items.clear()
            self._items[raw] = item
        return raw, item


def _instructions(view: RequestView) -> list[Span]:
    """The member, and the items in front that say what to do."""
    top = json_spans.members(view.body, json_spans.whole(view.body))
    leading = takewhile(lambda message: message.role == "other", view.messages)
    first = [top["instructions"]] if "instructions" in top else []
    return first + [message.span for message in leading]


def _run_view(run: list[tuple[Span, bytes, Item]]) -> MessageView:
    """Items that the model produced one after the other, as one message."""
    return MessageView(
        role="assistant",
        span=Span(run[0][0].start, run[-1][0].end),
        raw=chain_key(*(raw for _, raw, _ in run)),
        canonical=chain_key(*(item.canonical for _, _, item in run)),
        links=tuple(link for _, _, item in run for link in item.links),
        parts=tuple(span for span, _, _ in run),
    )


def _read_slots(body: bytes, message: MessageView) -> tuple[Slot | HotBlock, ...]:
    """The texts of an item of the client's, hot blocks included."""
    span = message.span
    if is_string(body, span):
        return (Slot("0", None, "user_string", span, is_tool=False),)
    found = json_spans.members(body, span)
    kind = kind_of(body, found)
    if kind == "message" and message.role == "user":
        return tuple(_user_slots(body, found.get("content")))
    if kind not in LIVE_OUTPUTS or _is_for_program(body, found.get("caller")):
        return (HotBlock(0, kind),)
    call_id = call_id_of(kind, text_reader(body, found))
    slots = [
        Slot(
            address,
            0,
            "output_item",
            literal,
            is_tool=True,
            call_id=call_id,
            min_lossy_bytes=MIN_LOSSY_BYTES,
        )
        for address, literal in _output_texts(body, kind, found.get("output"))
    ]
    return tuple(slots) or (HotBlock(0, "output_item"),)


def _user_slots(body: bytes, content: Span | None) -> Iterator[Slot | HotBlock]:
    if content is None:
        return
    if is_string(body, content):
        yield Slot("0", None, "user_string", content, is_tool=False)
    elif is_array(body, content):
        for index, span in enumerate(elements(body, content)):
            part = json_spans.members(body, span) if is_object(body, span) else {}
            kind = text_of(body, part.get("type"))
            text = part.get("text")
            if kind in {"input_text", "text"} and _is_text(body, text):
                assert text is not None
                yield Slot(str(index), index, "user_text", text, is_tool=False)
            else:
                yield HotBlock(index, kind)


def _output_texts(
    body: bytes, kind: str, output: Span | None
) -> Iterator[tuple[str, Span]]:
    """Address and literal of every text in a result.

    A string, a list of parts, or for ``shell`` a list of what its commands wrote.
    """
    if output is None:
        return
    if is_string(body, output):
        yield "0", output
        return
    if not is_array(body, output):
        return
    for number, span in enumerate(elements(body, output)):
        part = json_spans.members(body, span) if is_object(body, span) else {}
        if kind == "shell_call_output":
            names = [("stdout", ".0"), ("stderr", ".1")]
        elif text_of(body, part.get("type")) in {"input_text", "output_text", "text"}:
            names = [("text", "")]
        else:
            continue
        for name, suffix in names:
            text = part.get(name)
            if text is not None and is_string(body, text):
                yield f"{number}{suffix}", text


def _is_text(body: bytes, span: Span | None) -> bool:
    return span is not None and is_string(body, span)


def _is_for_program(body: bytes, caller: Span | None) -> bool:
    """A program of the model's asked, and reads the result; so may any new caller."""
    if caller is None or not is_object(body, caller):
        return False
    kind = json_spans.members(body, caller).get("type")
    return text_of(body, kind) != "direct"


def _tool_call(body: bytes, span: Span) -> ToolCall | None:
    found = json_spans.members(body, span)
    kind = kind_of(body, found)
    text = text_reader(body, found)
    call_id = text("call_id")
    if kind not in CALLS or not call_id:
        return None
    return ToolCall(call_id, call_name(kind, text), _arguments(body, kind, found))


def _arguments(body: bytes, kind: str, found: dict[str, Span]) -> bytes:
    """JSON inside a function's string; a custom tool's input is text itself."""
    if kind == "function_call":
        return said_in(body, found.get("arguments")).encode("utf-8", "replace")
    for name in ("input", "action", "operation"):
        if name in found:
            return found[name].of(body)
    return b"{}"


def _tool_names(body: bytes, tools: Span | None) -> tuple[str, ...]:
    """Names of tools; the type of those without; tools in groups with their group's."""
    if tools is None:
        return ()
    names: list[str] = []
    for span in elements(body, tools):
        tool = json_spans.members(body, span) if is_object(body, span) else {}
        name, inner = text_of(body, tool.get("name")), tool.get("tools")
        names.append(name or text_of(body, tool.get("type")))
        if inner is not None and is_array(body, inner):
            for part in elements(body, inner):
                member = json_spans.members(body, part) if is_object(body, part) else {}
                names.append(qualified(name, text_of(body, member.get("name"))))
    return tuple(names)


def _is(body: bytes, span: Span | None, value: bytes) -> bool:
    return span is not None and span.of(body) == value


def _may_drop(body: bytes, top: dict[str, Span], kinds: Iterable[str]) -> bool:
    """The provider may leave earlier items of this request out."""
    management = top.get("context_management")
    is_managed = management is not None and management.of(body) not in {b"null", b"[]"}
    is_truncated = text_of(body, top.get("truncation")) == "auto"
    has_compaction = any(kind.startswith("compaction") for kind in kinds)
    return is_managed or is_truncated or has_compaction


def _is_limited(body: bytes, choice: Span | None) -> bool:
    """Whether one tool is asked for, or some are allowed: those alone can be called."""
    return choice is not None and is_object(body, choice)


def _conversation(body: bytes, span: Span | None) -> str:
    """The id of the provider's conversation, given as such or in an object."""
    if span is None:
        return ""
    if is_object(body, span):
        return text_of(body, json_spans.members(body, span).get("id")) or "?"
    return text_of(body, span)

"""Anthropic Messages requests: where messages, blocks and markers stand in the bytes.

Shape: https://docs.anthropic.com/en/api/messages. A message's ``content`` is a string
or a list of blocks; a ``tool_result`` block's ``content`` is again a string or a list
of parts. Live text stands in user messages only: string content, ``text`` blocks, and
the text of ``tool_result`` blocks. Every other block type is hot: never touched.

With ``thread`` the provider keeps the conversation (beta ``message-threads``): what
continues it has no tools, and of the messages only those that are new.

Clients set and move ``cache_control`` markers in all of them.
"""

from collections.abc import Sequence

from headroom.core.hidden import Placement
from headroom.core.protocols import Splicer
from headroom.core.types import (
    NO_PATH,
    Breakpoints,
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
from headroom.providers.anthropic import breakpoints, replay
from headroom.providers.anthropic.splice_json import JsonSplicer
from headroom.providers.anthropic.splice_stream import StreamSplicer
from headroom.providers.front import appended_tools, tool_spans
from headroom.providers.messages import MessageReader, text_of
from headroom.providers.rounds import RETRIEVAL_ONLY

API = "anthropic"

_MARKER_KEY = b'"cache_control"'


class AnthropicMessages:
    """The ``Provider`` for ``/v1/messages``; holds no state."""

    api = API

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body.

        Raises:
            MalformedBodyError: in any doubt; the body is then forwarded as it came.
        """
        top = json_spans.members(body, json_spans.whole(body))
        messages = top.get("messages")
        if messages is None or not is_array(body, messages):
            raise MalformedBodyError("no messages", reason="no_messages")
        views = tuple(_MESSAGES.view(body, span) for span in elements(body, messages))
        before = tuple(top[name] for name in ("tools", "system") if name in top)
        model = top.get("model")
        stream = top.get("stream")
        thread = top.get("thread")
        is_threaded = thread is not None and thread.of(body) != b"null"
        is_marked = any(_MARKER_KEY in span.of(body) for span in before)
        return RequestView(
            api=API,
            body=body,
            model=path.model if model is None else text_of(body, model),
            messages=views,
            tool_names=_tool_names(body, top.get("tools")),
            is_stream=bool(path.is_stream)
            if stream is None
            else stream.of(body) == b"true",
            frozen_count=compute_frozen_count(views),
            warnings=(TTL_WARNING,) if ttl_order_violations(body, views) else (),
            is_caching=is_marked
            or "cache_control" in top
            or any(v.markers for v in views),
            text_before=before,
            may_drop_earlier=is_threaded
            or "context_management" in top
            or b'"compaction"' in body,
            tools=_array(body, top.get("tools")),
            is_threaded=is_threaded,
            # Later answers of a thread could not be told from those of others.
            may_add_tool=not is_threaded,
        )

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The blocks of message ``index`` in order, hot ones included."""
        return _MESSAGES.slots(view.body, view.messages[index])

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The tool calls that message ``index`` makes, by call id."""
        body = view.body
        content = json_spans.members(body, view.messages[index].span).get("content")
        calls: dict[str, ToolCall] = {}
        if content is None or not is_array(body, content):
            return calls
        for span in elements(body, content):
            block = json_spans.members(body, span)
            if text_of(body, block.get("type")) == "tool_use":
                call_id = text_of(body, block.get("id"))
                name = text_of(body, block.get("name"))
                arguments = block.get("input")
                raw = b"{}" if arguments is None else arguments.of(body)
                calls[call_id] = ToolCall(call_id, name, raw)
        return calls

    def tool_edits(self, view: RequestView, names: Sequence[str]) -> list[Edit]:
        """Headroom's tools at the end of the tool list."""
        return appended_tools(view, API, names)

    def front(self, view: RequestView) -> Front:
        """The tools, and whether the client leaves caching to the proxy."""
        return Front(
            tools=tool_spans(view.body, view.tools),
            takes_breakpoints=_MARKER_KEY not in view.body,
        )

    def breakpoints(
        self, view: RequestView, reshaped: frozenset[int], limit: int
    ) -> Breakpoints:
        """Cache markers for a request whose client sets none."""
        return breakpoints.breakpoints(view, reshaped, limit)

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the blocks of message ``index`` apart."""
        return replay.anchors(view, index)

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden parts back into message ``index`` and the one after it.

        Raises:
            CompressionError: the message has not the blocks they were placed between.
        """
        return replay.hidden_edits(view, index, placement)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins the rounds of one answer into one response."""
        return StreamSplicer(own=own) if is_stream else JsonSplicer(own)


TTL_WARNING = "cache_control_ttl_order"
"""A long-lived cache marker stands behind a short-lived one (SPEC R26)."""


def compute_frozen_count(messages: tuple[MessageView, ...]) -> int:
    """The smallest N such that no message at or above N carries a marker.

    Markers in ``system`` and ``tools`` do not count: these fields are hot anyway.
    """
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].markers:
            return index + 1
    return 0


def ttl_order_violations(body: bytes, messages: tuple[MessageView, ...]) -> int:
    """How many ``1h`` markers of messages stand behind a ``5m`` one.

    The API wants longer lifetimes first; a marker without ``ttl`` lives 5 minutes
    (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
    """
    violations = 0
    has_short = False
    for message in messages:
        for marker in message.markers:
            value = marker.of(body)
            if b'"1h"' not in value:
                has_short = True
            elif has_short:
                violations += 1
    return violations


def _read_slots(body: bytes, message: MessageView) -> tuple[Slot | HotBlock, ...]:
    """The blocks of a message."""
    content = json_spans.members(body, message.span).get("content")
    if content is None:
        return ()
    found: list[Slot | HotBlock] = []
    if is_string(body, content):
        found.append(Slot("0", None, "string_content", content, is_tool=False))
    else:
        for number, span in enumerate(elements(body, content)):
            found += _block_slots(body, span, number, message.role == "user")
    return tuple(found)


_MESSAGES = MessageReader(
    {"user": "user", "assistant": "assistant"},
    ("cache_control",),
    _read_slots,
    needs_content=True,
)


def _block_slots(
    body: bytes, span: Span, number: int, is_user: bool
) -> list[Slot | HotBlock]:
    if not is_object(body, span):
        return [HotBlock(number, "")]
    block = json_spans.members(body, span)
    kind = text_of(body, block.get("type"))
    text = block.get("text")
    if is_user and kind == "text" and text is not None and is_string(body, text):
        return [Slot(str(number), number, kind, text, is_tool=False)]
    if not (is_user and kind == "tool_result" and "content" in block):
        return [HotBlock(number, kind)]
    content = block["content"]
    call_id = text_of(body, block.get("tool_use_id"))
    flag = block.get("is_error")
    is_error = flag is not None and flag.of(body) == b"true"
    if is_string(body, content):
        literals = [(str(number), content)]
    elif is_array(body, content):
        literals = []
        for part_number, part_span in enumerate(elements(body, content)):
            if not is_object(body, part_span):
                continue
            part = json_spans.members(body, part_span)
            if text_of(body, part.get("type")) == "text" and "text" in part:
                literals.append((f"{number}.{part_number}", part["text"]))
    else:
        return [HotBlock(number, kind)]
    found: list[Slot | HotBlock] = [
        Slot(
            address,
            number,
            kind,
            literal,
            is_tool=True,
            call_id=call_id,
            is_error=is_error,
        )
        for address, literal in literals
        if is_string(body, literal)
    ]
    return found or [HotBlock(number, kind)]


def _array(body: bytes, span: Span | None) -> Span | None:
    return span if span is not None and is_array(body, span) else None


def _tool_names(body: bytes, tools: Span | None) -> tuple[str, ...]:
    if tools is None or not is_array(body, tools):
        return ()
    names = []
    for span in elements(body, tools):
        tool = json_spans.members(body, span)
        names.append(text_of(body, tool.get("name")))
    return tuple(names)

"""Converse requests: where messages, blocks and cache points stand in the bytes.

Shape: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
one for the models of all vendors. A message's ``content`` is a list of blocks that have
no type: their one member says what they are. Live text stands in user messages only:
``{"text": …}``, and inside ``toolResult.content`` its ``{"text": …}`` and the strings
of its ``{"json": …}``, whose structure stays as it is. All else is hot: never touched.

Cache markers are blocks of their own, ``{"cachePoint": …}``, which clients move every
turn: they are no part of a message, and blocks are numbered without them.
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
from headroom.providers.anthropic.request import compute_frozen_count
from headroom.providers.bedrock import converse_rounds
from headroom.providers.bedrock.converse_splice import (
    ConverseJsonSplicer,
    ConverseStreamSplicer,
)
from headroom.providers.bedrock.frames import frame_of
from headroom.providers.bedrock.splice_stream import FrameSplicer
from headroom.providers.front import appended_tools
from headroom.providers.messages import MessageReader, members, text_of
from headroom.providers.nested_strings import nested_strings
from headroom.providers.rounds import RETRIEVAL_ONLY

API = "bedrock_converse"

_POINT = converse_rounds.POINT
_POINT_KEY = b'"cachePoint"'


class BedrockConverse:
    """The ``Provider`` for ``converse`` and ``converse-stream``; holds no state."""

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
        tools = _tools(body, top.get("toolConfig"))
        before = (tools, top.get("system"))
        return RequestView(
            api=API,
            body=body,
            model=path.model,
            messages=views,
            tool_names=_tool_names(body, tools),
            is_stream=bool(path.is_stream),
            frozen_count=compute_frozen_count(views),
            is_caching=_POINT_KEY in body,
            text_before=tuple(span for span in before if span is not None),
            tools=tools,
            may_drop_earlier=b'"context_management"' in body,
        )

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The blocks of message ``index`` in order, hot ones included."""
        return _MESSAGES.slots(view.body, view.messages[index])

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The tool calls that message ``index`` makes, by call id."""
        body = view.body
        calls: dict[str, ToolCall] = {}
        content = json_spans.members(body, view.messages[index].span).get("content")
        if content is None or not is_array(body, content):
            return calls
        for span in elements(body, content):
            use = members(body, span).get("toolUse")
            call = {} if use is None else members(body, use)
            if call:
                call_id = text_of(body, call.get("toolUseId"))
                arguments = call.get("input")
                raw = b"{}" if arguments is None else arguments.of(body)
                name = text_of(body, call.get("name"))
                calls[call_id] = ToolCall(call_id, name, raw)
        return calls

    def tool_edits(self, view: RequestView, names: Sequence[str]) -> list[Edit]:
        """Headroom's tools at the end of the tool list, behind its cache points."""
        return appended_tools(view, API, names)

    def front(self, view: RequestView) -> Front:  # noqa: ARG002 - shape
        """Nothing is put in order."""
        return Front()

    def breakpoints(
        self,
        view: RequestView,  # noqa: ARG002 - the shape of a provider
        reshaped: frozenset[int],  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> Breakpoints:
        """None: which models take cache points is not known."""
        return Breakpoints()

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the blocks of message ``index`` apart."""
        return converse_rounds.anchors(view, index)

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden parts back into message ``index`` and the one after it.

        Raises:
            CompressionError: the message has not the blocks they were placed between.
        """
        return converse_rounds.hidden_edits(view, index, placement)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins the rounds of one answer into one response."""
        if is_stream:
            return FrameSplicer(ConverseStreamSplicer(own=own), frame_of)
        return ConverseJsonSplicer(own)


def _tools(body: bytes, config: Span | None) -> Span | None:
    found = None if config is None else members(body, config).get("tools")
    return found if found is not None and is_array(body, found) else None


def _tool_names(body: bytes, tools: Span | None) -> tuple[str, ...]:
    if tools is None:
        return ()
    specs = (members(body, span).get("toolSpec") for span in elements(body, tools))
    return tuple(
        text_of(body, members(body, spec).get("name"))
        for spec in specs
        if spec is not None
    )


def _canonical(body: bytes, content: Span, markers: list[Span]) -> bytes:
    """The content without cache points, and without the blanks between its blocks.

    Whether there were blanks cannot be told where a point was taken out.
    """
    if not is_array(body, content):
        return content.of(body)
    may_mark = _POINT_KEY in content.of(body)
    kept = []
    for span in elements(body, content):
        point = members(body, span).get(_POINT) if may_mark else None
        if point is None:
            kept.append(span.of(body))
        else:
            markers.append(point)
    return b"[%b]" % b",".join(kept)


def _read_slots(body: bytes, message: MessageView) -> tuple[Slot | HotBlock, ...]:
    """The blocks of a message."""
    content = json_spans.members(body, message.span).get("content")
    if content is None or not is_array(body, content):
        return ()
    found: list[Slot | HotBlock] = []
    for number, block in enumerate(converse_rounds.blocks(body, content)):
        kind = next(iter(block), "")
        text, result = block.get("text"), block.get("toolResult")
        if message.role == "user" and text is not None and is_string(body, text):
            found.append(Slot(str(number), number, "text", text, is_tool=False))
        elif message.role == "user" and result is not None:
            found += _result_slots(body, members(body, result), number)
        else:
            found.append(HotBlock(number, kind))
    return tuple(found)


def _result_slots(
    body: bytes, result: dict[str, Span], number: int
) -> list[Slot | HotBlock]:
    """The texts of one tool result."""
    hot: list[Slot | HotBlock] = [HotBlock(number, "toolResult")]
    content = result.get("content")
    if content is None or not is_array(body, content):
        return hot
    call_id = text_of(body, result.get("toolUseId"))
    has_failed = text_of(body, result.get("status")) == "error"
    literals: list[tuple[str, Span, bool]] = []
    for place, span in enumerate(elements(body, content)):
        part = members(body, span)
        text, value = part.get("text"), part.get("json")
        address = f"{number}.{place}"
        if text is not None and is_string(body, text):
            literals.append((address, text, has_failed))
        elif value is not None and (is_object(body, value) or is_array(body, value)):
            literals += (
                (f"{address}.{inner}", literal, has_failed or is_error)
                for inner, (literal, is_error) in enumerate(nested_strings(body, value))
            )
    return [
        Slot(
            address,
            number,
            "tool_result",
            literal,
            is_tool=True,
            call_id=call_id,
            is_error=is_error,
        )
        for address, literal, is_error in literals
    ] or hot


_MESSAGES = MessageReader(
    {"user": "user", "assistant": "assistant"},
    _canonical,
    _read_slots,
    needs_content=True,
)

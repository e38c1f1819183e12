"""Chat Completions requests: where messages, parts and tool calls stand in the bytes.

Shape: https://platform.openai.com/docs/api-reference/chat/create, which most providers
and local servers speak. A message's ``content`` is a string, a list of parts or null.
Live text stands in ``tool`` and ``user`` messages only: string content and the text of
``text`` parts. System, developer and assistant messages, pictures, sound, files and
parts of unknown types are hot: never touched.

Every result is a ``tool`` message of its own, so parallel results are several messages
in a row. The prefix cache is automatic (from 1,024 tokens on); the members by which
clients steer it (``prompt_cache_breakpoint``, and ``cache_control`` where a router
passes it on) move from turn to turn and are no part of a message.
"""

from collections.abc import Sequence
from itertools import takewhile

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
from headroom.providers.messages import MessageReader, said_in, text_of
from headroom.providers.openai_chat import replay
from headroom.providers.openai_chat.splice_json import JsonSplicer
from headroom.providers.openai_chat.splice_stream import StreamSplicer
from headroom.providers.rounds import RETRIEVAL_ONLY

API = "openai_chat"


class OpenAIChat(AutomaticCache):
    """The ``Provider`` for ``/v1/chat/completions``; holds no state."""

    api = API

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body.

        Raises:
            MalformedBodyError: in any doubt, or several answers are asked for; the body
                is then forwarded as it came.
        """
        top = json_spans.members(body, json_spans.whole(body))
        messages = top.get("messages")
        if messages is None or not is_array(body, messages):
            raise MalformedBodyError("no messages", reason="no_messages")
        answers = top.get("n")
        if answers is not None and answers.of(body) not in {b"1", b"null"}:
            raise MalformedBodyError(
                "several answers", answers.start, reason="n_greater_than_one"
            )
        model, stream, tools = top.get("model"), top.get("stream"), top.get("tools")
        if tools is not None and not is_array(body, tools):
            tools = None
        return RequestView(
            api=API,
            body=body,
            model=text_of(body, model) or path.model,
            messages=tuple(
                _MESSAGES.view(body, span) for span in elements(body, messages)
            ),
            tool_names=_tool_names(body, tools),
            is_stream=bool(path.is_stream)
            if stream is None
            else stream.of(body) == b"true",
            frozen_count=0,
            is_caching=True,
            text_before=() if tools is None else (tools,),
            # OpenRouter cuts long conversations in the middle when asked to.
            may_drop_earlier="transforms" in top,
            tools=tools,
        )

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The parts of message ``index`` in order, hot ones included."""
        return _MESSAGES.slots(view.body, view.messages[index])

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The tool calls that message ``index`` makes, by call id."""
        body = view.body
        found = json_spans.members(body, view.messages[index].span).get("tool_calls")
        calls: dict[str, ToolCall] = {}
        if found is None or not is_array(body, found):
            return calls
        for span in elements(body, found):
            if not is_object(body, span):
                continue
            call = json_spans.members(body, span)
            call_id = text_of(body, call.get("id"))
            if (what := _inner(body, call)) is not None:
                name = text_of(body, what.get("name"))
                calls[call_id] = ToolCall(call_id, name, _arguments(body, what))
        return calls

    def tool_edits(self, view: RequestView, names: Sequence[str]) -> list[Edit]:
        """Headroom's tools at the end of the tool list."""
        return appended_tools(view, API, names)

    def front(self, view: RequestView) -> Front:
        """The tools, and the key that steers to one cache."""
        return Front(
            tools=tool_spans(view.body, view.tools), cache_key=_cache_key(view)
        )

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the text and the calls of message ``index`` apart."""
        return replay.anchors(view, index)

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden parts back into message ``index`` and the one after it.

        Raises:
            CompressionError: the message is not the one they were placed in.
        """
        return replay.hidden_edits(view, index, placement)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins the rounds of one answer into one response."""
        return StreamSplicer(own=own) if is_stream else JsonSplicer(own)


def _read_slots(body: bytes, message: MessageView) -> tuple[Slot | HotBlock, ...]:
    """The parts of a message; a tool message is one block, whatever its parts."""
    found = json_spans.members(body, message.span)
    content = found.get("content")
    role = text_of(body, found.get("role"))
    is_tool = role == "tool"
    if message.role != "user":
        return (HotBlock(0, role),)
    call_id = text_of(body, found.get("tool_call_id")) if is_tool else ""
    if content is not None and is_string(body, content):
        kind = "tool_content" if is_tool else "user_string"
        return (Slot("0", None, kind, content, is_tool=is_tool, call_id=call_id),)
    slots: list[Slot | HotBlock] = []
    if content is not None and is_array(body, content):
        for number, span in enumerate(elements(body, content)):
            index = 0 if is_tool else number
            part = json_spans.members(body, span) if is_object(body, span) else {}
            kind = text_of(body, part.get("type"))
            text = part.get("text")
            if kind == "text" and text is not None and is_string(body, text):
                kind = "tool_content" if is_tool else "user_text"
                address = str(number)
                slots.append(
                    Slot(address, index, kind, text, is_tool=is_tool, call_id=call_id)
                )
            else:
                slots.append(HotBlock(index, kind))
    if is_tool and not any(isinstance(slot, Slot) for slot in slots):
        return (HotBlock(0, "tool_content"),)
    return tuple(slots)


_MESSAGES = MessageReader(
    {"user": "user", "tool": "user", "assistant": "assistant"},
    ("cache_control", "prompt_cache_breakpoint"),
    _read_slots,
    needs_content=False,
)


def _inner(body: bytes, entry: dict[str, Span]) -> dict[str, Span] | None:
    """What a tool or a call is about: its ``function`` or ``custom`` member."""
    for name in ("function", "custom"):
        found = entry.get(name)
        if found is not None and is_object(body, found):
            return json_spans.members(body, found)
    return None


def _arguments(body: bytes, call: dict[str, Span]) -> bytes:
    """JSON inside a function's string; a custom tool's input is text itself."""
    if "arguments" in call:
        return said_in(body, call["arguments"]).encode("utf-8", "replace")
    return call["input"].of(body) if "input" in call else b"{}"


def _cache_key(view: RequestView) -> Edit | None:
    """The key for what stands first: model, instructions, tools."""
    leading = takewhile(lambda message: message.role == "other", view.messages)
    return cache_key_edit(view, [message.span for message in leading], view.tools)


def _tool_names(body: bytes, tools: Span | None) -> tuple[str, ...]:
    if tools is None:
        return ()
    names = []
    for span in elements(body, tools):
        tool = json_spans.members(body, span) if is_object(body, span) else {}
        what = _inner(body, tool) or tool
        names.append(text_of(body, what.get("name")))
    return tuple(names)

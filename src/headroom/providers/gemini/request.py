"""Gemini requests: where contents, parts and function results stand in the bytes.

Shape: https://ai.google.dev/api/generate-content. The path names the model and says
whether the answer is streamed. Live text stands in contents of the user: ``text``
parts, and the strings inside ``functionResponse.response``, wherever in that object
they stand. The object itself stays as it is: the API reads it as a structure, and a
table in its place would be another one. Contents of the model, ``systemInstruction``,
tools, media, and parts with a signature are hot: never touched.

All results of parallel calls stand in one content. The prefix cache is implicit; what
``cachedContent`` names is kept by the provider and stands before everything here.
"""

from collections.abc import Sequence
from itertools import chain

from headroom.core.hidden import Placement
from headroom.core.own_tools import definitions
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
from headroom.providers.front import AutomaticCache, tool_spans
from headroom.providers.gemini import replay
from headroom.providers.gemini.parts import (
    CALL,
    DECLARATIONS,
    RESPONSE,
    SIGNATURE,
    Positions,
    either,
)
from headroom.providers.gemini.splice_json import AnswerSplicer
from headroom.providers.gemini.splice_stream import StreamSplicer
from headroom.providers.messages import MessageReader, members, text_of
from headroom.providers.nested_strings import nested_strings
from headroom.providers.rounds import RETRIEVAL_ONLY

API = "gemini"

_FREE_MODES = frozenset({"", "AUTO", "VALIDATED", "MODE_UNSPECIFIED"})


class Gemini(AutomaticCache):
    """The ``Provider`` for ``:generateContent`` and ``:streamGenerateContent``."""

    api = API

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body.

        Raises:
            MalformedBodyError: in any doubt, or several answers are asked for; the body
                is then forwarded as it came.
        """
        top = json_spans.members(body, json_spans.whole(body))
        contents = top.get("contents")
        if contents is None or not is_array(body, contents):
            raise MalformedBodyError("no contents", reason="no_messages")
        _refuse_candidates(body, top)
        tools = top.get("tools")
        if tools is not None and not is_array(body, tools):
            tools = None
        system = either(top, ("systemInstruction", "system_instruction"))
        cached = either(top, ("cachedContent", "cached_content"))
        model = text_of(body, top.get("model")) or path.model
        return RequestView(
            api=API,
            body=body,
            model=model.removeprefix("models/"),
            messages=tuple(
                _CONTENTS.view(body, span) for span in elements(body, contents)
            ),
            tool_names=tuple(_tool_names(body, tools)),
            is_stream=bool(path.is_stream),
            frozen_count=0,
            is_caching=True,
            text_before=tuple(span for span in (tools, system) if span is not None),
            # Results in what the name stands for are counted by the model, not here.
            may_drop_earlier=cached is not None,
            tools=tools,
            is_choice_limited=not _is_free(
                body, either(top, ("toolConfig", "tool_config"))
            ),
        )

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The parts of content ``index`` in order, hot ones included."""
        return _CONTENTS.slots(view.body, view.messages[index])

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The calls that content ``index`` makes, by their ids and by position.

        Clients that keep events apart have several contents of the model in a row.
        """
        body = view.body
        calls: dict[str, ToolCall] = {}
        positions = Positions()
        first = index
        while first and view.messages[first - 1].role == "assistant":
            first -= 1
        run = range(first, index + 1)
        for part in chain.from_iterable(replay.part_members(view, i) for i in run):
            found = either(part, CALL)
            if found is None or not is_object(body, found):
                continue
            call = members(body, found)
            name, call_id = (
                text_of(body, call.get("name")),
                text_of(body, call.get("id")),
            )
            arguments = call["args"].of(body) if "args" in call else b"{}"
            made = ToolCall(call_id, name, arguments)
            calls[positions.next(name)] = made
            if call_id:
                calls[call_id] = made
        return calls

    def tool_edits(self, view: RequestView, names: Sequence[str]) -> list[Edit]:
        """Headroom's tools at the end of the last list of functions."""
        lists = _filled(view)
        if not lists or not names:
            return []
        end = lists[-1].end - 1
        return [Edit(Span(end, end), definitions(API, names))]

    def front(self, view: RequestView) -> Front:
        """The functions, where they stand in one list."""
        lists = _filled(view)
        found = lists[0] if len(lists) == 1 else None
        return Front(tools=tool_spans(view.body, found))

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the parts of content ``index`` apart."""
        return replay.anchors(view, index)

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden parts back into content ``index`` and the one after it.

        Raises:
            CompressionError: the content has not the parts they were placed between.
        """
        return replay.hidden_edits(view, index, placement)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins the rounds of one answer into one response.

        Answers that are no event stream are one object, or a list that is streamed.
        """
        return StreamSplicer(own=own) if is_stream else AnswerSplicer(own)


def _refuse_candidates(body: bytes, top: dict[str, Span]) -> None:
    config = either(top, ("generationConfig", "generation_config"))
    if config is None or not is_object(body, config):
        return
    found = json_spans.members(body, config)
    count = either(found, ("candidateCount", "candidate_count"))
    if count is not None and count.of(body) not in {b"1", b"null"}:
        raise MalformedBodyError(
            "several answers", count.start, reason="n_greater_than_one"
        )


def _is_free(body: bytes, config: Span | None) -> bool:
    """Whether the model may call any function, or none, as it likes."""
    if config is None or not is_object(body, config):
        return True
    names = ("functionCallingConfig", "function_calling_config")
    found = either(json_spans.members(body, config), names)
    if found is None or not is_object(body, found):
        return True
    calling = json_spans.members(body, found)
    if either(calling, ("allowedFunctionNames", "allowed_function_names")) is not None:
        return False
    return text_of(body, calling.get("mode")).upper() in _FREE_MODES


def _declarations(body: bytes, tools: Span) -> list[Span | None]:
    """The list of functions of each tool."""
    found: list[Span | None] = []
    for span in elements(body, tools):
        tool = members(body, span)
        functions = either(tool, DECLARATIONS)
        is_list = functions is not None and is_array(body, functions)
        found.append(functions if is_list else None)
    return found


def _filled(view: RequestView) -> list[Span]:
    """The lists with functions in them."""
    if view.tools is None:
        return []
    lists = _declarations(view.body, view.tools)
    return [span for span in lists if span and elements(view.body, span)]


def _tool_names(body: bytes, tools: Span | None) -> list[str]:
    names: list[str] = []
    for functions in _declarations(body, tools) if tools is not None else ():
        for span in elements(body, functions) if functions is not None else ():
            function = members(body, span)
            names.append(text_of(body, function.get("name")))
    return names


def _read_slots(body: bytes, message: MessageView) -> tuple[Slot | HotBlock, ...]:
    """The parts of a content."""
    parts = json_spans.members(body, message.span).get("parts")
    if parts is None or not is_array(body, parts):
        return ()
    found: list[Slot | HotBlock] = []
    positions = Positions()
    for number, span in enumerate(elements(body, parts)):
        part = members(body, span)
        kind = next(iter(part), "")
        text, response = part.get("text"), either(part, RESPONSE)
        is_live = message.role == "user" and either(part, SIGNATURE) is None
        if is_live and response is not None and is_object(body, response):
            found += _response_slots(body, response, number, positions)
        elif is_live and text is not None and is_string(body, text):
            found.append(Slot(str(number), number, "text", text, is_tool=False))
        else:
            found.append(HotBlock(number, kind))
    return tuple(found)


_CONTENTS = MessageReader(
    {"": "user", "user": "user", "function": "user", "model": "assistant"},
    (),
    _read_slots,
    needs_content=False,
    content="parts",
)


def _response_slots(
    body: bytes, span: Span, number: int, positions: Positions
) -> list[Slot | HotBlock]:
    """The strings of one function result."""
    found = members(body, span)
    call_id = text_of(body, found.get("id"))
    position = positions.next(text_of(body, found.get("name")))
    response = found.get("response")
    hot: list[Slot | HotBlock] = [HotBlock(number, "function_response")]
    if response is None or not is_object(body, response):
        return hot
    return [
        Slot(
            f"{number}.{place}",
            number,
            "function_response",
            literal,
            is_tool=True,
            call_id=call_id or position,
            is_error=is_error,
            is_positional=not call_id,
        )
        for place, (literal, is_error) in enumerate(nested_strings(body, response))
    ] or hot

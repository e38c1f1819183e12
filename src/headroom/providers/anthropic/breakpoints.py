"""Where cache markers stand in requests of clients that set none.

Up to four: behind the tools, behind the system prompt (which other conversations
share), behind the message that the last request ended with (which that request's marker
wrote to the cache), and behind the newest one. Where more than 20 blocks lie between
the last two, one stands between them instead of behind the tools: a look-up goes back
no farther (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching).

A conversation without tools is often one question: its first request gets no marker,
since what is written to the cache and never read costs a quarter more. Nor does a
request that forces one tool, which is how structured answers are asked for.

What always holds: markers stand only where the API takes them: not on thinking, not on
empty texts; a string gets one by becoming the text block it means.
"""

from headroom.core.types import Breakpoints, Edit, MessageView, RequestView, Span
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.providers.messages import said_in, text_of

MEMBER = b'"cache_control":{"type":"ephemeral"}'
LOOK_BACK_BLOCKS = 20

_MARKABLE = frozenset({"tool_result", "tool_use", "image", "document", "search_result"})
_OPEN = b'[{"type":"text","text":'
_CLOSE = b",%b}]" % MEMBER


def breakpoints(view: RequestView, reshaped: frozenset[int], limit: int) -> Breakpoints:
    """Markers for one request; see ``core.protocols.Provider``."""
    body = view.body
    top = json_spans.members(body, json_spans.whole(body))
    has_tools = bool(view.tool_names)
    last_assistant = _last(view, "assistant", len(view.messages))
    if not has_tools and last_assistant < 0:
        return Breakpoints()
    if "tool_choice" in top and _is_forced(body, top["tool_choice"]):
        return Breakpoints()
    newest = _last(view, "user", len(view.messages))
    stable = _last(view, "user", last_assistant)
    marks = [
        found
        for index in sorted({stable, newest} - {-1})
        if (found := _on_message(body, view, index, reshaped))
    ]
    system = _on_content(body, top["system"]) if "system" in top else []
    if system and len(marks) < limit:
        marks.append(system)
    if -1 < stable < newest and len(marks) < limit:
        between = _between(body, view, stable, newest, reshaped)
        if between:
            marks.append(between)
    has_room = has_tools and len(marks) < limit
    return Breakpoints(
        tuple(edit for mark in marks for edit in mark), MEMBER if has_room else b""
    )


def _is_forced(body: bytes, choice: Span) -> bool:
    if not is_object(body, choice):
        return False
    kind = json_spans.members(body, choice).get("type")
    return text_of(body, kind) == "tool"


def _last(view: RequestView, role: str, before: int) -> int:
    """Index of the last message of a role before another, ``-1`` if there is none."""
    for index in range(before - 1, -1, -1):
        if view.messages[index].role == role:
            return index
    return -1


def _content(body: bytes, message: MessageView) -> Span | None:
    return json_spans.members(body, message.span).get("content")


def _on_message(
    body: bytes, view: RequestView, index: int, reshaped: frozenset[int]
) -> list[Edit]:
    content = _content(body, view.messages[index])
    if content is None or (is_string(body, content) and index in reshaped):
        return []
    return _on_content(body, content)


def _on_content(body: bytes, content: Span) -> list[Edit]:
    """A marker behind the last block of content that can carry one."""
    if is_string(body, content):
        if not json_spans.string(body, content).strip():
            return []
        return [
            Edit(Span(content.start, content.start), _OPEN),
            Edit(Span(content.end, content.end), _CLOSE),
        ]
    if not is_array(body, content):
        return []
    for span in reversed(elements(body, content)):
        if _is_markable(body, span):
            return [_on_block(span)]
    return []


def _is_markable(body: bytes, span: Span) -> bool:
    if not is_object(body, span):
        return False
    block = json_spans.members(body, span)
    kind = text_of(body, block.get("type"))
    if kind == "text":
        return bool(said_in(body, block.get("text")).strip())
    return kind in _MARKABLE


def _on_block(span: Span) -> Edit:
    end = span.end - 1
    return Edit(Span(end, end), b"," + MEMBER)


def _between(
    body: bytes,
    view: RequestView,
    stable: int,
    newest: int,
    reshaped: frozenset[int],
) -> list[Edit]:
    """A marker within reach of the newest one, if the last one is not."""
    passed = 0
    for index in range(newest, stable, -1):
        content = _content(body, view.messages[index])
        is_list = content is not None and is_array(body, content)
        blocks = elements(body, content) if content is not None and is_list else []
        reach = LOOK_BACK_BLOCKS - 1 - passed
        if len(blocks) > reach:
            inner = blocks[: max(0, len(blocks) - reach)]
            for span in reversed(inner):
                if _is_markable(body, span):
                    return [_on_block(span)]
        passed += max(1, len(blocks))
        if passed >= LOOK_BACK_BLOCKS and index < newest and index not in reshaped:
            found = _on_message(body, view, index, reshaped)
            if found and view.messages[index].role == "user":
                return found
    return []

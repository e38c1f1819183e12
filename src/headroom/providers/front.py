"""What stands in front of the messages, as the APIs' tool lists and members have it.

``prompt_cache_key`` steers requests of OpenAI's APIs to one cache. Requests that begin
alike share a key, whoever sends them: it is a digest of the model, the instructions and
the tools, never of what users say
(https://platform.openai.com/docs/guides/prompt-caching; SPEC P33).
"""

import hashlib
from collections.abc import Sequence

from headroom.core.own_tools import definitions
from headroom.core.types import Breakpoints, Edit, RequestView, Span, ToolSpan
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import elements, is_object
from headroom.providers.messages import text_of

_KEY_CHARS = 32
_NAME = b'"prompt_cache_key"'
_EMPTY = frozenset({b'""', b"null"})
_INNER = ("function", "custom")
_SCHEMAS = (
    "input_schema",
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
)


def tool_spans(body: bytes, tools: Span | None) -> tuple[ToolSpan, ...]:
    """The elements of a tool list; a name and schema may stand one level deeper."""
    if tools is None:
        return ()
    found = []
    for span in elements(body, tools):
        tool = json_spans.members(body, span) if is_object(body, span) else {}
        what = tool
        for name in _INNER:
            inner = tool.get(name)
            if inner is not None and is_object(body, inner):
                what = json_spans.members(body, inner)
        schemas = (what[name] for name in _SCHEMAS if name in what)
        schema = next((s for s in schemas if is_object(body, s)), None)
        name = text_of(body, what.get("name"))
        found.append(ToolSpan(span, name, schema, "cache_control" in tool))
    return tuple(found)


def appended_tools(view: RequestView, api: str, names: Sequence[str]) -> list[Edit]:
    """Headroom's tools at the end of the tool list; none where there is no list.

    Args:
        view: the request.
        api: whose shape the definitions have.
        names: which tools, in order.
    """
    tools = view.tools_given or view.tools
    if tools is None or not view.tool_names or not names:
        return []
    end = tools.end - 1
    return [Edit(Span(end, end), definitions(api, names))]


class AutomaticCache:
    """The part of a provider whose cache needs no markers in requests."""

    def breakpoints(
        self,
        view: RequestView,  # noqa: ARG002 - the shape of a provider
        reshaped: frozenset[int],  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> Breakpoints:
        """None."""
        return Breakpoints()


def cache_key_edit(
    view: RequestView, instructions: Sequence[Span], tools: Span | None
) -> Edit | None:
    """What sets the key; ``None`` if the client has set one.

    Args:
        view: the request.
        instructions: where its system prompt stands.
        tools: its tool list.
    """
    body = view.body
    whole = json_spans.whole(body)
    top = json_spans.members(body, whole)
    found = top.get("prompt_cache_key")
    if found is not None and found.of(body) not in _EMPTY:
        return None
    system = hashlib.sha256(b"\0".join(span.of(body) for span in instructions))
    listed = hashlib.sha256(b"" if tools is None else tools.of(body))
    parts = (view.model.encode(), system.digest(), listed.digest())
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:_KEY_CHARS].encode()
    if found is not None:
        return Edit(found, b'"%b"' % key)
    end = whole.end - 1
    comma = b"," if top else b""
    return Edit(Span(end, end), b'%b%b:"%b"' % (comma, _NAME, key))

"""What is put in order in front of a conversation, so that the provider's cache holds.

Between the plan and the splice. A conversation's first request decides which of these
it begins with, and every record repeats it: none of them is ever switched on or off in
the middle, whatever the settings say by then.

* ``tool_sort``: tools by name, for clients that list them in changing order. Left out
  where the client's cache markers stand on tools, since they would move.
* ``schema_sort``: the keys of their schemas, for clients that build these from sets.
* ``tool_compact``: what says nothing is taken out of definitions; see ``tool_list``.
* ``breakpoints``: cache markers for clients that set none at all. Markers are no part
  of the prefix: they stand where this request needs them.
* ``cache_key``: the same key for all requests of one prompt, which steers them to the
  machine that has it cached.

Pure; what always holds: bytes of messages and of the system prompt are not changed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from headroom.core.tool_list import rewritten
from headroom.core.types import Decision, Edit, Policy, RequestView

if TYPE_CHECKING:
    from headroom.core.protocols import Provider

BREAKPOINTS = "breakpoints"
CACHE_KEY = "cache_key"
SCHEMA_SORT = "schema_sort"
TOOL_COMPACT = "tool_compact"
TOOL_SORT = "tool_sort"
STABILISERS: tuple[str, ...] = (
    BREAKPOINTS, CACHE_KEY, SCHEMA_SORT, TOOL_COMPACT, TOOL_SORT,
)  # fmt: skip

MAX_BREAKPOINTS = 4
"""Of one request: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching."""

HIGH_BYTES_PER_TOKEN = 3
"""A body of fewer bytes per token than this is rare: below the shortest length that is
cached by this measure, a marker would do nothing."""


class Stabilised(Struct, frozen=True):
    """The edits, and the names of the stabilisers that made any."""

    edits: tuple[Edit, ...] = ()
    names: tuple[str, ...] = ()


def first_stabilisers(
    policy: Policy, provider: "Provider", view: RequestView
) -> tuple[str, ...]:
    """What a conversation that begins with this request is begun with."""
    wanted = policy.stabilisers
    if not wanted:
        return ()
    front = provider.front(view)
    fits = {
        BREAKPOINTS: front.takes_breakpoints and not view.is_threaded,
        CACHE_KEY: front.cache_key is not None,
        SCHEMA_SORT: bool(front.tools),
        TOOL_COMPACT: bool(front.tools),
        TOOL_SORT: bool(front.tools) and not any(t.is_marked for t in front.tools),
    }
    return tuple(name for name in STABILISERS if name in wanted and fits[name])


def stabilise(
    view: RequestView,
    provider: "Provider",
    stabilisers: tuple[str, ...],
    decisions: Mapping[int, Decision],
    cache_minimum_tokens: int,
) -> Stabilised:
    """The edits that a conversation's stabilisers mean in one of its requests.

    Args:
        view: the request.
        provider: the module that made it.
        stabilisers: what the conversation began with.
        decisions: about its messages.
        cache_minimum_tokens: a shorter prefix is not cached at all.
    """
    if not stabilisers:
        return Stabilised()
    front = provider.front(view)
    is_long = len(view.body) >= cache_minimum_tokens * HIGH_BYTES_PER_TOKEN
    edits: list[Edit] = []
    names: list[str] = []
    tool_member = b""
    if BREAKPOINTS in stabilisers and front.takes_breakpoints and is_long:
        hides = {index for index, found in decisions.items() if found.hidden}
        reshaped = frozenset(hides | {index + 1 for index in hides})
        adds_tool = any(found.own_tools for found in decisions.values())
        # A continuation after a retrieval sets one more.
        limit = MAX_BREAKPOINTS - adds_tool
        found = provider.breakpoints(view, reshaped, limit)
        edits += found.edits
        tool_member = found.tool_member
        if found.edits or tool_member:
            names.append(BREAKPOINTS)
    if CACHE_KEY in stabilisers and front.cache_key is not None and is_long:
        edits.append(front.cache_key)
        names.append(CACHE_KEY)
    if front.tools:
        changed = rewritten(view.body, front.tools, stabilisers, tool_member)
        edits += changed.edits
        names += changed.names
    return Stabilised(tuple(edits), tuple(names))

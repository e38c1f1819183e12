"""Message lists as gateways hand them over to have them compressed.

A gateway's plug-in sends the ``messages`` of whatever request it holds, Chat
Completions or Anthropic Messages, without saying which, and often without tools and
system prompt. A conversation that begins with plain words shows its shape only later,
so every message is read by its own shape, and all share one chain: what was decided
about the first message holds whatever the next ones look like.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from headroom.core.hidden import Placement
from headroom.core.protocols import Splicer
from headroom.core.types import (
    NO_PATH,
    Breakpoints,
    Edit,
    Front,
    HotBlock,
    PathView,
    RequestView,
    Slot,
    ToolCall,
)
from headroom.providers.anthropic.request import AnthropicMessages
from headroom.providers.openai_chat.request import OpenAIChat
from headroom.providers.rounds import RETRIEVAL_ONLY

API = "gateway"

_RESULT, _CALL = b'"tool_result"', b'"tool_use"'
_DROPS_EARLIER = (b'"context_management"', b'"compaction"')


class GatewayMessages:
    """The ``Provider`` for lists of messages out of a gateway; holds no state.

    Nothing but texts of messages is ever changed: tools, keys and cache markers are the
    gateway's own.
    """

    api = API

    def __init__(self) -> None:
        self._chat = OpenAIChat()
        self._anthropic = AnthropicMessages()

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body: ``messages``, and where they are given ``tools``.

        Raises:
            MalformedBodyError: in any doubt.
        """
        view = self._chat.parse(body, path)
        has_calls = any(message.role == "assistant" for message in view.messages)
        return replace(
            view,
            api=API,
            may_add_tool=False,
            is_excerpt=not has_calls,
            may_drop_earlier=view.may_drop_earlier
            or any(word in body for word in _DROPS_EARLIER),
        )

    def slots(self, view: RequestView, index: int) -> tuple[Slot | HotBlock, ...]:
        """The blocks of message ``index`` in order, hot ones included."""
        has_results = _RESULT in view.messages[index].span.of(view.body)
        return (self._anthropic if has_results else self._chat).slots(view, index)

    def tool_calls(self, view: RequestView, index: int) -> dict[str, ToolCall]:
        """The tool calls that message ``index`` makes, by call id."""
        calls = self._chat.tool_calls(view, index)
        if _CALL in view.messages[index].span.of(view.body):
            calls.update(self._anthropic.tool_calls(view, index))
        return calls

    def tool_edits(
        self,
        view: RequestView,  # noqa: ARG002 - the shape of a provider
        names: Sequence[str],  # noqa: ARG002
    ) -> list[Edit]:
        """None: the gateway offers its own tools."""
        return []

    def front(self, view: RequestView) -> Front:  # noqa: ARG002
        """Nothing: what stands in front of the messages is not ours to order."""
        return Front()

    def breakpoints(
        self,
        view: RequestView,  # noqa: ARG002
        reshaped: frozenset[int],  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> Breakpoints:
        """None."""
        return Breakpoints()

    def anchors(self, view: RequestView, index: int) -> tuple[str, ...]:
        """What tells the blocks of message ``index`` apart."""
        return self._chat.anchors(view, index)

    def hidden_edits(
        self, view: RequestView, index: int, placement: Placement
    ) -> list[Edit]:
        """What puts hidden parts back; here nothing is ever hidden.

        Raises:
            CompressionError: the message is not the one they were placed in.
        """
        return self._chat.hidden_edits(view, index, placement)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins rounds of an answer; gateways join their own."""
        return self._chat.splicer(is_stream=is_stream, own=own)

"""The tool calls that results answer, each message of a request read once.

Parallel calls stand in one message and their results may be as many messages: whoever
reads the calls for each result anew takes quadratic time.
"""

from collections.abc import Mapping

from headroom.core.protocols import Provider
from headroom.core.types import RequestView, ToolCall


class Calls:
    """The calls of one request; lives as long as its rewrite."""

    def __init__(self, view: RequestView, provider: Provider) -> None:
        self._view = view
        self._provider = provider
        self._made: dict[int, Mapping[str, ToolCall]] = {}
        self._nearest: list[int] = []

    def before(self, index: int) -> Mapping[str, ToolCall] | None:
        """The calls of the nearest assistant message before another, by call id.

        Returns:
            ``None`` if there is no such message.
        """
        if not self._nearest:
            last = -1
            for number, message in enumerate(self._view.messages):
                self._nearest.append(last)
                last = number if message.role == "assistant" else last
        nearest = self._nearest[index]
        if nearest < 0:
            return None
        found = self._made.get(nearest)
        if found is None:
            found = self._provider.tool_calls(self._view, nearest)
            self._made[nearest] = found
        return found

"""Answers that the provider keeps, for requests that go on from them.

A Responses request with ``previous_response_id`` brings only what is new; it is
answered and billed as the whole. Answers are kept unless ``store`` is false
(https://platform.openai.com/docs/guides/conversation-state).
"""

from headroom.cachelab.prefix import Json
from headroom.cachelab.responses import as_items

PREVIOUS = "previous_response_id"


class KeptAnswers:
    """The answers of one provider, each with the conversation before it."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Json]] = {}

    def whole(self, request: Json) -> Json | None:
        """The request with what it goes on from in front; ``None``: that is unknown."""
        previous = request.get(PREVIOUS)
        if not previous:
            return request
        before = self._kept.get(str(previous))
        if before is None or not isinstance(request.get("input"), str | list):
            return None
        return {**request, "input": [*before, *as_items(request["input"])]}

    def keep(self, whole: Json, answer: Json, *, is_forced: bool = False) -> None:
        """Keep a conversation under the id of its newest answer.

        Args:
            whole: the request, from ``whole``.
            answer: the provider's.
            is_forced: keep it even if the request says not to, as connections do that
                hold the state themselves.
        """
        if "output" in answer and (is_forced or whole.get("store") is not False):
            items = [*as_items(whole["input"]), *answer["output"]]
            self._kept[answer["id"]] = items

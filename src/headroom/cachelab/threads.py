"""Conversations that the provider keeps: message threads.

A request with ``thread`` ``{"type": "create"}`` has its conversation kept under the id
of the answer; one with ``{"type": "continue", "previous_message_id": …}`` brings only
what is new, without ``system`` and ``tools``, and is answered and billed as the whole.
What was kept is gone five minutes after its last use; clients then send everything
again (https://platform.claude.com/docs/en/build-with-claude/message-threads).
"""

from msgspec import Struct

from headroom.cachelab.prefix import Json

BETA = "message-threads-2026-08-12"
KEPT_S = 300.0


class ThreadError(Struct, frozen=True):
    """Why a request cannot be threaded; ``code`` is empty for a malformed one."""

    status: int
    text: str
    code: str = ""


class _Kept(Struct, frozen=True):
    request: Json
    at: float


class MessageThreads:
    """The conversations of one provider."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def whole(self, request: Json, betas: str, now: float) -> Json | ThreadError:
        """The request with the kept part of its conversation put in front.

        Args:
            request: as received.
            betas: its ``anthropic-beta`` header.
            now: seconds by the provider's clock.
        """
        thread = request.get("thread")
        if thread is None:
            return request
        if BETA not in betas:
            return ThreadError(400, "thread: Extra inputs are not permitted")
        rest = {name: value for name, value in request.items() if name != "thread"}
        match thread:
            case {"type": "create"}:
                return rest
            case {"type": "continue", "previous_message_id": str(previous)}:
                return self._continued(rest, previous, now)
        return ThreadError(400, "thread: Input should be 'create' or 'continue'")

    def keep(self, request: Json, answer: Json, now: float) -> None:
        """Keep a conversation under the id of its newest answer.

        Args:
            request: the whole one.
            answer: the provider's message.
            now: seconds by the provider's clock.
        """
        reply = {"role": "assistant", "content": answer["content"]}
        messages = [*request["messages"], reply]
        self._kept[answer["id"]] = _Kept({**request, "messages": messages}, now)

    def _continued(self, rest: Json, previous: str, now: float) -> Json | ThreadError:
        kept = self._kept.get(previous)
        if kept is None or now - kept.at > KEPT_S:
            text = f"thread.previous_message_id: no thread is kept for {previous}"
            return ThreadError(404, text, "thread_not_found")
        for name in ("system", "tools"):
            if rest.get(name):
                return ThreadError(400, f"{name}: cannot be set on a continued thread")
        fixed = {k: v for k, v in kept.request.items() if k in {"system", "tools"}}
        messages = [*kept.request["messages"], *rest.get("messages", ())]
        return {**rest, **fixed, "messages": messages}

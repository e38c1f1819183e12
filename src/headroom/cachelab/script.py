"""What the scripted model answers.

A conversation registers the answers of its assistant, one block list per turn, under
its id. A request's turn is the number of assistant messages in it, so the request alone
says which answer is due, whatever a proxy did to it, and a rewound conversation gets
the same answer again. Exchanges of the retrieval tool do not count: a proxy hides them.

With ``retrieve_every`` the model first asks back every N-th block that a proxy left
something out of: it calls the retrieval tool, if the request offers it, with the hash
of each such marker it has not met before, and goes on with its answer when the results
have come. Conversations nobody registered get a short text.
"""

import re
from typing import Any

from blake3 import blake3

from headroom.cachelab.prefix import RETRIEVAL_TOOL, Json, as_blocks

_MARKER = re.compile(r"<<ccr:([0-9a-f]{24})>>")
_FALLBACK = "Understood. I will continue with the next step."


class Script:
    """The answers of all conversations, and what has been asked back in each."""

    def __init__(self, *, retrieve_every: int = 0, thinks: bool = False) -> None:
        """Start with no conversation.

        Args:
            retrieve_every: ask back every N-th lossy block; 0: none.
            thinks: a thinking block comes before each answer.
        """
        self.retrieve_every = retrieve_every
        self.thinks = thinks
        self._answers: dict[str, list[list[Json]]] = {}
        self._seen: dict[str, list[str]] = {}

    def register(self, conversation: str, answers: list[list[Json]]) -> None:
        """Say what the assistant of a conversation answers, turn by turn."""
        self._answers[conversation] = answers

    def answer(self, conversation: str, request: Json) -> list[Json]:
        """The blocks of the answer; thinking blocks come without a signature."""
        thought: list[Json] = []
        turn = turn_of(request)
        if self.thinks:
            rounds = sum(m["role"] == "assistant" for m in request["messages"])
            thought = [{"type": "thinking", "thinking": _thought(turn, rounds)}]
        calls = self._retrievals(conversation, request)
        if calls:
            return thought + calls
        answers = self._answers.get(conversation, [])
        due = answers[turn] if turn < len(answers) else []
        return thought + (due or [{"type": "text", "text": _FALLBACK}])

    def _retrievals(self, conversation: str, request: Json) -> list[Json]:
        tool = _retrieval_tool(request)
        if not self.retrieve_every or tool is None:
            return []
        seen = self._seen.setdefault(conversation, [])
        wanted = []
        for digest in _markers(request["messages"][-1]):
            if digest not in seen:
                seen.append(digest)
                if len(seen) % self.retrieve_every == 0:
                    wanted.append(digest)
        schema: Any = tool.get("input_schema")
        required = schema.get("required") if isinstance(schema, dict) else None
        argument = required[0] if required else "hash"
        return [
            {
                "type": "tool_use",
                "id": f"toolu_01{_short(conversation + digest)}",
                "name": tool["name"],
                "input": {argument: digest},
            }
            for digest in wanted
        ]


def turn_of(request: Json) -> int:
    """How many answers of the model stand in the request, retrievals aside."""
    return sum(
        message["role"] == "assistant" and not _is_retrieval(message)
        for message in request["messages"]
    )


def stop_reason(blocks: list[Json]) -> str:
    """Why the model stopped after these blocks."""
    is_call = any(block["type"] == "tool_use" for block in blocks)
    return "tool_use" if is_call else "end_turn"


def _is_retrieval(message: Json) -> bool:
    calls = [b for b in as_blocks(message["content"]) if b["type"] == "tool_use"]
    return bool(calls) and all(b["name"] == RETRIEVAL_TOOL for b in calls)


def _retrieval_tool(request: Json) -> Json | None:
    tools = request.get("tools") or ()
    return next((t for t in tools if t.get("name") == RETRIEVAL_TOOL), None)


def _markers(message: Json) -> list[str]:
    """The hashes in the tool results of a message, in their order."""
    found: list[str] = []
    for block in as_blocks(message["content"]):
        if block["type"] == "tool_result":
            for part in as_blocks(block.get("content")):
                found += _MARKER.findall(str(part.get("text", "")))
    return found


def _thought(turn: int, rounds: int) -> str:
    return (
        f"Step {turn + 1}.{rounds}: the last output narrows it down; "
        "check the next place before changing anything."
    )


def _short(text: str) -> str:
    return blake3(text.encode()).hexdigest()[:22]

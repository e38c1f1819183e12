"""JSON answers joined into one: the rounds of an answer as one client message.

The client gets the last round's object with the words of all rounds in it, hidden calls
left out, the output tokens of all rounds, and the first round's id. An answer that
hides nothing is passed on as it came, byte for byte, and so is an error.
"""

from headroom.core.wire import json_parts
from headroom.errors import StreamError
from headroom.providers.openai_chat.answer import (
    TEXTS,
    Message,
    call_name,
    read_message,
)
from headroom.providers.openai_chat.rounds import (
    choice_of,
    continued,
    make_rounds,
    said,
)
from headroom.providers.rounds import RETRIEVAL_ONLY, Said
from headroom.providers.splicing import JsonSplicing


class JsonSplicer(JsonSplicing):
    """The ``Splicer`` of JSON answers."""

    def __init__(self, own: frozenset[str] = RETRIEVAL_ONLY) -> None:
        super().__init__(make_rounds(own))
        self._message = Message(status="open")
        self._body = b""
        self._id = b""
        self._texts: dict[str, str] = {}

    def _read(self, body: bytes) -> Said:
        self._message = read_message(body)
        return said(self._message, self._rounds.own)

    def _keep(self, body: bytes) -> None:
        self._body = body
        if self._rounds.number == 0:
            self._id = json_parts.members(body).get("id", b"")
        choice = choice_of(self._message)
        for name in TEXTS:
            if text := getattr(choice, name):
                self._texts[name] = self._texts.get(name, "") + text

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._rounds.turns[-1])

    def _joined(self) -> bytes:
        try:
            return self._rewritten()
        except StreamError:  # it was read before, so this cannot be
            return self._body

    def _rewritten(self) -> bytes:
        """The last round's object, value by value; others keep their bytes."""
        top = json_parts.members(self._body)
        if self._id:
            top["id"] = self._id
        first, *others = json_parts.elements(top["choices"])
        choice = json_parts.members(first)
        message = json_parts.members(choice.get("message", b"{}"))
        for name, text in self._texts.items():
            message[name] = json_parts.encode_string(text)
        calls = [
            raw
            for raw in json_parts.elements(message.pop("tool_calls", b"[]"))
            if call_name(json_parts.members(raw)) not in self._rounds.own
        ]
        if calls:
            message["tool_calls"] = b"[%b]" % b",".join(calls)
        elif choice.get("finish_reason") == b'"tool_calls"':
            choice["finish_reason"] = b'"stop"'
        choice["message"] = json_parts.encode_object(message)
        joined = json_parts.encode_object(choice)
        top["choices"] = b"[%b]" % b",".join((joined, *others))
        if top.get("usage", b"null") != b"null":
            top["usage"] = self._figures(json_parts.members(top["usage"]))
        return json_parts.encode_object(top)

    def _figures(self, usage: dict[str, bytes]) -> bytes:
        own = json_parts.count(usage.get("completion_tokens"))
        total = json_parts.count(usage.get("total_tokens"))
        output = self._rounds.usage.get("output_tokens")
        if own is not None and output is not None:
            usage["completion_tokens"] = b"%d" % output
            if total is not None:
                usage["total_tokens"] = b"%d" % (total - own + output)
        return json_parts.encode_object(usage)

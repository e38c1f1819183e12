"""JSON answers joined into one: the rounds of an answer as one client response.

The client gets the last round's object with the items of all rounds in it, hidden calls
left out, and the output tokens of all rounds. Its id is the last round's: behind that
one the provider knows everything. An answer that hides nothing is passed on as it came,
byte for byte, and so is an error.
"""

from headroom.core.splice import splice
from headroom.core.wire import json_parts
from headroom.errors import MalformedBodyError
from headroom.providers.openai_responses.answer import Message, read_message
from headroom.providers.openai_responses.rounds import (
    continued,
    ending_edits,
    hides,
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
        self._seen: list[bytes] = []

    def _read(self, body: bytes) -> Said:
        self._message = read_message(body)
        return said(self._message, self._rounds.own)

    def _keep(self, body: bytes) -> None:
        self._body = body
        own = self._rounds.own
        self._seen += [i.data for i in self._message.items if not hides(i, own)]

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._message, self._rounds.results)

    def _joined(self) -> bytes:
        body = self._body
        try:
            return splice(body, ending_edits(body, self._rounds, self._seen))
        except MalformedBodyError:
            # Half a surrogate pair somewhere: written anew, value by value.
            top = json_parts.members(body)
            top["output"] = b"[%b]" % b",".join(self._seen)
            usage = json_parts.members(top.get("usage", b"{}"))
            sums = self._rounds.usage
            usage["output_tokens"] = b"%d" % sums.get("output_tokens", 0)
            top["usage"] = json_parts.encode_object(usage)
            return json_parts.encode_object(top)

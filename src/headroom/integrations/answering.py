"""One answer of a provider whose request a session has forwarded; sans IO.

Between a splicer, which knows the API's shapes, and whoever holds the connection: feed
it what the provider says, give the client what it returns, and send what
``next_body`` says::

    answer = Answering(session, api, forwarded, is_stream=…)
    while True:
        for piece in response: client(answer.feed(piece))
        client(answer.end())
        body = answer.next_body()
        if body is None: break
        response = send(body)
        if response.status != 200: client(answer.fail(response.body)); break
    client(answer.finish())

What always holds: what was hidden is kept before the client's message ends, so that the
next request finds it.
"""

import msgspec

from headroom.core.hidden import Answer
from headroom.errors import MalformedBodyError, StoreError, StreamError
from headroom.providers import PROVIDERS
from headroom.providers.openai_responses.stream import (
    StreamReader,
    read_message,
    reply_of,
)
from headroom.session import Api, Forwarded, Session

_FAILED = "the provider could not be asked to go on after a retrieval"


class Answering:
    """The state of one answer; see the module. Calls may wait for the store.

    Args:
        session: which forwarded the request.
        api: whose answer it is.
        forwarded: what became of the request.
        is_stream: the answer is a stream of events, not one JSON body.
    """

    def __init__(
        self, session: Session, api: Api, forwarded: Forwarded, *, is_stream: bool
    ) -> None:
        self._session = session
        self._api = api
        self._forwarded = forwarded
        self._is_stream = is_stream
        self._body = forwarded.body
        self._splicer = PROVIDERS[api].splicer(
            is_stream=is_stream, own=forwarded.own_tools
        )
        self._note_reply = forwarded.note_reply
        self._reader = StreamReader()
        self._hidden: Answer | None = None
        self._failure = b""

    def feed(self, piece: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        return self._seen(self._splicer.feed(piece))

    def end(self) -> bytes:
        """Take the end of the round; return what the client gets now."""
        return self._seen(self._splicer.end())

    def next_body(self) -> bytes | None:
        """The next round's request; ``None`` if the answer is over."""
        splicer = self._splicer
        if not splicer.is_waiting:
            return None
        answer = self._session.answer
        splicer.answer([answer(call, self._forwarded) for call in splicer.calls])
        if not splicer.is_continuing:
            return None
        try:
            self._body = splicer.next_body(self._body)
        except (MalformedBodyError, StreamError):
            self._failure = splicer.fail(_error_body(_FAILED))
            return None
        return self._body

    def fail(self, error: bytes) -> bytes:
        """Tell the client, in its stream, of an error that the provider answered."""
        return self._splicer.fail(error or _error_body(_FAILED))

    def finish(self) -> bytes:
        """What ends the client's message; what it did not see is kept before."""
        self._hidden = self._splicer.hidden
        if self._hidden is not None:
            self._session.note_hidden(self._forwarded.chain_key, self._hidden)
        return self._failure + self._seen(self._splicer.finish())

    def _seen(self, out: bytes) -> bytes:
        """Read along what the client sees, where its next request may name it."""
        note = self._note_reply
        if note is None or not out:
            return out
        if self._is_stream:
            self._reader.feed(out)
            if self._reader.status == "open":
                return out
            message = self._reader.close()
        else:
            message = read_message(out)
        self._note_reply = None
        reply = reply_of(message)
        if reply is not None:
            hidden = self._hidden
            try:
                note(reply, b"" if hidden is None else hidden.results)
            except StoreError:
                return out
        return out


def _error_body(words: str) -> bytes:
    """An error in the shape that the SDKs of all APIs read."""
    error = {"type": "api_error", "code": "upstream_error", "message": words}
    return msgspec.json.encode({"type": "error", "error": error})

"""Conversations in one process: request bodies and message lists over one ledger.

The library's counterpart of the proxy's stages, for integrations and for whoever calls
a provider without a proxy. A ``Session`` drives the same ``Rewrite`` over the same
ledger: what was sent once is sent the same way again, however often the caller passes
the whole history. Calls wait for the store and for compression; the ones that begin
with ``a`` do so in a thread, or where a server's ``Place`` says.

What always holds: nothing is left out unless its original was stored first and somebody
can get it back. Whatever goes wrong, what was sent before is repeated and the rest
leaves as it came; if that fails too, all of it does. A log record says why.
"""

import asyncio
import copy
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import msgspec
from msgspec import Struct

from headroom.api import Message, MessagesResult
from headroom.ccr.contract import ManagedStore
from headroom.ccr.ledger import Ledger
from headroom.ccr.notes import keep_note, read_texts
from headroom.ccr.retrieve import retrieve_call
from headroom.ccr.stores import open_store
from headroom.core.attempts import Attempt, Failed, attempted
from headroom.core.hidden import Answer, encode_answer
from headroom.core.repeats import SourceMemo
from headroom.core.retrieval_tool import TOOLS
from headroom.core.rewrite import Rewrite
from headroom.core.threads import (
    Reply,
    Thread,
    decode_thread,
    encode_thread,
    note_key,
)
from headroom.core.trail import change_of
from headroom.core.types import Manifest, Policy, ToolCall
from headroom.driving import HERE, Driver, Place, Request, Rewritten, at_once
from headroom.errors import MalformedBodyError, StoreError
from headroom.inference.model_table import ModelTable
from headroom.providers import PROVIDERS
from headroom.providers.credentials import AuthMode

log = logging.getLogger("headroom.session")

Api: TypeAlias = Literal["anthropic", "openai_chat", "openai_responses", "gemini"]
Retrieval: TypeAlias = Literal["off", "tool", "mcp", "elsewhere"]

LISTS: Mapping[str, str] = {
    "anthropic": "messages",
    "openai_chat": "messages",
    "openai_responses": "input",
    "gemini": "contents",
}
"""Where each API's requests keep their conversation."""


class Forwarded(Struct, frozen=True):
    """What became of one request body.

    Attributes:
        body: what to send; the identical object if nothing changed.
        reason: why it was not looked into, in one word; empty if it was.
        reasons: why it differs from what came, one word each.
        manifest: what happened to each text that was looked at.
        originals: content digest → original, of what was left out for the first time.
        chain_key: the ledger's key of the conversation up to here.
        own_tools: Headroom's tools that the body offers: calls of them in the answer
            are for the caller to answer, not for the client.
        note_reply: to be told of the answer when it has ended and before the client
            is, with the results that the client did not see; ``None`` where the
            provider does not keep the conversation.
        result_named: the text of an earlier result by its number, as the conversation
            counts; waits for the store, and raises as ``Store.get`` does.
    """

    body: bytes
    reason: str = ""
    reasons: tuple[str, ...] = ()
    manifest: Manifest = Manifest(0, 0, None, ())
    originals: dict[str, str] = {}
    chain_key: bytes = b""
    own_tools: frozenset[str] = frozenset()
    note_reply: Callable[[Reply, bytes | None], None] | None = None
    result_named: Callable[[str], str] | None = None

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of all texts that were looked at, before and after."""
        return self.manifest.tokens()

    @property
    def is_lossless(self) -> bool:
        """Whether every fact can be read in place."""
        return not any(
            entry.outcome.is_lossy and entry.outcome.action == "compressed"
            for entry in self.manifest.entries
        )


class Session:
    """Conversations that share a ledger; safe to use from several threads.

    Attributes:
        retrieval: as given.

    Args:
        store: an open store, or the URL of one (``sqlite:///…``, ``redis://…``);
            conversations live as long as it does. A store given open stays open.
        retrieval: how originals come back, and so whether anything may be left out:
            ``off`` (nothing is), ``elsewhere`` (the caller serves them, by ``retrieve``
            or otherwise), ``mcp`` (where the client's tools include ours, be it an
            MCP server's or ``retrieval_tool``), ``tool`` (ours is added to bodies, and
            the caller answers its calls in the provider's answer; lists of messages,
            to which no tool can be added, are treated as under ``mcp``).
        user_text: ``lossy`` lets machine output that people paste be shortened like
            that of tools.
        namespace: whose conversations; others are not seen.
        models: what is known of models; what is built in, if not given.

    Raises:
        ConfigError: the store's URL is unusable.
        StoreUnavailableError: the store cannot be opened.
    """

    def __init__(
        self,
        store: ManagedStore | str = "memory://",
        *,
        retrieval: Retrieval = "off",
        user_text: Literal["lossless", "lossy"] = "lossless",
        namespace: str = "",
        models: ModelTable | None = None,
    ) -> None:
        self.retrieval = retrieval
        self._is_owner = isinstance(store, str)
        opened = open_store(store) if isinstance(store, str) else store
        self._ledger = Ledger(opened)
        self._namespace = namespace
        self._models = models or ModelTable()
        self._memo = SourceMemo()
        self._policy = Policy(
            allow_lossy=retrieval != "off",
            retrieval=retrieval,
            lossy_user_text=user_text == "lossy",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits; close the store if the session opened it."""
        self._ledger.close(keeps_store=not self._is_owner)

    def scoped(self, namespace: str) -> "Session":
        """The same session for another tenant, who sees nothing of the others.

        Shares the ledger and its memory; only the session itself is to be closed.
        """
        other = copy.copy(self)
        other._namespace = namespace
        return other

    def leaving(self) -> "Session":
        """The same session as it repeats what was sent and changes nothing new.

        For when compression is switched off: what has left compressed stays so, or the
        provider's cache would be lost for every conversation that is under way.
        """
        other = copy.copy(self)
        other._policy = msgspec.structs.replace(
            self._policy,
            allow_lossy=False,
            min_lossless_bytes=sys.maxsize,
            may_refer=False,
        )
        return other

    def forward(
        self, api: Api, body: bytes, *, auth_mode: AuthMode = "payg"
    ) -> Forwarded:
        """What to send to a provider instead of a request body.

        Args:
            api: whose shape it has.
            body: JSON, with no content encoding.
            auth_mode: whose credential it is sent under; only where use is paid for
                (``payg``) anything is left out, or a tool added.

        """
        return at_once(self._attempts(api, body, auth_mode, HERE))

    async def aforward(
        self,
        api: Api,
        body: bytes,
        *,
        auth_mode: AuthMode = "payg",
        place: Place | None = None,
    ) -> Forwarded:
        """``forward`` in a thread, or where a server's place says."""
        if place is None:
            work = partial(self.forward, api, body, auth_mode=auth_mode)
            return await asyncio.to_thread(work)
        return await self._attempts(api, body, auth_mode, place)

    async def _attempts(
        self, api: Api, body: bytes, auth_mode: AuthMode, place: Place
    ) -> Forwarded:
        for is_deciding in (True, False):
            with Attempt(_tell):
                return await self._forward(
                    api, body, auth_mode, place, is_deciding=is_deciding
                )
        broken = -1
        with Attempt(_tell):
            broken = await place.work(
                len(body), lambda: self._changed_before(api, body, auth_mode)
            )
        if broken:
            log.error("prefix_broken", extra={"messages": broken})
        return Forwarded(body, "compression_error")

    def _changed_before(self, api: Api, body: bytes, auth_mode: AuthMode) -> int:
        """How many messages of a body left otherwise before, as far as memory knows."""
        view = PROVIDERS[api].parse(body)
        _, records = self._driver(HERE).remembered(view, auth_mode)
        return len({r.key for r in records if change_of(r.decision)})

    async def _forward(
        self,
        api: Api,
        body: bytes,
        auth_mode: AuthMode,
        place: Place,
        *,
        is_deciding: bool,
    ) -> Forwarded:
        provider = PROVIDERS[api]
        try:
            view = await place.work(len(body), lambda: provider.parse(body))
        except MalformedBodyError as error:
            return Forwarded(body, error.reason)
        if view.conversation:
            return Forwarded(body, "conversation_state")
        if not view.messages:
            return Forwarded(body, "no_messages")
        rules = self._models.rules(view.model, view.api)
        policy = msgspec.structs.replace(
            self._policy,
            cache_minimum_tokens=rules.minimum_tokens,
            allow_lossy=self._policy.allow_lossy and auth_mode == "payg",
            is_deciding=is_deciding,
        )
        guard = partial(Attempt, _tell)
        request = Request(view, provider, policy, auth_mode, guard)
        return await self._outcome(await self._driver(place).rewrite(request), place)

    async def _outcome(self, done: Rewritten, place: Place) -> Forwarded:
        """What is told of a request, and what its answer will need."""
        rewrite, view = done.rewrite, done.rewrite.view
        note_reply = None
        if view.is_threaded and view.api == "openai_responses":
            note_reply = await place.work(len(view.body), lambda: self._noting(rewrite))
        for failed in rewrite.failures:
            _tell(failed)
        if rewrite.lost:
            log.error("prefix_broken", extra={"messages": len(rewrite.lost)})
        return Forwarded(
            done.body if rewrite.reasons else view.body,
            reasons=rewrite.reasons,
            manifest=rewrite.manifest,
            originals=done.originals,
            chain_key=rewrite.keys[-1],
            own_tools=rewrite.own_tools,
            note_reply=note_reply,
            result_named=partial(self._driver(HERE).result_named, rewrite),
        )

    def compress(
        self,
        messages: Sequence[Message],
        *,
        api: Api,
        model: str = "",
        tools: Sequence[Message] = (),
        system: str = "",
    ) -> MessagesResult:
        """Shorten what is new in a conversation, repeat what was done before.

        Pass the whole history every time, as it was before compression: a message that
        was passed before gets the same form, whatever has become of settings since.

        Args:
            messages: messages, input items or contents of one of the APIs; objects of
                its SDK may be among them.
            api: whose shape they have.
            model: whose tokenizer and cache rules count.
            tools: the tools they are sent with: conversations that begin with the same
                words under other tools are different ones.
            system: instructions they are sent with, beside those among the messages:
                a prompt is kept as long as the provider's cache wants it.

        Raises:
            TypeError: a message holds something that no JSON can.
            MalformedBodyError: a message holds itself, or is nested too deeply.
        """
        name = LISTS[api]
        request: dict[str, object] = {"model": model, name: list(messages)}
        if tools:
            request["tools"] = list(tools)
        if system:
            request |= _system(api, system)
        if api == "openai_responses":
            request["store"] = False
        body = _encode(request)
        forwarded = self._over_lists().forward(api, body)
        result = list(messages)
        if forwarded.body is not body:
            before, after = json.loads(body)[name], json.loads(forwarded.body)[name]
            for index, (old, new) in enumerate(zip(before, after, strict=True)):
                if old != new:
                    result[index] = new
        tokens_before, tokens_after = forwarded.tokens
        return MessagesResult(
            messages=result,
            tokens_before=tokens_before,
            tokens_after=tokens_after,
            lossless=forwarded.is_lossless,
            strategy=",".join(forwarded.manifest.transforms_applied()),
            originals={},
            manifest=forwarded.manifest,
        )

    def _over_lists(self) -> "Session":
        """The same session where no tool can be added to what is sent."""
        if self._policy.retrieval != "tool":
            return self
        other = copy.copy(self)
        other._policy = msgspec.structs.replace(self._policy, retrieval="mcp")
        return other

    async def acompress(
        self,
        messages: Sequence[Message],
        *,
        api: Api,
        model: str = "",
        tools: Sequence[Message] = (),
        system: str = "",
    ) -> MessagesResult:
        """``compress`` in a thread."""
        return await asyncio.to_thread(
            self.compress,
            messages,
            api=api,
            model=model,
            tools=tools,
            system=system,
        )

    @staticmethod
    def retrieval_tool(api: Api) -> dict[str, Any]:
        """The retrieval tool as an element of an API's list of tools.

        Whoever offers it from a conversation's first request on, and answers its calls
        by ``retrieve``, may have parts left out (``retrieval="mcp"``).
        """
        tool: dict[str, Any] = json.loads(TOOLS[api])
        return tool

    def retrieve(self, arguments: Mapping[str, object]) -> str:
        """Answer a call of the retrieval tool, in words for the model.

        Args:
            arguments: ``hash``, and optionally ``lines``, ``rows`` or ``query``.
        """
        return self.answer(ToolCall("", "", json.dumps(dict(arguments)).encode()))

    def answer(self, call: ToolCall, forwarded: Forwarded | None = None) -> str:
        """The same for a call as a provider's module read it.

        Args:
            call: as the model made it.
            forwarded: the request that it answers, if that is known: then it may name
                results by their numbers.
        """
        return retrieve_call(
            call.input,
            lambda digest: self._ledger.get(digest, namespace=self._namespace),
            numbered=None if forwarded is None else forwarded.result_named,
        ).text

    def note_hidden(self, chain_key: bytes, answer: Answer) -> None:
        """Keep what the client did not see of an answer, for the next request.

        A note that cannot be kept costs the provider's cache, never a request.

        Args:
            chain_key: of the request that was answered.
            answer: all that was said.
        """
        note = encode_answer(answer)
        try:
            keep_note(self._ledger, chain_key, note, namespace=self._namespace)
        except StoreError:
            return

    def _driver(self, place: Place) -> Driver:
        notes = _Notes(self._ledger, place, self._namespace)
        threads = _Threads(notes)
        return Driver(
            self._ledger, place, notes, threads, self._memo, namespace=self._namespace
        )

    def _noting(self, rewrite: Rewrite) -> Callable[[Reply, bytes | None], None]:
        noted = attempted(lambda: rewrite.note_results(self._memo))
        texts = {} if isinstance(noted, Failed) else noted

        def note(reply: Reply, results: bytes | None) -> None:
            key = note_key(self._namespace, reply.id)
            thread = encode_thread(rewrite.thread_after(reply, results))
            self._ledger.remember(
                {key: thread}, originals=texts, namespace=self._namespace
            ).result()

        return note


class _Notes:
    """Notes as the ledger has them; see ``driving.Notes``."""

    def __init__(self, ledger: Ledger, place: Place, namespace: str) -> None:
        self.ledger = ledger
        self.place = place
        self.namespace = namespace

    async def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The notes under any of the keys; none if the store is down."""
        if not keys:
            return {}
        recall = partial(self.ledger.recall, keys, namespace=self.namespace)
        try:
            return await self.place.wait(recall)
        except StoreError:
            return {}

    def peek(
        self,
        keys: Sequence[bytes],  # noqa: ARG002 - the shape of notes
    ) -> dict[bytes, bytes]:
        """None are kept in memory."""
        return {}


class _Threads:
    """Threads as the ledger has them; see ``driving.Threads``."""

    def __init__(self, notes: _Notes) -> None:
        self._notes = notes

    async def recall(self, answer_id: str) -> Thread | None:
        """What is known behind an answer; ``None``: nothing, or the store is down."""
        if not answer_id:
            return None
        key = note_key(self._notes.namespace, answer_id)
        note = (await self._notes.recall([key])).get(key)
        return None if note is None else decode_thread(note)

    async def texts(self, digests: Sequence[str]) -> dict[str, str]:
        """The texts that a thread names, as far as they can be found."""
        ledger, namespace = self._notes.ledger, self._notes.namespace
        read = partial(read_texts, ledger, digests, namespace=namespace)
        return await self._notes.place.wait(read)


def _tell(failed: Failed) -> None:
    """Log a failure by the error's code or class."""
    log.warning("compression_error", extra={"error": failed.error})


def _system(api: Api, text: str) -> dict[str, object]:
    """Instructions as a request of an API has them."""
    if api == "openai_responses":
        return {"instructions": text}
    if api == "gemini":
        return {"systemInstruction": {"parts": [{"text": text}]}}
    # Chat Completions has them among the messages.
    return {"system": text} if api == "anthropic" else {}


def _encode(request: Mapping[str, object]) -> bytes:
    """A request as JSON.

    Raises:
        TypeError: it holds something that no JSON can.
        MalformedBodyError: it holds itself, or is nested too deeply.
    """
    try:
        try:
            return json.dumps(request, default=_plain, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            # Half a surrogate pair, which JSON can only carry as an escape.
            return json.dumps(request, default=_plain).encode()
    except ValueError as error:
        raise MalformedBodyError(
            f"expected messages that JSON can hold, found: {error}"
        ) from error
    except RecursionError as error:
        raise MalformedBodyError(
            "expected messages that JSON can hold, found some nested too deeply"
        ) from error


def _plain(value: Any) -> object:  # whatever an SDK puts into its messages
    """What an SDK's object means as JSON: theirs are Pydantic models."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"expected JSON or a model of an SDK, found {type(value)}")
    return dump(mode="json", exclude_unset=True)

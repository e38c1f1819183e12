"""Conversations in one process: request bodies and message lists over one ledger.

The library's counterpart of the proxy's stages, for integrations and for whoever calls
a provider without a proxy. A ``Session`` drives the same ``Rewrite`` over the same
ledger: what was sent once is sent the same way again, however often the caller passes
the whole history. Calls wait for the store and for compression; the ones that begin
with ``a`` do so in a thread.

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
from headroom.ccr.ledger import Known, Ledger
from headroom.ccr.notes import keep_note, read_texts
from headroom.ccr.retrieve import retrieve_call
from headroom.ccr.stores import open_store
from headroom.core.attempts import Failed, attempted
from headroom.core.hidden import Answer, encode_answer
from headroom.core.pipeline import compress_block
from headroom.core.plan import BLOCK_LINEAGE, make_chain
from headroom.core.protocols import LedgerKey, Record
from headroom.core.repeats import SourceMemo
from headroom.core.retrieval_tool import TOOLS
from headroom.core.rewrite import Batch, Rewrite
from headroom.core.threads import (
    Reply,
    Thread,
    decode_thread,
    encode_thread,
    note_key,
)
from headroom.core.trail import change_of
from headroom.core.types import Decision, Manifest, Policy, RequestView, ToolCall
from headroom.errors import MalformedBodyError, StoreError, StoreUnavailableError
from headroom.inference.model_table import ModelTable
from headroom.inference.tokens import counter_for
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
    """

    body: bytes
    reason: str = ""
    reasons: tuple[str, ...] = ()
    manifest: Manifest = Manifest(0, 0, None, ())
    originals: dict[str, str] = {}
    chain_key: bytes = b""
    own_tools: frozenset[str] = frozenset()
    note_reply: Callable[[Reply, bytes | None], None] | None = None

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


class _Request(Struct):
    """One request on its way through a session.

    Attributes:
        is_lossless: nothing may be left out of what is new, whatever the policy says.
        known: what was read when the ledger could be.
    """

    view: RequestView
    policy: Policy
    auth_mode: AuthMode
    is_lossless: bool = False
    known: Known | None = None


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
    ) -> None:
        self.retrieval = retrieval
        self._is_owner = isinstance(store, str)
        opened = open_store(store) if isinstance(store, str) else store
        self._ledger = Ledger(opened)
        self._namespace = namespace
        self._models = ModelTable()
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
        for is_deciding in (True, False):
            try_it = partial(
                self._forward, api, body, auth_mode, is_deciding=is_deciding
            )
            found = attempted(try_it)
            if not isinstance(found, Failed):
                return found
            _tell(found.error)
        broken = attempted(lambda: self._changed_before(api, body, auth_mode))
        if broken != 0:
            extra = {"messages": broken if isinstance(broken, int) else -1}
            log.error("prefix_broken", extra=extra)
        return Forwarded(body, "compression_error")

    def _changed_before(self, api: Api, body: bytes, auth_mode: AuthMode) -> int:
        """How many messages of a body left otherwise before, as far as memory knows."""
        view = PROVIDERS[api].parse(body)
        chain = make_chain(view, namespace=self._namespace, auth_mode=auth_mode)
        records, _ = self._ledger.peek(
            chain.keys, chain.lineage, namespace=self._namespace
        )
        return len({r.key for r in records if change_of(r.decision)})

    def _forward(
        self, api: Api, body: bytes, auth_mode: AuthMode, *, is_deciding: bool
    ) -> Forwarded:
        try:
            view = PROVIDERS[api].parse(body)
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
        request = _Request(view, policy, auth_mode)
        try:
            return self._rewrite(request)
        except StoreUnavailableError:
            # Nothing may be left out that is not stored; the rest is as it would be.
            request.is_lossless = True
            return self._rewrite(request)

    async def aforward(
        self, api: Api, body: bytes, *, auth_mode: AuthMode = "payg"
    ) -> Forwarded:
        """``forward`` in a thread."""
        return await asyncio.to_thread(self.forward, api, body, auth_mode=auth_mode)

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

    def answer(self, call: ToolCall) -> str:
        """The same for a call as a provider's module read it."""
        return retrieve_call(
            call.input,
            lambda digest: self._ledger.get(digest, namespace=self._namespace),
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

    def _rewrite(self, request: _Request) -> Forwarded:
        view = request.view
        rewrite = Rewrite(
            view,
            PROVIDERS[view.api],
            request.policy,
            namespace=self._namespace,
            auth_mode=request.auth_mode,
            thread=self._thread(view.continues),
        )
        known = self._known(request, rewrite)
        rewrite.plan(known.records, notes=known.notes, is_complete=known.is_complete)
        if request.is_lossless:
            rewrite.only_lossless()
        self._compress(rewrite)
        batch = rewrite.settle()
        # What a conversation begins with has to be known from then on.
        has_to = request.policy.is_deciding or rewrite.is_beginning
        winners = self._save(batch, is_late=not known.is_complete, has_to=has_to)
        if rewrite.is_contradicted(winners):
            # Their records are known by now, so that this happens once.
            return self._rewrite(request)
        body = rewrite.finish(winners)
        is_kept = view.is_threaded and view.api == "openai_responses"
        note_reply = self._noting(rewrite) if is_kept else None
        for failed in rewrite.failures:
            _tell(failed.error)
        if rewrite.lost:
            log.error("prefix_broken", extra={"messages": len(rewrite.lost)})
        return Forwarded(
            body if rewrite.reasons else view.body,
            reasons=rewrite.reasons,
            manifest=rewrite.manifest,
            originals=batch.originals,
            chain_key=rewrite.keys[-1],
            own_tools=rewrite.own_tools,
            note_reply=note_reply,
        )

    def _compress(self, rewrite: Rewrite) -> None:
        """Work out what becomes of what is seen for the first time."""
        missing = rewrite.missing_texts(self._memo)
        texts = read_texts(self._ledger, missing, namespace=self._namespace)
        rewrite.give(texts, self._memo)
        for tasks in rewrite.groups():
            count = counter_for(rewrite.view.model)
            rest = rewrite.refer(tasks, self._memo, count)
            rewrite.add(
                {i: compress_block(tasks[i], rewrite.policy, count) for i in rest}
            )

    def _known(self, request: _Request, rewrite: Rewrite) -> Known:
        """What the ledger tells; memory alone where reading it must not fail again."""
        if request.policy.is_deciding:
            records, is_complete = self._records(rewrite)
            notes = self._notes(rewrite.hidden_keys(records))
            known = Known(records, notes, is_complete)
            if request.is_lossless and request.known and not is_complete:
                # A moment ago it could be read: what is missing there is not known.
                return request.known
            request.known = known if is_complete else None
            return known
        read = attempted(lambda: self._records(rewrite))
        if isinstance(read, Failed):
            _tell(read.error)
            lineage, namespace = rewrite.chain.lineage, self._namespace
            records, _ = self._ledger.peek(rewrite.keys, lineage, namespace=namespace)
            is_complete = False
        else:
            records, is_complete = read
        recalled = attempted(lambda: self._notes(rewrite.hidden_keys(records)))
        if isinstance(recalled, Failed):
            _tell(recalled.error)
            recalled = {}
        return Known(records, recalled, is_complete)

    def _save(
        self, batch: Batch, *, is_late: bool, has_to: bool
    ) -> Mapping[LedgerKey, Decision]:
        """Write before anything leaves; the decisions that others made before."""

        def write() -> Mapping[LedgerKey, Decision]:
            return self._ledger.save(
                batch.records,
                batch.originals,
                namespace=self._namespace,
                may_wait=is_late,
            ).winners

        if has_to:
            return write()
        found = attempted(write)
        if not isinstance(found, Failed):
            return found
        # Messages that are left need no record as soon as they have been answered.
        _tell(found.error)
        return {}

    def _thread(self, answer_id: str) -> Thread | None:
        """What is known behind an answer; ``None``: nothing, or the store is down."""
        if not answer_id:
            return None
        key = note_key(self._namespace, answer_id)
        note = self._notes([key]).get(key)
        return None if note is None else decode_thread(note)

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

    def _records(self, rewrite: Rewrite) -> tuple[list[Record], bool]:
        """What the ledger knows; from memory alone wherever that is sound."""
        ledger, namespace = self._ledger, self._namespace
        lineage = rewrite.chain.lineage
        records, _ = ledger.peek(rewrite.keys, lineage, namespace=namespace)
        is_complete = True
        if rewrite.needs_store(records):
            found = ledger.lookup(rewrite.keys, lineage, namespace=namespace)
            records, is_complete = found.records, found.is_complete
        orphans = rewrite.orphan_keys(records)
        if orphans and is_complete:
            found = ledger.lookup(orphans, BLOCK_LINEAGE, namespace=namespace)
            records, is_complete = records + found.records, found.is_complete
        return records, is_complete

    def _notes(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        if not keys:
            return {}
        try:
            return self._ledger.recall(keys, namespace=self._namespace)
        except StoreError:
            return {}


def _tell(error: str) -> None:
    """Log a failure by the error's code or class."""
    log.warning("compression_error", extra={"error": error})


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

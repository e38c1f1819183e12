"""Memory in the proxy: whose it is, what is appended, what the tools answer.

What always holds: facts are looked for in one user's memory only, told by the
request's namespace and its ``x-headroom-user-id``; questions and facts never reach a
log, only hashes and sizes do; a memory that fails costs the facts, never a request.
"""

import asyncio
import logging
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

from headroom.core.memory_tools import NAMES
from headroom.core.types import JsonValue, Policy, ToolCall
from headroom.errors import LimitExceededError, StoreError
from headroom.memory.calls import answer
from headroom.memory.facts import MemoryConfig, Owner
from headroom.memory.meaning import load_embedder
from headroom.memory.recall import recall
from headroom.memory.store import MemoryStore
from headroom.proxy.auth import AuthPolicy
from headroom.proxy.current import Current
from headroom.proxy.exchange import Answerer, Exchange
from headroom.settings import MemorySettings

log = logging.getLogger("headroom.proxy")

_QUERY_HASH_BYTES = 8


class Memories:
    """The memory of one server process.

    Args:
        current: the settings in force; they may change between requests.
        store: where it is.
        namespace: the tenant.
    """

    def __init__(
        self, current: Current, store: MemoryStore, *, namespace: str = ""
    ) -> None:
        self._current = current
        self._store = store
        self._namespace = namespace
        self._failures = 0

    def close(self) -> None:
        """Close the files."""
        self._store.close()

    def health(self) -> dict[str, JsonValue]:
        """What it does, and how often it could not."""
        return {"ok": True, "mode": self._settings.mode, "failures": self._failures}

    def policy(self, policy: Policy, allowed: AuthPolicy) -> Policy:
        """What a request may get of it, by whose credential it carries."""
        is_on = self._is_on and allowed.remembers
        return msgspec.structs.replace(
            policy,
            more_tools=NAMES if is_on and allowed.adds_tools else (),
            keeps_tools=self._settings.tool_injection_sticky == "enabled",
            appends=is_on and self._settings.injection_mode == "live_zone_tail",
        )

    async def search_and_format_context(self, exchange: Exchange, question: str) -> str:
        """What is appended for a question; empty for nothing.

        The one place that every API's requests come through.
        """
        if self._settings.mode != "auto_tail":
            log.info("memory_mode_skip", extra={"request_id": exchange.request_id})
            return ""
        owner = self._owner(exchange)
        try:
            text = await asyncio.to_thread(recall, self._store, owner, question)
        except (StoreError, LimitExceededError) as error:
            self._fail(exchange, error.code)
            return ""
        digest = blake2b(
            question.encode("utf-8", "replace"), digest_size=_QUERY_HASH_BYTES
        )
        exchange.memory = {
            "decision": "injected" if text else "skipped_nothing_found",
            "bytes_injected": len(text.encode("utf-8")),
            "query_hash": digest.hexdigest(),
        }
        return text

    def report(
        self, exchange: Exchange, tools: tuple[str, ...], *, is_first: bool, size: int
    ) -> None:
        """Log what was appended and added; after the session is known.

        Args:
            exchange: the request.
            tools: names of the memory tools that it leaves with.
            is_first: its conversation begins with it.
            size: bytes of the tools' definitions.
        """
        common: dict[str, JsonValue] = {
            "request_id": exchange.request_id,
            "session_id": exchange.session_id,
        }
        if exchange.memory:
            log.info("memory_injection", extra={**common, **exchange.memory})
            exchange.fields["memory"] = exchange.memory
        if tools:
            exchange.fields["memory_tools"] = len(tools)
        if not self._is_on and not tools:
            return
        if self._settings.tool_injection_sticky == "disabled":
            decision = "skip_disabled_via_env"
        elif tools:
            decision = "inject_first_time" if is_first else "inject_sticky_replay"
        else:
            decision = "skip"
        log.info(
            "tool_injection_decision",
            extra={
                **common,
                "provider": exchange.route.provider,
                "decision": decision,
                "tool_definition_bytes_count": size,
            },
        )

    @property
    def answerers(self) -> Mapping[str, Answerer]:
        """Tool name → what answers its calls."""
        return dict.fromkeys(NAMES, self.answer)

    async def answer(self, exchange: Exchange, call: ToolCall) -> str:
        """What a call of a memory tool is answered."""
        if not self._is_on:
            # The tools stay in conversations that began with them.
            return f"[{call.name} is switched off; go on without it]"
        owner = self._owner(exchange)
        told = await asyncio.to_thread(answer, self._store, owner, call)
        exchange.memory_calls.append((call.name, told.outcome))
        if told.outcome == "unavailable":
            self._fail(exchange, "store_unavailable")
        return told.text

    @property
    def _settings(self) -> MemorySettings:
        return self._current.settings.memory

    @property
    def _is_on(self) -> bool:
        return self._settings.mode != "off"

    def _owner(self, exchange: Exchange) -> Owner:
        return Owner(self._namespace, exchange.user_id)

    def _fail(self, exchange: Exchange, code: str) -> None:
        self._failures += 1
        extra = {"request_id": exchange.request_id, "error": code}
        log.warning("memory_unavailable", extra=extra)


def make_memories(current: Current) -> Memories:
    """The memory that the settings name; files are opened when they are needed.

    Raises:
        ConfigError: the package of embeddings is unusable.
    """
    given = current.settings.memory
    config = MemoryConfig(
        max_facts=given.max_facts,
        max_fact_bytes=given.max_fact_bytes,
        max_users=given.max_users,
        embedder=load_embedder(given.embeddings) if given.embeddings else None,
    )
    return Memories(current, MemoryStore(Path(current.settings.memory_dir), config))

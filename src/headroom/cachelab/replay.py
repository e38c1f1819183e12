"""Replays conversations directly and through a proxy, and measures both in one run.

Each side has a provider of its own, so that caches never mix; every turn is sent
directly and then through the target, so that both latencies are of the same moment. The
provider runs in this process and its own work is subtracted from either. Conversations
follow each other; ``parallel`` copies of one run at the same time, with equal content.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from headroom.cachelab import measure
from headroom.cachelab.client import Answer, Client
from headroom.cachelab.conversations import (
    Conversation,
    Sending,
    Turn,
    request_body,
    request_path,
)
from headroom.cachelab.lab import (
    CHAT_KEY_PREFIX,
    KEY_PREFIX,
    REPLAY_KEY,
    Lab,
    Record,
    TokenCounter,
)
from headroom.cachelab.measure import Exchange, Result
from headroom.cachelab.prefix import RETRIEVAL_TOOL, Json
from headroom.cachelab.script import Script
from headroom.cachelab.server import make_app, serving
from headroom.cachelab.socket_client import SocketClient
from headroom.errors import ConfigError
from headroom.inference.vocabulary import load_encoding

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called after each turn with the conversation's name, the turn and how many."""
Restart: TypeAlias = Callable[[], Awaitable[None]]
"""Restarts the target; returns when it may be asked again."""

_READY_S = 30.0


class Options(Struct, frozen=True):
    """How to replay.

    Attributes:
        resends: send a middle turn again at the end, then go on from there.
        is_reconnecting: a new connection for every request.
        parallel: copies of each conversation at once.
        pause_s: let the provider's clock go on by so much in the middle.
        retrieve_every: the model asks back every N-th lossy block.
        keeps_requests: keep the last request of each conversation for inspection.
        uses_sockets: Responses are spoken over WebSockets.
    """

    sending: Sending = Sending()
    resends: bool = False
    is_reconnecting: bool = False
    parallel: int = 1
    pause_s: float = 0.0
    retrieve_every: int = 0
    is_strict_thinking: bool = False
    keeps_requests: bool = False
    uses_sockets: bool = False


class Side(Struct):
    """One way to the provider."""

    lab: Lab
    client: Client
    sockets: SocketClient
    seen: int = 0
    restart: Restart | None = None


class Bench:
    """Two providers, the target between one of them and us, and what was measured."""

    def __init__(self, direct: Side, target: Side | None, options: Options) -> None:
        self.direct = direct
        self.target = target
        self._options = options

    async def run(
        self, conversations: list[Conversation], progress: Progress | None = None
    ) -> list[Result]:
        """Replay the conversations one after the other."""
        results: list[Result] = []
        for conversation in conversations:
            copies = self._options.parallel
            meeting = asyncio.Barrier(copies)
            runs = [
                self._one(conversation, number, meeting, progress)
                for number in range(copies)
            ]
            results += await asyncio.gather(*runs)
        return results

    async def _one(
        self,
        conversation: Conversation,
        copy: int,
        meeting: asyncio.Barrier,
        progress: Progress | None,
    ) -> Result:
        name = conversation.name
        copy_name = f"{name}-{copy}" if self._options.parallel > 1 else name
        if self._options.resends:
            conversation = conversation.resent()
        sides = [s for s in (self.direct, self.target) if s is not None]
        exchanges: list[list[Exchange]] = [[] for _ in sides]
        histories: list[list[Json]] = [list(conversation.messages) for _ in sides]
        for side in sides:
            side.lab.script.register(copy_name, conversation.answers())
        turns = conversation.turns
        for number, turn in enumerate(turns):
            if number == len(turns) // 2 and number:
                # No copy has a request under way while the target is restarted.
                await meeting.wait()
                if copy == 0:
                    await self._interrupt(sides)
                await meeting.wait()
            for side, history, done in zip(sides, histories, exchanges, strict=True):
                done.append(
                    await self._exchange(side, conversation, copy_name, turn, history)
                )
            if progress is not None:
                progress(copy_name, number + 1, len(turns))
        return measure.result(
            copy_name, exchanges[0], exchanges[1] if len(exchanges) > 1 else ()
        )

    async def _interrupt(self, sides: list[Side]) -> None:
        """What happens in the middle: time passes, the target is restarted."""
        for side in sides:
            side.lab.clock.advance(self._options.pause_s)
            if side.restart is not None:
                await side.restart()

    async def _exchange(
        self,
        side: Side,
        conversation: Conversation,
        copy: str,
        turn: Turn,
        history: list[Json],
    ) -> Exchange:
        sending = self._options.sending
        body = request_body(conversation, turn, sending, copy, history)
        api = conversation.api
        start = len(side.lab.records)
        prefix = KEY_PREFIX if api == "messages" else CHAT_KEY_PREFIX
        is_naming = not turn.recorded and api != "gemini"
        key = f"{prefix}{REPLAY_KEY if is_naming else copy}"
        if self._options.uses_sockets:
            answer = await side.sockets.send(body, key)
        else:
            path = request_path(conversation, turn, sending)
            answer = await side.client.send(body, key, api, path)
        records = tuple(r for r in side.lab.records[start:] if r.conversation == copy)
        error = answer.error
        if not error and _shows_retrieval(answer, conversation):
            error = "a call of the retrieval tool reached the client"
        is_echoing = sending.thinks and api == "messages"
        if is_echoing and answer.blocks and not turn.follow_up:
            _echo(history, turn.end, answer.blocks)
        return Exchange(
            records=records,
            latency_ms=answer.elapsed_ms - sum(r.server_ms for r in records),
            error=error,
            is_answer_changed=not error and _is_changed(side, records, answer),
        )


def unattributed(lab: Lab, names: set[str]) -> list[Record]:
    """Requests that reached the provider without naming a replayed conversation."""
    return [record for record in lab.records if record.conversation not in names]


@contextlib.asynccontextmanager
async def bench(
    options: Options,
    *,
    listen_port: int = 0,
    target: Callable[[str], Awaitable[tuple[str, Restart | None]]] | None = None,
) -> AsyncIterator[Bench]:
    """Start the providers, then the target between them and the client.

    Args:
        options: how to replay.
        listen_port: where the target finds the provider; 0: anywhere.
        target: given the provider's URL, says where the target is and how to restart
            it; ``None`` measures the direct way alone.

    Raises:
        ConfigError: a port is taken, or the target does not answer.
    """
    await asyncio.to_thread(load_encoding, "o200k_base")
    counter = TokenCounter()
    async with contextlib.AsyncExitStack() as stack:

        async def side(port: int) -> tuple[Lab, str]:
            lab = Lab(
                counter,
                script=Script(
                    retrieve_every=options.retrieve_every,
                    thinks=options.sending.thinks,
                ),
                is_strict_thinking=options.is_strict_thinking,
                keeps_requests=options.keeps_requests,
            )
            return lab, await stack.enter_async_context(serving(make_app(lab), port))

        async def client(url: str) -> Client:
            return await stack.enter_async_context(
                Client(url, is_reconnecting=options.is_reconnecting)
            )

        async def sockets(url: str) -> SocketClient:
            return await stack.enter_async_context(
                SocketClient(url, is_reconnecting=options.is_reconnecting)
            )

        lab, url = await side(0)
        direct = Side(lab, await client(url), await sockets(url))
        through: Side | None = None
        if target is not None:
            lab, url = await side(listen_port)
            target_url, restart = await target(url)
            through = Side(lab, await client(target_url), await sockets(target_url))
            await _wait(through.client)
            if restart is not None:
                through.restart = _restarting(restart, through.client)
        yield Bench(direct, through, options)


def _restarting(restart: Restart, client: Client) -> Restart:
    async def run() -> None:
        await restart()
        await _wait(client)

    return run


async def _wait(client: Client) -> None:
    if not await client.is_ready(_READY_S):
        raise ConfigError(f"{client.base_url} does not answer within {_READY_S:.0f} s")


def _echo(history: list[Json], index: int, blocks: list[Json]) -> None:
    """The client puts the answer it got into its history, thinking and all."""
    if index < len(history) and history[index]["role"] == "assistant":
        history[index] = {**history[index], "content": blocks}


def _shows_retrieval(answer: Answer, conversation: Conversation) -> bool:
    """The client is asked to run a tool that only the proxy knows."""

    def is_call(block: Json) -> bool:
        return bool(block["type"] == "tool_use" and block["name"] == RETRIEVAL_TOOL)

    return any(map(is_call, answer.blocks)) and not any(
        is_call(block) for blocks in conversation.answers() for block in blocks
    )


def _is_changed(side: Side, records: tuple[Record, ...], answer: Answer) -> bool:
    """Whether the client got other blocks than the model's last answer has."""
    if not records:
        return True
    given = side.lab.last_answers.get(records[-1].conversation, [])
    encode = msgspec.json.encode
    got = [encode(b) for b in answer.blocks if "thinking" not in b["type"]]
    return got != [encode(b) for b in given if "thinking" not in b["type"]]

"""An MCP server: originals back, texts compressed, figures, for any MCP client.

Built on the official SDK (https://py.sdk.modelcontextprotocol.io); no other module
imports it. Its ``headroom_retrieve`` is the tool that the proxy adds to requests, word
for word, so that under ``HEADROOM_RETRIEVAL=mcp`` a client's own copy of it serves the
proxy's markers. Definitions are paid for in every request of the client: they are
written here, as short as they can be, not made from signatures.

What always holds: what a tool cannot do is an error result in words, never a protocol
error; nothing is left out of a text unless its original was stored first; the event
loop waits neither for a store nor for a compressor.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from msgspec import Struct

import headroom
from headroom import api
from headroom.ccr.contract import ManagedStore
from headroom.ccr.retrieve import Retrieved, retrieve_call
from headroom.core.retrieval_tool import NAME, TOOL_ANTHROPIC
from headroom.core.types import KINDS
from headroom.errors import ConfigError, StoreError, StoreUnavailableError

PATH = "/mcp"
MAX_REQUEST_BYTES = 64 * 1024 * 1024

_INSTRUCTIONS = (
    "A marker <<ccr:HASH>> stands where something was left out of a tool output; "
    "headroom_retrieve gives it back."
)
_RETRIEVE = msgspec.json.decode(TOOL_ANTHROPIC)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(
    read_only_hint=False,
    destructive_hint=False,
    idempotent_hint=True,
    open_world_hint=False,
)
TOOLS = (
    Tool(
        name=NAME,
        description=_RETRIEVE["description"],
        input_schema=_RETRIEVE["input_schema"],
        annotations=_READS,
    ),
    Tool(
        name="headroom_compress",
        description=(
            "Rewrite a log, JSON, diff, test run, table, page or other output in fewer "
            "tokens; lossy saves more and keeps the original for headroom_retrieve"
        ),
        input_schema={
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "kind": {"type": "string", "enum": list(KINDS)},
                "query": {"type": "string", "description": "what to keep"},
                "lossy": {"type": "boolean"},
            },
            "required": ["text"],
        },
        annotations=_WRITES,
    ),
    Tool(
        name="headroom_stats",
        description="Tokens saved and asked back since start; how full the store is",
        input_schema={"type": "object", "properties": {}},
        annotations=_READS,
    ),
)

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application; its messages are of any shape."""


class _Figures(Struct):
    """What this server has done since it started."""

    compressed: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    retrieved: int = 0
    retrieved_tokens: int = 0
    failures: int = 0


class _Text(Struct):
    """The arguments of ``headroom_compress``."""

    text: str
    kind: str | None = None
    query: str | None = None
    lossy: bool = False


class HeadroomServer:
    """The MCP server and its transports.

    Args:
        store: where originals are found, and put.
    """

    def __init__(self, store: ManagedStore) -> None:
        self._store = store
        self._figures = _Figures()
        self._server: Server[Any] = Server(
            "headroom",
            version=headroom.__version__,
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def run_stdio(self) -> None:
        """Serve the client at standard input and output until it leaves."""
        async with stdio_server() as (incoming, outgoing):
            options = self._server.create_initialization_options()
            await self._server.run(incoming, outgoing, options)

    def http_app(self) -> App:
        """The server over streamable HTTP, under ``PATH``.

        It serves whoever asks: the caller puts its own check of hosts, origins and
        tokens in front, the same as for every other endpoint.
        """
        return self._server.streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=MAX_REQUEST_BYTES,
            transport_security=TransportSecuritySettings(
                enable_dns_rebinding_protection=False
            ),
        )

    async def _list(
        self,
        _ctx: Any,  # the SDK's context, unused
        _params: PaginatedRequestParams | None,
    ) -> ListToolsResult:
        return ListToolsResult(tools=list(TOOLS))

    async def _call(
        self,
        _ctx: Any,  # the SDK's context, unused
        params: CallToolRequestParams,
    ) -> CallToolResult:
        arguments = params.arguments or {}
        try:
            match params.name:
                case "headroom_retrieve":
                    return await self._retrieve(arguments)
                case "headroom_compress":
                    return await self._compress(arguments)
                case "headroom_stats":
                    return await self._stats()
        except (StoreError, ConfigError, msgspec.ValidationError) as error:
            self._figures.failures += 1
            return _result(str(error), is_error=True)
        return _result(f"there is no tool {params.name!r}", is_error=True)

    async def _retrieve(self, arguments: dict[str, Any]) -> CallToolResult:
        raw = msgspec.json.encode(arguments)

        def look_up() -> tuple[Retrieved, int]:
            found = retrieve_call(raw, self._store.get)
            return found, api.count_tokens(found.text).tokens

        found, tokens = await asyncio.to_thread(look_up)
        if found.error:
            self._figures.failures += 1
        else:
            self._figures.retrieved += 1
            self._figures.retrieved_tokens += tokens
        return _result(found.text, is_error=bool(found.error))

    async def _compress(self, arguments: dict[str, Any]) -> CallToolResult:
        """The text in fewer tokens; figures go into ``_meta``, which models skip."""
        given = msgspec.convert(arguments, _Text)
        found = await asyncio.to_thread(self._shorten, given)
        self._figures.compressed += 1
        self._figures.tokens_before += found.tokens_before
        self._figures.tokens_after += found.tokens_after
        meta = {
            "headroom": {
                "kind": found.kind,
                "strategy": found.strategy,
                "lossless": found.lossless,
                "tokens_before": found.tokens_before,
                "tokens_after": found.tokens_after,
                "marker": found.marker,
                "omitted": found.omitted,
            }
        }
        return _result(found.text, meta=meta)

    def _shorten(self, given: _Text) -> api.TextResult:
        if given.lossy:
            try:
                return api.compress_text(
                    given.text,
                    kind=given.kind,
                    query=given.query,
                    lossy=True,
                    store=self._store,
                )
            except StoreUnavailableError:
                # What cannot be kept is not left out.
                self._figures.failures += 1
        return api.compress_text(given.text, kind=given.kind)

    async def _stats(self) -> CallToolResult:
        stats = await asyncio.to_thread(self._store.stats)
        figures = self._figures
        saved = figures.tokens_before - figures.tokens_after - figures.retrieved_tokens
        report = {
            "tokens_saved": saved,
            "since_start": msgspec.to_builtins(figures),
            "store": msgspec.to_builtins(stats),
        }
        return _result(msgspec.json.encode(report).decode())


def _result(
    text: str, *, is_error: bool = False, meta: dict[str, Any] | None = None
) -> CallToolResult:
    # Half a surrogate pair cannot be sent; it is shown as the escape it came as.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return CallToolResult(
        content=[TextContent(type="text", text=text)], is_error=is_error, _meta=meta
    )

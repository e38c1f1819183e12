"""LangChain: a chat model wrapper, a tool wrapper and a compressor of documents.

The chat model sees a shorter history; the application's messages stay what they are,
and are passed in full every time, which is what keeps the provider's cache.

Sources: https://python.langchain.com/docs/how_to/custom_chat_model/,
https://python.langchain.com/docs/how_to/contextual_compression/.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, run_in_executor
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import ConfigDict, Field

from headroom import api
from headroom.core.protocols import Store
from headroom.errors import MalformedBodyError
from headroom.session import Session

_ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


class HeadroomChatModel(BaseChatModel):
    """A chat model whose provider is sent shorter tool results.

    Attributes:
        inner: the model that answers.
        session: what remembers conversations; without one, losslessly in memory.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    inner: BaseChatModel
    session: Session = Field(default_factory=Session, exclude=True)

    @property
    def _llm_type(self) -> str:
        return f"headroom-{self.inner._llm_type}"

    def bind_tools(
        self,
        tools: Sequence[Any],  # LangChain takes many shapes
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools, in the form that the inner one gives them."""
        bound: Any = self.inner.bind_tools(tools, **kwargs)
        return self.bind(**bound.kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        shorter = self._shorter(messages, kwargs)
        return self.inner._generate(shorter, stop, run_manager, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        shorter = await self._ashorter(messages, kwargs)
        return await self.inner._agenerate(shorter, stop, run_manager, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        shorter = self._shorter(messages, kwargs)
        if type(self.inner)._stream is BaseChatModel._stream:
            found = self.inner._generate(shorter, stop, run_manager, **kwargs)
            yield _as_chunk(found)
            return
        yield from self.inner._stream(shorter, stop, run_manager, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        shorter = await self._ashorter(messages, kwargs)
        kind = type(self.inner)
        streams = {kind._stream, kind._astream}
        if streams == {BaseChatModel._stream, BaseChatModel._astream}:
            found = await self.inner._agenerate(shorter, stop, run_manager, **kwargs)
            yield _as_chunk(found)
            return
        chunks = self.inner._astream(shorter, stop, run_manager, **kwargs)
        async for chunk in chunks:
            yield chunk

    def _shorter(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> list[BaseMessage]:
        try:
            given = [_plain(message) for message in messages]
            found = self.session.compress(
                given, api="openai_chat", model=self._model, tools=_tools(kwargs)
            )
        except (TypeError, MalformedBodyError):
            # Content that no JSON can hold: for the inner model to make sense of.
            return messages
        return [
            message
            if new is old
            else message.model_copy(update={"content": new["content"]})
            for message, old, new in zip(messages, given, found.messages, strict=True)
        ]

    async def _ashorter(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> list[BaseMessage]:
        found: list[BaseMessage] = await run_in_executor(
            None, self._shorter, messages, kwargs
        )
        return found

    @property
    def _model(self) -> str:
        for name in ("model_name", "model"):
            found = getattr(self.inner, name, None)
            if isinstance(found, str):
                return found
        return ""


def retrieval_tool(session: Session) -> BaseTool:
    """The tool by which a model gets back what was left out, for agents to run.

    Offered from the first request on, it lets a ``HeadroomChatModel`` over a session
    with ``retrieval="mcp"`` leave parts out; without it nothing ever is.

    Args:
        session: the one that the chat model has.
    """
    function = session.retrieval_tool("openai_chat")["function"]

    def run(**arguments: Any) -> str:
        return session.retrieve(arguments)

    return StructuredTool(
        name=function["name"],
        description=function["description"],
        args_schema=function["parameters"],
        func=run,
    )


def compress_tool(
    tool: BaseTool, *, lossy: bool = False, store: Store | None = None
) -> BaseTool:
    """A tool of the same name and arguments whose output is shorter.

    Args:
        tool: any tool that returns a text; other results stay as they are.
        lossy: allow leaving things out.
        store: where originals then go.

    Raises:
        ValueError: parts may be left out and there is no store for originals.
    """
    _check(store, lossy=lossy)

    def shorten(found: object) -> object:
        if not isinstance(found, str):
            return found
        return api.compress_text(found, lossy=lossy, store=store).text

    def run(**arguments: Any) -> object:
        return shorten(tool.invoke(arguments))

    async def arun(**arguments: Any) -> object:
        return shorten(await tool.ainvoke(arguments))

    return StructuredTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema,
        return_direct=tool.return_direct,
        func=run,
        coroutine=arun,
    )


class HeadroomDocumentCompressor(BaseDocumentCompressor):
    """Retrieved documents in fewer tokens, for ``ContextualCompressionRetriever``.

    Attributes:
        lossy: allow leaving out what the query does not ask for.
        store: where originals then go.
        model: whose tokenizer counts.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    lossy: bool = False
    store: Any = None  # a Store, whose shape Pydantic cannot check
    model: str | None = None

    def model_post_init(self, context: Any, /) -> None:  # Pydantic's signature
        """Refuse what would lose originals.

        Raises:
            ValueError: parts may be left out and there is no store for originals.
        """
        super().model_post_init(context)
        _check(self.store, lossy=self.lossy)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain's signature
    ) -> Sequence[Document]:
        """The documents in their order, contents shorter, everything else the same."""
        found = []
        for document in documents:
            result = api.compress_text(
                document.page_content,
                query=query,
                model=self.model,
                lossy=self.lossy,
                store=self.store,
            )
            is_same = result.text == document.page_content
            update = {"page_content": result.text}
            found.append(document if is_same else document.model_copy(update=update))
        return found


def _check(store: Store | None, *, lossy: bool) -> None:
    if lossy and store is None:
        raise ValueError("lossy: expected a store as well, found none")


def _as_chunk(result: ChatResult) -> ChatGenerationChunk:
    message = result.generations[0].message
    fields = message.model_dump(exclude={"type"})
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


def _tools(kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """The names of the tools at hand: they tell conversations apart.

    In one shape, whatever the provider's package has made of them.
    """
    tools = [tool for tool in kwargs.get("tools") or () if isinstance(tool, dict)]
    return [
        tool
        if "function" in tool or "name" not in tool
        else {"type": "function", "function": {"name": tool["name"]}}
        for tool in tools
    ]


def _plain(message: BaseMessage) -> dict[str, Any]:
    """A message as Chat Completions has it, as far as compression looks at it."""
    found: dict[str, Any] = {
        "role": _ROLES.get(message.type, "system"),
        "content": message.content,
    }
    if isinstance(message, ToolMessage):
        found["tool_call_id"] = message.tool_call_id
    if isinstance(message, AIMessage) and message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": _encoded(call["args"])},
            }
            for call in message.tool_calls
        ]
    return found


def _encoded(arguments: Any) -> str:  # as the model gave them
    return json.dumps(arguments)

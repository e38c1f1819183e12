"""Pydantic AI: a model that sends a shorter history than the agent keeps.

A ``WrapperModel`` rather than a history processor: processors rewrite the history that
the agent keeps and returns, this changes only what the provider is sent. What is left
out the model asks back by a tool that the agent runs like any other.

Sources: https://ai.pydantic.dev/api/models/wrapper/,
https://ai.pydantic.dev/tools-advanced/.
"""

import dataclasses
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import (
    KnownModelName,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, Tool

from headroom.session import Session


class HeadroomModel(WrapperModel):
    """A model whose provider is sent shorter tool results.

    Args:
        wrapped: the model that answers, or its name.
        session: what remembers conversations; without one, losslessly in memory.
    """

    def __init__(
        self, wrapped: Model | KnownModelName | str, session: Session | None = None
    ) -> None:
        super().__init__(wrapped)
        self.session = session or Session()

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the wrapped model, with the shorter history."""
        shorter = await self._shorter(messages, model_request_parameters)
        return await self.wrapped.request(
            shorter, model_settings, model_request_parameters
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse, None]:
        """The same, streamed."""
        shorter = await self._shorter(messages, model_request_parameters)
        async with self.wrapped.request_stream(
            shorter, model_settings, model_request_parameters, run_context
        ) as response:
            yield response

    async def _shorter(
        self, messages: list[ModelMessage], parameters: ModelRequestParameters
    ) -> list[ModelMessage]:
        given: list[dict[str, Any]] = []
        places: list[tuple[int, int]] = []
        system = ""
        for index, message in enumerate(messages):
            if isinstance(message, ModelRequest) and message.instructions:
                system = message.instructions
            for number, part in enumerate(message.parts):
                plain = _plain(part)
                if plain is not None:
                    given.append(plain)
                    places.append((index, number))
        found = await self.session.acompress(
            given,
            api="openai_chat",
            model=self.wrapped.model_name,
            tools=[
                {"type": "function", "function": {"name": tool.name}}
                for tool in parameters.function_tools
            ],
            system=system,
        )
        result = list(messages)
        for place, old, new in zip(places, given, found.messages, strict=True):
            if new is not old:
                index, number = place
                result[index] = _replaced(result[index], number, new["content"])
        return result


def retrieval_tool(session: Session) -> Tool[Any]:
    """The tool by which a model gets back what was left out.

    Given to an agent, it lets a ``HeadroomModel`` over a session with
    ``retrieval="mcp"`` leave parts out; without it nothing ever is.

    Args:
        session: the one that the model has.
    """
    function = session.retrieval_tool("openai_chat")["function"]

    def run(**arguments: Any) -> str:
        return session.retrieve(arguments)

    return Tool.from_schema(
        run,
        name=function["name"],
        description=function["description"],
        json_schema=function["parameters"],
    )


def _replaced(message: ModelMessage, number: int, content: str) -> ModelMessage:
    """A copy of a request with other content in one of its parts."""
    assert isinstance(message, ModelRequest), "only what is sent is shortened"
    parts: list[Any] = list(message.parts)
    parts[number] = dataclasses.replace(parts[number], content=content)
    return dataclasses.replace(message, parts=parts)


def _plain(part: object) -> dict[str, Any] | None:
    """A part as a message of Chat Completions; ``None`` if it holds no text of use."""
    match part:
        case ToolReturnPart(files=[]):
            return {
                "role": "tool",
                "tool_call_id": part.tool_call_id,
                "content": part.model_response_str(wrap_if_error=False),
            }
        case SystemPromptPart():
            return {"role": "system", "content": part.content}
        case UserPromptPart(content=str(text)):
            return {"role": "user", "content": text}
        case TextPart():
            return {"role": "assistant", "content": part.content}
        case ToolCallPart():
            function = {"name": part.tool_name, "arguments": part.args_as_json_str()}
            call = {
                "id": part.tool_call_id,
                "type": "function",
                "function": function,
            }
            return {"role": "assistant", "content": None, "tool_calls": [call]}
    return None

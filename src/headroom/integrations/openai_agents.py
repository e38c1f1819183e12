"""OpenAI Agents SDK: a filter that shortens what each call of a model is sent.

The SDK asks it before every call (``RunConfig.call_model_input_filter``) with the whole
history, which itself stays as it is. What is left out the model asks back by a tool
that the SDK runs like any other.

Source: https://openai.github.io/openai-agents-python/ref/run_config/,
https://openai.github.io/openai-agents-python/ref/tool/.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from agents import FunctionTool
from agents.run import CallModelData, ModelInputData

from headroom.core.types import ToolCall
from headroom.errors import MalformedBodyError
from headroom.session import Session

Filter: TypeAlias = Callable[[CallModelData[Any]], Awaitable[ModelInputData]]


def headroom_filter(session: Session | None = None) -> Filter:
    """The filter.

    Args:
        session: what remembers conversations; without one, losslessly in memory.
    """
    kept = session or Session()

    async def shorten(data: CallModelData[Any]) -> ModelInputData:
        given = data.model_data
        model = data.agent.model
        items: list[Any] = list(given.input)  # typed dicts of the SDK
        try:
            found = await kept.acompress(
                items,
                api="openai_responses",
                model=model if isinstance(model, str) else getattr(model, "model", ""),
                tools=[
                    {"type": "function", "name": tool.name} for tool in data.agent.tools
                ],
                system=given.instructions or "",
            )
        except (TypeError, MalformedBodyError):
            # Content that no JSON can hold: for the SDK to make sense of.
            return given
        return ModelInputData(
            input=cast("Any", found.messages), instructions=given.instructions
        )

    return shorten


def retrieval_tool(session: Session) -> FunctionTool:
    """The tool by which a model gets back what was left out.

    Given to an agent, it lets the filter over a session with ``retrieval="mcp"`` leave
    parts out; without it nothing ever is.

    Args:
        session: the one that the filter has.
    """
    tool = session.retrieval_tool("openai_responses")

    async def run(_: object, arguments: str) -> str:
        call = ToolCall("", tool["name"], arguments.encode("utf-8", "replace"))
        return await asyncio.to_thread(session.answer, call)

    return FunctionTool(
        name=tool["name"],
        description=tool["description"],
        params_json_schema=tool["parameters"],
        on_invoke_tool=run,
        strict_json_schema=False,
    )

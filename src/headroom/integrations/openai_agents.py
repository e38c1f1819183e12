"""OpenAI Agents SDK: a filter that shortens what each call of a model is sent.

The SDK asks it before every call (``RunConfig.call_model_input_filter``) with the whole
history, which itself stays as it is.

Source: https://openai.github.io/openai-agents-python/ref/run_config/.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from agents.run import CallModelData, ModelInputData

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
        found = await kept.acompress(
            items,
            api="openai_responses",
            model=model if isinstance(model, str) else getattr(model, "model", ""),
            tools=[
                {"type": "function", "name": tool.name} for tool in data.agent.tools
            ],
            system=given.instructions or "",
        )
        return ModelInputData(
            input=cast("Any", found.messages), instructions=given.instructions
        )

    return shorten

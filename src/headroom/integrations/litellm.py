"""LiteLLM: a callback that shortens messages before a call leaves for its deployment.

``litellm.callbacks = [HeadroomCallback()]`` in a program, or the same object in the
configuration of LiteLLM's proxy. LiteLLM asks it for every asynchronous call, when the
deployment has been chosen; its blocking ``completion`` asks nobody, and wants
``Session.compress`` in front.

Source: https://docs.litellm.ai/docs/observability/custom_callback,
https://docs.litellm.ai/docs/proxy/call_hooks.
"""

from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from headroom.errors import MalformedBodyError
from headroom.session import Api, Session

_APIS: dict[str, tuple[Api, str]] = {
    "completion": ("openai_chat", "messages"),
    "acompletion": ("openai_chat", "messages"),
    "anthropic_messages": ("anthropic", "messages"),
    "responses": ("openai_responses", "input"),
    "aresponses": ("openai_responses", "input"),
}


class HeadroomCallback(CustomLogger):
    """The callback.

    Args:
        session: what remembers conversations; without one, losslessly in memory.
    """

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self.session = session or Session()

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """The arguments of a call with shorter messages; ``None``: as they are."""
        api, name = _APIS.get(getattr(call_type, "value", ""), (None, ""))
        messages = kwargs.get(name)
        if api is None or not isinstance(messages, list) or (kwargs.get("n") or 1) > 1:
            return None
        try:
            found = await self.session.acompress(
                messages,
                api=api,
                model=str(kwargs.get("model") or ""),
                tools=[t for t in kwargs.get("tools") or () if isinstance(t, dict)],
            )
        except (TypeError, MalformedBodyError):
            # Content that no JSON can hold: for LiteLLM to make sense of.
            return None
        return {**kwargs, name: found.messages}

"""One module per API: where its spans are, how its stream reads."""

from headroom.core.protocols import Provider
from headroom.providers.anthropic.request import AnthropicMessages
from headroom.providers.bedrock.converse import BedrockConverse
from headroom.providers.bedrock.invoke import BedrockInvoke
from headroom.providers.gateway import GatewayMessages
from headroom.providers.gemini.request import Gemini
from headroom.providers.openai_chat.request import OpenAIChat
from headroom.providers.openai_responses.request import OpenAIResponses
from headroom.providers.vertex import VertexMessages

_ALL: tuple[Provider, ...] = (
    AnthropicMessages(),
    OpenAIChat(),
    OpenAIResponses(),
    Gemini(),
    BedrockInvoke(),
    BedrockConverse(),
    VertexMessages(),
    GatewayMessages(),
)
PROVIDERS: dict[str, Provider] = {provider.api: provider for provider in _ALL}
"""Providers by their API's name, as routes and views give it."""

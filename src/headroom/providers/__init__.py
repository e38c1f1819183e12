"""One module per API: where its spans are, how its stream reads."""

from headroom.core.protocols import Provider
from headroom.providers.anthropic.request import AnthropicMessages
from headroom.providers.openai_chat.request import OpenAIChat

PROVIDERS: dict[str, Provider] = {
    provider.api: provider for provider in (AnthropicMessages(), OpenAIChat())
}
"""Providers by their API's name, as routes and views give it."""

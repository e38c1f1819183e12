"""One module per API: where its spans are, how its stream reads."""

from headroom.core.protocols import Provider
from headroom.providers.anthropic.request import AnthropicMessages

PROVIDERS: dict[str, Provider] = {
    provider.api: provider for provider in (AnthropicMessages(),)
}
"""Providers by their API's name, as routes and views give it."""

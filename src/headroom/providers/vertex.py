"""Messages bodies on Vertex AI: ``publishers/anthropic/models/{m}:rawPredict``.

The body is one of the Messages API with ``anthropic_version`` in it and without
``model``, which the path tells; ``:streamRawPredict`` answers with the same events
(https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude).
Gemini's bodies on Vertex are those of its own API and are read by its own module.
"""

from headroom.core.types import NO_PATH, PathView, RequestView
from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError
from headroom.providers.anthropic.request import AnthropicMessages


class VertexMessages(AnthropicMessages):
    """The ``Provider`` for Claude models on Vertex AI; holds no state.

    Its views are of the Messages family: a conversation that moves between Anthropic's
    own API and Vertex is one conversation.
    """

    api = "vertex"

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body.

        Raises:
            MalformedBodyError: the envelope is not Vertex's, or is in any doubt; the
                body is then forwarded as it came, and Vertex says what is wrong.
        """
        top = json_spans.members(body, json_spans.whole(body))
        if "anthropic_version" not in top:
            raise MalformedBodyError("no anthropic_version", reason="not_messages")
        if "model" in top:
            raise MalformedBodyError("the path names the model", reason="model_in_body")
        return super().parse(body, path)

"""Messages bodies under ``/model/{id}/invoke`` and ``invoke-with-response-stream``.

The body is one of the Messages API with ``anthropic_version`` in it and without
``model`` and ``stream``, which the path tells
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html).
Other vendors' bodies are other shapes: where the path does not tell whose model it is,
``anthropic_version`` does.
"""

from headroom.core.protocols import Splicer
from headroom.core.types import NO_PATH, PathView, RequestView
from headroom.errors import MalformedBodyError
from headroom.providers.anthropic.request import AnthropicMessages
from headroom.providers.anthropic.splice_json import JsonSplicer
from headroom.providers.anthropic.splice_stream import StreamSplicer
from headroom.providers.bedrock.frames import chunk_of
from headroom.providers.bedrock.splice_stream import FrameSplicer
from headroom.providers.rounds import RETRIEVAL_ONLY

_VERSION = b'"anthropic_version"'


class BedrockInvoke(AnthropicMessages):
    """The ``Provider`` for Claude models under ``invoke``; holds no state.

    Its views are of the Messages family: a conversation that moves between Anthropic's
    own API and Bedrock is one conversation.
    """

    api = "bedrock"

    def parse(self, body: bytes, path: PathView = NO_PATH) -> RequestView:
        """Read a request body.

        Raises:
            MalformedBodyError: it is no Messages body, or is in any doubt; the body is
                then forwarded as it came.
        """
        if _VERSION not in body:
            raise MalformedBodyError("no anthropic_version", reason="not_messages")
        return super().parse(body, path)

    def splicer(
        self, *, is_stream: bool, own: frozenset[str] = RETRIEVAL_ONLY
    ) -> Splicer:
        """What joins the rounds of one answer into one response."""
        if is_stream:
            return FrameSplicer(StreamSplicer(own=own), chunk_of)
        return JsonSplicer(own)

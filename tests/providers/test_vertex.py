"""Messages bodies as Vertex takes them."""

import json

import pytest

from headroom.core.types import PathView
from headroom.errors import MalformedBodyError
from headroom.providers import PROVIDERS

PATH = PathView("claude-sonnet-4-5@20250929", is_stream=True)
BODY = {"anthropic_version": "vertex-2023-10-16", "messages": [], "max_tokens": 1}


def test_the_path_tells_model_and_stream_and_the_family_is_that_of_messages():
    view = PROVIDERS["vertex"].parse(json.dumps(BODY).encode(), PATH)
    assert (view.model, view.is_stream, view.api) == (PATH.model, True, "anthropic")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"anthropic_version": None}, "not_messages"),
        ({"model": "claude-x"}, "model_in_body"),
        ({"messages": None}, "no_messages"),
    ],
)
def test_another_envelope_is_refused(change, reason):
    body = {k: v for k, v in {**BODY, **change}.items() if v is not None}
    with pytest.raises(MalformedBodyError) as caught:
        PROVIDERS["vertex"].parse(json.dumps(body).encode(), PATH)
    assert caught.value.reason == reason


def test_bedrocks_invoke_needs_the_version_too():
    provider = PROVIDERS["bedrock"]
    assert provider.parse(json.dumps(BODY).encode(), PATH).api == "anthropic"
    with pytest.raises(MalformedBodyError):
        provider.parse(b'{"messages":[]}', PATH)

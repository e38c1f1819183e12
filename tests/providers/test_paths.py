"""What a request's path says is read where the body is silent, by every provider."""

import json

import pytest

from headroom.core.types import PathView
from headroom.providers import PROVIDERS

PATH = PathView(model="of-the-path", is_stream=True)
IN_BODY = [PROVIDERS["anthropic"], PROVIDERS["openai_chat"]]


@pytest.mark.parametrize("provider", IN_BODY, ids=lambda found: found.api)
def test_a_body_without_model_and_stream_flag_takes_those_of_its_path(provider):
    view = provider.parse(b'{"messages":[]}', PATH)
    assert (view.model, view.is_stream) == ("of-the-path", True)
    assert not provider.parse(b'{"messages":[]}').is_stream


@pytest.mark.parametrize("provider", IN_BODY, ids=lambda found: found.api)
def test_what_the_body_says_wins_over_its_path(provider):
    body = json.dumps({"model": "of-the-body", "stream": False, "messages": []})
    view = provider.parse(body.encode(), PATH)
    assert (view.model, view.is_stream) == ("of-the-body", False)

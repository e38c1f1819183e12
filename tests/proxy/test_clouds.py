"""Hosts of clouds, and who needs the operator's credentials."""

import pytest

from headroom import settings
from headroom.errors import ConfigError
from headroom.proxy import routes
from headroom.proxy.clouds import Clouds, needs_credentials
from headroom.proxy.upstream import bedrock_url, vertex_url

INVOKE = b"/model/anthropic.claude-x/invoke"
GENERATE = b"/v1/publishers/google/models/gemini-2.5-pro:generateContent"


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_bedrocks_hosts(region, url):
    assert bedrock_url(region) == url


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("us-east5", "https://us-east5-aiplatform.googleapis.com"),
        ("global", "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_vertexs_hosts(location, url):
    assert vertex_url(location) == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BEDROCK_REGION", "evil.test/"),
        ("BEDROCK_REGION", "us-east-1.evil.test"),
        ("BEDROCK_REGION", "us-east-1#"),
        ("BEDROCK_ENDPOINT", "ftp://x"),
        ("VERTEX_REGION", "us-central1.evil.test"),
        ("VERTEX_REGION", "x@y"),
    ],
)
def test_bad_names_of_places_end_the_start(name, value):
    with pytest.raises(ConfigError, match=name):
        settings.load({}, {f"HEADROOM_PROXY_{name}": value, "HOME": "/nonexistent"})


@pytest.mark.parametrize(
    ("path", "headers", "query", "needed"),
    [
        (INVOKE, [], b"", True),
        (INVOKE, [(b"authorization", b"AWS4-HMAC-SHA256 Credential=x")], b"", True),
        (INVOKE, [(b"authorization", b"Bearer ABSK")], b"", False),
        (INVOKE, [(b"authorization", b"Bearer ")], b"", True),
        (INVOKE, [(b"authorization", b"Bearer sk-ant-x")], b"", True),
        (INVOKE, [(b"x-goog-api-key", b"AIza")], b"key=AIza", True),
        (GENERATE, [], b"", True),
        (GENERATE, [(b"authorization", b"bearer ya29.x")], b"", False),
        (GENERATE, [(b"x-goog-api-key", b"AIza")], b"", False),
        (GENERATE, [], b"alt=sse&key=AIza", False),
        (b"/v1/messages", [], b"", False),
    ],
)
def test_credentials_are_added_only_where_the_client_has_none(
    path, headers, query, needed
):
    route = routes.choose(path, headers)
    assert needs_credentials(route, headers, query) is needed


async def test_a_scope_may_be_written_in_short(monkeypatch):
    asked = []

    class Source:
        def __init__(self, scope):
            asked.append(scope)

    monkeypatch.setattr("headroom.proxy.clouds.DefaultCredentials", Source)
    for scope in ("cloud-platform", "https://www.googleapis.com/auth/cloud-platform"):
        Clouds(settings.CloudSettings(vertex_adc_scope=scope)).close()
    assert asked == ["https://www.googleapis.com/auth/cloud-platform"] * 2

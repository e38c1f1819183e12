"""Where the proxy may listen, and where a client may send it."""

import pytest

from headroom import settings
from headroom.errors import ConfigError, RequestError
from headroom.proxy import access
from loopback import client, post, provider, proxy


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.internal"])
def test_listening_beyond_this_machine_needs_a_token(host):
    env = {"HEADROOM_PROXY_HOST": host}
    with pytest.raises(ConfigError, match="HEADROOM_PROXY_TOKEN"):
        access.check_listen(settings.load({}, env).settings)
    env["HEADROOM_PROXY_TOKEN"] = "t"
    access.check_listen(settings.load({}, env).settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_listening_on_loopback_needs_none(host):
    found = settings.load({}, {"HEADROOM_PROXY_HOST": host}).settings
    access.check_listen(found)
    assert not found.proxy.token


@pytest.mark.parametrize(
    "given",
    [
        b"http://other.example",
        b"http://good.example.evil.example",
        b"http://user:pass@good.example",
        b"http://evil.example#good.example",
        b"http://good.example?x",
        b"ftp://good.example",
        b"good.example",
        b"http://[",
        b"",
        b"\xff",
    ],
)
def test_a_base_url_that_is_not_allowed_is_refused(given):
    with pytest.raises(RequestError):
        access.checked_base_url(given, ("good.example",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"https://GOOD.example/v1/", "https://GOOD.example/v1"),
        (b"http://good.example:8080", "http://good.example:8080"),
    ],
)
def test_a_base_url_on_the_list_is_taken(given, expected):
    assert access.checked_base_url(given, ("Good.Example",)) == expected


def test_a_port_on_the_list_means_that_port():
    assert access.checked_base_url(b"http://a:81", ("a:81",)) == "http://a:81"
    with pytest.raises(RequestError):
        access.checked_base_url(b"http://a:82", ("a:81",))


async def test_the_client_may_choose_a_base_url_only_from_the_list():
    async with provider() as up, provider() as other:
        header = [b"x-headroom-base-url: " + other.url.encode() + b"/gateway"]
        async with proxy(up.url) as px, client(px) as c:
            await c.send(post(b"{}", headers=header))
            status, _, _ = await c.response()
            assert status == 400
        env = {"BASE_URL_ALLOWLIST": "127.0.0.1, elsewhere"}
        async with proxy(up.url, **env) as px, client(px) as c:
            await c.send(post(b"{}", headers=header))
            status, _, _ = await c.response()
    assert status == 200
    assert not up.requests
    assert [request.target for request in other.requests] == [b"/gateway/v1/messages"]

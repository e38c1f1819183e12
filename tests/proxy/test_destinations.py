"""Which upstream a request goes to, where its path alone does not say."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.proxy import destinations, routes
from loopback import OK_BODY, client, post, provider, proxy


def jwt(claims):
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return b"Bearer eyJhbGciOiJSUzI1NiJ9." + payload + b".c2ln"


CLAIM = {"https://api.openai.com/auth": {"chatgpt_account_id": "acc", "plan": "pro"}}
ACCOUNT = (b"chatgpt-account-id", b"acc")
TOKEN = (b"authorization", jwt(CLAIM))
USAGE = b"/backend-api/wham/usage"


@pytest.mark.parametrize(
    "path", [USAGE, b"/backend-api/wham/agent-identities/jwks", b"/backend-api/codex/x"]
)
@pytest.mark.parametrize(
    "headers",
    [
        [ACCOUNT],
        [TOKEN],
        [(b"authorization", jwt({"chatgpt_account_id": "acc"}))],
        [(b"authorization", b"Bearer opaque"), ACCOUNT],
    ],
)
def test_requests_under_a_chatgpt_account_go_to_chatgpt(path, headers):
    route = routes.choose(path, headers)
    assert (route.api, route.upstream, route.upstream_path) == (
        "openai",
        "chatgpt",
        b"",
    )


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (USAGE, [(b"x-api-key", b"sk-ant-api03-x"), ACCOUNT]),
        (USAGE, [(b"x-goog-api-key", b"AIza"), ACCOUNT]),
        (USAGE, [(b"authorization", b"Bearer sk-proj-x"), ACCOUNT]),
        (USAGE, [(b"authorization", b"Bearer sk-proj.a.b")]),
        (USAGE, [(b"authorization", jwt({"sub": "x"}))]),
        (USAGE, [(b"authorization", b"Bearer a.b.c")]),
        (USAGE, [(b"authorization", b"Bearer a.%ff.c")]),
        (USAGE, [(b"authorization", jwt(["x"]))]),
        (USAGE, [(b"authorization", jwt({"chatgpt_account_id": 7}))]),
        (USAGE, []),
        (b"/v1/embeddings", [TOKEN]),
        (b"/v1/moderations", [ACCOUNT]),
        (b"/v1/messages", [ACCOUNT]),
        (b"/v1/chat/completions", [ACCOUNT]),
    ],
)
def test_other_credentials_and_explicit_paths_go_where_they_went(path, headers):
    assert routes.choose(path, headers).upstream == ""


def test_responses_under_a_chatgpt_account_are_served_as_codex_asks_for_them():
    route = routes.choose(b"/v1/responses", [TOKEN])
    assert route.provider == "openai_responses"
    assert route.upstream_path == b"/backend-api/codex/responses"
    route = routes.choose(b"/v1/responses/compact", [ACCOUNT])
    assert route.upstream_path == b"/backend-api/codex/responses/compact"
    route = routes.choose(b"/backend-api/codex/responses", [ACCOUNT])
    assert (route.provider, route.upstream) == ("openai_responses", "chatgpt")
    assert route.upstream_path == b""


@pytest.mark.parametrize(
    "headers",
    [
        [(b"copilot-integration-id", b"vscode-chat")],
        [(b"authorization", b"Bearer gho_abc")],
        [(b"authorization", b"bearer tid=1;exp=2;proxy-ep=proxy.example.com:mac")],
    ],
)
@pytest.mark.parametrize(
    ("path", "read_by"),
    [
        (b"/chat/completions", "openai_chat"),
        (b"/responses", "openai_responses"),
        (b"/v1/messages", "anthropic"),
        (b"/models", ""),
    ],
)
def test_copilots_clients_go_to_copilot(headers, path, read_by):
    route = routes.choose(path, headers)
    assert (route.upstream, route.provider) == ("copilot", read_by)


AZURE_CHAT = b"/openai/deployments/gpt-5/chat/completions"


@pytest.mark.parametrize(
    ("path", "header", "upstream"),
    [
        (AZURE_CHAT, (b"api-key", b"k"), "azure"),
        (b"/openai/v1/responses", (b"api-key", b"k"), "azure"),
        (AZURE_CHAT, (b"authorization", jwt({"aud": "x"})), "azure"),
        (b"/openai/v1/chat/completions", (b"authorization", b"Bearer gsk_x"), ""),
        (b"/openai/v1/chat/completions", (b"authorization", b"Bearer sk-x"), ""),
        (b"/v1beta/openai/chat/completions", (b"api-key", b"k"), ""),
        (b"/v1/chat/completions", (b"api-key", b"k"), ""),
    ],
)
def test_azures_paths_and_credentials_go_to_azure(path, header, upstream):
    route = routes.choose(path, [header])
    assert route.upstream == upstream
    assert route.provider


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_header_gives_a_destination(name, value):
    for header in (name, b"authorization", b"chatgpt-account-id"):
        for prefix in (b"", b"Bearer ", b"Bearer a."):
            found = destinations.choose(b"/x", [(header, prefix + value)])
            assert found.upstream or found.path in {b"", b"/x"}


async def sent_to(path, sent, body=b"{}", **environ):
    """What arrived at OpenAI's upstream, and at the one of the settings named."""
    async with provider() as own, provider() as other:
        settings = dict.fromkeys(environ, other.url)
        async with proxy(own.url, **settings) as px, client(px) as c:
            await c.send(post(body, path=path, headers=sent))
            status, _, answered = await c.response()
        assert (status, answered) == (200, OK_BODY)
        return own.requests, other.requests


async def test_a_chatgpt_request_takes_its_token_there_and_nowhere_else():
    token = b"authorization: " + jwt(CLAIM)
    sent = [token, b"chatgpt-account-id: acc"]
    own, other = await sent_to(b"/v1/responses", sent, CHATGPT_URL="")
    assert not own
    assert other[0].target == b"/backend-api/codex/responses"
    assert other[0].get(b"authorization") == jwt(CLAIM)
    assert other[0].body == b"{}"


async def test_keys_of_others_do_not_come_along_to_copilot():
    sent = [
        b"copilot-integration-id: vscode-chat",
        b"authorization: Bearer gho_abc",
        b"x-api-key: sk-ant-api03-x",
        b"x-goog-api-key: AIza",
        b"api-key: k",
    ]
    for path in (b"/chat/completions", b"/v1/messages"):
        own, other = await sent_to(path, sent, COPILOT_URL="")
        assert not own
        names = {name.lower() for name, _ in other[0].headers}
        assert not names & {b"x-api-key", b"x-goog-api-key", b"api-key"}
        assert other[0].get(b"authorization") == b"Bearer gho_abc"


async def test_an_azure_request_keeps_its_deployment_and_version():
    target = AZURE_CHAT + b"?api-version=2024-10-21"
    own, other = await sent_to(target, [b"api-key: k"], AZURE_URL="")
    assert not own
    assert other[0].target == target
    assert other[0].get(b"api-key") == b"k"


async def test_without_azures_url_its_paths_go_where_openais_go():
    own, _ = await sent_to(AZURE_CHAT, [b"api-key: k"])
    assert own[0].target == AZURE_CHAT


async def test_azures_key_never_goes_to_openai_itself():
    async with (
        provider() as up,
        proxy(up.url, OPENAI_URL="https://api.openai.com") as px,
        client(px) as c,
    ):
        await c.send(post(b"{}", path=AZURE_CHAT, headers=(b"api-key: k",)))
        status, _, body = await c.response()
    assert status == 400
    assert b"HEADROOM_AZURE_URL" in body
    assert not up.requests


async def test_a_path_never_becomes_a_host():
    path = b"/openai/deployments/evil.example.com@x/chat/completions"
    own, other = await sent_to(path, [b"api-key: k"], AZURE_URL="")
    assert not own
    assert other[0].target == path


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("", b"/v1/chat/completions", b"/v1/chat/completions"),
        ("/v1", b"/v1/chat/completions", b"/v1/chat/completions"),
        ("/api/v1", b"/v1/chat/completions", b"/api/v1/chat/completions"),
        ("/api/paas/v4", b"/v1/chat/completions", b"/api/paas/v4/chat/completions"),
        ("/v1beta/openai", b"/v1/models", b"/v1beta/openai/models"),
        ("/gateway", b"/v1/chat/completions", b"/gateway/v1/chat/completions"),
        ("/api/v1", b"/chat/completions", b"/api/v1/chat/completions"),
        ("/va1", b"/v1/x", b"/va1/v1/x"),
    ],
)
async def test_base_urls_of_compatible_providers_may_have_any_path(base, path, target):
    async with (
        provider() as up,
        proxy(up.url, OPENAI_URL=up.url + base) as px,
        client(px) as c,
    ):
        key = [b"authorization: Bearer sk-x"]
        await c.send(post(b"{}", path=path, headers=key))
        await c.response()
    assert up.requests[0].target == target

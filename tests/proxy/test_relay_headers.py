"""What a request's headers become, by whose credential it carries."""

import json

import pytest

from loopback import answer, answer_ok, client, post, provider, proxy

KEY = b"x-api-key: sk-ant-api03-a"
OAUTH = b"authorization: Bearer sk-ant-oat01-a"
AGENT = b"user-agent: claude-cli/2.1 (external)"
FIRST = {"model": "claude-x", "messages": [{"role": "user", "content": "help"}]}


async def sent(*requests, respond=answer_ok, **settings):
    """The headers that arrive for each of several requests."""
    async with (
        provider(respond) as up,
        proxy(up.url, **settings) as px,
        client(px) as c,
    ):
        for body, *lines in requests:
            await c.send(post(json.dumps(body).encode(), headers=lines))
            await c.response()
    return [dict(request.headers) for request in up.requests]


async def test_api_keys_tell_who_is_behind_the_proxy():
    (found,) = await sent((FIRST, KEY))
    assert found[b"x-forwarded-for"] == b"127.0.0.1"
    assert found[b"x-forwarded-proto"] == b"http"
    assert found[b"x-forwarded-host"] == b"localhost"
    assert found[b"x-request-id"]


async def test_what_others_forwarded_is_extended():
    given = (b"x-forwarded-for: 10.1.1.1", b"x-forwarded-proto: https")
    (found,) = await sent((FIRST, KEY, *given, b"x-request-id: mine"))
    assert found[b"x-forwarded-for"] == b"10.1.1.1, 127.0.0.1"
    assert found[b"x-forwarded-proto"] == b"https"
    assert found[b"x-request-id"] == b"mine"


@pytest.mark.parametrize("credential", [OAUTH, AGENT])
async def test_subscriptions_and_accounts_send_exactly_their_own_headers(credential):
    lines = (credential, b"accept-encoding: gzip, br", b"anthropic-beta: a, b")
    later = {
        **FIRST,
        "messages": [*FIRST["messages"], {"role": "user", "content": "x"}],
    }
    first, second = await sent((FIRST, *lines), (later, credential))
    name, _, value = credential.partition(b": ")
    assert first[name] == value
    assert first[b"accept-encoding"] == b"gzip, br"
    assert first[b"anthropic-beta"] == b"a, b"
    assert b"anthropic-beta" not in second
    for found in (first, second):
        assert not [n for n in found if n.startswith(b"x-")]


async def test_a_session_keeps_its_beta_words():
    later = {
        **FIRST,
        "messages": [*FIRST["messages"], {"role": "user", "content": "x"}],
    }
    other = {**FIRST, "messages": [{"role": "user", "content": "another"}]}
    first, second, third = await sent(
        (FIRST, KEY, b"Anthropic-Beta: one", b"anthropic-beta: two"),
        (later, KEY, b"anthropic-beta: three"),
        (other, KEY),
    )
    assert first[b"anthropic-beta"] == b"two"  # of two lines a dict keeps the last
    assert second[b"anthropic-beta"] == b"three,one,two"
    assert b"anthropic-beta" not in third


@pytest.mark.parametrize("status", [b"400 Bad Request", b"429 Too Many Requests"])
async def test_words_that_a_provider_refused_are_not_sent_again(status):
    async def refuse(request, writer):
        is_refused = b"context-1m" in dict(request.headers).get(b"anthropic-beta", b"")
        await answer(writer, b"{}", status=status if is_refused else b"200 OK")

    first, second, third = await sent(
        (FIRST, KEY, b"anthropic-beta: context-1m"),
        (FIRST, KEY, b"anthropic-beta: two"),
        (FIRST, KEY),
        respond=refuse,
    )
    assert first[b"anthropic-beta"] == b"context-1m"
    assert second[b"anthropic-beta"] == third[b"anthropic-beta"] == b"two"


@pytest.mark.parametrize(
    ("body", "key"),
    [(FIRST, b"x-api-key: sk-ant-api03-b"), ({**FIRST, "model": "claude-y"}, KEY)],
)
async def test_words_stay_with_the_key_and_the_model_they_were_sent_with(body, key):
    _, second = await sent((FIRST, KEY, b"anthropic-beta: one"), (body, key))
    assert b"anthropic-beta" not in second


async def test_empty_words_hide_none_that_is_sent_again():
    _, second = await sent(
        (FIRST, KEY, b"anthropic-beta: one"), (FIRST, KEY, b"anthropic-beta: two,,")
    )
    assert second[b"anthropic-beta"] == b"two,one"


async def test_the_clients_word_for_its_session_counts():
    session = b"x-headroom-session-id: s1"
    other = {**FIRST, "messages": [{"role": "user", "content": "another"}]}
    first, second = await sent(
        (FIRST, KEY, session, b"anthropic-beta: one"), (other, KEY, session)
    )
    assert second[b"anthropic-beta"] == b"one"
    assert b"x-headroom-session-id" not in first


async def test_stickiness_can_be_switched_off():
    later = {
        **FIRST,
        "messages": [*FIRST["messages"], {"role": "user", "content": "x"}],
    }
    _, second = await sent(
        (FIRST, KEY, b"anthropic-beta: one"),
        (later, KEY),
        BETA_HEADER_STICKY="disabled",
    )
    assert b"anthropic-beta" not in second


async def test_the_operator_may_leave_a_kind_of_credential_alone():
    rows = [{"name": f"row {n}", "state": "ready", "zone": "eu"} for n in range(200)]
    messages = [{"role": "user", "content": json.dumps(rows)}]
    body = {"model": "claude-opus-5", "system": "Mind it. " * 600, "messages": messages}
    async with (
        provider() as up,
        proxy(up.url, AUTH_OAUTH="memory") as px,
        client(px) as c,
    ):
        for credential in (OAUTH, KEY):
            await c.send(post(json.dumps(body).encode(), headers=(credential,)))
            await c.response()
    left, compressed = (request.body for request in up.requests)
    assert left == json.dumps(body).encode()
    assert len(compressed) < len(left)


@pytest.mark.parametrize("credential", [OAUTH, AGENT, KEY])
async def test_only_prompts_under_api_keys_are_put_in_order(credential):
    tools = [{"name": n, "input_schema": {"type": "object"}} for n in ("Read", "Bash")]
    body = {
        **FIRST,
        "tools": tools,
        "model": "claude-opus-5",
        "system": "Mind it. " * 600,
    }
    async with (
        provider() as up,
        proxy(up.url, STABILISE_TOOL_SORT="enabled", RETRIEVAL="off") as px,
        client(px) as c,
    ):
        await c.send(post(json.dumps(body).encode(), headers=(credential,)))
        await c.response()
    is_changed = up.requests[0].body != json.dumps(body).encode()
    assert is_changed is (credential is KEY)
    assert (b"cache_control" in up.requests[0].body) is is_changed

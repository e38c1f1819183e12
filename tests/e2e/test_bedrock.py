"""Requests for Bedrock: the envelope, the signature, the blocks, the law.

The double recomputes every signature by its own reading of the rules; what it accepts
was signed over the bytes it got.
"""

import asyncio
import gzip
import itertools
import json

import pytest

import clouds
from bedrock_clients import (
    bedrock,
    call,
    conversation,
    envelope,
    path,
    rows,
    use_credentials,
)
from clouds import CLAUDE, Bedrock, text
from loopback import client, get, post, provider, proxy

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The proxy's own credentials, and nothing of the machine's."""
    use_credentials(monkeypatch, tmp_path)


# The envelope and the signature.


async def test_native_envelope_round_trip_byte_equal():
    body = (
        b'{ "anthropic_version" : "bedrock-2023-05-31",\n "max_tokens":1e2,'
        b'"messages":[{"role":"user","content":"caf\\u00e9 \xe2\x80\x94 \\/"}],'
        b'"temperature":1.10,"top_k":5 }'
    )
    async with bedrock() as (double, px):
        status, _, answered = await call(px, body)
    assert status == 200
    assert double.requests[0].body == body
    assert double.requests[0].target == path("invoke")
    assert json.loads(answered)["content"] == [text("Hello from Bedrock.")]
    assert not double.problems


async def test_sigv4_signed_correctly_after_compression():
    body = json.dumps(envelope(conversation(1))).encode()
    async with bedrock() as (double, px):
        status, headers, _ = await call(px, body)
    (sent,) = double.requests
    assert status == 200
    assert len(sent.body) < len(body)
    assert sent.body.startswith(b'{"anthropic_version": "bedrock-2023-05-31"')
    assert clouds.signature_problem(sent) == ""
    assert sent.get(b"x-amz-security-token") == clouds.SESSION_TOKEN.encode()
    assert int(headers[b"x-headroom-tokens-saved"]) > 0
    # The double would notice: one byte of the body, and it is signed no more.
    sent.body += b" "
    assert clouds.signature_problem(sent) == "wrong digest of the body"


async def test_the_clients_own_signature_is_left_out():
    headers = [
        b"authorization: AWS4-HMAC-SHA256 Credential=AKIDCLIENT/20260101/eu-west-1/"
        b"bedrock/aws4_request, SignedHeaders=host, Signature=" + b"0" * 64,
        b"x-amz-date: 20260101T000000Z",
        b"x-amz-security-token: client-session",
        b"x-amz-content-sha256: " + b"0" * 64,
        b"x-amz-meta: kept",
        b"x-amzn-bedrock-trace: ENABLED",
    ]
    async with bedrock() as (double, px):
        status, _, _ = await call(
            px, json.dumps(envelope([])).encode(), headers=headers
        )
    (sent,) = double.requests
    assert status == 200
    for name in (b"authorization", b"x-amz-date", b"x-amz-security-token"):
        assert len(sent.all(name)) == 1
    assert b"client" not in b"".join(value for _, value in sent.headers).lower()
    assert sent.get(b"x-amz-meta") == b"kept"
    assert sent.get(b"x-amzn-bedrock-trace") == b"ENABLED"


async def test_without_credentials_nothing_is_sent(monkeypatch, caplog):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    async with bedrock() as (double, px):
        status, headers, body = await call(px, json.dumps(envelope([])).encode())
    assert status == 502
    assert headers[b"x-headroom-error"] == b"bedrock_signing_failed"
    assert json.loads(body)["__type"] == "ServiceUnavailableException"
    assert not double.requests


async def test_a_profile_that_is_not_there_is_said_and_nothing_is_sent():
    async with bedrock(PROXY_AWS_PROFILE="nobody") as (double, px):
        status, headers, _ = await call(px, json.dumps(envelope([])).encode())
    assert (status, headers[b"x-headroom-error"]) == (502, b"bedrock_signing_failed")
    assert not double.requests


async def test_a_profiles_credentials_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    (tmp_path / "credentials").write_text(
        "[models]\n"
        f"aws_access_key_id = {clouds.ACCESS_KEY}\n"
        f"aws_secret_access_key = {clouds.SECRET_KEY}\n"
    )
    async with bedrock(PROXY_AWS_PROFILE="models") as (double, px):
        assert (await call(px, json.dumps(envelope([])).encode()))[0] == 200
    assert not double.requests[0].all(b"x-amz-security-token")


async def test_an_api_key_of_bedrocks_passes_and_nothing_is_signed(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with bedrock() as (double, px):
        status, _, _ = await call(
            px,
            json.dumps(envelope([])).encode(),
            headers=[b"authorization: Bearer ABSKQmVkcm9jaw"],
        )
    assert status == 200
    assert double.requests[0].all(b"authorization") == [b"Bearer ABSKQmVkcm9jaw"]
    assert not double.requests[0].all(b"x-amz-date")


async def test_nothing_of_a_credential_is_logged(caplog):
    caplog.set_level("DEBUG")
    async with bedrock() as (_, px):
        await call(px, json.dumps(envelope(conversation(1))).encode())
    said = "".join(str(vars(record)) for record in caplog.records)
    assert "compression_decision" in said
    for secret in (clouds.SECRET_KEY, clouds.SESSION_TOKEN, clouds.ACCESS_KEY):
        assert secret not in said


async def test_web_pages_cannot_spend_the_operators_money():
    body = json.dumps(envelope([])).encode()
    async with bedrock() as (double, px):
        async with client(px) as raw:
            rebound = post(body, path=path("invoke")).replace(
                b"localhost", b"evil.test"
            )
            await raw.send(rebound)
            assert (await raw.response())[0] == 403
        status, _, _ = await call(px, body, headers=[b"origin: https://evil.test"])
        assert status == 403
    assert not double.requests


async def test_our_signature_never_goes_to_a_host_that_the_client_chose():
    async with bedrock(BASE_URL_ALLOWLIST="127.0.0.1") as (double, px):
        chosen = b"x-headroom-base-url: http://127.0.0.1:9"
        status, _, _ = await call(
            px, json.dumps(envelope([])).encode(), headers=[chosen]
        )
    assert status == 400
    assert not double.requests


async def test_bedrock_can_be_switched_off():
    async with bedrock(PROXY_ENABLE_BEDROCK_NATIVE="false") as (double, px):
        assert (await call(px, b"{}"))[0] == 404
    assert not double.requests


async def test_a_websocket_is_never_opened_unsigned():
    upgrade = [
        b"connection: upgrade",
        b"upgrade: websocket",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        b"sec-websocket-version: 13",
    ]
    async with bedrock() as (double, px):
        for where in (
            b"/model/x/invoke-with-bidirectional-stream",
            b"/v1/projects/p/locations/us-east5/endpoints/1:streamPredict",
            b"/v1/projects/p/locations/evil.test/endpoints/1:streamPredict",
        ):
            async with client(px) as raw:
                await raw.send(get(where, headers=upgrade))
                assert (await raw.response())[0] == 404
    assert not double.requests


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff" * 100,
        b'{"anthropic_version":1,"messages":"x"}',
        b'{"anthropic_version":1,"messages":[' + b"[" * 5000,
        b'{"anthropic_version":1,"messages":[],"messages":[]}',
    ],
)
async def test_what_cannot_be_read_is_signed_and_sent_as_it_came(body):
    async with bedrock() as (double, px):
        for operation in ("invoke", "converse"):
            assert (await call(px, body, operation=operation))[0] == 200
    assert [sent.body for sent in double.requests] == [body, body]


async def test_a_compressed_body_is_read_and_signed_as_it_leaves():
    body = json.dumps(envelope(conversation(1))).encode()
    encoding = [b"content-encoding: gzip"]
    async with bedrock() as (double, px):
        assert (await call(px, gzip.compress(body), headers=encoding))[0] == 200
        assert (await call(px, gzip.compress(b"{}"), headers=encoding))[0] == 200
    changed, kept = double.requests
    assert changed.get(b"content-encoding") is None
    assert json.loads(changed.body)["anthropic_version"]
    assert (kept.get(b"content-encoding"), gzip.decompress(kept.body)) == (
        b"gzip",
        b"{}",
    )


async def test_many_conversations_at_once_are_each_signed_over_their_own_bytes():
    async def one(number):
        messages = conversation(number % 4 + 1)
        body = json.dumps(envelope(messages, top_k=number)).encode()
        return (await call(px, body))[0]

    async with bedrock() as (double, px):
        assert set(await asyncio.gather(*map(one, range(40)))) == {200}
    assert not double.problems


@pytest.mark.parametrize(
    "model",
    [
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/" + CLAUDE,
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3",
    ],
)
async def test_model_ids_that_are_arns_are_signed_and_compressed(model):
    body = json.dumps(envelope(conversation(1))).encode()
    async with bedrock() as (double, px):
        status, _, _ = await call(px, body, model=model)
    assert status == 200
    assert double.model == model
    assert double.requests[0].target == path("invoke", model)
    assert len(double.requests[0].body) < len(body)


async def test_bodies_of_other_vendors_pass_untouched_and_signed():
    body = json.dumps({"prompt": rows(60), "max_gen_len": 5}).encode()
    async with bedrock() as (double, px):
        for model in ("meta.llama3-70b-instruct-v1:0", "us.amazon.nova-pro-v1:0"):
            status, headers, _ = await call(px, body, model=model)
            assert status == 200
            assert b"x-headroom-tokens-saved" not in headers
    assert [sent.body for sent in double.requests] == [body, body]
    assert not double.problems


async def test_operations_that_are_not_the_runtimes_are_never_signed():
    body = json.dumps({"input": rows(5)}).encode()
    others = [
        b"/model/anthropic.claude-x/invoke-agent",
        b"/model/..%2F../invoke",
        b"/guardrail/g/version/1/delete",
    ]
    key = b"authorization: Bearer ABSKQmVkcm9jaw"
    async with bedrock() as (double, px), client(px) as raw:
        for target in others:
            await raw.send(post(body, path=target))
            status, headers, answer = await raw.response()
            assert (status, double.requests) == (401, [])
            assert headers[b"x-headroom-error"] == b"own_credentials"
            assert "runtime API" in json.loads(answer)["message"]
        await raw.send(get(b"/model/anthropic.claude-x/invoke"))
        assert (await raw.response())[0] == 401
        await raw.send(post(body, path=b"/model/m/invoke-with-bidirectional-stream"))
        status, _, answer = await raw.response()
        assert (status, double.requests) == (404, [])
        assert "HTTP/2" in json.loads(answer)["message"]
        for target in others:
            await raw.send(post(body, path=target, headers=[key]))
            await raw.response()
    assert [sent.target for sent in double.requests] == others
    assert all(sent.body == body for sent in double.requests)


@pytest.mark.parametrize(
    "target",
    [
        b"/model/anthropic.claude-x/count-tokens",
        b"/guardrail/g/version/1/apply",
        b"/guardrail-checks/invoke",
        b"/async-invoke",
    ],
)
async def test_operations_that_nobody_reads_pass_untouched_and_signed(target):
    body = json.dumps({"input": rows(60)}).encode()
    async with bedrock() as (double, px), client(px) as raw:
        await raw.send(post(body, path=target))
        await raw.response()
    (sent,) = double.requests
    assert sent.body == body
    assert clouds.signature_problem(sent) == ""


async def test_a_chat_that_is_signed_for_bedrock_is_compressed_and_signed_anew():
    call_id = "call_1"
    function = {"name": "ls", "arguments": "{}"}
    messages = [
        {"role": "user", "content": "list"},
        {
            "role": "assistant",
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": rows(600)},
    ]
    body = json.dumps({"model": "openai.gpt-oss-20b", "messages": messages}).encode()
    scope = (
        b"authorization: AWS4-HMAC-SHA256 Credential=AKIDCLIENT/20260101/us-east-1/"
        b"bedrock/aws4_request, SignedHeaders=host, Signature=" + b"0" * 64
    )
    target = b"/openai/v1/chat/completions"
    async with bedrock() as (double, px), client(px) as raw:
        await raw.send(post(body, path=target, headers=[scope]))
        await raw.response()
    (sent,) = double.requests
    assert sent.target == target
    assert len(sent.body) < len(body)
    assert clouds.signature_problem(sent) == ""


async def test_with_compression_off_requests_are_signed_all_the_same():
    body = json.dumps(envelope(conversation(1))).encode()
    async with bedrock(PROXY_COMPRESSION="false") as (double, px):
        assert (await call(px, body))[0] == 200
    assert double.requests[0].body == body


async def test_a_body_in_pieces_is_signed_whole():
    body = json.dumps(envelope(conversation(1))).encode()
    pieces = [body[i : i + 5000] for i in range(0, len(body), 5000)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    for settings in ({}, {"PROXY_COMPRESSION": "false"}):
        async with bedrock(**settings) as (double, px), client(px) as raw:
            chunked = [b"transfer-encoding: chunked"]
            await raw.send(post(framed, path=path("invoke"), headers=chunked))
            assert (await raw.response())[0] == 200
        assert not double.problems


async def test_the_region_of_the_settings_is_signed_for():
    async with bedrock(
        Bedrock(region="eu-central-1"), PROXY_BEDROCK_REGION="eu-central-1"
    ) as (double, px):
        assert (await call(px, json.dumps(envelope([])).encode()))[0] == 200
    assert not double.problems


async def test_bedrock_classified_as_oauth(caplog):
    caplog.set_level("INFO")
    body = json.dumps(envelope(conversation(1))).encode()
    agent = [b"user-agent: claude-cli/2.0 (external)"]
    async with bedrock() as (_, px):
        await call(px, body, headers=agent)
        await call(px, body, headers=agent)
        await call(px, body)
    decisions = [r for r in caplog.records if r.message == "compression_decision"]
    told = [r for r in caplog.records if r.message == "auth_mode_classified"]
    assert {r.auth_mode for r in told} == {"oauth"}
    assert [r.problem.split(",")[0] for r in told] == [
        "the headers say subscription",
        "the headers say payg",
    ]
    assert {(r.auth_mode, r.credentials) for r in decisions} == {("oauth", "sigv4")}


# Fidelity of blocks.


def image():
    source = {"type": "base64", "media_type": "image/png", "data": "aGk=" * 400}
    return {"type": "image", "source": source}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "Hm. " * 300, "signature": "c2ln" * 50},
        {"type": "redacted_thinking", "data": "b3BhcXVl" * 200},
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {"z": 1, "a": 2},
        },
        {
            "type": "mcp_tool_use",
            "id": "mcptoolu_1",
            "name": "find",
            "server_name": "s",
            "input": {"z": 1, "a": [1.0, 1e3]},
        },
        {
            "type": "tool_use",
            "id": "toolu_9",
            "name": "list_hosts",
            "input": {"zeta": 1, "alpha": {"b": 1.10, "a": "é"}},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": rows(60)},
        },
        {
            "type": "search_result",
            "source": "https://example.org",
            "title": "t",
            "content": [{"type": "text", "text": rows(60)}],
        },
        image(),
    ],
    ids=lambda block: block["type"],
)
async def test_blocks_that_are_not_tool_results_are_preserved_through_bedrock(block):
    messages = conversation(2)
    own = {
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "mcp_tool_use",
        "tool_use",
    }
    index = 1 if block["type"] in own else 4
    messages[index]["content"].insert(0, block)
    body = json.dumps(envelope(messages)).encode()
    assert json.dumps(block).encode() in body
    async with bedrock() as (double, px):
        assert (await call(px, body))[0] == 200
    sent = double.requests[0].body
    assert len(sent) < len(body)
    assert json.dumps(block).encode() in sent
    before, after = json.loads(body), json.loads(sent)
    assert list(before) == list(after)
    assert [m["role"] for m in before["messages"]] == [
        m["role"] for m in after["messages"]
    ]


async def test_tool_result_array_with_image_preserved():
    messages = conversation(1)
    result = messages[-1]["content"][0]
    result["content"] = [text(rows(60)), image(), text(rows(60, 1))]
    body = json.dumps(envelope(messages)).encode()
    async with bedrock() as (double, px):
        assert (await call(px, body))[0] == 200
    sent = double.requests[0].body
    assert len(sent) < len(body)
    parts = json.loads(sent)["messages"][-1]["content"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image", "text"]
    assert json.dumps(image()).encode() in sent


# The law.


@pytest.mark.parametrize("moves_marker", [False, True])
async def test_what_was_sent_once_is_sent_the_same_way_again(moves_marker):
    async with bedrock() as (double, px):
        for turns in range(1, 5):
            messages = conversation(turns)
            if moves_marker:
                messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
            body = json.dumps(envelope(messages)).encode()
            assert (await call(px, body))[0] == 200
    sent = [json.loads(request.body)["messages"] for request in double.requests]
    for before, after in itertools.pairwise(sent):
        if moves_marker:
            before[-1]["content"][-1].pop("cache_control")
        assert after[: len(before)] == before
    if not moves_marker:
        for before, after in itertools.pairwise(double.requests):
            assert after.body.startswith(before.body[: before.body.rindex(b"]")])
    assert len(double.requests[-1].body) < 0.75 * len(body)


def converse_body(turns):
    """The conversation as Converse takes it, a cache point at its newest end."""
    messages = []
    for message in conversation(turns):
        content = message["content"]
        if isinstance(content, str):
            blocks = [{"text": content}]
        elif message["role"] == "assistant":
            names = {"id": "toolUseId", "name": "name", "input": "input"}
            blocks = [
                {"toolUse": {names[k]: v for k, v in b.items() if k in names}}
                for b in content
            ]
        else:
            blocks = [
                {
                    "toolResult": {
                        "toolUseId": block["tool_use_id"],
                        "content": [
                            {"text": block["content"]},
                            {
                                "json": {
                                    "rows": json.loads(block["content"]),
                                    "raw": block["content"] + " ",
                                }
                            },
                        ],
                    }
                }
                for block in content
            ]
        messages.append({"role": message["role"], "content": blocks})
    messages[-1]["content"].append({"cachePoint": {"type": "default"}})
    return {"messages": messages, "system": [{"text": "Be brief."}]}


async def test_the_law_holds_under_converse_while_the_cache_point_moves():
    async with bedrock() as (double, px):
        for turns in range(1, 5):
            body = json.dumps(converse_body(turns)).encode()
            assert (await call(px, body, operation="converse"))[0] == 200
    sent = [json.loads(request.body)["messages"] for request in double.requests]
    for before, after in itertools.pairwise(sent):
        assert before[-1]["content"].pop() == {"cachePoint": {"type": "default"}}
        assert after[: len(before)] == before
    assert len(double.requests[-1].body) < 0.8 * len(body)
    result = sent[-1][2]["content"][0]["toolResult"]["content"]
    given = converse_body(1)["messages"][2]["content"][0]["toolResult"]["content"]
    assert result[1]["json"]["rows"] == given[1]["json"]["rows"]
    assert len(result[0]["text"]) < len(given[0]["text"])


async def test_a_conversation_that_moves_to_bedrock_keeps_its_decisions():
    body = envelope(conversation(2))
    direct = {"model": "claude-sonnet-4-5", **body}
    del direct["anthropic_version"]
    bodies = []

    async def keep(request, writer):
        bodies.append(request.body)
        await double.respond(request, writer)

    double = Bedrock()
    async with provider(keep) as made, proxy(made.url) as px:
        async with client(px) as raw:
            await raw.send(
                post(
                    json.dumps(direct).encode(),
                    headers=[b"authorization: Bearer sk-ant-oat01-x"],
                )
            )
            await raw.response()
        await call(px, json.dumps(body).encode())
    first, second = (json.loads(found)["messages"] for found in bodies)
    assert first == second != body["messages"]


async def test_a_key_of_another_api_is_no_credential_and_stays_here():
    body = json.dumps(envelope([])).encode()
    for key in (b"sk-ant-api03-x", b"sk-proj-x"):
        async with bedrock() as (double, px):
            bearer = b"authorization: Bearer " + key
            headers = [bearer, b"x-api-key: sk-ant-api03-x"]
            assert (await call(px, body, headers=headers))[0] == 200
        assert not double.problems
        sent = b"".join(value for _, value in double.requests[0].headers)
        assert b"sk-" not in sent

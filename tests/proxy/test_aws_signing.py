"""Signatures for Bedrock: whose credentials, over which bytes."""

import asyncio
import sys
import threading

import pytest
from moto import mock_aws

import clouds
from bedrock_clients import use_credentials
from headroom.errors import BedrockSigningError
from headroom.proxy import aws_signing
from headroom.proxy.aws_signing import AwsSigner
from headroom.settings import CloudSettings
from loopback import Received

HOST = "bedrock-runtime.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """The proxy's own credentials, and nothing of the machine's."""
    use_credentials(monkeypatch, tmp_path)


async def signed(target, body=b"{}", headers=(), **settings):
    signer = AwsSigner(CloudSettings(**settings))
    try:
        return await signer.signed(
            "POST", f"https://{HOST}{target}", list(headers), body
        )
    finally:
        signer.close()


def received(target, pairs, body=b"{}"):
    """The request as Bedrock gets it."""
    raw = [(name.encode(), value.encode()) for name, value in pairs]
    made = Received(b"POST", target.encode(), [(b"host", HOST.encode()), *raw])
    made.body = body
    return made


@pytest.mark.parametrize(
    "target",
    [
        "/model/anthropic.claude-3%3A0/invoke",
        "/model/anthropic.claude-3:0/invoke",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse",
        "/model/with%20space%C3%A9~_/invoke",
        "/async-invoke?maxResults=5&a=%2F&b",
        "/async-invoke?z=1&a=2&a=1",
    ],
)
async def test_any_path_is_signed_as_it_is_sent(target):
    if target.endswith("&b"):
        target += "="
    pairs = await signed(target, headers=[("x-amz-meta", " a   b "), ("accept", "*/*")])
    assert clouds.signature_problem(received(target, pairs)) == ""


async def test_empty_and_large_bodies_are_signed():
    for body in (b"", bytes(5_000_000)):
        pairs = await signed("/model/m/invoke", body)
        assert clouds.signature_problem(received("/model/m/invoke", pairs, body)) == ""


async def test_headers_that_are_no_signature_stay_as_they_were_in_their_order():
    given = [
        ("user-agent", "x"),
        ("authorization", "AWS4-HMAC-SHA256 old"),
        ("x-amz-date", "old"),
        ("content-type", "application/json"),
        ("x-amz-content-sha256", "old"),
    ]
    pairs = await signed("/model/m/invoke", headers=given)
    assert pairs[:2] == [("user-agent", "x"), ("content-type", "application/json")]
    assert "old" not in dict(pairs).values()
    assert len(pairs) == len(dict(pairs)) == 6


async def test_a_role_is_assumed_through_the_chain(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        "[profile models]\nrole_arn = arn:aws:iam::123456789012:role/models\n"
        "source_profile = base\nregion = us-east-1\n"
    )
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id = {clouds.ACCESS_KEY}\n"
        f"aws_secret_access_key = {clouds.SECRET_KEY}\n"
    )
    with mock_aws(config={"core": {"mock_credentials": False}}):
        found = dict(await signed("/model/m/invoke", aws_profile="models"))
    assert found["x-amz-security-token"]
    assert clouds.ACCESS_KEY not in found["authorization"]
    assert "/us-east-1/bedrock/aws4_request" in found["authorization"]
    assert "x-amz-security-token" in found["authorization"]


async def test_signing_runs_off_the_loop(monkeypatch):
    threads = []
    before = AwsSigner._frozen

    def watched(self):
        threads.append(threading.current_thread())
        return before(self)

    monkeypatch.setattr(AwsSigner, "_frozen", watched)
    await signed("/model/m/invoke")
    assert threads[0] is not threading.main_thread()


async def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    for name in ("botocore", "botocore.auth"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BedrockSigningError, match=r"headroom\[bedrock\]"):
        await signed("/model/m/invoke")


async def test_requests_at_once_are_each_signed_over_their_own_bytes():
    signer = AwsSigner(CloudSettings())
    bodies = [b"%d" % number * 1000 for number in range(30)]
    url = f"https://{HOST}/model/m/invoke"
    found = await asyncio.gather(*(signer.signed("POST", url, [], b) for b in bodies))
    signer.close()
    for body, pairs in zip(bodies, found, strict=True):
        assert clouds.signature_problem(received("/model/m/invoke", pairs, body)) == ""
    assert aws_signing.SERVICE == "bedrock"

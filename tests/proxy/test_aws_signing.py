"""Signatures for Bedrock: whose credentials, over which bytes."""

import asyncio
import datetime as dt
import hashlib
import sys
import threading
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

import clouds
from bedrock_clients import use_credentials
from headroom.errors import BedrockSigningError
from headroom.proxy import aws_signing
from headroom.proxy.aws_signing import AwsSigner
from headroom.proxy.sigv4 import Signer
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


class Expiring:
    """Credentials as botocore has them where they expire."""

    def __init__(self, *keys):
        self.keys = list(keys)
        self.is_due = True
        self.threads = []

    def refresh_needed(self):
        return self.is_due

    def get_frozen_credentials(self):
        self.threads.append(threading.current_thread())
        if self.is_due:
            self.is_due = False
            self.key = self.keys.pop(0)
        return ReadOnlyCredentials(self.key, clouds.SECRET_KEY, "token")


async def test_credentials_are_had_off_the_loop_once_and_again_when_they_expire(
    monkeypatch,
):
    expiring = Expiring("AKIDFIRST", "AKIDSECOND")
    monkeypatch.setattr(Session, "get_credentials", lambda _: expiring)
    signer = AwsSigner(CloudSettings())
    used = []
    for number in range(4):
        expiring.is_due = number in {0, 2}
        pairs = await signer.signed("POST", f"https://{HOST}/model/m/invoke", [], b"")
        used.append(dict(pairs)["authorization"].partition("=")[2].partition("/")[0])
    signer.close()
    assert used == ["AKIDFIRST", "AKIDFIRST", "AKIDSECOND", "AKIDSECOND"]
    is_main = [thread is threading.main_thread() for thread in expiring.threads]
    assert is_main == [False, True, False, True]


def test_the_key_of_a_day_is_made_anew_on_the_next():
    frozen = ReadOnlyCredentials(clouds.ACCESS_KEY, clouds.SECRET_KEY, None)
    signer = Signer(frozen, "bedrock", "us-east-1")
    target = "/model/m/invoke"
    days = [dt.datetime(2026, 1, day, 23, 59, 59, tzinfo=dt.UTC) for day in (1, 1, 2)]
    found = []
    for now in days:
        digest = hashlib.sha256(b"{}").hexdigest()
        added = signer.added("POST", f"https://{HOST}{target}", {}, digest, now)
        assert clouds.signature_problem(received(target, added.items())) == ""
        found.append(added["authorization"])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    "target", ["/model/a%3A0/invoke", "/async-invoke?z=1&a=2", "/a//b/../c"]
)
def test_the_signature_is_the_one_that_botocore_makes_in_one_piece(target):
    frozen = ReadOnlyCredentials("AKID", "secret", "token")
    signed = {"x-amz-meta": " a   b ", "x-amz-z": "1,2"}
    digest = hashlib.sha256(b"{}").hexdigest()
    whole = AWSRequest("POST", f"https://{HOST}:8443{target}", dict(signed), b"{}")
    whole.headers["X-Amz-Content-SHA256"] = digest
    SigV4Auth(frozen, "bedrock", "us-east-1").add_auth(whole)
    stamp = dt.datetime.fromisoformat(whole.context["timestamp"])
    signer = Signer(frozen, "bedrock", "us-east-1")
    added = signer.added("POST", whole.url, signed, digest, stamp)
    assert added["authorization"] == whole.headers["Authorization"]


QUOTED = st.text(max_size=8).map(lambda text: quote(text, safe="~:.,@!()*"))
NAMES = st.text("abcdefgh-", min_size=1, max_size=6).map("x-amz-{}".format)


@given(
    segments=st.lists(QUOTED, max_size=4),
    query=st.lists(st.tuples(QUOTED, QUOTED), max_size=3),
    signed=st.dictionaries(NAMES, st.text(" ,;:=abZ\té", max_size=12), max_size=3),
    token=st.sampled_from([None, "token"]),
)
def test_any_request_is_signed_as_botocore_signs_it(segments, query, signed, token):
    frozen = ReadOnlyCredentials("AKID", "secret", token)
    tail = "?" + "&".join(f"{key}={value}" for key, value in query) if query else ""
    url = f"https://{HOST}/{'/'.join(segments)}{tail}"
    digest = hashlib.sha256(b"{}").hexdigest()
    whole = AWSRequest("POST", url, dict(signed), b"{}")
    whole.headers["X-Amz-Content-SHA256"] = digest
    SigV4Auth(frozen, "bedrock", "us-east-1").add_auth(whole)
    stamp = dt.datetime.fromisoformat(whole.context["timestamp"])
    added = Signer(frozen, "bedrock", "us-east-1").added(
        "POST", url, signed, digest, stamp
    )
    assert added["authorization"] == whole.headers["Authorization"]


async def test_bodies_too_long_to_be_digested_here_are_signed_like_others():
    body = bytes(aws_signing._INLINE_BYTES + 1)
    pairs = await signed("/model/m/invoke", body)
    assert clouds.signature_problem(received("/model/m/invoke", pairs, body)) == ""


async def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    for name in ("botocore", "botocore.session"):
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

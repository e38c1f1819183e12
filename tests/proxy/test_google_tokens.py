"""Tokens of Google: cached, refreshed in time, fetched once for all who wait."""

import asyncio
import base64
import json
import threading
import time
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from headroom.errors import VertexTokenError
from headroom.proxy.google_tokens import DefaultCredentials, Token, TokenCache
from loopback import answer, provider

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


async def test_a_token_is_fetched_anew_a_minute_before_it_expires():
    clock = Clock()
    fetched = []

    def fetch():
        fetched.append(clock.now)
        return Token(f"t{len(fetched)}", clock.now + 3600)

    cache = TokenCache(fetch, clock)
    for now, value in [(1000, "t1"), (4539, "t1"), (4540, "t2"), (4600, "t2")]:
        clock.now = now
        assert (await cache.token()).value == value
    cache.close()


async def test_one_fetch_off_the_loop_serves_all_who_wait():
    threads = []

    def fetch():
        threads.append(threading.current_thread())
        time.sleep(0.05)
        return Token("t", 9e9)

    cache = TokenCache(fetch)
    waiting = [asyncio.create_task(cache.token()) for _ in range(20)]
    beats = 0
    while not all(task.done() for task in waiting):
        await asyncio.sleep(0.005)
        beats += 1
    assert {(await task).value for task in waiting} == {"t"}
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    assert beats > 1  # the loop went on
    cache.close()


async def test_a_failed_fetch_is_told_and_tried_again_by_the_next():
    outcomes = [VertexTokenError("down"), Token("", 9e9), Token("t", 9e9)]

    def fetch():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    cache = TokenCache(fetch)
    for _ in range(2):
        with pytest.raises(VertexTokenError):
            await cache.token()
    assert (await cache.token()).value == "t"
    cache.close()


async def test_default_credentials_sign_for_a_token(monkeypatch, tmp_path):
    """A service account's assertion, its signature checked with its public key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    asked = []

    async def respond(request, writer):
        asked.append(request)
        token = {"access_token": "ya29.fresh", "expires_in": 3600}
        await answer(writer, json.dumps(token).encode())

    async with provider(respond) as google:
        account = {
            "type": "service_account",
            "client_email": "proxy@acme.example.org",
            "private_key_id": "k1",
            "private_key": key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            "token_uri": f"{google.url}/token",
        }
        path = tmp_path / "account.json"
        path.write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "billing")
        found = await asyncio.to_thread(DefaultCredentials(SCOPE))
    assert found.value == "ya29.fresh"
    assert abs(found.expires_at_s - time.time() - 3600) < 60
    assert found.quota_project == "billing"
    assertion = parse_qs(asked[0].body)[b"assertion"][0]
    signed, _, signature = assertion.rpartition(b".")
    key.public_key().verify(
        _decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(_decoded(signed.split(b".")[1]))["scope"] == SCOPE


async def test_a_refusal_of_googles_is_an_error_without_secrets(monkeypatch, tmp_path):
    async def respond(request, writer):
        await answer(writer, b'{"error":"invalid_grant"}', status=b"400 Bad")

    async with provider(respond) as google:
        login = {
            "type": "authorized_user",
            "client_id": "id",
            "client_secret": "very-secret",
            "refresh_token": "very-secret-too",
            "token_uri": f"{google.url}/token",
        }
        path = tmp_path / "login.json"
        path.write_text(json.dumps(login))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        source = DefaultCredentials(SCOPE)
        with pytest.raises(VertexTokenError) as caught:
            await asyncio.to_thread(source)
    assert "secret" not in str(caught.value)


def _decoded(part):
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))

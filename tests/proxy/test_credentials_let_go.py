"""Nothing that lives longer than a request holds its credential."""

import asyncio
import gc
import secrets
import types

import pytest

from loopback import client, post, provider, proxy

BODY = (
    b'{"model":"claude-opus-5","max_tokens":9,"messages":[{"role":"user",'
    b'"content":"hi"}]}'
)
_OUTSIDE = (
    type,
    types.ModuleType,
    types.FrameType,
    asyncio.AbstractEventLoop,  # which leads to the provider and the client here
)
"""What leads away from what an application holds."""


def holders(root, secret):
    """The types of what is reached from an object and has a secret in it."""
    seen, waiting, found = set(), [root], []
    while waiting:
        at = waiting.pop()
        if id(at) in seen or isinstance(at, _OUTSIDE):
            continue
        seen.add(id(at))
        if isinstance(at, bytes | bytearray | str):
            text = at.encode("utf-8", "surrogatepass") if isinstance(at, str) else at
            if secret in text:
                found.append(type(at).__name__)
            continue
        if isinstance(at, types.FunctionType):
            waiting += at.__closure__ or ()
            continue
        waiting += gc.get_referents(at)
        fields = getattr(type(at), "__struct_fields__", ())
        waiting += [getattr(at, name) for name in fields]
    return found


def test_a_secret_is_found_wherever_it_is_held():
    class Holder:
        def __init__(self):
            self.kept = {"a": [(b"x-S3CRET",)]}

    assert holders(Holder(), b"S3CRET") == ["bytes"]
    assert holders(Holder(), b"OTHER") == []


@pytest.mark.parametrize(
    ("header", "keeps_words"),
    [
        (b"authorization: Bearer sk-ant-oat01-", False),
        (b"x-api-key: sk-ant-api03-", True),
    ],
)
async def test_raw_token_not_stored_in_memory(header, keeps_words):
    secret = secrets.token_hex(16).encode()
    async with provider() as up, proxy(up.url) as px:
        async with client(px) as c:
            for session in (b"a", b"b"):
                headers = [
                    header + secret,
                    b"anthropic-beta: words-2026",
                    b"x-headroom-session-id: " + session,
                ]
                await c.send(post(BODY, headers=headers))
                assert (await c.response())[0] == 200
        assert any(secret in value for _, value in up.requests[0].headers)
        await asyncio.sleep(0.05)
        gc.collect()
        assert holders(px.app, secret) == []
        # What sessions are meant to keep is found.
        assert bool(holders(px.app, b"words-2026")) is keeps_words

"""What the broker tells of itself."""

from brokering import answer_chat, broker, models_file
from loopback import client, get, provider


async def test_other_machines_learn_nothing_of_keys_without_a_token(tmp_path):
    async with provider(answer_chat) as up:
        file = models_file(up.url, keys=[{"name": "team", "key_env": "TEAM_KEY"}])
        for token, expected in (("", 401), ("secret", 200)):
            more = {"PROXY_TOKEN": token} if token else {}
            async with broker(file, tmp_path, PROXY_HOST="0.0.0.0", **more) as px:
                headers = [b"x-headroom-token: secret"]
                for path in (b"/metrics", b"/health"):
                    async with client(px) as c:
                        await c.send(get(path, host=b"10.1.2.3", headers=headers))
                        assert (await c.response())[0] == expected
                async with client(px) as c:
                    await c.send(get(b"/healthz", host=b"10.1.2.3"))
                    assert (await c.response())[0] == 200

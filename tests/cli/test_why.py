import json

from click.testing import CliRunner

from headroom.cli.main import main
from loopback import client, post, provider, proxy

LOG = "".join(f"2026-11-21 10:00:{n % 60:02d} INFO took job {n}\n" for n in range(300))
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": LOG}
BODY = {
    "model": "claude-opus-5",
    "system": "Mind it. " * 600,
    "messages": [
        {"role": "user", "content": "help"},
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": [RESULT]},
    ],
}


def why(directory, *arguments):
    env = {"HEADROOM_DATA_DIR": str(directory), "HOME": str(directory)}
    return CliRunner().invoke(main, ["why", *arguments], env=env)


async def test_a_request_is_explained_without_its_content(tmp_path):
    async with (
        provider() as up,
        proxy(up.url, DATA_DIR=tmp_path) as px,
        client(px) as c,
    ):
        await c.send(post(json.dumps(BODY).encode()))
        _, headers, _ = await c.response()
        await c.send(post(b"{}", headers=(b"x-request-id: second",)))
        await c.response()
    request_id = headers[b"x-request-id"].decode()
    told = why(tmp_path, request_id).output
    assert f"request {request_id}  POST /v1/messages  status 200" in told
    assert "decision: compressed: new tool output was compressed" in told
    assert "message 2, block 0 (tool_result): compressed by log" in told
    assert "took job" not in told
    assert "took job" not in (tmp_path / "decisions.jsonl").read_text()
    assert "request second" in why(tmp_path, "--last").output
    record = json.loads(why(tmp_path, request_id, "--json").output)
    assert record["blocks"][0]["tokens_after"] < record["blocks"][0]["tokens_before"]


def test_an_unknown_request_is_told(tmp_path):
    done = why(tmp_path, "nothing")
    assert done.exit_code == 1
    assert "no record of nothing" in done.output
    assert why(tmp_path, "--last").exit_code == 1
    assert why(tmp_path).exit_code == 2
    assert why(tmp_path, "a", "--last").exit_code == 2

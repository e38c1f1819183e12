"""What is learned in one run and holds in the next."""

import json

import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.core.structure import structure_of
from headroom.core.types import ToolCall
from headroom.learning import Recommendation, to_toml
from loopback import client, post, provider, proxy

LOG = "".join(f"2026-11-21 10:00:{n % 60:02d} INFO took job {n}\n" for n in range(300))
ARGUMENTS = {"command": "tail jobs.log"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": ARGUMENTS}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": LOG}
QUESTION = {"role": "user", "content": "Mind it. " * 600}
TURN = [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]
ASKED = ToolCall("toolu_1", "Bash", json.dumps(ARGUMENTS).encode())
STRUCTURE = structure_of(LOG, ASKED)


def body(*messages):
    found = {
        "model": "claude-opus-5",
        "tools": TOOLS,
        "messages": [QUESTION, *messages],
    }
    return json.dumps(found).encode()


async def forwarded(tmp_path, name="data", **settings):
    """The second request of a conversation, as it leaves."""
    async with (
        provider() as up,
        proxy(up.url, DATA_DIR=tmp_path / name, **settings) as px,
        client(px) as c,
    ):
        for request in (body(), body(*TURN)):
            await c.send(post(request, headers=(b"x-api-key: sk-ant-api03-a",)))
            await c.response()
    return up.requests[1].body


def recommend(tmp_path, hint):
    row = Recommendation("payg", "claude", STRUCTURE, hint, 1.0, 99)
    path = tmp_path / f"{hint}.toml"
    path.write_text(to_toml([row]))
    return path


async def test_observing_changes_nothing(tmp_path):
    without = await forwarded(tmp_path, "a", LEARNING_OBSERVE="false")
    first = await forwarded(tmp_path, "b")
    again = await forwarded(tmp_path, "b")
    assert without == first == again


@pytest.mark.parametrize(
    ("hint", "is_shorter", "is_lossy"),
    [("skip", False, False), ("lossless", True, False), ("log", True, True)],
)
async def test_a_recommendation_holds_for_what_is_first_seen_now(
    tmp_path, hint, is_shorter, is_lossy
):
    found = await forwarded(tmp_path, RECOMMENDATIONS_PATH=recommend(tmp_path, hint))
    text = json.loads(found)["messages"][2]["content"][0]["content"]
    assert (len(text) < len(LOG)) is is_shorter
    assert ("<<ccr:" in text) is is_lossy


async def test_a_removed_file_is_as_if_nothing_was_learned(tmp_path):
    missing = await forwarded(tmp_path, "a", RECOMMENDATIONS_PATH=tmp_path / "none")
    broken = tmp_path / "broken.toml"
    broken.write_text("[[")
    malformed = await forwarded(tmp_path, "b", RECOMMENDATIONS_PATH=broken)
    assert missing == malformed


async def test_what_was_observed_is_published(tmp_path):
    await forwarded(tmp_path)
    env = {"HEADROOM_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
    output = tmp_path / "out.toml"
    run = CliRunner()
    shown = run.invoke(main, ["learn", "show"], env=env).output
    assert f"payg claude {STRUCTURE}" in shown
    assert "lossy:log" in shown
    arguments = ["learn", "publish", "-o", str(output), "--min-observations", "1"]
    done = run.invoke(main, [*arguments, "--verbose"], env=env)
    assert f"payg claude {STRUCTURE} log 1.000 1" in done.output
    assert STRUCTURE in output.read_text()
    refused = run.invoke(main, ["learn", "publish", "--min-observations", "0"], env=env)
    assert refused.exit_code == 2

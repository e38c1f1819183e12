"""The drivers, with packages of the same face in place of the real ones."""

import sys

import pytest
from benchmarks.peers import DRIVERS
from benchmarks.peers.process import Peer

HEADROOM_AI = """
print("loading the tables", flush=True)

class Result:
    def __init__(self, messages):
        self.messages = messages

def compress(messages, model):
    question, call, result = messages
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    text = result["content"]
    if text == "in parts":
        text = [{"type": "text", "text": "in "}, {"type": "text", "text": "two"}]
    return Result([question, call, {**result, "content": text[:9]}])
"""
TOON_FORMAT = "def dumps(value):\n    return f'toon of {value}'\n"
PACKAGES = {
    "headroom-ai": ("headroom", HEADROOM_AI),
    "toon-format": ("toon_format", TOON_FORMAT),
}


@pytest.fixture
def driven(tmp_path):
    def drive(distribution):
        package, code = PACKAGES[distribution]
        (tmp_path / f"{package}.py").write_text(code)
        about = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.2\n")
        return Peer(
            [sys.executable, DRIVERS[distribution]],
            timeout_s=20,
            budget_s=60,
            extra_environment={"PYTHONPATH": str(tmp_path)},
        )

    return drive


@pytest.mark.parametrize(
    ("distribution", "text", "after"),
    [
        ("headroom-ai", "a tool's long result", "a tool's "),
        ("headroom-ai", "in parts", "in two"),
        ("toon-format", '{"a": [1]}', "toon of {'a': [1]}"),
        ("toon-format", '{"a": 1}\n{"a": 2}\n', '{"a": 1}\n{"a": 2}\n'),
    ],
)
async def test_a_driver_asks_its_package_for_one_text(
    driven, distribution, text, after
):
    peer = driven(distribution)
    outcome = await peer.ask(text)
    await peer.close()
    assert (outcome.failure, outcome.text) == ("", after)
    assert outcome.seconds > 0
    assert (peer.hello.name, peer.hello.version) == (distribution, "1.2")


async def test_what_a_package_prints_stands_not_between_the_answers(driven):
    peer = driven("headroom-ai")
    await peer.ask("text")
    said = peer.said()
    await peer.close()
    assert said == ["loading the tables"]

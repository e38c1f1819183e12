"""Peers that crash, hang and lie, as the comparison sees them."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from benchmarks.peers import process
from benchmarks.peers.process import FAILURES, NOT_ASKED, Peer

FAKE = Path(__file__).with_name("fake_peer.py")
GOOD = "a good text of some words"


def fake(mode, *, timeout_s=20.0, budget_s=60.0):
    command = [sys.executable, "-E", FAKE, mode]
    return Peer(command, timeout_s=timeout_s, budget_s=budget_s)


async def asked(mode, *texts, **limits):
    peer = fake(mode, **limits)
    try:
        return [await peer.ask(text) for text in texts], peer
    finally:
        await peer.close()


async def test_a_peer_introduces_itself_and_answers():
    (outcome,), peer = await asked("well", GOOD)
    assert (peer.hello.name, peer.hello.version) == ("well", "1\x1b[2J")
    assert (outcome.text, outcome.failure) == (GOOD[::2], "")


async def test_no_peer_took_longer_than_it_was_waited_for():
    (outcome, quick), _ = await asked("no time at all", GOOD, "BAD")
    assert 0 < outcome.seconds < 0.25
    assert quick.seconds > 0


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("crash", "died with exit code 1: the model is missing"),
        ("wrong id", "answered 3 when 2 was asked"),
        ("not utf-8", "answered what the protocol has not"),
        ("half a character", "answered what the protocol has not"),
        ("no json", "answered what the protocol has not"),
        ("neither", "answered neither text nor error"),
        ("says why not", "error: no such kind"),
    ],
)
async def test_what_fails_says_why_and_the_next_text_is_asked_again(mode, words):
    (first, bad, last), _ = await asked(mode, GOOD, "BAD", GOOD)
    assert bad.text is None
    assert words in bad.failure
    assert first.text == last.text == GOOD[::2]


async def test_a_peer_that_hangs_is_ended_with_all_that_it_started():
    peer = fake("hang", timeout_s=4.0)
    await peer.ask(GOOD)
    group = peer.process_id
    outcome = await peer.ask("BAD")
    assert outcome.failure == "timed out after 4 s"
    assert not peer.is_running
    assert await is_empty(group)
    assert (await peer.ask(GOOD)).text == GOOD[::2]
    await peer.close()


async def is_empty(group, *, within_s=10):
    """Whether no process of the group lives on; the kernel may take a moment."""
    for _ in range(within_s * 20):
        numbers = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
        if not any(is_running_in(group, number) for number in numbers):
            return True
        await asyncio.sleep(0.05)
    return False


def is_running_in(group, number):
    try:
        state = (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2]
        return os.getpgid(number) == group and state.split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(process, "ANSWER_BYTES", 1000)
    (bad,), _ = await asked("larger", "BAD" * 1000)
    assert bad.failure == "answered more than 1000 bytes"


async def test_a_peer_that_never_begins_is_asked_once(monkeypatch):
    monkeypatch.setattr(process, "START_S", 0.5)
    (first, second), _ = await asked("never begins", GOOD, GOOD)
    assert first.failure == "timed out after 0.5 s"
    assert second.failure == f"{NOT_ASKED}: had failed too often"


async def test_a_command_that_is_not_there_is_a_failure_too():
    peer = Peer(["/nowhere/at/all"], timeout_s=1, budget_s=1)
    outcome = await peer.ask(GOOD)
    await peer.close()
    assert "does not start" in outcome.failure


async def test_a_peer_whose_time_is_up_is_asked_no_more():
    outcomes, _ = await asked("hang", "BAD", GOOD, timeout_s=1.0, budget_s=0.9)
    assert outcomes[1].failure == f"{NOT_ASKED}: its time was up"


async def test_what_fails_again_and_again_is_asked_no_more(monkeypatch):
    monkeypatch.setattr(process, "FAILURES", 2)
    outcomes, _ = await asked("no json", "BAD", GOOD, "BAD", "BAD", GOOD)
    assert [outcome.text is not None for outcome in outcomes] == [
        False, True, False, False, False,
    ]  # fmt: skip
    assert outcomes[-1].failure.startswith(NOT_ASKED)
    assert FAILURES > 2


def test_a_peer_gets_no_keys_and_no_import_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/here")
    found = process.environment(tmp_path, {})
    assert "secret" not in found.values()
    assert "PYTHONPATH" not in found
    assert found["HOME"] == str(tmp_path)
    assert found["HF_HUB_OFFLINE"] == "1"
    assert len(list(Path(found["TIKTOKEN_CACHE_DIR"]).iterdir())) == 2

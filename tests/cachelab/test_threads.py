"""Conversations that the provider keeps: put together, gone in time, refused."""

import pytest

from headroom.cachelab.threads import BETA, KEPT_S, MessageThreads, ThreadError

ASK = {"role": "user", "content": "What is it?"}
MORE = {"role": "user", "content": "And then?"}
REPLY = {"id": "msg_1", "content": [{"type": "text", "text": "It is the disk."}]}
CREATE = {
    "model": "m",
    "system": "s",
    "tools": [{"name": "t"}],
    "messages": [ASK],
    "thread": {"type": "create"},
}


def following(previous="msg_1", **fields):
    thread = {"type": "continue", "previous_message_id": previous}
    return {"model": "m", "messages": [MORE], "thread": thread, **fields}


@pytest.fixture
def threads():
    made = MessageThreads()
    made.keep(made.whole(CREATE, BETA, 0.0), REPLY, 0.0)
    return made


def test_requests_without_a_thread_are_taken_as_they_are():
    request = {"messages": [ASK]}
    assert MessageThreads().whole(request, "", 0.0) is request


def test_a_continued_request_is_the_whole_conversation(threads):
    assert threads.whole(following(max_tokens=7), f"other,{BETA}", 10.0) == {
        "model": "m",
        "max_tokens": 7,
        "system": "s",
        "tools": [{"name": "t"}],
        "messages": [ASK, {"role": "assistant", "content": REPLY["content"]}, MORE],
    }


@pytest.mark.parametrize(
    ("request_", "now"), [(following("msg_9"), 1.0), (following(), KEPT_S + 1)]
)
def test_what_is_not_kept_any_more_is_not_found(threads, request_, now):
    found = threads.whole(request_, BETA, now)
    assert isinstance(found, ThreadError)
    assert (found.status, found.code) == (404, "thread_not_found")


@pytest.mark.parametrize(
    ("request_", "betas"),
    [
        (CREATE, ""),
        (following(system="other"), BETA),
        (following(tools=[{"name": "u"}]), BETA),
        ({"messages": [ASK], "thread": "create"}, BETA),
        ({"messages": [ASK], "thread": {"type": "continue"}}, BETA),
    ],
)
def test_what_a_thread_does_not_take_is_refused(threads, request_, betas):
    found = threads.whole(request_, betas, 1.0)
    assert isinstance(found, ThreadError)
    assert (found.status, found.code) == (400, "")

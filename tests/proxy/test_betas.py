import threading

import pytest

from headroom.proxy.betas import SessionBetaTracker, client_value, merge_beta


@pytest.mark.parametrize(
    ("client", "required", "expected"),
    [
        ("", [], ""),
        ("a", [], "a"),
        ("a,b", ["c"], "a,b,c"),
        (" a , ,b,", [], "a,b"),
        ("b,a", ["a"], "b,a"),
        ("A,b", ["a", "B"], "A,b"),
        ("", ["x", "X", " y "], "x,y"),
        ("a,A", [], "a"),
        ("z", ["y", "x"], "z,y,x"),
    ],
)
def test_the_clients_words_come_first_and_nothing_comes_twice(
    client, required, expected
):
    assert merge_beta(client, required) == expected
    assert merge_beta(expected, required) == expected


def test_a_word_that_is_left_out_later_is_sent_again():
    tracker = SessionBetaTracker(10)
    assert tracker.merged("anthropic", "s", "one,two") == "one,two"
    assert tracker.merged("anthropic", "s", "three") == "three,one,two"
    assert tracker.merged("anthropic", "s", "") == "one,two,three"


def test_sessions_and_providers_do_not_meet():
    tracker = SessionBetaTracker(10)
    tracker.merged("anthropic", "s", "one")
    assert tracker.merged("anthropic", "t", "") == ""
    assert tracker.merged("openai", "s", "two") == "two"


def test_the_least_recently_used_session_is_forgotten():
    tracker = SessionBetaTracker(2)
    for session in ("a", "b", "a", "c"):
        tracker.merged("anthropic", session, session)
    assert len(tracker) == 2
    assert tracker.merged("anthropic", "a", "") == "a"
    assert tracker.merged("anthropic", "b", "") == ""


@pytest.mark.parametrize(("provider", "session"), [("", "s"), ("p", " ")])
def test_a_blank_session_is_an_error(provider, session):
    with pytest.raises(ValueError, match="needed"):
        SessionBetaTracker(1).merged(provider, session, "a")


def test_threads_lose_no_word():
    tracker = SessionBetaTracker(10)

    def use(number):
        for turn in range(50):
            tracker.merged("anthropic", "s", f"w{number}-{turn}")

    threads = [threading.Thread(target=use, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tracker.merged("anthropic", "s", "").split(",")) == 16 * 50


def test_several_headers_are_one_list():
    headers = [(b"anthropic-beta", b"a"), (b"x", b"y"), (b"anthropic-beta", b"b,c")]
    assert client_value(headers, b"anthropic-beta") == "a,b,c"

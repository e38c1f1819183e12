import time
from typing import get_args

import pytest

from headroom.proxy.auth import POLICIES, WORDS, AuthPolicy, classify, policies_of
from headroom.settings import AuthSettings
from headroom.settings.tree import AuthWord


def mode(**headers):
    pairs = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return classify(pairs).mode


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "payg"),
        ({"x_api_key": "sk-ant-api03-abc"}, "payg"),
        ({"x_goog_api_key": "AIza"}, "payg"),
        ({"authorization": "Bearer sk-ant-api03-abc"}, "payg"),
        ({"authorization": "Bearer sk-proj-abc"}, "payg"),
        ({"authorization": "Bearer sk-ant-oat01-abc"}, "oauth"),
        ({"authorization": "bearer sk-ant-oat01-abc"}, "oauth"),
        ({"authorization": "BEARER  sk-ant-oat01-abc"}, "oauth"),
        ({"authorization": "bearer sk-abc"}, "payg"),
        ({"authorization": "Bearer eyJh.eyJz.c2ln"}, "oauth"),
        ({"authorization": "Bearer opaque"}, "payg"),
        ({"authorization": "Bearer one.dot"}, "payg"),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=AKIA"}, "oauth"),
        ({"authorization": "Basic dXNlcjpwdw=="}, "oauth"),
        ({"user_agent": "claude-cli/2.1.0 (external, cli)"}, "subscription"),
        (
            {"user_agent": "Claude-Code/1.0", "x_api_key": "sk-ant-api03-abc"},
            "subscription",
        ),
        (
            {
                "user_agent": "x GitHub-Copilot/1",
                "authorization": "Bearer sk-ant-oat01-a",
            },
            "subscription",
        ),
        ({"user_agent": "curl/8.5", "authorization": "Bearer sk-ant-oat01-a"}, "oauth"),
    ],
)
def test_the_mode_is_told_by_the_headers_alone(headers, expected):
    assert mode(**headers) == expected


@pytest.mark.parametrize("value", ["", " ", "Bearer", "Bearer ", "B\xe9arer x", "\xff"])
def test_what_cannot_be_read_is_payg_and_says_so(value):
    found = classify([(b"authorization", value.encode("latin-1"))])
    assert found.mode == "payg"
    assert found.problem


def test_the_first_of_several_values_counts():
    headers = [
        (b"authorization", b"Bearer sk-ant-oat01-a"),
        (b"authorization", b"Bearer sk-b"),
    ]
    assert classify(headers).mode == "oauth"


def test_only_api_keys_get_lossy_results():
    allowed = {name for name, policy in POLICIES.items() if policy.allows_lossy}
    assert allowed == {"payg"}
    assert {n for n, p in POLICIES.items() if p.may_drop_encoding} == {"payg"}


def test_subscriptions_and_accounts_keep_their_headers_and_their_prompts():
    for mode in ("oauth", "subscription"):
        policy = POLICIES[mode]
        assert policy.compresses
        assert not policy.forwards
        assert not policy.keeps_betas
        assert not policy.stabilises


def test_the_operator_may_say_otherwise_for_each_mode():
    changed = policies_of(AuthSettings(oauth=("compress", "lossy", "betas")))
    assert changed["oauth"].allows_lossy
    assert changed["oauth"].keeps_betas
    assert not changed["oauth"].remembers
    assert changed["payg"] == POLICIES["payg"]


def test_without_enforcement_all_are_api_keys():
    found = policies_of(AuthSettings(policy_enforcement="disabled"))
    assert {found[mode] for mode in POLICIES} == {POLICIES["payg"]}


def test_every_word_is_a_field():
    assert set(WORDS) == set(get_args(AuthWord))
    assert set(WORDS.values()) == set(AuthPolicy.__struct_fields__)


def test_classifying_takes_microseconds():
    headers = [(b"x-stainless-%d" % n, b"value") for n in range(20)]
    headers += [
        (b"user-agent", b"opencode/1.18.33 ai-sdk"),
        (b"authorization", b"Bearer a.b.c"),
    ]
    best = min(_seconds(headers) for _ in range(20))
    assert best < 20e-6


def _seconds(headers):
    start = time.perf_counter()
    for _ in range(10):
        classify(headers)
    return (time.perf_counter() - start) / 10

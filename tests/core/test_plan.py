"""What the planner decides, rule by rule."""

import json

import pytest

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline, recording
from headroom.core.repeats import expand
from headroom.core.types import Policy

LOG = "".join(f"2026-01-01 line {i} of an ordinary log\n" for i in range(40))
OTHER = "".join(f"2026-02-02 row {i} of another log\n" for i in range(40))
MARK = {"type": "ephemeral"}
TOOLS = [{"name": "Bash", "input_schema": {}}]


@pytest.fixture(autouse=True)
def _one_cheap_compressor(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))


def use(call_id, name="Bash"):
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {"c": "x"}}
    return {"role": "assistant", "content": [block]}


def results(*pairs, text=None, mark=False):
    blocks = [
        {"type": "tool_result", "tool_use_id": call_id, "content": content}
        for call_id, content in pairs
    ]
    if text:
        blocks.append({"type": "text", "text": text})
    if mark:
        blocks[-1]["cache_control"] = MARK
    return {"role": "user", "content": blocks}


def ask(words="please look"):
    return {"role": "user", "content": [{"type": "text", "text": words}]}


def body(*messages, tools=TOOLS, **more):
    return {"model": "m", "tools": tools, "messages": list(messages), **more}


def texts(forwarded):
    """All tool result texts of a forwarded body, in order."""
    return [
        block["content"]
        for message in json.loads(forwarded)["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "tool_result"
    ]


def is_short(text):
    return text.startswith("~")


def test_a_new_tool_result_is_compressed_and_stays_so_on_the_next_turn():
    store = DictStore()
    first, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    again, rewrite = forward(
        body(ask(), use("a"), results(("a", LOG)), use("b"), results(("b", OTHER))),
        store,
    )
    assert is_short(texts(first)[0])
    assert texts(again)[0] == texts(first)[0]
    assert is_short(texts(again)[1])
    assert rewrite.made_plan.frontier == 2


def test_all_parallel_results_of_the_live_zone_are_live():
    forwarded, _ = forward(
        body(ask(), use("a"), results(("a", LOG), ("b", OTHER))), DictStore()
    )
    assert all(is_short(text) for text in texts(forwarded))


def test_a_marker_on_the_newest_message_does_not_freeze_it():
    forwarded, rewrite = forward(
        body(ask(), use("a"), results(("a", LOG), mark=True)), DictStore()
    )
    assert is_short(texts(forwarded)[0])
    assert rewrite.view.frozen_count == 3


def test_a_conversation_that_began_elsewhere_keeps_its_history():
    store = DictStore()
    forwarded, _ = forward(
        body(ask(), use("a"), results(("a", LOG)), use("b"), results(("b", OTHER))),
        store,
    )
    assert texts(forwarded)[0] == LOG
    assert is_short(texts(forwarded)[1])
    later, _ = forward(
        body(
            *json.loads(json.dumps([ask(), use("a"), results(("a", LOG)), use("b")])),
            results(("b", OTHER)),
            use("c"),
            results(("c", LOG)),
        ),
        store,
    )
    assert texts(later)[:2] == texts(forwarded)


def test_a_block_first_sent_raw_is_never_compressed_later(monkeypatch):
    store = DictStore()
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    raw, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    again, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    assert texts(raw) == texts(again) == [LOG]


def test_a_compressed_block_stays_compressed_when_the_compressor_is_gone(monkeypatch):
    store = DictStore()
    first, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    again, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    assert first == again


def test_an_edit_survives_when_the_client_edits_what_stood_before_it():
    store = DictStore()
    first, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    compacted, _ = forward(
        body(ask("a summary"), use("a"), results(("a", LOG)), use("b"), ask("go on")),
        store,
    )
    assert texts(compacted) == texts(first)


def test_the_same_words_under_other_tools_begin_their_own_conversation():
    store = DictStore()
    title = body(ask(LOG), tools=[])
    main = body(ask(LOG))
    forward(title, store)
    _, rewrite = forward(main, store)
    assert rewrite.made_plan.frontier == -1


def test_new_tools_in_mid_conversation_keep_its_edits():
    store = DictStore()
    first, _ = forward(body(ask(), use("a"), results(("a", LOG))), store)
    again, rewrite = forward(
        body(
            ask(),
            use("a"),
            results(("a", LOG)),
            use("b"),
            ask(),
            tools=[*TOOLS, *TOOLS],
        ),
        store,
    )
    assert texts(again) == texts(first)
    assert rewrite.made_plan.frontier == 2


def test_whoever_records_a_message_first_decides_about_it():
    store = DictStore()
    request = body(ask(), use("a"), results(("a", LOG)))
    _, rewrite = forward(request, store)
    lost = {
        key: decision
        for key, decision in store.records.items()
        if key.lineage == rewrite.chain.lineage
    }
    settled = recording.with_winners(rewrite.chain, {0: None, 1: None, 2: None}, lost)
    assert settled == rewrite.decisions


@pytest.mark.parametrize(
    "name", ["headroom_retrieve", "mcp__headroom__headroom_retrieve"]
)
def test_the_answer_to_a_retrieval_is_never_compressed(name):
    forwarded, rewrite = forward(
        body(ask(), use("a", name), results(("a", LOG))), DictStore()
    )
    assert texts(forwarded) == [LOG]
    reasons = [e.outcome.reason for e in rewrite.manifest.entries]
    assert "retrieval_answer" in reasons


def test_small_blocks_are_not_looked_at():
    _, rewrite = forward(body(ask(), use("a"), results(("a", "x" * 255))), DictStore())
    outcome = rewrite.manifest.entries[-1].outcome
    assert (outcome.action, outcome.threshold_bytes) == ("below_byte_threshold", 256)
    _, rewrite = forward(body(ask(), use("a"), results(("a", "x" * 256))), DictStore())
    assert rewrite.manifest.entries[-1].outcome.action != "below_byte_threshold"


def test_the_prefix_never_falls_below_what_the_provider_caches():
    policy = Policy(cache_minimum_tokens=1024)
    forwarded, rewrite = forward(
        body(ask(), use("a"), results(("a", LOG), mark=True)),
        DictStore(),
        policy=policy,
    )
    assert texts(forwarded) == [LOG]
    assert "cache minimum" in rewrite.manifest.entries[-1].outcome.reason
    long = body(ask(), use("a"), results(("a", LOG), mark=True), system="s" * 9000)
    assert is_short(texts(forward(long, DictStore(), policy=policy)[0])[0])


def test_without_any_marker_the_minimum_does_not_matter():
    policy = Policy(cache_minimum_tokens=1024)
    request = body(ask(), use("a"), results(("a", LOG)))
    assert is_short(texts(forward(request, DictStore(), policy=policy)[0])[0])


def test_without_reapply_edits_last_one_turn_only():
    policy = Policy(cache_minimum_tokens=0, is_reapplying=False)
    store = DictStore()
    first, _ = forward(body(ask(), use("a"), results(("a", LOG))), store, policy=policy)
    again, _ = forward(
        body(ask(), use("a"), results(("a", LOG)), use("b"), ask()),
        store,
        policy=policy,
    )
    assert is_short(texts(first)[0])
    assert texts(again) == [LOG]


def test_a_lost_ledger_leaves_history_and_serves_the_request():
    forward(body(ask(), use("a"), results(("a", LOG))), DictStore())
    again, _ = forward(
        body(ask(), use("a"), results(("a", LOG)), use("b"), ask()), DictStore()
    )
    assert texts(again) == [LOG]


def test_a_request_without_messages_has_nothing_to_decide():
    request = json.dumps(body()).encode()
    forwarded, rewrite = forward(request, DictStore())
    assert forwarded is request
    assert rewrite.manifest.entries == ()


def test_a_repeat_of_an_earlier_result_becomes_a_reference(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    store = DictStore()
    history = [ask(), use("a"), results(("a", LOG)), use("b"), results(("b", LOG))]
    forwarded, _ = forward(body(*history), store)
    assert texts(forwarded)[0] == LOG
    assert texts(forwarded)[1] == "[repeats #1 Bash]\n[#1:1-41]"
    again, _ = forward(body(*history, use("c"), results(("c", LOG))), store)
    assert texts(again)[:2] == texts(forwarded)
    assert texts(again)[2] == "[repeats #1:1-41]"


def test_lines_between_references_are_referred_to_where_they_were_sent(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    said = "\n".join(f"what the editor says about it, line {i}" for i in range(12))
    shown = [f"{LOG}{said}\nattempt {i}\n{LOG}" for i in range(3)]
    history, store = [ask(), use("a"), results(("a", LOG))], DictStore()
    forward(body(*history), store)
    for name, text in zip("bcd", shown, strict=True):
        history += [use(name), results((name, text))]
        forwarded, _ = forward(body(*history), store)
    sent = texts(forwarded)
    assert sent[1].startswith("[repeats #1 Bash]")
    assert sent[2].startswith("[repeats #2 Bash]\n[#1:")
    assert said not in sent[2]
    known = {str(number): text for number, text in enumerate(sent, 1)}
    assert [expand(form, known) for form in sent[1:]] == shown


def test_what_is_shortened_again_refers_to_what_was_sent_and_not_to_what_came():
    store = DictStore()
    history = [ask(), use("a"), results(("a", LOG))]
    forward(body(*history), store)
    forwarded, _ = forward(body(*history, use("b"), results(("b", LOG))), store)
    first, again = texts(forwarded)
    assert is_short(first)
    assert again.startswith("[repeats #1 Bash]\n[#1:1-")
    assert expand(again, {"1": first}) == first


def test_where_the_provider_may_drop_blocks_nothing_refers_to_them(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    history = [ask(), use("a"), results(("a", LOG)), use("b"), results(("b", LOG))]
    forwarded, _ = forward(body(*history, context_management={}), DictStore())
    assert texts(forwarded) == [LOG, LOG]


def test_after_compaction_a_reference_is_decided_anew(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    store = DictStore()
    forward(
        body(ask(), use("a"), results(("a", LOG)), use("b"), results(("b", LOG))), store
    )
    compacted, _ = forward(
        body(ask("summary"), use("b"), results(("b", LOG)), use("c"), ask()), store
    )
    assert texts(compacted) == [LOG]


def image_result(call_id):
    part = {"type": "image", "source": {"type": "base64", "data": "aGk="}}
    block = {"type": "tool_result", "tool_use_id": call_id, "content": [part]}
    return {"role": "user", "content": [block]}


def test_results_are_numbered_whatever_they_hold(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", ())
    two_parts = [{"type": "text", "text": OTHER}, {"type": "text", "text": OTHER}]
    history = [
        ask(),
        use("i"),
        image_result("i"),
        use("p"),
        results(("p", two_parts)),
        use("a"),
        results(("a", LOG)),
        use("b"),
        results(("b", LOG)),
    ]
    forwarded, _ = forward(body(*history), DictStore())
    assert texts(forwarded)[-1].startswith("[repeats #3 Bash]")


LOSSY = Policy(
    cache_minimum_tokens=0,
    allow_lossy=True,
    retrieval="tool",
    min_lossy_bytes={"log": 1},
)


def has_tool(forwarded):
    names = [tool["name"] for tool in json.loads(forwarded)["tools"]]
    return "headroom_retrieve" in names


def test_a_store_that_is_away_for_a_turn_does_not_take_the_tool_away():
    store = DictStore()
    turns = [ask(), use("a"), results(("a", LOG))]
    forward(body(ask()), store, policy=LOSSY)
    first, _ = forward(body(*turns), store, policy=LOSSY)
    assert has_tool(first)
    store.is_down = True
    blind, _ = forward(
        body(*turns, use("b"), results(("b", OTHER))), store, policy=LOSSY
    )
    assert has_tool(blind)
    assert texts(blind)[0] == texts(first)[0]
    store.is_down = False
    after, _ = forward(
        body(*turns, use("b"), results(("b", OTHER)), use("c"), ask()),
        store,
        policy=LOSSY,
    )
    assert has_tool(after)
    assert texts(after) == texts(blind)


def test_what_cannot_be_stored_is_not_left_out():
    store = DictStore()
    store.is_down = True
    turns = [ask(), use("a"), results(("a", LOG))]
    forwarded, rewrite = forward(body(*turns), store, policy=LOSSY)
    assert has_tool(forwarded)
    assert not any(e.is_lossy for d in rewrite.decisions.values() for e in d.edits)


def test_references_into_a_lossy_form_do_not_outlive_it():
    store = DictStore()
    lines = [f"2026-01-01 line {i} of an ordinary log" for i in range(400)]
    log, excerpt = "\n".join(lines), "\n".join(lines[2:80:2])
    turns = [ask(), use("a"), results(("a", log)), use("b"), results(("b", excerpt))]
    for until in (1, 3, 5):
        forwarded, _ = forward(body(*turns[:until]), store, policy=LOSSY)
    assert texts(forwarded)[1] == "[repeats #1 Bash]\n[#1:2-40]"
    assert texts(forwarded)[0].split("\n")[1:40] == excerpt.split("\n")
    forwarded, _ = forward(
        body(*turns, use("c"), results(("c", "ok"))), store, auth_mode="subscription"
    )
    assert texts(forwarded) == [log, excerpt, "ok"]


def test_who_began_a_conversation_decides_about_its_tool():
    store = DictStore()
    off = Policy(cache_minimum_tokens=0)
    before, _ = forward(body(ask(), tools=TOOLS), store, policy=off)
    again, _ = forward(body(ask(), tools=TOOLS), store, policy=LOSSY)
    later, _ = forward(
        body(ask(), use("a"), results(("a", LOG)), tools=TOOLS), store, policy=LOSSY
    )
    assert [has_tool(f) for f in (before, again, later)] == [False, False, False]


def test_compressors_learn_the_users_question():
    _, rewrite = forward(
        body(ask("where is the leak?"), use("a"), results(("a", LOG))),
        DictStore(),
        policy=Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool"),
    )
    # A conversation that did not begin here gets no tool, and nothing lossy.
    assert [task.question for task in rewrite.made_plan.tasks] == [""]
    fresh = {"role": "user", "content": ask("where is the leak?")["content"]}
    fresh["content"] += results(("a", LOG))["content"]
    _, rewrite = forward(body(fresh), DictStore(), policy=LOSSY)
    assert [t.question for t in rewrite.made_plan.tasks] == ["where is the leak?"]


@pytest.mark.parametrize(("is_honoured", "is_left"), [(True, True), (False, False)])
def test_without_reapply_markers_freeze_unless_told_otherwise(is_honoured, is_left):
    policy = Policy(
        cache_minimum_tokens=0, is_reapplying=False, honours_markers=is_honoured
    )
    forwarded, _ = forward(
        body(ask(), use("a"), results(("a", LOG), mark=True)),
        DictStore(),
        policy=policy,
    )
    assert (texts(forwarded) == [LOG]) == is_left

"""Results that the provider keeps, referred to by what comes behind them."""

import json

import msgspec
import pytest

from fakes import DictStore, forward
from headroom.core import earlier, references, repeats, standing
from headroom.core.digest import content_digest
from headroom.core.earlier import Found
from headroom.core.markers import find_markers
from headroom.core.repeats import Base, SourceMemo, make_source
from headroom.core.threads import (
    NOTHING,
    Standing,
    Thread,
    decode_thread,
    encode_thread,
)
from headroom.core.types import Policy, ToolCall
from headroom.providers.openai_responses.answer import read_message, reply_of

POLICY = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
ASKING = msgspec.structs.replace(POLICY, asks_by_number=True)
TOOLS = [{"type": "function", "name": "exec"}]
GO = {"role": "user", "content": "go"}
CODE = "\n".join(
    f"def function_{n}(value): return value * {n * 7919 % 1013} + {n * 31 % 97}"
    for n in range(60)
)
RECORD = json.dumps(
    {
        "id": "W51",
        "status": "pending",
        "address": {"street": "12 Long Road", "town": "Slowbridge", "code": "QX9"},
        "lines": [{"sku": f"item-{n}", "count": n, "price": n * 17} for n in range(9)],
    }
)


class Conversation:
    """A client that sends what is new, and a provider that keeps the rest."""

    def __init__(self, policy=POLICY):
        self.store = DictStore()
        self.memo = SourceMemo()
        self.policy = policy
        self.threads = {}
        self.kept = {"": []}
        self.texts = {}

    def send(self, items, *, after="", name, calls=(), said=(), results=None, **more):
        """Send a request; the outputs in it as they were forwarded."""
        body = {"type": "response.create", "model": "gpt-5.5", "input": items}
        body |= {"tools": TOOLS, "store": False, **more}
        if after:
            body["previous_response_id"] = after
        for item in items:
            if "output" in item:
                self.texts[item["call_id"]] = item["output"]
        sent, rewrite = forward(
            body,
            self.store,
            policy=self.policy,
            api="openai_responses",
            memo=self.memo,
            thread=self.threads.get(after),
        )
        output = [*said, *(call(name) for name in calls)]
        response = {"id": name, "status": "completed", "output": output}
        self.rewrite = rewrite
        reply = reply_of(read_message(json.dumps(response).encode()))
        thread = rewrite.thread_after(reply, results)
        self.threads[name] = decode_thread(encode_thread(thread))
        got = json.loads(sent)["input"]
        self.kept[name] = [*self.kept[after], *got, *output]
        return [item["output"] for item in got if "output" in item]


def call(call_id, **arguments):
    found = {"type": "function_call", "call_id": call_id, "name": "exec"}
    return {**found, "arguments": json.dumps(arguments or {"cmd": "cat app.py"})}


def result(call_id, text=CODE):
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def begun(policy=POLICY):
    """A conversation whose first result has been sent, the next one is due."""
    found = Conversation(policy)
    found.send([GO], name="1", calls="a")
    assert found.send([result("a")], after="1", name="2", calls="b") == [CODE]
    return found


def test_a_repeat_in_a_delta_refers_to_what_the_provider_keeps():
    conversation = begun()
    (sent,) = conversation.send([result("b")], after="2", name="3")
    form, _, marker = sent.rpartition("\n")
    assert form == "[repeats #1 exec]\n[#1:1-60]"
    assert repeats.expand(form, {"1": CODE}) == CODE
    assert marker == f"<<ccr:{find_markers(marker)[0].digest}>>"
    assert conversation.store.get(find_markers(marker)[0].digest) == CODE


def test_a_record_in_a_delta_is_told_by_what_differs():
    changed = RECORD.replace("pending", "cancelled")
    conversation = Conversation()
    conversation.send([GO], name="1", calls="a")
    conversation.send([result("a", RECORD)], after="1", name="2", calls="b")
    (sent,) = conversation.send([result("b", changed)], after="2", name="3")
    form, _, marker = sent.rpartition("\n")
    assert json.loads(repeats.restore(form, {"1": RECORD})) == json.loads(changed)
    assert marker == f"<<ccr:{find_markers(marker)[0].digest}>>"
    assert conversation.store.get(find_markers(marker)[0].digest) == changed


def test_all_sent_again_arrives_as_it_arrived_in_pieces():
    conversation = begun()
    conversation.send([result("b")], after="2", name="3", calls="c")
    kept = [i["output"] for i in conversation.kept["3"] if "output" in i]
    everything = [GO, call("a"), result("a"), call("b"), result("b"), call("c")]
    more = result("c", f"{CODE}\nand an end")
    again = conversation.send([*everything, more], name="4", calls="d")
    assert again[:2] == kept
    # Here the earlier results stand in the request itself: no way back is needed.
    assert again[2].startswith("[repeats #1:1-60]")
    assert not find_markers(again[2])
    (delta,) = conversation.send([result("d", more["output"])], after="4", name="5")
    assert "#3" in delta.partition("\n")[0] or "#1" in delta.partition("\n")[0]


def test_results_are_numbered_as_the_model_counts_them():
    conversation = Conversation()
    conversation.send([GO], name="1", calls="ab")
    short = result("a", "ok")
    conversation.send([short, result("b")], after="1", name="2", calls="c")
    (sent,) = conversation.send([result("c")], after="2", name="3")
    assert sent.startswith("[repeats #2 ")


def test_results_of_one_request_refer_to_each_other_by_their_numbers():
    conversation = begun()
    other = CODE.replace("function", "other_function").replace("return", "yield")
    conversation.send([result("b", other)], after="2", name="3", calls="cd")
    sent = conversation.send([result("c"), result("d", other)], after="3", name="4")
    assert [s.partition(" exec")[0] for s in sent] == ["[repeats #1", "[repeats #2"]


def test_lines_given_to_a_tool_are_referred_to_as_well():
    conversation = Conversation()
    written = call("a", path="app.py", content=CODE)
    conversation.send([GO], name="1", said=[written])
    done = "written"
    conversation.send([result("a", done)], after="1", name="2", calls="b")
    (sent,) = conversation.send([result("b")], after="2", name="3")
    assert sent.startswith("[repeats #1c content of exec app.py]\n[#1c:1-60]")


def test_after_a_restart_the_texts_come_from_the_store():
    conversation = begun()
    conversation.memo = SourceMemo()
    (sent,) = conversation.send([result("b")], after="2", name="3")
    assert sent.startswith("[repeats #1 ")


def test_what_the_store_has_lost_is_not_referred_to():
    conversation = begun()
    conversation.memo = SourceMemo()
    conversation.store.originals.clear()
    assert conversation.send([result("b")], after="2", name="3") == [CODE]


@pytest.mark.parametrize(
    "more",
    [
        {"truncation": "auto"},
        {"context_management": [{"type": "compaction", "compact_threshold": 9000}]},
    ],
)
def test_what_the_provider_is_told_it_may_drop_is_not_referred_to(more):
    conversation = begun()
    assert conversation.send([result("b")], after="2", name="3", **more) == [CODE]
    # … nor is anything before it, ever again.
    assert conversation.threads["3"].standing == ()
    assert conversation.threads["3"].results_total == -1


def test_behind_a_compaction_nothing_is_referred_to():
    conversation = begun()
    sealed = {"type": "compaction", "id": "cmp", "encrypted_content": "gAAA"}
    conversation.send(
        [result("b", "ok")], after="2", name="3", said=[sealed], calls="c"
    )
    assert conversation.send([result("c")], after="3", name="4", calls="d") == [CODE]
    assert conversation.send([result("d")], after="4", name="5") == [CODE]


def test_behind_an_unknown_answer_nothing_is_referred_to():
    conversation = begun()
    conversation.kept["lost"] = []
    assert conversation.send([result("b")], after="lost", name="3", calls="c")
    assert conversation.send([result("c")], after="3", name="4") == [CODE]


def test_behind_what_the_client_did_not_see_only_older_results_are_referred_to():
    """The model has seen one result more than can be counted from there on."""
    conversation = begun()
    other = CODE.replace("function", "other_function").replace("return", "yield")
    conversation.send([result("b", "ok")], after="2", name="3", calls="c", results=b"")
    assert conversation.send([result("c", other)], after="3", name="4", calls="d") == [
        other
    ]
    (sent,) = conversation.send([result("d")], after="4", name="5", calls="e")
    assert sent.startswith("[repeats #1 ")
    assert conversation.send([result("e", other)], after="5", name="6") == [other]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(cache_minimum_tokens=0),
        Policy(cache_minimum_tokens=0, allow_lossy=True),
        Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="mcp"),
    ],
)
def test_without_a_way_back_nothing_is_referred_to_or_kept(policy):
    conversation = begun(policy)
    assert conversation.send([result("b")], after="2", name="3") == [CODE]
    assert conversation.store.originals == {}


def test_a_reference_is_made_wherever_it_is_shorter_with_what_it_needs():
    """What it leaves out stands there: no look-up has to be paid for."""
    text = "\n".join(CODE.splitlines()[:6])
    for policy, expected in [(POLICY, 3), (ASKING, 2)]:
        conversation = Conversation(policy)
        conversation.send([GO], name="1", calls="a")
        conversation.send([result("a", text)], after="1", name="2", calls="b")
        (sent,) = conversation.send([result("b", text)], after="2", name="3")
        assert sent.startswith("[repeats #1 exec]\n[#1:1-6]")
        assert sent.count("\n") + 1 == expected


def test_what_can_be_asked_for_by_its_number_needs_no_marker():
    conversation = begun(ASKING)
    (sent,) = conversation.send([result("b")], after="2", name="3")
    assert sent == "[repeats #1 exec]\n[#1:1-60]"
    digest = conversation.threads["3"].numbered["1"]
    assert conversation.store.get(digest) == CODE
    assert conversation.rewrite.manifest.entries[-1].outcome.is_lossy


def test_what_is_named_is_stored_before_it_is_named():
    conversation = begun(ASKING)
    conversation.store.originals.clear()
    conversation.send([result("b")], after="2", name="3")
    assert conversation.store.get(content_digest(CODE)) == CODE


def test_a_record_told_by_another_told_one_leads_to_both():
    states = ["pending", "cancelled", "returned", "gone"]
    texts = [RECORD.replace("pending", state) for state in states]
    conversation = Conversation(ASKING)
    conversation.send([GO], name="0", calls="0")
    for n, text in enumerate(texts):
        (sent,) = conversation.send(
            [result(str(n), text)], after=str(n), name=str(n + 1), calls=str(n + 1)
        )
        if n:
            base = repeats.base_of(sent)
            found = conversation.store.get(
                conversation.threads[str(n + 1)].numbered[base]
            )
            assert repeats.restore(sent, {base: found}) == json.dumps(
                json.loads(text), separators=(",", ":")
            )
    assert not find_markers(json.dumps(conversation.kept[str(len(texts))]))


def test_behind_many_names_there_are_markers_again(monkeypatch):
    monkeypatch.setattr(references, "MAX_NUMBERED", 1)
    conversation = begun(ASKING)
    other = CODE.replace("function", "other_function").replace("return", "yield")
    conversation.send([result("b", other)], after="2", name="3", calls="c")
    (first,) = conversation.send([result("c")], after="3", name="4", calls="d")
    (second,) = conversation.send([result("d", other)], after="4", name="5")
    assert (len(find_markers(first)), len(find_markers(second))) == (0, 1)


def other(n):
    """A text that shares no line with ``CODE``, nor with another one."""
    return CODE.replace("function", f"other_{n}").replace("return", f"yield_{n}")


def test_what_forms_with_markers_name_is_not_listed(monkeypatch):
    monkeypatch.setattr(references, "MAX_NUMBERED", 1)
    conversation = begun(ASKING)
    texts = [CODE, other(1), other(2), CODE, other(1), other(2)]
    for n, text in enumerate(texts, 2):
        after = {"after": str(n), "name": str(n + 1), "calls": [f"c{n + 1}"]}
        conversation.send([result("b" if n == 2 else f"c{n}", text)], **after)
    assert conversation.threads["8"].numbered == {"1": content_digest(CODE)}


def test_one_request_lists_hardly_more_than_a_note_may(monkeypatch):
    monkeypatch.setattr(references, "MAX_NUMBERED", 2)
    conversation = Conversation(ASKING)
    first, again = ([f"{letter}{n}" for n in range(6)] for letter in "ab")
    conversation.send([GO], name="1", calls=first)
    results = [result(call_id, other(n)) for n, call_id in enumerate(first)]
    conversation.send(results, after="1", name="2", calls=again)
    results = [result(call_id, other(n)) for n, call_id in enumerate(again)]
    sent = conversation.send(results, after="2", name="3")
    assert [len(find_markers(text)) for text in sent] == [0, 0, 1, 1, 1, 1]
    assert list(conversation.threads["3"].numbered) == ["1", "2"]


def test_what_is_named_in_a_long_request_is_kept_however_far_back(monkeypatch):
    monkeypatch.setattr(earlier, "WINDOW_CHARS", len(CODE))
    conversation = Conversation(ASKING)
    conversation.send([GO], name="1", calls="abcde")
    texts = [CODE, CODE, other(1), other(2), f"{other(2)}\n{other(3)}"]
    conversation.send(list(map(result, "abcde", texts)), after="1", name="2")
    numbered = conversation.threads["2"].numbered
    kept = {name: conversation.store.get(digest) for name, digest in numbered.items()}
    assert kept == {"1": CODE, "4": other(2)}


def test_behind_an_unknown_answer_numbers_mean_nothing():
    """The model counts from the first result, which nobody here has seen."""
    conversation = begun(ASKING)
    conversation.kept["lost"] = []
    conversation.send([result("x", other(1)), GO], after="lost", name="5")
    assert conversation.rewrite.text_of("1", conversation.memo) is None
    assert conversation.rewrite.digest_of("1") is None


def test_names_outlive_a_resend_of_which_the_provider_may_drop_a_part():
    conversation = begun(ASKING)
    conversation.send([result("b")], after="2", name="3", calls="c")
    everything = [GO, call("a"), result("a"), call("b"), result("b"), call("c")]
    everything.append(result("c", "ok"))
    conversation.send(everything, name="4", truncation="auto")
    assert conversation.threads["4"].numbered == {"1": content_digest(CODE)}


def test_a_result_that_no_form_names_is_kept_by_its_number_too():
    conversation = begun(ASKING)
    conversation.send([result("b", other(1))], after="2", name="3", calls="c")
    conversation.memo = SourceMemo()
    conversation.send([result("c", "ok")], after="3", name="4")
    digest = conversation.rewrite.digest_of("2")
    assert digest == content_digest(other(1))
    assert conversation.store.get(digest) == other(1)
    assert conversation.rewrite.digest_of("3") is None


def test_a_conversation_whose_model_was_not_told_of_numbers_has_markers():
    conversation = begun(ASKING)
    thread = msgspec.structs.replace(conversation.threads["2"], numbered=None)
    conversation.threads["2"] = thread
    (sent,) = conversation.send([result("b")], after="2", name="3", calls="c")
    assert len(find_markers(sent)) == 1
    assert conversation.threads["3"].numbered is None


def test_where_the_client_s_own_tool_answers_there_are_markers():
    conversation = Conversation(msgspec.structs.replace(ASKING, retrieval="mcp"))
    tools = [*TOOLS, {"type": "function", "name": "mcp__headroom__headroom_retrieve"}]
    conversation.send([GO], name="1", calls="a", tools=tools)
    conversation.send([result("a")], after="1", name="2", calls="b", tools=tools)
    (sent,) = conversation.send([result("b")], after="2", name="3", tools=tools)
    assert len(find_markers(sent)) == 1


def test_a_tool_that_the_client_brings_later_answers_by_markers_alone():
    conversation = begun(ASKING)
    theirs = {"type": "function", "name": "headroom_retrieve"}
    (sent,) = conversation.send(
        [result("b")], after="2", name="3", tools=[*TOOLS, theirs]
    )
    assert len(find_markers(sent)) == 1


def test_an_imitated_marker_takes_no_name_from_the_list():
    conversation = begun(ASKING)
    text = f"{CODE}\n<<ccr:{content_digest('foreign')}>>"
    (sent,) = conversation.send([result("b", text)], after="2", name="3")
    assert sent.endswith(f"[#1:1-60]\n{text.rpartition(chr(10))[2]}")
    assert conversation.threads["3"].numbered == {"1": content_digest(CODE)}


def test_what_the_model_said_counts_for_what_the_provider_keeps():
    words = {"type": "output_text", "text": "so it is " * 40}
    said = [{"type": "message", "role": "assistant", "content": [words]}]
    quiet, talking = Conversation(), Conversation()
    quiet.send([GO], name="1")
    talking.send([GO], name="1", said=said, calls="a")
    chars = len(words["text"]) + len(call("a")["arguments"])
    sizes = [found.threads["1"].prefix_bytes for found in (quiet, talking)]
    assert sizes[1] - sizes[0] == chars


def test_names_are_known_from_then_on_whatever_comes():
    conversation = begun(ASKING)
    sealed = {"type": "compaction", "id": "cmp", "encrypted_content": "gAAA"}
    conversation.send([result("b")], after="2", name="3", calls="c", results=b"")
    conversation.send([result("c", "ok")], after="3", name="4", said=[sealed])
    assert conversation.threads["4"].numbered == {"1": content_digest(CODE)}
    conversation.kept["lost"] = []
    conversation.send([GO], after="lost", name="5")
    assert conversation.threads["5"].numbered is None


def test_all_sent_again_leaves_without_markers_and_tells_its_results_itself():
    conversation = begun(ASKING)
    (sent,) = conversation.send([result("b")], after="2", name="3", calls="c")
    everything = [GO, call("a"), result("a"), call("b"), result("b"), call("c")]
    written = call("d", path="app.py", content=CODE)
    again = conversation.send(
        [*everything, result("c", "ok"), written, result("d", "done")], name="4"
    )
    assert again == [CODE, sent, "ok", "done"]
    rewrite, memo = conversation.rewrite, conversation.memo
    assert rewrite.text_of("1", memo) == CODE
    assert rewrite.text_of("2", memo) == sent
    assert rewrite.text_of("4c", memo) == CODE
    assert rewrite.text_of("5", memo) is None
    assert conversation.threads["4"].numbered == {"1": content_digest(CODE)}


def test_what_a_result_is_of_is_said_once():
    conversation = begun()
    (first,) = conversation.send([result("b")], after="2", name="3", calls="c")
    assert first.startswith("[repeats #1 exec]\n[#1:1-60]\n<<ccr:")
    again = result("c", CODE + "\nand an end")
    (second,) = conversation.send([again], after="3", name="4", calls="d")
    assert second.startswith("[repeats #1:1-60]\nand an end\n<<ccr:")
    # Whoever comes to the same place with everything at once says it as it was said.
    everything = [GO, call("a"), result("a"), call("b"), result("b"), call("c"), again]
    whole = conversation.send([*everything, call("d"), result("d")], name="5")
    assert whole[1:3] == [first, second]
    assert whole[3] == "[repeats #1:1-60]"


def test_what_was_said_of_a_dropped_form_is_said_again():
    conversation = begun()
    conversation.send([result("b")], after="2", name="3", calls="c")
    everything = [GO, call("a"), result("a"), call("c"), result("c")]
    whole = conversation.send(everything, name="4")
    assert whole == [CODE, "[repeats #1 exec]\n[#1:1-60]"]


def behind(noted):
    return Thread(b"k", standing=noted.standing, named=noted.named)


def test_a_note_is_bounded_and_has_the_newest_texts():
    sources = [
        make_source(str(n), content_digest(text := f"{n}\n{CODE}"), text, None)
        for n in range(1, 3 * standing.MAX_STANDING)
    ]
    noted = standing.note(Found(sources, []), NOTHING)
    assert len(noted.standing) == standing.MAX_STANDING
    assert noted.standing[-1].name == sources[-1].name
    assert set(noted.texts) == {one.text for one in noted.standing}
    again = standing.note(Found(sources[:1], []), behind(noted))
    assert len(again.standing) == standing.MAX_STANDING
    huge = "x" * (standing.MAX_STANDING_CHARS + 1)
    source = make_source("999", content_digest(huge), huge, None)
    assert standing.note(Found([source], []), behind(noted)) == standing.Noted(
        noted.standing, {}
    )


def test_what_is_noted_is_found_as_it_was():
    one = make_source("1", content_digest(CODE), CODE, ToolCall("a", "exec", b"{}"))
    record = make_source("2", content_digest(RECORD), RECORD, None)
    found = Found([one], [Base(record, ("d",))])
    noted = standing.note(found, NOTHING)
    for memo in (SourceMemo(), SourceMemo(max_chars=10)):
        wanted = standing.missing(noted.standing, memo)
        assert sorted(wanted) == sorted(noted.texts)
        assert standing.find(behind(noted), noted.texts, memo) == found
    assert standing.find(behind(noted), {}, SourceMemo()) == Found([], [])


def test_a_note_of_an_earlier_form_is_a_thread_without_numbers():
    data = msgspec.msgpack.encode([b"k", "added", [], 7, [], b"", []])
    thread = decode_thread(data)
    assert thread is not None
    assert (thread.results_total, thread.standing) == (-1, ())


def test_a_standing_text_is_named_by_what_was_sent():
    """Where lines and references were sent, its lines are those."""
    conversation = begun()
    longer = f"{CODE}\n" + CODE.replace("function", "g").replace("value", "x")
    (sent,) = conversation.send([result("b", longer)], after="2", name="3")
    assert sent.startswith("[repeats #1 ")
    form = conversation.threads["3"].standing[-1]
    assert isinstance(form, Standing)
    assert (form.name, form.has_lines, form.has_value) == ("2", True, False)
    assert form.digest == content_digest(longer)
    assert form.text == content_digest(sent)

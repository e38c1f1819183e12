"""The law where the shortest prefix that providers cache decides what is left whole.

Conversations begin below that length and grow beyond it: results are rejected, made
shorter without loss instead, and referred to, whole requests and deltas of them come to
one worker or another, and retries to a third.
"""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

import headroom
from headroom.ccr.contract import StoreConfig
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.rewrite import Rewrite
from headroom.providers.openai_responses.answer import read_message, reply_of
from scripted import noisy_log

RESULTS = st.one_of(
    st.tuples(st.integers(0, 3), st.sampled_from([10, 40, 120])).map(
        lambda drawn: noisy_log(drawn[0], lines=drawn[1])
    ),
    st.integers(10, 60).map(
        lambda count: "\n".join(f"def f{n}(x): return x * {n}" for n in range(count))
    ),
    st.sampled_from(["done", json.dumps([{"id": n, "ok": True} for n in range(60)])]),
)

TURNS = st.lists(
    st.tuples(
        st.lists(RESULTS, min_size=1, max_size=3),
        st.booleans(),  # goes on from the last answer, where that can be
        st.integers(0, 1),  # the worker
    ),
    min_size=2,
    max_size=5,
)
BEGINNINGS = st.sampled_from([10, 1500, 4000])
"""Characters of instructions: 6,144 bytes are the least that is cached."""


class Workers:
    """Two workers over one store, and what the provider has."""

    def __init__(self, api, chars):
        self.store = MemoryStore(StoreConfig())
        self.sessions = [
            headroom.Session(self.store, retrieval="elsewhere") for _ in range(2)
        ]
        self.api = api
        self.name = headroom.session.LISTS[api]
        self.items = [
            {"role": "developer", "content": "d" * chars},
            {"role": "user", "content": "please help"},
        ]
        self.kept = []
        self.answered = 0
        self.after = ""

    def send(self, worker, *, is_delta):
        """What a worker makes of the conversation up to here."""
        items = self.items[self.answered :] if is_delta else self.items
        body = {"model": "gpt-5", self.name: items}
        if is_delta:
            body["previous_response_id"] = self.after
        forwarded = self.sessions[worker].forward(self.api, json.dumps(body).encode())
        found = json.loads(forwarded.body)[self.name]
        return forwarded, [*self.kept, *found] if is_delta else found

    def take(self, forwarded, sent, output, answer_id):
        """The provider keeps what it got and what it said."""
        self.kept, self.items = sent + output, self.items + output
        if forwarded.note_reply is not None:
            told = {"id": answer_id, "status": "completed", "output": output}
            reply = reply_of(read_message(json.dumps(told).encode()))
            forwarded.note_reply(reply, None)
            self.answered, self.after = len(self.items), answer_id


def called(api, turn, count):
    """What the model says that calls tools, and the ids of its calls."""
    ids = [f"call_{turn}_{n}" for n in range(count)]
    if api == "openai_responses":
        call = {"type": "function_call", "name": "exec", "arguments": "{}"}
        return [{**call, "id": f"f_{one}", "call_id": one} for one in ids], ids
    what = {"type": "function", "function": {"name": "exec", "arguments": "{}"}}
    calls = [{**what, "id": one} for one in ids]
    return [{"role": "assistant", "content": None, "tool_calls": calls}], ids


def answered(api, call_id, text):
    """A result as the client sends it."""
    if api == "openai_responses":
        return {"type": "function_call_output", "call_id": call_id, "output": text}
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def converse(api, chars, turns):
    """Run a conversation; nothing that was sent is ever sent otherwise."""
    workers = Workers(api, chars)
    for number, (results, as_delta, worker) in enumerate(turns):
        is_delta = as_delta and bool(workers.after)
        forwarded, sent = workers.send(worker, is_delta=is_delta)
        _, again = workers.send(1 - worker, is_delta=is_delta)
        assert again == sent
        assert sent[: len(workers.kept)] == workers.kept
        output, ids = called(api, number, len(results))
        workers.take(forwarded, sent, output, f"resp_{number}")
        pairs = zip(ids, results, strict=True)
        workers.items += [answered(api, one, text) for one, text in pairs]
    _, sent = workers.send(0, is_delta=False)
    assert sent[: len(workers.kept)] == workers.kept
    return sent


@settings(max_examples=25, deadline=None)
@given(chars=BEGINNINGS, turns=TURNS)
def test_chat_conversations_that_grow_beyond_it_keep_their_prefix(chars, turns):
    sent = converse("openai_chat", chars, turns)
    assert len(sent) > len(turns)
    # Nor does it matter which worker decided what.
    others = [(results, False, 0) for results, _, _ in turns]
    assert converse("openai_chat", chars, others) == sent


@settings(max_examples=25, deadline=None)
@given(chars=BEGINNINGS, turns=TURNS)
def test_responses_do_too_in_deltas_and_in_full(chars, turns):
    assert len(converse("openai_responses", chars, turns)) > len(turns)


def test_what_is_rejected_is_shortened_without_loss_on_the_way(monkeypatch):
    made = []
    real = Rewrite.instead

    def noted(self, outcomes):
        made.extend(one.is_lossy for one in outcomes.values() if one.replacement)
        real(self, outcomes)

    monkeypatch.setattr(Rewrite, "instead", noted)
    turns = [([noisy_log(n, lines=120)], True, n % 2) for n in range(3)]
    for api in ("openai_chat", "openai_responses"):
        made.clear()
        converse(api, 10, turns)
        assert made
        assert not any(made)

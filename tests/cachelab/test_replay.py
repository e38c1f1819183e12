import contextlib
import json
import re

import pytest

from headroom.cachelab import measure, report
from headroom.cachelab.conversations import Sending, load
from headroom.cachelab.replay import Options, bench, unattributed

RETRIEVE = {
    "name": "headroom_retrieve",
    "input_schema": {"type": "object", "required": ["hash"]},
}


@pytest.fixture
def replay(proxy):
    """Replay files through a proxy that changes bodies with ``change``."""

    async def run(files, change=None, ask=None, api="messages", **options):
        async with contextlib.AsyncExitStack() as stack:

            async def target(upstream):
                if change is None and ask is None:
                    return upstream, None
                return await stack.enter_async_context(
                    proxy(upstream, change, ask)
                ), None

            settings = Options(**options)
            async with bench(settings, target=target) as running:
                return await running.run(load(files, api)), running

    return run


def shortened(body, is_hit):
    """Cut the tool outputs whose number in the request ``is_hit`` says to cut."""
    request = json.loads(body)
    results = [
        block
        for message in request["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "tool_result"
    ]
    for number, block in enumerate(results):
        if is_hit(number, len(results)):
            words = block["content"].split()
            block["content"] = " ".join(words[: len(words) // 3])
    return json.dumps(request).encode()


def cut_all(body):
    return shortened(body, lambda _number, _count: True)


def cut_newest_only(body):
    return shortened(body, lambda number, count: number == count - 1)


def cut_old(body):
    return shortened(body, lambda number, count: number < count - 3)


MARKERS = ("newest", "system", "none")


@pytest.mark.parametrize("markers", MARKERS)
async def test_both_ways_cost_the_same_without_a_proxy(
    replay, conversation_file, markers
):
    sending = Sending(markers=markers)
    (found,), _ = await replay([conversation_file()], sending=sending)
    assert found.direct == found.target
    assert found.ratio == 1.0
    assert (found.breaks, found.rewrites, found.client_breaks) == ((), 0, 0)
    assert report.problems([found]) == []
    usage = found.direct.usage
    assert (usage.read == 0) == (markers == "none")


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_steady_proxy_saves_and_breaks_nothing(
    replay, conversation_file, is_stream
):
    sending = Sending(is_stream=is_stream)
    (found,), _ = await replay(
        [conversation_file()], cut_all, sending=sending, resends=True
    )
    assert found.ratio < 0.8
    assert found.target.tool_cost < 0.5 * found.direct.tool_cost
    assert report.problems([found]) == []
    assert len(found.added_ms) == found.turns == 9


async def test_a_proxy_that_cuts_the_newest_output_only_is_caught_and_costs_more(
    replay, conversation_file
):
    (found,), _ = await replay([conversation_file(turns=8)], cut_newest_only)
    assert len(found.breaks) == 7
    assert found.rewrites == 7
    assert found.ratio > 1.0
    assert found.breaks[0].where == "messages.2.content.0"
    assert found.breaks[0].lost_tokens > 0
    assert "prefix break" in report.problems([found])[0]


async def test_a_proxy_that_rewrites_old_messages_is_caught(replay, conversation_file):
    (found,), _ = await replay([conversation_file(turns=8)], cut_old)
    assert [b.turn for b in found.breaks] == [4, 5, 6, 7, 8]
    assert {b.where.partition(".")[0] for b in found.breaks} == {"messages"}


@pytest.mark.parametrize("markers", ["system", "none"])
async def test_rewrites_are_caught_where_nothing_was_cached(
    replay, conversation_file, markers
):
    sending = Sending(markers=markers)
    (found,), _ = await replay([conversation_file()], cut_old, sending=sending)
    assert found.breaks == ()
    assert found.rewrites > 0
    assert report.problems([found])


async def test_a_proxy_that_changes_the_tools_every_turn_is_caught(
    replay, conversation_file
):
    def change(body):
        request = json.loads(body)
        request["tools"][0]["description"] = f"Call {len(request['messages'])}"
        return json.dumps(request).encode()

    (found,), _ = await replay([conversation_file()], change)
    assert [b.where for b in found.breaks] == ["tools.0"] * 6
    assert found.ratio > 2


async def test_a_proxy_that_takes_the_markers_costs_more(replay, conversation_file):
    def change(body):
        return re.sub(rb',"cache_control":\{"type":"ephemeral"\}', b"", body)

    (found,), _ = await replay([conversation_file()], change)
    assert found.target.usage.read == 0
    assert found.ratio > 2


async def test_a_proxy_that_moves_a_marker_out_of_reach_is_caught(
    replay, conversation_file
):
    def change(body):
        if body.count(b'"tool_result"') % 2 == 0:
            return body
        return re.sub(rb',"cache_control":\{"type":"ephemeral"\}', b"", body)

    (found,), _ = await replay([conversation_file()], change)
    assert {b.where for b in found.breaks} == {"not read back"}


async def test_what_the_client_breaks_itself_is_not_the_proxys(replay, tmp_path):
    def body(first, more):
        text = {"type": "text", "text": "word " * 1500}
        marked = {**text, "cache_control": {"type": "ephemeral"}}
        messages = [{"role": "user", "content": first}]
        for number in range(more):
            messages.append({"role": "assistant", "content": f"Answer {number}."})
            messages.append({"role": "user", "content": [text]})
        messages[-1] = {"role": "user", "content": [marked]}
        model = "claude-sonnet-4-5"
        return {"model": model, "max_tokens": 9, "messages": messages}

    sent = [body("a", 1), body("a", 2), body("b", 3), body("b", 4)]
    rows = [{"method": "POST", "path": "/v1/messages", "body": b} for b in sent]
    path = tmp_path / "client.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    sending = Sending(markers="as-recorded")
    (found,), _ = await replay([path], lambda b: b, sending=sending)
    assert (found.breaks, found.rewrites, found.client_breaks) == ((), 0, 1)
    assert report.problems([found]) == []


async def test_a_pause_past_the_lifetime_is_no_break_and_costs_both_ways(
    replay, conversation_file
):
    (short,), _ = await replay([conversation_file()], cut_all)
    (long,), _ = await replay([conversation_file()], cut_all, pause_s=301)
    assert long.direct.cost > short.direct.cost
    assert long.target.cost > short.target.cost
    assert report.problems([long]) == []


async def test_copies_run_at_once_and_cost_the_same_each(replay, conversation_file):
    found, running = await replay([conversation_file()], cut_all, parallel=4)
    assert [r.name for r in found] == [f"case-{n}" for n in range(4)]
    assert len({r.target.cost for r in found}) == 1
    assert report.problems(found) == []
    assert unattributed(running.target.lab, {r.name for r in found}) == []


async def test_new_connections_change_nothing(replay, conversation_file):
    (found,), _ = await replay([conversation_file()], cut_all, is_reconnecting=True)
    assert report.problems([found]) == []


async def test_errors_are_counted_with_what_the_provider_said(
    replay, conversation_file
):
    def change(body):
        request = json.loads(body)
        del request["max_tokens"]
        return json.dumps(request).encode()

    (found,), _ = await replay([conversation_file(turns=1)], change)
    assert found.direct.errors == ()
    assert found.target.errors == (
        "turn 1: HTTP 400: max_tokens: Field required",
        "turn 2: HTTP 400: max_tokens: Field required",
    )
    assert found.added_ms == ()


async def test_thinking_goes_back_and_forth_on_a_model_that_preserves_it(
    replay, conversation_file
):
    sending = Sending(model="claude-opus-5-5", thinks=True)
    strict = {"sending": sending, "is_strict_thinking": True}
    (good,), _ = await replay([conversation_file()], cut_all, **strict)
    assert report.problems([good]) == []
    (bad,), _ = await replay([conversation_file()], cut_newest_only, **strict)
    assert "bound to a different conversation" in bad.target.errors[0]


def with_retrieval(body):
    """Leave most of each output out, with a marker, and offer the retrieval tool."""
    request = json.loads(body)
    request["tools"] = [*request["tools"], RETRIEVE]
    for number, message in enumerate(request["messages"]):
        for block in message["content"]:
            if isinstance(block, dict) and block["type"] == "tool_result":
                block["content"] = f"{block['content'][:90]} <<ccr:{number:024d}>>"
    return request


class RetrievingProxy:
    """Answers retrievals itself, and puts them back into later requests if it may."""

    def __init__(self, *, remembers):
        self.remembers = remembers
        self.hidden = {}

    async def __call__(self, post, body):
        request = with_retrieval(body)
        restored = []
        for message in request["messages"]:
            restored += self.hidden.get(len(restored), []) if self.remembers else []
            restored.append(message)
        request["messages"] = restored
        while True:
            status, kind, data = await post(json.dumps(request).encode())
            answer = json.loads(data)
            calls = [b for b in answer.get("content", ()) if b["type"] == "tool_use"]
            if not calls or calls[0]["name"] != "headroom_retrieve":
                return status, kind, data
            results = [
                {"type": "tool_result", "tool_use_id": b["id"], "content": "all of it"}
                for b in calls
            ]
            exchange = [
                {"role": "assistant", "content": answer["content"]},
                {"role": "user", "content": results},
            ]
            self.hidden[len(restored)] = exchange
            restored += exchange


async def test_retrievals_inside_the_proxy_are_billed_apart_and_break_nothing(
    replay, conversation_file
):
    ask = RetrievingProxy(remembers=True)
    sending = Sending(is_stream=False)
    (found,), _ = await replay(
        [conversation_file()], ask=ask, retrieve_every=3, sending=sending
    )
    assert report.problems([found]) == []
    assert found.target.retrievals == 2
    assert found.target.retrieval_cost > 0
    assert found.direct.retrieval_cost == 0


async def test_a_proxy_that_forgets_its_retrievals_breaks_the_prefix(
    replay, conversation_file
):
    ask = RetrievingProxy(remembers=False)
    sending = Sending(is_stream=False)
    (found,), _ = await replay(
        [conversation_file()], ask=ask, retrieve_every=3, sending=sending
    )
    # The other retrieval is in the last turn, which nothing follows.
    assert found.rewrites == 1


async def test_a_retrieval_that_reaches_the_client_is_an_error(
    replay, conversation_file
):
    def change(body):
        return json.dumps(with_retrieval(body)).encode()

    (found,), _ = await replay([conversation_file()], change, retrieve_every=3)
    assert [error.partition(": ")[2] for error in found.target.errors] == [
        "a call of the retrieval tool reached the client"
    ] * 2


async def test_the_same_run_gives_the_same_figures(replay, conversation_file):
    first, _ = await replay([conversation_file()], cut_old, resends=True)
    second, _ = await replay([conversation_file()], cut_old, resends=True)
    assert first[0].target == second[0].target
    assert first[0].breaks == second[0].breaks


def test_percentiles():
    values = [float(n) for n in range(1, 101)]
    assert measure.percentile(values, 0.5) == 50.5
    assert measure.percentile(values, 0.99) == 100.0
    assert measure.percentile([], 0.5) == 0.0


def cut_chat(body, is_hit):
    """Cut the results whose number in a Chat request ``is_hit`` says to cut."""
    request = json.loads(body)
    results = [m for m in request["messages"] if m["role"] == "tool"]
    for number, message in enumerate(results):
        if is_hit(number, len(results)):
            words = message["content"].split()
            message["content"] = " ".join(words[: len(words) // 3])
    return json.dumps(request).encode()


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("model", ["gpt-5", "gpt-5.6", "glm-4.6"])
async def test_chat_through_a_steady_proxy_saves_and_breaks_nothing(
    replay, conversation_file, is_stream, model
):
    sending = Sending(is_stream=is_stream, model=model)
    (found,), _ = await replay(
        [conversation_file()],
        lambda body: cut_chat(body, lambda _number, _count: True),
        api="chat",
        sending=sending,
        resends=True,
    )
    assert report.problems([found]) == []
    assert found.target.answers_changed == 0
    assert found.ratio < 0.85
    assert found.direct.usage.read > found.target.usage.read > 0


async def test_chat_costs_the_same_without_a_proxy(replay, conversation_file):
    (found,), _ = await replay([conversation_file()], api="chat")
    assert found.direct == found.target
    assert (found.breaks, found.rewrites, found.client_breaks) == ((), 0, 0)


async def test_a_chat_proxy_that_cuts_the_newest_result_only_is_caught(
    replay, conversation_file
):
    (found,), _ = await replay(
        [conversation_file(turns=8)],
        lambda body: cut_chat(body, lambda number, count: number == count - 1),
        api="chat",
    )
    assert found.rewrites == 7
    # The first cut is behind the last whole step that was cached.
    assert len(found.breaks) == 6
    assert found.breaks[0].where == "messages.3.content.0"

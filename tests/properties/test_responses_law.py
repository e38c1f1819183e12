"""The law for Responses: what was sent once is sent the same way again.

Clients of this API send everything again, or only what is new behind an answer that the
provider keeps, or one after the other (a reconnect); they send back what the model said
with ids dropped, thoughts left out and arguments laid out anew. Calls come in rows,
then results in a row, as strings, part lists or what a shell wrote; breakpoints move,
histories are rewound, forked, retried and compacted, tools change, workers differ.
"""

import json
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline, repeats
from headroom.core.markers import find_markers, strip_marker
from headroom.core.repeats import SourceMemo
from headroom.core.threads import decode_thread, encode_thread
from headroom.core.types import Context, Policy
from headroom.providers.openai_responses.answer import read_message, reply_of
from remembering import LINES, Provider

API = "openai_responses"
TOOLS = [{"type": "function", "name": name} for name in ("exec", "read", "grep")]
KINDS = ("function", "custom_tool", "local_shell", "shell", "apply_patch")


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


class Client:
    """A client that knows the whole conversation, and how much of it was answered.

    Attributes:
        items: all of it, what the model said as the model said it.
        answered: how many of them the provider keeps behind ``after``.
        after: the id of its last answer, empty if nothing can go on from it.
    """

    def __init__(self) -> None:
        self.items: list[dict] = [{"role": "developer", "content": "Be careful."}]
        self.items.append({"role": "user", "content": "please help"})
        self.tools = TOOLS
        self.answered = 0
        self.after = ""
        self.calls = 0
        self.due: list[dict] = []

    def say(self, words: str) -> None:
        self.items.append({"role": "user", "content": words})

    def run_tools(self, outputs: list[str], kind: str, *, as_parts: bool) -> None:
        """The model asked for tools in its last answer; here are the results."""
        calls, results = [], []
        for output in outputs:
            self.calls += 1
            call_id = f"call_{self.calls}"
            call = {"type": f"{kind}_call", "call_id": call_id, "id": f"i_{call_id}"}
            result = {"type": f"{kind}_call_output", "call_id": call_id}
            if kind == "shell":
                written = {"stdout": output, "stderr": "", "outcome": {"type": "x"}}
                result["output"] = [written]
            elif as_parts:
                result["output"] = [{"type": "input_text", "text": output}]
            else:
                result["output"] = output
            member = {"function": "arguments", "custom_tool": "input"}.get(kind)
            calls.append(
                {**call, "name": "exec", member: '{"cmd": 1}'}
                if member
                else {**call, "action": {"command": ["ls"]}}
            )
            results.append(result)
        thought = {"type": "reasoning", "id": "rs", "encrypted_content": "gAAA"}
        self.due = [thought, *calls]
        self.pending = results

    def rewind(self, position: int) -> None:
        users = [i for i, m in enumerate(self.items) if m.get("role") == "user"]
        del self.items[users[position % len(users)] + 1 :]
        self.answered, self.after = 0, ""

    def compact(self) -> None:
        """The provider's own: what stood before is one sealed item."""
        sealed = {"type": "compaction", "id": "cmp", "encrypted_content": "gAAA"}
        results = [i for i, m in enumerate(self.items) if "output" in m]
        tail = self.items[results[-1] :] if results else []
        self.items = [self.items[0], sealed, *tail, {"role": "user", "content": "on"}]
        self.answered, self.after = 0, ""

    def body(self, dialect: str, *, as_delta: bool) -> dict:
        is_delta = as_delta and self.after and self.answered < len(self.items)
        items = self.items[self.answered :] if is_delta else self.items
        items = [_sent_back(i, dialect) for i in json.loads(json.dumps(items))]
        if dialect == "breakpoint" and isinstance(items[-1].get("content"), str):
            part = {"type": "input_text", "text": items[-1]["content"]}
            part["prompt_cache_breakpoint"] = {"mode": "explicit"}
            items[-1]["content"] = [part]
        items = [item for item in items if item]
        body = {"type": "response.create", "model": "gpt-x", "store": False}
        body |= {"tools": self.tools, "input": items}
        return {**body, "previous_response_id": self.after} if is_delta else body

    def take(self, answer_id: str, output: list[dict]) -> None:
        self.items += output
        self.answered, self.after = len(self.items), answer_id


def _sent_back(item: dict, dialect: str) -> dict:
    """What clients make of what the model said."""
    if dialect != "rewritten" or item.get("role") in {"user", "developer"}:
        return item
    if item["type"] == "reasoning":
        return {}
    if "arguments" in item:
        item["arguments"] = item["arguments"].replace(" ", "")
    return {k: v for k, v in item.items() if k != "id" or "output" in item}


def unhalved(count: int) -> str:
    """A text that the compressor leaves, so that what comes later refers to it."""
    lines = [f"line {n} says {n * 7919 % 1013} things" for n in range(count)]
    return "~" + "\n".join(lines)


OUTPUTS = st.one_of(LINES, st.integers(5, 60).map(unhalved))

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.text("ab ", max_size=9)),
        st.tuples(
            st.just("tools"),
            st.lists(OUTPUTS, min_size=1, max_size=3),
            st.sampled_from(KINDS),
            st.booleans(),
        ),
        st.tuples(st.just("rewind"), st.integers(0, 30)),
        st.tuples(st.just("fork"), st.integers(0, 30)),
        st.tuples(st.just("retry")),
        st.tuples(st.just("compact")),
        st.tuples(st.just("tool_change")),
    ),
    min_size=2,
    max_size=12,
)
DIALECTS = st.sampled_from(["plain", "breakpoint", "rewritten"])


LOSSLESS = Policy(cache_minimum_tokens=0)
LOSSY = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
ASKING = msgspec.structs.replace(LOSSY, asks_by_number=True)


class World:
    """The client, the proxy's memory and the provider.

    Attributes:
        references: of those that were forwarded, how many stood in deltas.
    """

    def __init__(self, policy: Policy = LOSSLESS) -> None:
        self.policy = policy
        self.references = 0
        self.client = Client()
        self.provider = Provider(API)
        self.store = DictStore()
        self.threads: dict[str, bytes] = {}
        self.numbers = 0

    def send(self, body: dict, memo=None) -> tuple[bytes, object]:
        note = self.threads.get(body.get("previous_response_id", ""))
        thread = None if note is None else decode_thread(note)
        forwarded, rewrite = forward(
            body, self.store, policy=self.policy, api=API, memo=memo, thread=thread
        )
        self.references += note is not None and b"[repeats #" in forwarded
        self.provider.receive(rewrite, forwarded)
        return forwarded, rewrite

    def answer(self, rewrite, output: list[dict]) -> None:
        self.numbers += 1
        name = f"resp_{self.numbers}"
        response = {"id": name, "status": "completed", "output": output}
        reply = reply_of(read_message(json.dumps(response).encode()))
        self.threads[name] = encode_thread(rewrite.thread_after(reply))
        self.client.take(name, output)

    def step(self, step: tuple) -> list[dict]:
        """Change what the client has; return what the model says to it first."""
        client = self.client
        words = [{"type": "output_text", "text": f"answer {len(client.items)}"}]
        said = {"type": "message", "role": "assistant", "id": "m", "content": words}
        match step:
            case ("say", text):
                return [said, {"role": "user", "content": text or "go on"}]
            case ("tools", outputs, kind, as_parts):
                client.run_tools(outputs, kind, as_parts=as_parts)
                return [*client.due, *client.pending]
            case ("rewind", position):
                client.rewind(position)
            case ("fork", position):
                client.rewind(position)
                client.say(f"instead, {position}")
            case ("compact",):
                client.compact()
            case ("tool_change",):
                client.tools = client.tools[:-1] if len(client.tools) > 1 else TOOLS
        return []


def plain(output: str | list[dict]) -> str:
    """A result's text, whatever its shape."""
    if isinstance(output, str):
        return output
    return str(output[0].get("stdout", output[0].get("text")))


def check_references(sent: list[str], given: list[str]) -> None:
    """Who counts the results of the whole conversation finds what is referred to."""
    numbered = {str(n): text for n, text in enumerate(sent, 1)}
    for text, original in zip(sent, given, strict=False):
        if text.startswith("[repeats #"):
            found = repeats.expand(strip_marker(text), numbered)
            assert found == original or found.rstrip("\n") in shortened(original)


ENDS = ("compaction", "forgotten")
"""What happens to a conversation behind which nothing that stood there is known."""


def kept_outputs(items: list[dict]) -> list[str | list[dict]]:
    return [item["output"] for item in items if "output" in item]


def check_names(world: World, sent: list[str], new: int) -> None:
    """What a form without a marker names can be asked for, as it stands there."""
    numbered = decode_thread(world.threads[f"resp_{world.numbers}"]).numbered
    for text in sent[len(sent) - new :]:
        if not text.startswith("[repeats #") or find_markers(text):
            continue
        for name in re.findall(r"(?<=#)[1-9]\d*(?=:\d)", text):
            found = world.store.get(numbered[name])
            assert found == sent[int(name) - 1]


def named(world: World, rewrite, memo, name: str) -> str | None:
    """What a number leads to, as the proxy's stage looks it up."""
    text = rewrite.text_of(name, memo)
    digest = rewrite.digest_of(name)
    if text is not None or digest is None:
        return text
    return world.store.get(digest)


def check_numbers(world: World, rewrite, memo, sent: list[str]) -> None:
    """No number leads to the text of another result; behind the last one, to none."""
    given = [plain(item["output"]) for item in world.client.items if "output" in item]
    for n, texts in enumerate(zip(sent, given, strict=True), 1):
        assert named(world, rewrite, memo, str(n)) in {None, *texts}
    assert named(world, rewrite, memo, str(len(sent) + 1)) is None


def shortened(text: str) -> list[str]:
    """What the compressor leaves of a text; a form may refer to an earlier form."""
    found = HALVE.compress(text, Context(count=len, wants_lossy=True))
    candidates = [] if found is None else [found.lossless, found.lossy]
    return [one.text.rstrip("\n") for one in candidates if one is not None]


def is_said(item: dict) -> bool:
    return item.get("role") not in {"user", "developer"} and "output" not in item


@settings(max_examples=700)
@given(STEPS, st.data())
def test_no_generated_responses_conversation_ever_breaks_a_prefix(steps, data):
    world = World(data.draw(st.sampled_from([LOSSLESS, LOSSY, ASKING])))
    memo = SourceMemo(max_chars=2_000)
    _, rewrite = world.send(world.client.body("plain", as_delta=False))
    for step in [("retry",), *steps]:
        new = world.step(step)
        if new:
            world.answer(rewrite, [item for item in new if is_said(item)])
            world.client.items += [item for item in new if not is_said(item)]
        dialect = data.draw(DIALECTS)
        body = world.client.body(dialect, as_delta=data.draw(st.booleans()))
        worker = data.draw(st.sampled_from([memo, None]))
        forwarded, rewrite = world.send(body, worker)
        marks = (b"~2026", b"[repeats #", b"headroom_retrieve")
        is_edited = any(mark in forwarded for mark in marks)
        assert is_edited or forwarded == json.dumps(body).encode()


@settings(max_examples=200)
@given(STEPS, st.data())
def test_deltas_and_full_requests_leave_the_provider_with_the_same(steps, data):
    """Whoever sends everything again sends what the provider had got in pieces."""
    world = World(data.draw(st.sampled_from([LOSSLESS, LOSSY, ASKING])))
    kept = []
    body = world.client.body("plain", as_delta=False)
    for step in [*steps, ("retry",)]:
        forwarded, rewrite = world.send(body)
        sent = json.loads(forwarded)["input"]
        kept = [*kept, *sent] if "previous_response_id" in body else sent
        if step[0] not in {"say", "tools"}:
            break
        new = world.step(step)
        world.answer(rewrite, [item for item in new if is_said(item)])
        kept += [item for item in new if is_said(item)]
        world.client.items += [item for item in new if not is_said(item)]
        body = world.client.body("plain", as_delta=True)
    again = world.client.body(data.draw(DIALECTS), as_delta=False)
    again["input"] = again["input"][: len(kept)]
    forwarded, _ = world.send(again)
    outputs = [item["output"] for item in kept if "output" in item]
    given = [item["output"] for item in world.client.items if "output" in item]
    check_references(list(map(plain, outputs)), list(map(plain, given)))
    sent = [item for item in json.loads(forwarded)["input"] if "output" in item]
    assert [item["output"] for item in sent][: len(outputs)] == outputs


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(20, 60).map(unhalved), min_size=1, max_size=2),
            st.sampled_from(KINDS),
            st.sampled_from([*["delta"] * 3, "restart", "reconnect", *ENDS]),
        ),
        min_size=3,
        max_size=8,
    ),
    st.sampled_from([LOSSY, ASKING]),
)
def test_what_deltas_refer_to_stands_where_the_model_counts_it(turns, policy):
    world, memo = World(policy), SourceMemo()
    client = world.client
    kept: list[dict] = []
    body = client.body("plain", as_delta=False)
    for outputs, kind, way in [*turns, ([unhalved(9)], "function", "reconnect")]:
        forwarded, rewrite = world.send(body, memo)
        is_delta = "previous_response_id" in body
        sent = [i for i in json.loads(forwarded)["input"] if "output" in i]
        if not is_delta:
            assert sent[: len(kept)] == kept
        kept = [*kept, *sent] if is_delta else sent
        check_numbers(world, rewrite, memo, list(map(plain, kept_outputs(kept))))
        new = world.step(("tools", outputs, kind, False))
        said = [item for item in new if is_said(item)]
        if way == "compaction":
            # It stands behind the calls that are due, and closes off what was before.
            sealed = {"type": "compaction", "id": "cmp", "encrypted_content": "gAAA"}
            said.append(sealed)
        world.answer(rewrite, said)
        if is_delta:
            check_names(world, list(map(plain, kept_outputs(kept))), len(sent))
        client.items += [item for item in new if not is_said(item)]
        memo = SourceMemo() if way == "restart" else memo
        body = client.body("plain", as_delta=way != "reconnect")
        if way == "forgotten":
            del world.threads[body["previous_response_id"]]
        if way in ENDS:
            forwarded, rewrite = world.send(body, memo)
            assert b"[repeats #" not in forwarded
            behind = str(len(kept) + len(outputs) + 1)
            assert named(world, rewrite, memo, behind) is None
            if way == "forgotten":
                assert named(world, rewrite, memo, "1") is None
            return
        given = [plain(item["output"]) for item in client.items if "output" in item]
        check_references([plain(item["output"]) for item in kept], given)


@settings(max_examples=200)
@given(STEPS, st.data())
def test_a_ledger_that_cannot_be_read_breaks_nothing_it_began(steps, data):
    world = World()
    _, rewrite = world.send(world.client.body("plain", as_delta=False))
    for step in steps:
        if step[0] in {"say", "tools", "retry"} and (new := world.step(step)):
            world.answer(rewrite, [item for item in new if is_said(item)])
            world.client.items += [item for item in new if not is_said(item)]
        world.store.is_down = data.draw(st.booleans())
        _, rewrite = world.send(world.client.body("plain", as_delta=False))
        # It knows every message, and has compared those that it knew before.
        assert len(world.provider.sent) >= len(rewrite.keys)


@pytest.mark.parametrize("policy", [LOSSLESS, LOSSY])
def test_what_deltas_repeat_is_referred_to_only_with_a_way_back(policy):
    world = World(policy)
    body = world.client.body("plain", as_delta=False)
    for output in [unhalved(40), unhalved(40), unhalved(50)]:
        _, rewrite = world.send(body)
        new = world.step(("tools", [output], "function", False))
        world.answer(rewrite, [item for item in new if is_said(item)])
        world.client.items += [item for item in new if not is_said(item)]
        body = world.client.body("plain", as_delta=True)
    world.send(body)
    assert world.references == (2 if policy is LOSSY else 0)
    world.send(world.client.body("rewritten", as_delta=False))


def test_the_check_itself_notices_a_changed_prefix():
    world = World()
    world.client.run_tools(["line\n" * 90], "function", as_parts=False)
    world.client.items += [*world.client.due, *world.client.pending]
    body = world.client.body("plain", as_delta=False)
    _, rewrite = world.send(body)
    with pytest.raises(AssertionError, match="has changed"):
        world.provider.receive(rewrite, json.dumps(body).encode())

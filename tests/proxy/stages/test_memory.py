"""Memory in whole proxies: what leaves, what is answered, whose it is."""

import asyncio
import hashlib
import json
import logging

import pytest

import loopback
from headroom.core.memory_tools import NAMES
from headroom.errors import ConfigError
from headroom.memory.facts import Owner
from headroom.memory.store import MemoryStore
from headroom.settings import MemorySettings
from headroom.settings import load as load_settings
from scripted import TOOL, call, message, sse, text

KEY = b"x-api-key: sk-ant-api03-test"
FACT = "The staging database is called heron."
QUESTION = "Which staging database do we use?"
SYSTEM = "Be careful. Never  guess."
ANTHROPIC_TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]
CHAT_TOOLS = [{"type": "function", "function": {"name": "Bash", "parameters": {}}}]


def messages_body(*messages, tools=ANTHROPIC_TOOLS, is_stream=True):
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": is_stream,
        "system": SYSTEM,
        **({"tools": tools} if tools else {}),
        "messages": list(messages) or [said(QUESTION)],
    }


def said(words):
    return {"role": "user", "content": words}


def answered(words):
    return {"role": "assistant", "content": words}


def script(*rounds):
    left = list(rounds)

    async def respond(received, writer):
        answer = message(left.pop(0) if left else [text("fine")])
        data, kind = json.dumps(answer).encode(), b"application/json"
        if json.loads(received.body).get("stream"):
            data, kind = sse(answer), b"text/event-stream"
        await loopback.answer(writer, data, headers=[b"content-type: " + kind])

    return respond


class Setting:
    """A provider and the settings of the proxies in front of it."""

    def __init__(self, provider, tmp_path):
        self.provider = provider
        self.folder = tmp_path / "memory"
        self.environ = {
            "MEMORY_DIR": self.folder,
            "STORE": f"sqlite://{tmp_path}/ledger.db",
            "DATA_DIR": tmp_path,
        }

    def proxy(self, **environ):
        return loopback.proxy(self.provider.url, **{**self.environ, **environ})

    def keep(self, *facts, user=""):
        store = MemoryStore(self.folder)
        for fact in facts:
            store.put(Owner("", user), fact)
        store.close()

    def facts(self, user=""):
        store = MemoryStore(self.folder)
        found = [fact.content for fact in store.newest(Owner("", user))]
        store.close()
        return found

    @property
    def sent(self):
        return [json.loads(request.body) for request in self.provider.requests]


@pytest.fixture
async def setting(tmp_path):
    async with loopback.provider(script()) as provider:
        yield Setting(provider, tmp_path)


async def ask(proxy, body, *headers, path=b"/v1/messages"):
    async with loopback.client(proxy) as client:
        data = json.dumps(body).encode()
        await client.send(loopback.post(data, path=path, headers=[KEY, *headers]))
        status, _, out = await client.response()
        assert status == 200, out
        return out


def names(body):
    return [tool.get("name") for tool in body["tools"]]


def injected(words):
    return words.startswith(QUESTION + "\n\n<headroom_memory>") and FACT in words


async def test_memory_context_appears_in_latest_user_message_tail(setting):
    setting.keep(FACT)
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body(said("hello"), answered("hi"), said(QUESTION)))
    first, _, last = setting.sent[0]["messages"]
    assert first == said("hello")
    assert injected(last["content"])


async def test_memory_enabled_does_not_mutate_system(setting):
    setting.keep(FACT)
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body())
    assert b'"system": "Be careful. Never  guess."' in setting.provider.requests[0].body


async def test_memory_disabled_is_no_op(setting):
    setting.keep(FACT)
    body = messages_body(tools=None)
    async with setting.proxy() as proxy:
        await ask(proxy, body)
    assert setting.provider.requests[0].body == json.dumps(body).encode()
    async with setting.proxy(
        MEMORY_MODE="auto_tail", MEMORY_INJECTION_MODE="disabled"
    ) as proxy:
        await ask(proxy, body)
    assert setting.provider.requests[1].body == json.dumps(body).encode()


@pytest.mark.parametrize(
    "variable", ["HEADROOM_MEMORY_INJECTION_MODE", "HEADROOM_MEMORY_MODE"]
)
def test_invalid_injection_mode_raises(variable):
    with pytest.raises(ConfigError, match=variable):
        load_settings({}, {variable: "system_prompt", "HOME": "/nonexistent"})


def test_memory_is_off_until_a_mode_is_chosen():
    assert MemorySettings().mode == "off"
    assert MemorySettings().injection_mode == "live_zone_tail"


async def test_the_first_text_block_is_appended_to(setting):
    setting.keep(FACT)
    blocks = [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a"}},
        {"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "more"},
    ]
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body(said(blocks)))
    sent = setting.sent[0]["messages"][0]["content"]
    assert (sent[0], sent[2]) == (blocks[0], blocks[2])
    assert injected(sent[1]["text"])


async def test_results_of_tools_alone_are_not_appended_to(setting):
    setting.keep(FACT)
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": QUESTION}
    turns = [said("hello"), answered([call(1)]), said([result])]
    async with setting.proxy(MEMORY_MODE="auto_tail", RETRIEVAL="off") as proxy:
        await ask(proxy, messages_body(*turns, tools=None))
    assert setting.sent[0]["messages"] == turns


async def test_an_auto_tail_is_sent_again_on_every_turn_byte_for_byte(setting):
    """It is reapplied after other facts, another mode, a restart, by any worker."""
    setting.keep(FACT)
    turns = [said(QUESTION)]
    modes = ["auto_tail", "auto_tail", "tool", "off"]
    for number, mode in enumerate(modes):
        async with setting.proxy(MEMORY_MODE=mode) as proxy:
            await ask(proxy, messages_body(*turns))
        setting.keep(f"Another staging database fact, number {number}.")
        turns += [answered("fine"), said(f"Go on with step {number}.")]
    first = setting.sent[0]["messages"][0]["content"]
    assert injected(first)
    assert {sent["messages"][0]["content"] for sent in setting.sent} == {first}
    for earlier, later in zip(setting.sent, setting.sent[1:], strict=False):
        count = len(earlier["messages"])
        assert later["messages"][:count] == earlier["messages"]
    assert len({json.dumps(sent["tools"]) for sent in setting.sent}) == 1


async def test_a_message_that_was_sent_without_memory_never_gets_any(setting):
    turns = [said(QUESTION)]
    async with setting.proxy() as proxy:
        await ask(proxy, messages_body(*turns))
    setting.keep(FACT)
    turns += [answered("fine"), said("Which one is called heron?")]
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body(*turns))
        await ask(proxy, messages_body(*turns[:1]))
    assert setting.sent[1]["messages"][:2] == turns[:2]
    assert FACT in setting.sent[1]["messages"][2]["content"]
    assert setting.sent[2]["messages"] == turns[:1]
    assert not set(NAMES) & set(names(setting.sent[1]))


async def test_openai_chat_memory_routes_to_user_tail_not_system(setting):
    setting.keep(FACT)
    body = {
        "model": "gpt-5",
        "messages": [{"role": "system", "content": SYSTEM}, said(QUESTION)],
    }
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, body, path=b"/v1/chat/completions")
    system, user = setting.sent[0]["messages"]
    assert system == body["messages"][0]
    assert injected(user["content"])


async def test_openai_chat_memory_disabled_mode_no_op(setting):
    setting.keep(FACT)
    body = {"model": "gpt-5", "messages": [said(QUESTION)]}
    async with setting.proxy(
        MEMORY_MODE="auto_tail", MEMORY_INJECTION_MODE="disabled"
    ) as proxy:
        await ask(proxy, body, path=b"/v1/chat/completions")
    assert setting.provider.requests[0].body == json.dumps(body).encode()


async def test_memory_context_appears_in_responses_api_input_tail(setting):
    setting.keep(FACT)
    body = {
        "model": "gpt-5",
        "instructions": SYSTEM,
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": QUESTION}],
            }
        ],
    }
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, body, path=b"/v1/responses")
    sent = setting.sent[0]
    assert injected(sent["input"][0]["content"][0]["text"])


async def test_memory_enabled_does_not_mutate_instructions_responses_api(setting):
    setting.keep(FACT)
    body = {"model": "gpt-5", "instructions": SYSTEM, "input": QUESTION}
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, body, path=b"/v1/responses")
    raw = setting.provider.requests[0].body
    assert b'"instructions": "Be careful. Never  guess."' in raw


async def test_gemini_memory_routes_to_user_tail_not_system_instruction(setting):
    setting.keep(FACT)
    system = {"parts": [{"text": SYSTEM}]}
    body = {
        "systemInstruction": system,
        "contents": [{"role": "user", "parts": [{"text": QUESTION}]}],
    }
    path = b"/v1beta/models/gemini-3-pro:generateContent"
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, body, path=path)
    sent = setting.sent[0]
    assert sent["systemInstruction"] == system
    assert injected(sent["contents"][0]["parts"][0]["text"])


async def test_tool_mode_appends_nothing_and_never_looks(setting, caplog, monkeypatch):
    setting.keep(FACT)
    monkeypatch.setattr("headroom.proxy.memories.recall", lambda *_: 1 / 0)
    caplog.set_level(logging.INFO, "headroom.proxy")
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, messages_body())
    assert setting.sent[0]["messages"] == [said(QUESTION)]
    assert "memory_mode_skip" in [record.message for record in caplog.records]


async def test_memory_tools_stand_behind_the_clients_and_the_retrieval_tool(setting):
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, messages_body())
        await ask(proxy, messages_body(said("title?"), tools=None))
    assert names(setting.sent[0]) == ["Bash", TOOL, *NAMES]
    assert "tools" not in setting.sent[1]


async def test_existing_tool_with_memory_name_not_double_injected(setting):
    theirs = {"name": "memory_search", "input_schema": {}, "description": "mine"}
    setting.provider.respond = script([call(1, "memory_search", query="x")])
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        out = await ask(proxy, messages_body(tools=[*ANTHROPIC_TOOLS, theirs]))
    found = [t for t in setting.sent[0]["tools"] if t["name"] == "memory_search"]
    assert found == [theirs]
    assert b'"memory_search"' in out, "the client answers its own tool's calls"
    assert len(setting.sent) == 1


async def test_memory_disabled_after_inject_still_injects(setting):
    turns = [said("hello")]
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, messages_body(*turns))
    turns += [answered("fine"), said("go on")]
    setting.provider.respond = script(
        [call(1, "memory_save", content="x")], [text("ok")]
    )
    async with setting.proxy(MEMORY_MODE="off") as proxy:
        out = await ask(proxy, messages_body(*turns))
    assert json.dumps(setting.sent[1]["tools"]) == json.dumps(setting.sent[0]["tools"])
    assert "switched off" in json.dumps(setting.sent[2]["messages"][-1])
    assert b"memory_save" not in out


async def test_a_conversation_that_began_without_memory_tools_never_gets_any(setting):
    turns = [said("hello")]
    async with setting.proxy() as proxy:
        await ask(proxy, messages_body(*turns))
    turns += [answered("fine"), said("go on")]
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, messages_body(*turns))
        await ask(proxy, messages_body(said("another one")))
    assert names(setting.sent[1]) == ["Bash", TOOL]
    assert names(setting.sent[2]) == ["Bash", TOOL, *NAMES]


async def test_tools_that_are_not_sticky_follow_the_settings(setting):
    turns = [said("hello")]
    sticky = {"TOOL_INJECTION_STICKY": "disabled"}
    async with setting.proxy(MEMORY_MODE="tool", **sticky) as proxy:
        await ask(proxy, messages_body(*turns))
    turns += [answered("fine"), said("go on")]
    async with setting.proxy(MEMORY_MODE="off", **sticky) as proxy:
        await ask(proxy, messages_body(*turns))
    assert names(setting.sent[0]) == ["Bash", TOOL, *NAMES]
    assert names(setting.sent[1]) == ["Bash", TOOL]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        (
            b"/v1/chat/completions",
            {"model": "gpt-5", "tools": CHAT_TOOLS, "messages": [said("hi")]},
            lambda sent: [t["function"]["name"] for t in sent["tools"]],
        ),
        (
            b"/v1/responses",
            {
                "model": "gpt-5",
                "store": False,
                "tools": [{"type": "function", "name": "Bash", "parameters": {}}],
                "input": "hi",
            },
            lambda sent: [t["name"] for t in sent["tools"]],
        ),
        (
            b"/v1beta/models/gemini-3-pro:generateContent",
            {
                "tools": [{"functionDeclarations": [{"name": "Bash"}]}],
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            },
            lambda sent: [f["name"] for f in sent["tools"][0]["functionDeclarations"]],
        ),
    ],
)
async def test_every_api_gets_the_tools_in_its_shape(setting, path, body, where):
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, body, path=path)
    assert where(setting.sent[0]) == ["Bash", TOOL, *NAMES]


async def test_tools_of_one_api_are_nothing_to_another(setting):
    """Provider isolation: the same words under another API begin anew."""
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, messages_body(said("hello")))
    turns = [said("hello"), answered("fine"), said("go on")]
    chat = {"model": "gpt-5", "tools": CHAT_TOOLS, "messages": turns}
    async with setting.proxy(MEMORY_MODE="off") as proxy:
        await ask(proxy, messages_body(*turns))
        await ask(proxy, chat, path=b"/v1/chat/completions")
    assert set(NAMES) <= set(names(setting.sent[1]))
    assert setting.sent[2]["tools"] == CHAT_TOOLS


async def test_sixteen_conversations_at_once_keep_their_tools_and_tails(setting):
    setting.keep(FACT)
    async with (
        setting.proxy(MEMORY_MODE="auto_tail") as one,
        setting.proxy(MEMORY_MODE="auto_tail") as other,
    ):

        async def converse(number):
            turns = [said(f"Conversation {number}: which staging database?")]
            for turn in range(3):
                proxy = (one, other)[(number + turn) % 2]
                await ask(proxy, messages_body(*turns))
                turns += [answered("fine"), said(f"Go on, {turn}.")]

        await asyncio.gather(*map(converse, range(16)))
    first = {}
    for sent in setting.sent:
        for index, found in enumerate(sent["messages"]):
            key = (sent["messages"][0]["content"][:16], index)
            assert first.setdefault(key, found) == found
    assert len({json.dumps(sent["tools"]) for sent in setting.sent}) == 1
    assert len(setting.sent) == 48


@pytest.mark.parametrize(
    ("header", "has_tools"),
    [
        (b"x-api-key: sk-ant-api03-x", True),
        (b"authorization: Bearer sk-ant-oat01-x", False),
        (b"user-agent: claude-cli/2", False),
    ],
)
async def test_only_api_keys_get_tools_and_all_get_tails(setting, header, has_tools):
    setting.keep(FACT)
    async with (
        setting.proxy(MEMORY_MODE="auto_tail") as proxy,
        loopback.client(proxy) as client,
    ):
        body = json.dumps(messages_body()).encode()
        await client.send(loopback.post(body, headers=[header]))
        await client.response()
    sent = setting.sent[0]
    assert (set(NAMES) <= set(names(sent))) == has_tools
    assert injected(sent["messages"][0]["content"])


@pytest.mark.parametrize("is_stream", [True, False])
async def test_the_model_saves_and_searches_inside_one_answer(setting, is_stream):
    setting.provider.respond = script(
        [text("I note it."), call(1, "memory_save", content=FACT)],
        [call(2, "memory_search", query="staging database"), call(3, c="ls")],
    )
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        out = await ask(proxy, messages_body(is_stream=is_stream))
        assert b"memory_" not in out
        assert b'"Bash"' in out
        assert proxy.count(
            "headroom_memory_calls_total", tool="memory_save", outcome="done"
        )
    assert setting.facts() == [FACT]
    last = setting.sent[1]["messages"][-1]
    assert last["content"][0]["content"] == "Kept as [1]."
    # The hidden exchange is put back on the next turn, and the search's answer with
    # the client's own result.
    turns = [
        said(QUESTION),
        answered([text("I note it."), call(3, c="ls")]),
        said([{"type": "tool_result", "tool_use_id": "toolu_3", "content": "a.txt"}]),
    ]
    async with setting.proxy(MEMORY_MODE="tool") as proxy:
        await ask(proxy, messages_body(*turns, is_stream=is_stream))
    sent = setting.sent[2]["messages"]
    before = setting.sent[1]["messages"]
    assert sent[: len(before)] == before
    assert sent[-1]["content"][0]["content"] == f"[1] {FACT}"


async def test_users_are_kept_apart(setting):
    setting.keep("The staging database of Ann is heron.", user="ann")
    setting.keep("The staging database of Bob is egret.", user="bob")
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        for user in (b"ann", b"bob", b"eve"):
            await ask(proxy, messages_body(), b"x-headroom-user-id: " + user)
        await ask(proxy, messages_body())
    ann, bob, eve, nobody = (s["messages"][0]["content"] for s in setting.sent)
    assert "heron" in ann
    assert "egret" not in ann
    assert "egret" in bob
    assert "heron" not in bob
    assert eve == nobody == QUESTION
    for request in setting.provider.requests:
        assert request.get(b"x-headroom-user-id") is None
        assert b"ann" not in b"".join(v for _, v in request.headers)


async def test_long_names_that_begin_alike_are_two_users(setting):
    setting.provider.respond = script([call(1, "memory_save", content=FACT)])
    name = b"x-headroom-user-id: " + b"n" * 500
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body(), name + b"1")
        await ask(proxy, messages_body(), name + b"2")
        await ask(proxy, messages_body(said(f"again: {QUESTION}")), name + b"1")
    assert FACT not in json.dumps(setting.sent[2])
    assert FACT in json.dumps(setting.sent[3])


async def test_events_have_hashes_and_sizes_and_no_text(setting, caplog):
    setting.keep(FACT)
    caplog.set_level(logging.DEBUG)
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body(), b"x-headroom-session-id: s1")
        await ask(
            proxy,
            messages_body(said(QUESTION), answered("fine"), said("zzz")),
            b"x-headroom-session-id: s1",
        )
    logged = {}
    for record in caplog.records:
        logged.setdefault(record.message, []).append(record)
    first, second = logged["memory_injection"]
    assert first.decision == "injected"
    assert second.decision == "skipped_nothing_found"
    assert first.bytes_injected > len(FACT)
    digest = hashlib.blake2b(QUESTION.encode(), digest_size=8).hexdigest()
    assert first.query_hash == digest
    assert first.session_id == "s1"
    assert first.request_id
    tools = logged["tool_injection_decision"]
    assert [t.decision for t in tools] == ["inject_first_time", "inject_sticky_replay"]
    assert tools[0].tool_definition_bytes_count > 500
    assert tools[0].provider == "anthropic"
    everything = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "heron" not in everything
    assert "staging" not in everything
    assert "Keep one fact" not in everything


async def test_a_memory_that_cannot_be_read_costs_no_request(setting, caplog):
    setting.folder.write_text("no folder")
    setting.provider.respond = script([call(1, "memory_save", content=FACT)])
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body())
    assert "cannot be used now" in json.dumps(setting.sent[1]["messages"][-1])
    assert "memory_unavailable" in [record.message for record in caplog.records]


async def test_a_damaged_file_costs_no_request(setting):
    setting.keep(FACT)
    for path in setting.folder.iterdir():
        path.write_bytes(b"damaged " * 500)
    async with setting.proxy(MEMORY_MODE="auto_tail") as proxy:
        await ask(proxy, messages_body())
    assert setting.sent[0]["messages"] == [said(QUESTION)]


async def test_two_workers_that_decide_at_once_send_the_same(setting):
    setting.keep(FACT)
    async with (
        setting.proxy(MEMORY_MODE="auto_tail") as one,
        setting.proxy(MEMORY_MODE="auto_tail") as other,
    ):
        await asyncio.gather(
            *(ask(p, messages_body()) for p in (one, other) for _ in range(8))
        )
    assert len({request.body for request in setting.provider.requests}) == 1


async def test_an_embeddings_package_that_is_missing_stops_the_start(setting):
    with pytest.raises(ConfigError, match=r"memory\.embeddings"):
        async with setting.proxy(MEMORY_MODE="tool", MEMORY_EMBEDDINGS="not_there"):
            pass

import itertools
import json
import lzma
import re
from pathlib import Path

import pytest

from headroom.cachelab import chat
from headroom.cachelab.conversations import (
    DEFAULT_CHAT_MODEL,
    NAMED,
    SHIPPED,
    Sending,
    load,
    request_body,
)
from headroom.cachelab.prefix import as_blocks
from headroom.cachelab.shape import refusals
from headroom.errors import ConfigError


def bodies(conversation, **sending):
    how = Sending(**sending)
    return [
        json.loads(request_body(conversation, turn, how, "copy"))
        for turn in conversation.turns
    ]


def marked(value, path=""):
    """Paths of everything that carries a marker."""
    if isinstance(value, dict):
        found = [path] if "cache_control" in value else []
        return found + [p for k in value for p in marked(value[k], f"{path}.{k}")]
    if isinstance(value, list):
        return [p for n, v in enumerate(value) for p in marked(v, f"{path}.{n}")]
    return []


@pytest.fixture
def conversation(conversation_file):
    return load([conversation_file(turns=3)])[0]


def test_every_turn_sends_the_whole_history(conversation):
    sent = bodies(conversation, markers="none")
    assert [len(body["messages"]) for body in sent] == [1, 3, 5, 7]
    for earlier, later in itertools.pairwise(sent):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
    assert all(not list(refusals(body)) for body in sent)


def test_markers_move_with_the_newest_message(conversation):
    sent = bodies(conversation, markers="newest")
    assert marked(sent[0]) == [".messages.0.content.0", ".system.0"]
    assert marked(sent[2]) == [
        ".messages.2.content.0",
        ".messages.4.content.0",
        ".system.0",
    ]


def test_string_content_is_a_list_while_it_is_marked_and_a_string_again(conversation):
    sent = bodies(conversation, markers="newest")
    first = [body["messages"][0]["content"] for body in sent]
    assert isinstance(first[0], list)
    assert isinstance(first[1], list)
    assert first[2] == "Find out what is slow."


def test_markers_on_the_system_prompt_only_or_nowhere(conversation):
    assert {tuple(marked(b)) for b in bodies(conversation, markers="system")} == {
        (".system.0",)
    }
    assert not any(marked(b) for b in bodies(conversation, markers="none"))


def test_without_a_system_prompt_the_last_tool_is_marked(conversation_file):
    (made,) = load([conversation_file(system="")])
    assert marked(bodies(made, markers="system")[0]) == [".tools.0"]


def test_recorded_markers_are_replaced_or_kept(conversation_file):
    mark = {"type": "ephemeral"}
    system = [{"type": "text", "text": "You are careful.", "cache_control": mark}]
    (made,) = load([conversation_file(system=system)])
    assert not marked(bodies(made, markers="none")[0])
    assert marked(bodies(made, markers="as-recorded")[0]) == [".system.0"]


def test_a_resent_turn_comes_last_and_goes_another_way(conversation):
    sent = bodies(conversation.resent(), markers="none")
    assert len(sent) == 6
    middle = len(conversation.turns) // 2
    assert sent[-2] == sent[middle]
    branch = sent[-1]["messages"]
    assert branch[:-1] == sent[middle + 1]["messages"][:-1]
    assert branch[-1] != sent[middle + 1]["messages"][-1]
    assert not list(refusals(sent[-1]))


def test_model_and_streaming_can_be_chosen(conversation):
    (body, *_) = bodies(conversation, model="claude-opus-5", is_stream=False)
    assert body["model"] == "claude-opus-5"
    assert body["stream"] is False


def test_a_recording_is_sent_byte_for_byte(tmp_path):
    first = (
        '{"model": "claude-x", "messages": [{"role": "user", "content": "\\u00e9"}]}'
    )
    second = first.replace("claude-x", "claude-y")
    row = '{"method":"POST","path":"/v1/messages?beta=true","role":"main","body":%s}'
    other = '{"method":"POST","path":"/v1/responses","body":{"input":[]}}'
    path = tmp_path / "client.jsonl"
    path.write_text("\n".join([row % first, other, row % second, ""]))
    (made,) = load([path])
    how = Sending(markers="as-recorded")
    sent = [request_body(made, turn, how, "copy") for turn in made.turns]
    assert sent == [first.encode(), second.encode()]
    again = [request_body(made, t, Sending(markers="newest"), "c") for t in made.turns]
    assert all(marked(json.loads(body)) for body in again)


def test_conversations_inside_other_files_are_found(tmp_path, conversation_file):
    whole = json.loads(conversation_file(turns=2).read_text())
    nested = {"id": "s", "anthropic": whole, "slice": {"anthropic": [1, 3]}}
    (tmp_path / "z.json").write_text(json.dumps(nested))
    names = [(c.name, len(c.turns)) for c in load([tmp_path])]
    assert names == [("case", 3), ("s", 2)]


def test_a_messages_conversation_is_sent_as_chat(conversation_file):
    (made,) = load([conversation_file(turns=3)], "chat")
    sent = bodies(made)
    assert [len(body["messages"]) for body in sent] == [2, 4, 6, 8]
    assert all(not list(chat.refusals(body)) for body in sent)
    assert {body["prompt_cache_key"] for body in sent} == {"cachelab-copy"}
    assert sent[0]["model"] == DEFAULT_CHAT_MODEL
    assert sent[0]["stream_options"] == {"include_usage": True}
    assert "stream" not in bodies(made, is_stream=False)[0]
    assert marked(sent) == []
    assert [b["type"] for b in made.answers()[0]] == ["text", "tool_use"]


def test_a_files_own_chat_conversation_is_taken(conversation_file, tmp_path):
    whole = json.loads(conversation_file(turns=2).read_text())
    own = {
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
        ],
    }
    path = tmp_path / "both.json"
    ends = {"slice": {"openai": [1]}}
    path.write_text(json.dumps({"id": "s", "anthropic": whole, "openai": own, **ends}))
    (made,) = load([path], "chat")
    assert [body["messages"] for body in bodies(made)] == [own["messages"][:1]]
    assert made.model == "gpt-4o"


def test_a_rewound_chat_answers_its_calls_before_it_goes_another_way(conversation_file):
    (made,) = load([conversation_file(turns=4)], "chat")
    sent = bodies(made.resent())
    assert all(not list(chat.refusals(body)) for body in sent)
    assert [m["role"] for m in sent[-1]["messages"][-3:]] == [
        "assistant",
        "tool",
        "user",
    ]


def test_a_chat_recording_is_sent_byte_for_byte(tmp_path):
    raw = '{"messages": [ {"role":"user","content":"hi"} ],"n":1}'
    line = f'{{"method":"POST","path":"/v1/chat/completions?x=1","body":{raw}}}'
    other = '{"method":"POST","path":"/v1/messages","body":{"messages":[]}}'
    path = tmp_path / "r.jsonl"
    path.write_text(f"{line}\n\n{other}\n")
    (made,) = load([path], "chat")
    for how in (Sending(markers="as-recorded"), Sending(markers="newest")):
        sent = request_body(made, made.turns[0], how, "copy")
        assert sent == raw.encode()
    renamed = request_body(made, made.turns[0], Sending(model="gpt-5"), "copy")
    assert json.loads(renamed)["model"] == "gpt-5"


def test_files_that_hold_no_conversation_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load([tmp_path / "absent.json"])
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load([tmp_path / "bad.json"])
    (tmp_path / "bad.json").write_text('{"items": []}')
    with pytest.raises(ConfigError, match="no Messages API conversation"):
        load([tmp_path / "bad.json"])
    with pytest.raises(ConfigError, match="no Chat Completions API conversation"):
        load([tmp_path / "bad.json"], "chat")
    with pytest.raises(ConfigError, match="no conversations"):
        load([tmp_path])


def test_the_shipped_conversation_is_accepted_by_the_provider():
    (made,) = load([SHIPPED])
    sent = bodies(made)
    assert len(sent) == 20
    assert all(not list(refusals(body)) for body in sent)
    assert "/home/dev/" in SHIPPED.read_text()


def test_the_long_conversation_is_what_it_says():
    (long,) = load([Path("long")])
    calls = [
        block["name"]
        for message in long.messages
        for block in as_blocks(message["content"])
        if block["type"] == "tool_use"
    ]
    assert long.name == "long-webshop"
    assert len(calls) == 50
    assert {"Bash", "Read", "Grep", "Glob", "Edit"} == set(calls)
    text = json.dumps(long.messages)
    assert 500_000 < len(text) < 1_000_000
    assert NAMED["long"].stat().st_size <= 400_000
    # Nothing of the machine it was made on.
    assert not re.findall(r"/(?:tmp|root|work|Users)/", text)
    header = json.loads(lzma.decompress(NAMED["long"].read_bytes()))
    assert "Werkzeug" in header["source"]
    assert "Redistribution and use" in header["notice"]


def test_compressed_files_are_read_and_what_is_no_archive_is_told(tmp_path):
    whole = {"messages": [{"role": "user", "content": "Hi"}, ANSWER]}
    path = tmp_path / "mine.json.xz"
    path.write_bytes(lzma.compress(json.dumps(whole).encode()))
    (found,) = load([path])
    assert found.name == "mine"
    assert load([tmp_path]) == [found]
    path.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="cannot be read"):
        load([path])


def test_a_file_of_that_name_wins_over_what_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = {"messages": [{"role": "user", "content": "Hi"}, ANSWER]}
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "own.json").write_text(json.dumps(whole))
    assert [c.name for c in load([Path("demo")])] == ["own"]


ANSWER = {"role": "assistant", "content": "Hello."}

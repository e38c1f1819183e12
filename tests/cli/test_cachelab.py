import json

import pytest
from click.testing import CliRunner

from headroom.cli.cachelab import command


@pytest.fixture
def conversation_file(tmp_path):
    text = {"type": "text", "text": "word " * 1500}
    messages = [
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Two."},
    ]
    path = tmp_path / "short.json"
    path.write_text(json.dumps({"messages": messages, "model": "claude-opus-5"}))
    return str(path)


def test_the_direct_way_is_measured_and_printed_as_json(conversation_file):
    arguments = ["run", "--direct-only", "--json", "--markers", "newest"]
    result = CliRunner().invoke(command, [*arguments, conversation_file])
    assert result.exit_code == 0
    found = json.loads(result.output)
    (row,) = found["conversations"]
    assert row["name"] == "short"
    assert row["turns"] == 2
    assert row["direct"]["read"] > 1000
    assert row["direct"]["errors"] == []
    assert found["all"]["direct"] == row["direct"]


def test_chat_completions_are_spoken_where_asked_for(conversation_file):
    arguments = ["run", "--direct-only", "--json", "--api", "chat"]
    result = CliRunner().invoke(command, [*arguments, conversation_file])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.output)["conversations"]
    assert row["direct"]["read"] % 128 == 0
    assert row["direct"]["read"] >= 1024


def test_thoughts_are_of_the_messages_api_alone(conversation_file):
    arguments = ["run", "--direct-only", "--api", "chat", "--thinking"]
    result = CliRunner().invoke(command, [*arguments, conversation_file])
    assert result.exit_code == 1
    assert "--thinking" in result.output


def test_the_table_names_every_class_of_tokens(conversation_file):
    result = CliRunner().invoke(command, ["run", "--direct-only", conversation_file])
    assert result.exit_code == 0
    for word in ("uncached", "write 5m", "read", "bill", "short"):
        assert word in result.output


def test_the_target_is_measured_and_its_errors_make_the_status(conversation_file):
    # A target that is no proxy: it answers, but knows nothing of messages.
    arguments = ["run", "--target", "http://127.0.0.1:{}", "--listen", "{}"]
    result = CliRunner().invoke(command, ["run", "--direct-only", "/nowhere.json"])
    assert result.exit_code == 1
    assert "cannot be read" in result.output
    port = "18791"
    arguments = [a.format(port) for a in arguments]
    # Pointed at cachelab itself, the way through the target is the direct way.
    result = CliRunner().invoke(command, [*arguments, "--json", conversation_file])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["all"]
    assert found["ratio"] == 1.0
    assert found["prefix_breaks"] == 0
    assert set(found["added_ms"]) == {"median", "p99"}


def test_a_run_with_errors_ends_with_status_one(tmp_path):
    messages = [
        {"role": "user", "content": [{"type": "text", "text": ""}]},
        {"role": "assistant", "content": "One."},
    ]
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"messages": messages}))
    result = CliRunner().invoke(command, ["run", "--direct-only", str(path)])
    assert result.exit_code == 1
    assert "cannot be set for empty text" in " ".join(result.output.split())

"""What a call tells about its result."""

import json

import pytest

from headroom.core.content.hints import Hint, hint_of
from headroom.core.types import ToolCall

FILE = Hint("code", is_file=True)


def hint(name, **arguments):
    return hint_of(ToolCall("a", name, json.dumps(arguments).encode()))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Read", {"file_path": "/src/app.py"}),
        ("mcp__files__read_file", {"path": "conf/app.yaml"}),
        ("Bash", {"command": "cat src/app.py"}),
        ("Bash", {"command": "cd /repo && sed -n '1,80p' src/app.py"}),
        ("bash", {"command": "head -50 data.json"}),
        ("exec_command", {"cmd": "git show HEAD:src/app.py"}),
        ("shell", {"command": ["cat", "package.json"]}),
        ("shell", {"command": ["bash", "-lc", "cat index.html"]}),
        ("Bash", {"command": "cat index.html | head -500"}),
        ("Bash", {"command": "echo; cat a.py"}),
        ("Bash", {"command": "ls -la && sudo cat /etc/app.conf"}),
        ("Bash", {"command": "git -C repo show HEAD:app.py"}),
        ("Bash", {"command": "timeout 5 tail -n +20 x.py | sed -n 1,9p"}),
        ("str_replace_based_edit_tool", {"command": "view", "path": "index.html"}),
        ("some_editor", {"command": "view", "path": "index.html"}),
        ("read_multiple_files", {"paths": ["a", "b"]}),
    ],
)
def test_the_text_of_a_file_is_known_as_one(name, arguments):
    assert hint(name, **arguments) == FILE


@pytest.mark.parametrize(
    "arguments",
    [{"file_path": "/var/log/app.log"}, {"path": "x.csv"}, {"path": "yarn.lock"}],
)
def test_data_that_nobody_edits_is_no_such_file(arguments):
    assert not hint("Read", **arguments).is_file


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python -m pytest tests -q", "build"),
        ("cd x && FOO=1 npm test", "build"),
        ("grep -rn foo src", "search"),
        ("rg --json foo", "search"),
        ("git diff HEAD~1", "diff"),
        ("ls -la", "listing"),
        ("kubectl get pods -o json", "table"),
        ("journalctl -u x", "log"),
        ("curl -s http://x/y", "html"),
        ("cat x.log | grep ERROR", ""),
        ("cat a.py | grep foo", ""),
        ("echo hi", ""),
        ("", ""),
    ],
)
def test_a_command_tells_what_it_prints(command, kind):
    found = hint("Bash", command=command)
    assert (found.kind, found.is_file) == (kind, False)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"command":1}', b"null"])
def test_what_cannot_be_read_tells_nothing(raw):
    assert hint_of(ToolCall("a", "Bash", raw)) == Hint()


def test_without_a_call_there_is_no_hint():
    assert hint_of(None) == Hint()


def test_tools_of_agents_tell_by_their_name():
    assert hint("Grep", pattern="x").kind == "search"
    assert hint("LS", path="/x").kind == "listing"

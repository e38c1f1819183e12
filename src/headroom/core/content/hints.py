"""What the call that asked for a text tells about it, before the text is looked at.

Two things matter: which kind the output probably is (a bonus where two compressors are
about equally sure), and whether it is the text of a file that an edit tool may have to
quote exactly: then no line of it may be altered.
"""

import re

import msgspec
from msgspec import Struct

from headroom.core.types import ToolCall

HINT_BONUS = 0.2
"""Added to a compressor's confidence where the call expects its kind."""

_READ_TOOLS = frozenset(
    {"read", "read_file", "readfile", "read_files", "read_multiple_files", "fs_read",
     "view", "view_file", "open_file", "notebookread", "cat", "get_file_contents",
     "read_text_file", "open", "str_replace_editor", "str_replace_based_edit_tool",
     "text_editor", "edit_file", "edit"}
)  # fmt: skip
"""Tools that show a file; an edit tool that shows one is about to edit it."""

_KIND_OF_TOOL = {
    "grep": "search",
    "search": "search",
    "grep_search": "search",
    "search_files": "search",
    "glob": "listing",
    "ls": "listing",
    "list_directory": "listing",
    "list_files": "listing",
    "webfetch": "html",
    "web_fetch": "html",
    "fetch": "html",
}
MAX_COMMAND_CHARS = 2_000
"""Of a longer command (a script given inline) only the beginning is looked at."""

_PATH_MEMBERS = ("file_path", "path", "filePath", "absolute_path", "filename")
_COMMAND_MEMBERS = ("command", "cmd", "script")

# Data that nobody edits line by line: it may take the form of its kind.
_DATA_SUFFIXES = (
    ".log", ".csv", ".tsv", ".jsonl", ".ndjson", ".lock", ".min.js", ".min.css", ".map",
    ".out", ".diff", ".patch",
)  # fmt: skip

_FILE_COMMANDS = re.compile(
    r"(?:cat|head|tail|nl|less|more|bat|batcat|tac|zcat)\b|sed\s+(?:-\S+\s+)*['\"]?[\d$]"
    r"|git\s+(?:-\S+\s+\S+\s+)*show\s+(?:-\S+\s+)*[^\s:]+:\S|git\s+cat-file\b|awk\s+'NR"
)
_SLICES = re.compile(r"(?:head|tail|sed|nl|cat|tac|less|more)\b")
_PARTS = re.compile(r"\|\||&&|;|\n")
_WRAPPERS = re.compile(
    r"\s*(?:(?:sudo|time|nice|nohup|env|command|exec)\s+|timeout\s+\S+\s+|\w+=\S*\s+)*"
)
_SHELL = re.compile(r"\s*(?:\S*/)?(?:ba|z|da)?sh\s+-\w*c\s+")
_KIND_OF_COMMAND = (
    ("diff", re.compile(r"git\s+(?:-\S+\s+)*(?:diff|show|log)\b|\bdiff\s+-")),
    ("search", re.compile(r"(?:e|f|rip)?grep\b|rg\b|ag\b|ack\b|git\s+grep\b")),
    ("listing", re.compile(r"(?:ls|find|tree|du|fd|dir)\b|git\s+ls-files\b")),
    (
        "build",
        re.compile(
            r"(?:python3?\s+-m\s+)?(?:pytest|unittest|tox|nox)\b|make\b|cmake\b|ninja\b"
            r"|npm\b|npx\b|yarn\b|pnpm\b|cargo\b|go\s+(?:test|build|vet)\b|mvn\b|gradle"
            r"|\./gradlew|pip3?\s+install|apt(?:-get)?\s+install|docker\s+build|tsc\b"
            r"|eslint\b|ruff\b|mypy\b|pyright\b|gcc\b|g\+\+|clang\b|jest\b|vitest\b"
        ),
    ),
    ("table", re.compile(r"ps\b|df\b|kubectl\s+get\b|docker\s+ps\b|pip3?\s+list\b")),
    ("log", re.compile(r"journalctl\b|dmesg\b|kubectl\s+logs\b|docker\s+logs\b")),
    ("json", re.compile(r"jq\b|[^|]*(?:-o|--output|--format)[ =]json\b|aws\s")),
    ("html", re.compile(r"curl\b|wget\b|http\b|lynx\b")),
)
_SETTING_UP = re.compile(r"(?:cd|export|source|set|pushd)\b")


class Hint(Struct, frozen=True, gc=False):
    """What a call tells about its result.

    Attributes:
        kind: the kind to expect; empty: it does not tell.
        is_file: the result is a file's own text, which may have to be quoted exactly.
    """

    kind: str = ""
    is_file: bool = False


NO_HINT = Hint()


def hint_of(call: ToolCall | None) -> Hint:
    """What the call tells; nothing if there is none or it cannot be read."""
    if call is None:
        return NO_HINT
    try:
        arguments = msgspec.json.decode(call.input)
    except ValueError:
        return NO_HINT
    if not isinstance(arguments, dict):
        return NO_HINT
    name = call.name.rpartition("__")[2].lower()
    if name in _READ_TOOLS:
        return _file(_first(arguments, _PATH_MEMBERS))
    if arguments.get("command") == "view":
        return _file(_first(arguments, _PATH_MEMBERS))
    if name in _KIND_OF_TOOL:
        return Hint(_KIND_OF_TOOL[name])
    command = _first(arguments, _COMMAND_MEMBERS)
    return _of_command(command) if command else NO_HINT


def command_of(call: ToolCall) -> str:
    """The command line a call runs; empty if it runs none or cannot be read."""
    try:
        arguments = msgspec.json.decode(call.input)
    except ValueError:
        return ""
    return _first(arguments, _COMMAND_MEMBERS) if isinstance(arguments, dict) else ""


def _of_command(command: str) -> Hint:
    """By the programs of a command line; one file shown makes the whole a file's text.

    A shell that is given the command as an argument is looked through, and so are
    programs that run another.
    """
    shell = _SHELL.match(command)
    if shell is not None:
        command = command[shell.end() :].strip().strip("'\"")
    hint = NO_HINT
    for part in _PARTS.split(command[:MAX_COMMAND_CHARS]):
        wrapper = _WRAPPERS.match(part)
        start = part[wrapper.end() :] if wrapper is not None else part
        first, *pipes = start.split("|")
        is_sliced = all(_SLICES.match(pipe.strip()) for pipe in pipes)
        if _FILE_COMMANDS.match(first) and is_sliced:
            found = _file(first.split()[-1].strip("'\""))
            if found.is_file:
                return found
        elif hint is NO_HINT and start and not _SETTING_UP.match(start):
            hint = _kind_of(start)
    return hint


def _kind_of(start: str) -> Hint:
    for kind, pattern in _KIND_OF_COMMAND:
        if pattern.match(start):
            return Hint(kind)
    return NO_HINT


def _file(path: str) -> Hint:
    if path.lower().endswith(_DATA_SUFFIXES):
        return NO_HINT
    return Hint("code", is_file=True)


def _first(arguments: dict[str, object], names: tuple[str, ...]) -> str:
    for name in names:
        value = arguments.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value:
            return " ".join(str(part) for part in value)
    return ""

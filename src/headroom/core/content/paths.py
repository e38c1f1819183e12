"""Files that nobody edits: installed, vendored, built, generated, by path or by header.

Where a call tells the path it decides alone, together with what the text says of itself
on its first lines. A path of the project itself never counts, and neither does a path
that cannot be read from the call.
"""

import re

import msgspec

from headroom.core.types import ToolCall

_UNEDITED = re.compile(
    r"(?:^|[/\\])(?:node_modules|bower_components|site-packages|dist-packages|vendor"
    r"|vendored|_vendor|third[_-]party|dist|build|__generated__|generated"
    r"|\.cargo[/\\]registry|\.rustup|pkg[/\\]mod|\.venv|venv|\.tox|\.nox|\.next)[/\\]"
    r"|^/usr/(?:local/)?(?:lib|include|share)/|^/usr/lib64/|^/opt/homebrew/"
    r"|(?:\.min\.(?:js|css|mjs)|\.bundle\.js|_pb2(?:_grpc)?\.pyi?|\.pb\.(?:go|h|cc)"
    r"|\.g\.cs|\.designer\.cs|\.generated\.\w+|_generated\.\w+|_gen\.go)$",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"^[ \t]*+(?:/\*+|\*|//|#|--|;|<!--|\"\"\")?[^\n\w]*.{0,80}?(?:"
    r"generated\b.{0,80}\bdo not (?:edit|modify|change)"
    r"|do not (?:edit|modify|change)\b.{0,80}\bgenerated|@generated\b"
    r"|(?:file|code) (?:is|was) (?:automatically|auto-?) ?generated"
    r"|auto-?generated (?:file|code|by))",
    re.IGNORECASE,
)
_SHOWN = re.compile(
    r"\[File: (\S+) \(\d+ lines|.*`?cat -n`? (?:on|of) (\S+?):?$|==> (\S+) <==$"
)
_MEMBERS = ("file_path", "path", "filePath", "absolute_path", "filename", "uri", "url")
_COMMANDS = ("command", "cmd", "script")
_WORD = re.compile(r"[^\s;|&<>()'\"]+")
_FILE = re.compile(r"(?:^|[/\\])[^/\\]*[^/\\.\d][^/\\]*\.[A-Za-z]\w{0,4}$")

_HEAD_LINES = 12
_HEAD_CHARS = 2000


def paths_of(call: ToolCall) -> tuple[str, ...]:
    """The files that a call names, as far as they can be told."""
    try:
        arguments = msgspec.json.decode(call.input)
    except ValueError:
        return ()
    if not isinstance(arguments, dict):
        return ()
    found = [v for m in _MEMBERS if isinstance(v := arguments.get(m), str)]
    for member in _COMMANDS:
        command = arguments.get(member)
        if isinstance(command, list):
            command = " ".join(str(part) for part in command)
        if isinstance(command, str):
            found += [word for word in _WORD.findall(command) if _FILE.search(word)]
    return tuple(found)


def path_shown(text: str) -> str:
    """The path that a file view names on its first lines; empty if it names none."""
    for line in text[:_HEAD_CHARS].split("\n")[:3]:
        match = _SHOWN.match(line)
        if match is not None:
            return match[1] or match[2] or match[3] or ""
    return ""


def is_unedited(path: str) -> bool:
    """The path lies where files are installed or built, or has such a file's name."""
    return _UNEDITED.search(path) is not None


def is_generated(text: str) -> bool:
    """The text says on its first lines that it was generated."""
    lines = text[:_HEAD_CHARS].split("\n")[:_HEAD_LINES]
    return any(_GENERATED.match(line[:400]) for line in lines)


def may_be_outlined(text: str, call: ToolCall | None, *, is_view: bool) -> bool:
    """Nobody will have to quote this text in order to edit it.

    Args:
        text: source code.
        call: the call that asked for it; ``None``: there was none, somebody compresses
            a text by itself.
        is_view: the text is a numbered view of a file, as agents make before they edit.
    """
    if is_generated(text):
        return True
    paths = (path_shown(text),) if call is None else paths_of(call)
    if any(paths):
        return all(is_unedited(path) for path in paths if path)
    return call is None and not is_view

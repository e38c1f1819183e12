"""Texts to measure, from a corpus, from plain files, or from the shipped conversation.

A corpus is a folder with ``items.jsonl``: one object per line with ``id``, ``kind``,
``path`` (of a file under the folder) and ``facts``. A fact ``{q, a, type}`` is kept if
all strings of ``a`` are. Any other folder is read file by file, in order of names;
what is hidden is passed over, and what is empty or no UTF-8 text too, but told. The
shipped conversation is read as the data file it is, not through the package that
replays it.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import msgspec
from msgspec import Struct

from headroom.errors import ConfigError

_INDEX = "items.jsonl"


class Fact(Struct, frozen=True):
    """Something a reader of the text must still be able to find.

    Attributes:
        a: the strings that answer the question, all verbatim in the source.
        type: which sort of fact (``error``, ``path``, …).
        q: the question.
    """

    a: tuple[str, ...]
    type: str = ""
    q: str = ""


class Item(Struct, frozen=True):
    """One text; ``kind`` is empty where nobody said what it is."""

    id: str
    text: str
    kind: str = ""
    facts: tuple[Fact, ...] = ()


class _Entry(Struct, frozen=True):
    id: str
    kind: str
    path: str
    facts: tuple[Fact, ...] = ()


class _Part(Struct, frozen=True):
    type: str = ""
    id: str = ""
    name: str = ""
    text: str = ""
    tool_use_id: str = ""
    content: "str | tuple[_Part, ...]" = ""


class _Message(Struct, frozen=True):
    content: str | tuple[_Part, ...] = ""


class _Conversation(Struct, frozen=True):
    messages: tuple[_Message, ...]


def load(paths: Sequence[Path], *, tell: Callable[[str], object] = len) -> list[Item]:
    """The texts of all paths in order; of the shipped conversation if there are none.

    Args:
        paths: files and folders.
        tell: takes a line for each file that is passed over, and says why.

    Raises:
        ConfigError: a path is not there, or an index is not one.
    """
    if not paths:
        return list(_shipped())
    found: list[Item] = []
    for path in paths:
        if path.is_file() and path.name == _INDEX:
            found += _corpus(path.parent)
        elif path.is_file():
            found += _plain(path, path.name, tell)
        elif (path / _INDEX).is_file():
            found += _corpus(path)
        elif path.is_dir():
            for file in sorted(path.rglob("*")):
                name = file.relative_to(path)
                if file.is_file() and not any(p.startswith(".") for p in name.parts):
                    found += _plain(file, name.as_posix(), tell)
        else:
            raise ConfigError(f"expected a file or a folder, found nothing at {path}")
    return found


def _corpus(folder: Path) -> Iterator[Item]:
    lines = (folder / _INDEX).read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = msgspec.json.decode(line, type=_Entry)
            text = (folder / entry.path).read_bytes().decode()
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{folder / _INDEX}, line {number}: {error}") from error
        yield Item(entry.id, text, entry.kind, entry.facts)


def _plain(path: Path, name: str, tell: Callable[[str], object]) -> Iterator[Item]:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        tell(f"{path}: not UTF-8 text")
        return
    except OSError as error:
        tell(f"{path}: {error.strerror}")
        return
    if text:
        yield Item(name, text)
    else:
        tell(f"{path}: empty")


def _shipped() -> Iterator[Item]:
    """The tool results of the conversation that ``headroom demo`` replays."""
    data = resources.files("headroom.cachelab") / "data" / "demo_conversation.json"
    conversation = msgspec.json.decode(data.read_bytes(), type=_Conversation)
    names: dict[str, str] = {}
    for message in conversation.messages:
        for part in message.content if isinstance(message.content, tuple) else ():
            if part.type == "tool_use":
                names[part.id] = f"{len(names) + 1:02} {part.name}"
            if part.type != "tool_result":
                continue
            content = part.content
            text = (
                content
                if isinstance(content, str)
                else "\n".join(inner.text for inner in content if inner.text)
            )
            if text:
                yield Item(names[part.tool_use_id], text)

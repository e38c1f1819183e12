"""Earlier tool results as sources of references, indexed by line."""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from headroom.core.compressors.json_table.parse import Value
from headroom.core.digest import content_digest
from headroom.core.repeats.lines import Lines, files_of, split
from headroom.core.repeats.values import parsed
from headroom.core.types import ToolCall

MAX_POSITIONS = 4
"""Places kept per distinct line; blank lines and braces stand in hundreds."""

_ARGUMENTS = ("file_path", "path", "filePath", "command", "cmd", "pattern", "query")


MAX_ARGUMENT_CHARS = 60
MAX_QUOTED_CHARS = 32
MAX_SEEN_CHARS = 200
MIN_QUOTED = 6
"""Letters and digits in the line that tells a result whose call is unknown."""

MIN_FILES_CHARS = 64
_LISTINGS = ("#tree ", "#paths ", "#ls ")

_CODE = re.compile(r"\$[a-z]{1,2}(?![\w-])")
_NOTE = re.compile(
    r"[»…|]|<<ccr:|\\*\[(?:repeats\]|(?:repeats |(?:JSON )?as |[+ -] )?#\d)"
)
"""What forms write for lines of their own, or of other results."""

_LONG_PATH = re.compile(r"^/(?:[^/\s]+/)+(?=[^/\s]+/[^/\s]+$)")
_SHORT_ARGUMENT = re.compile(r'"\s*:\s*"([^"\\]{1,40})"')


class Source(Struct, frozen=True):
    """A text that stands in full in the prefix, indexed by line.

    Attributes:
        name: its number among the conversation's tool results, from 1; with a ``c`` or
            ``d`` it is a text of the call that the result answers; ``0`` and ``0d``: of
            the very call whose result refers to it.
        digest: content digest of the text.
        label: its call, in a few words; where that is unknown, a line of the text.
        lines: its lines.
        places: line as it stands, and without gutter or sign → indices, at most
            ``MAX_POSITIONS`` each.
        chars: length of the text.
        value: the object or array that the text is, if it is one.
        form_digest: content digest of what stands in place of the text, if its lines
            are the ones indexed.
        closed: indices of lines of a form that say something only where they stand, in
            order; they are never referred to.
        coded: indices of lines of a form whose codes its legend explains.
    """

    name: str
    digest: str
    label: str
    lines: Lines
    places: dict[str, list[int]]
    chars: int
    value: Value = None
    form_digest: str = ""
    closed: tuple[int, ...] = ()
    coded: tuple[int, ...] = ()


class MessageSources(Struct, frozen=True):
    """The tool results of one message that are long enough to refer to.

    Attributes:
        sources: slot address → source; with a ``c``: a text of its call.
        chars: characters of all of them.
    """

    sources: dict[str, Source]
    chars: int


LINE_COST_CHARS = 60
"""What the index of a line costs beside its characters, in characters' worth."""

MAX_COUNTS = 100_000


class SourceMemo:
    """Sources by chain key: a key names all that the numbers and lines depend on.

    Bounded by the characters and lines it holds (an index takes about ten times that
    in bytes); safe to use from several threads.
    """

    def __init__(self, max_chars: int = 6_000_000) -> None:
        self._max_chars = max_chars
        self._chars = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[int, MessageSources]] = OrderedDict()
        self._counts: dict[bytes, int] = {}

    def count(self, key: bytes) -> int | None:
        """How many results the message of a chain key has, if it was counted."""
        return self._counts.get(key)

    def put_count(self, key: bytes, count: int) -> None:
        """Keep how many results a message has."""
        if len(self._counts) >= MAX_COUNTS:
            self._counts.clear()
        self._counts[key] = count

    def get(self, key: bytes) -> MessageSources | None:
        """What was kept under a message's chain key."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: bytes, found: MessageSources) -> None:
        """Keep what was found; the longest unused makes room."""
        sources = found.sources.values()
        lines = sum(len(source.lines.raw) for source in sources)
        values = sum(source.chars for source in sources if source.value is not None)
        cost = found.chars + values + LINE_COST_CHARS * lines + LINE_COST_CHARS
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (cost, found)
            self._chars += cost
            while self._chars > self._max_chars and self._entries:
                _, (dropped, _) = self._entries.popitem(last=False)
                self._chars -= dropped


def make_source(name: str, digest: str, text: str, call: ToolCall | None) -> Source:
    """Index a text that later ones may refer to; linear in its length."""
    label = _label(call) if call is not None else _quote(text)
    source = _index(name, digest, text, label)
    value = parsed(text)
    return source if value is None else msgspec.structs.replace(source, value=value)


def make_form_source(name: str, digest: str, form: str, label: str) -> Source:
    """Index what is sent in place of a text: those of its lines that speak for all.

    Lines with codes of the form are referred to only where the codes mean the same, and
    never its notes and references.

    Args:
        name: the result's number.
        digest: of the text.
        form: what is sent.
        label: the result's call, in a few words.
    """
    source = _index(name, digest, form, label)
    lines = source.lines.raw
    if form.startswith(_LISTINGS):
        _add_files(source)
    end = len(legend_of(lines)) and lines.index("", 1)
    return msgspec.structs.replace(
        source,
        form_digest=content_digest(form),
        closed=tuple(i for i, line in enumerate(lines) if _NOTE.match(line)),
        coded=tuple(i for i, line in enumerate(lines) if i < end or _CODE.search(line)),
    )


def _add_files(source: Source) -> None:
    """Index the long lines of a listing by what they hold, wherever that stands."""
    for index, line in enumerate(source.lines.raw):
        if len(line) < MIN_FILES_CHARS:
            continue
        for moved in (line.lstrip(" "), files_of(line)):
            if moved and moved != line:
                source.places.setdefault(moved, [index])


def legend_of(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines by which a form explains its codes; empty if it has none."""
    at = next((i for i, line in enumerate(lines[:4]) if line.startswith("$a=")), -1)
    if at < 0 or "" not in lines:
        return ()
    return tuple(lines[at : lines.index("")])


def given_sources(
    call: ToolCall | None, min_chars: int, name: str = "0"
) -> list[Source]:
    """The longest texts among a call's arguments, at most two, the longest first.

    They stand in an assistant message, which is never touched. An edit tool is given
    what was there and what is to be there: both come back in diffs.
    """
    if call is None or len(call.input) < min_chars:
        return []
    try:
        arguments = msgspec.json.decode(call.input)
    except ValueError:
        return []
    texts = [
        (value, member)
        for member, value in (arguments.items() if isinstance(arguments, dict) else ())
        if isinstance(value, str) and len(value) >= min_chars and value.count("\n") > 1
    ]
    texts.sort(key=lambda pair: -len(pair[0]))
    suffixes = ("", "d") if name == "0" else ("c", "d")

    def given(member: str) -> str:
        return f"this {member}" if name == "0" else f"{member} of {_label(call)}"

    return [
        _index(name + suffix, content_digest(text), text, given(member))
        for (text, member), suffix in zip(texts, suffixes, strict=False)
    ]


def _index(name: str, digest: str, text: str, label: str) -> Source:
    lines = split(text)
    places: dict[str, list[int]] = {}
    for index, line in enumerate(lines.bare):
        found = places.setdefault(line, [])
        if len(found) < MAX_POSITIONS:
            found.append(index)
    if any(lines.signs):
        for index, line in enumerate(lines.raw):
            if lines.signs[index]:
                found = places.setdefault(line, [])
                if len(found) < MAX_POSITIONS:
                    found.append(index)
    return Source(name, digest, label, lines, places, len(text))


def _quote(text: str) -> str:
    """A result whose call is unknown: its first telling line, and its length."""
    lines = text.split("\n")
    for line in lines:
        words = " ".join(line[:MAX_SEEN_CHARS].split())
        # What stands in brackets may be notation, which every form begins with.
        if sum(map(str.isalnum, words)) >= MIN_QUOTED and words[0] not in "[\\":
            quoted = f'"{words[:MAX_QUOTED_CHARS]}"'
            return _plain(f"{quoted} {len(lines)} lines" if lines[1:] else quoted)
    return f"result of {len(lines)} lines"


def beside(label: str, call: ToolCall | None, text: str = "") -> str:
    """A source's label without what a reader knows from what stands around it.

    Args:
        label: of a source.
        call: the one whose result refers to the source.
        text: what is to be referred: a path that it names need not be told either.
    """
    tool, argument = _told(call)
    if argument and label.endswith(f" {argument}"):
        return label[: -len(argument) - 1]
    front, _, path = label.rpartition(" ")
    if front and "/" in path and path in text:
        return front
    return label.removeprefix(f"{tool} ")


def _label(call: ToolCall | None) -> str:
    """The call in a few words: the tool's name and its telling argument."""
    return " ".join(filter(None, _told(call)))


def _told(call: ToolCall | None) -> tuple[str, str]:
    """The name of a call's tool and its telling argument, which may be empty.

    Of a path its end, for the number in front tells the result apart already.
    """
    if call is None:
        return "tool result", ""
    text = call.input.decode("utf-8")
    for name in _ARGUMENTS:
        match = re.search(rf'"{name}"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
        if match is not None:
            argument = _LONG_PATH.sub("", match[1].split("\\n", 1)[0])
            return _plain(call.name), _plain(argument[:MAX_ARGUMENT_CHARS])
    only = _SHORT_ARGUMENT.search(text)
    return _plain(call.name), _plain(only[1] if only is not None else "")


def _plain(label: str) -> str:
    return label.replace(";", ",").replace("]", ")")

"""Stack traces cut into units: exception lines, frames with their source, other lines.

Whose code a frame runs is told by its path or module: what stands in the places where
package managers and language runtimes put theirs is a library's, the rest is one's own.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from headroom.core.folding.frames import is_exception, is_frame

UnitKind: TypeAlias = Literal["exception", "own", "library", "other"]

# Each beside a text of which one must be there for the pattern to be looked for.
_HOMES = (
    "site-packages", "dist-packages", "<frozen ", "node_modules", "node:internal",
    "(internal/", "/usr/local/go/src/", "/go/pkg/mod/", "/rustc/", ".cargo/registry",
    "/gems/", "/lib/ruby/",
)  # fmt: skip
_PLACES = (
    ("/lib/python", re.compile(r"/lib/python\d")),
    (
        "at ",
        re.compile(
            r"\bat (?:(?:async )?(?:(?:Object\.)?Module\._|processTicksAndRej)"
            r"|(?:app//|[\w.@]+/)?(?:java|javax|jdk|sun|com\.sun|kotlin|kotlinx|scala"
            r"|akka|groovy|org\.(?:springframework|apache|hibernate|junit|eclipse|jboss"
            r"|codehaus|gradle|aspectj|testng|mockito|slf4j)"
            r"|io\.(?:netty|grpc|reactivex|micrometer|undertow)|reactor"
            r"|com\.(?:android|google|fasterxml|zaxxer|mysql)|android|androidx|dalvik"
            r"|System|Microsoft|Newtonsoft|Xunit|NUnit)\.)"
        ),
    ),
    ("runtime.", re.compile(r"\bruntime\.")),
    ("net/http.", re.compile(r"\bnet/http\.")),
    (
        ": ",
        re.compile(
            r"\d: +(?:0x[0-9a-f]+ - )?<?(?:core|std|alloc|tokio"
            r"|rust_begin|__rust|hyper|rayon)\b"
        ),
    ),
    ("__libc_start", re.compile(r"\bin \S*__libc_start")),
    (
        " (",
        re.compile(r"\b(?:_start|__libc_\w+|clone3?|start_thread) \("),
    ),
    ("from /", re.compile(r"from /(?:usr/)?lib")),
    ("(in /", re.compile(r"\(in /(?:usr/)?lib")),
)
_MORE = re.compile(r"\s*\.\.\. \d+ ")
_MARKS = re.compile(r"\s*[\^~]+$")


class Unit(NamedTuple):
    """Lines ``start`` to ``end`` (not included) that belong together."""

    kind: UnitKind
    start: int
    end: int


def is_marks(line: str) -> bool:
    """Whether the line only underlines a part of the line above."""
    return _MARKS.match(line) is not None


def is_python(line: str) -> bool:
    """Whether the line begins a frame as CPython prints it."""
    return line.lstrip().startswith('File "')


def _is_library(text: str) -> bool:
    return any(home in text for home in _HOMES) or any(
        sign in text and place.search(text) for sign, place in _PLACES
    )


def _owner(frame: str) -> UnitKind:
    return "library" if _is_library(frame) or _MORE.match(frame) else "own"


def cut_units(lines: Sequence[str]) -> list[Unit]:
    """All lines as units, in order."""
    units: list[Unit] = []
    known: dict[str, UnitKind] = {}  # whose frames are, by their text
    at = 0
    while at < len(lines):
        end = at + 1
        kind: UnitKind
        if lines[at] not in known and (
            is_exception(lines[at]) or _ends_python(units, lines, at)
        ):
            kind = "exception"
        elif lines[at] in known or is_frame(lines[at]):
            end = _frame_end(lines, at)
            text = "\n".join(lines[at:end])
            kind = known.get(text) or known.setdefault(text, _owner(text))
        elif end < len(lines) and _is_go_pair(lines[at], lines[end]):
            end += 1
            text = f"{lines[at]}\n{lines[at + 1]}"
            kind = "library" if _is_library(text) else "own"
        else:
            kind = "other"
        units.append(Unit(kind, at, end))
        at = end
    return units


def _ends_python(units: Sequence[Unit], lines: Sequence[str], at: int) -> bool:
    """Whether the line names what was raised below Python frames, whatever its name."""
    return (
        bool(units)
        and units[-1].kind in {"own", "library"}
        and is_python(lines[units[-1].start])
        and _RAISED.match(lines[at]) is not None
    )


_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:: |$)")


def _is_go_pair(call: str, place: str) -> bool:
    return bool(call) and not call[0].isspace() and _GO_PLACE.match(place) is not None


_GO_PLACE = re.compile(r"\t/?\S+\.(?:go|s):\d+")
_RUST_PLACE = re.compile(r"\s+at \S+:\d+")
_RUST_FRAME = re.compile(r"\s+\d+: ")


def _frame_end(lines: Sequence[str], at: int) -> int:
    """Where the frame ends that begins at ``at``: with its source or place."""
    end = at + 1
    line = lines[at]
    if is_python(line):
        indent = len(line) - len(line.lstrip())
        while end < len(lines) and end - at < _MAX_FRAME_LINES:
            text = lines[end]
            if len(text) - len(text.lstrip()) <= indent or is_frame(text):
                break
            end += 1
    elif _RUST_FRAME.match(line) and end < len(lines) and _RUST_PLACE.match(lines[end]):
        end += 1
    return end


_MAX_FRAME_LINES = 8

"""Logs whose lines are JSON objects: which of their events a lossy form shows.

As for logs of plain lines: each kind of event once, every distinct error with the event
before it, the first and the last, extremes and what was asked for; the others are
counted by level and message. Events are of one kind if level, message (numbers aside)
and names of members are the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from headroom.core.content.severity import LEVELS, has_trouble, level

MIN_EVENTS = 40

_TIMES = (
    "time", "ts", "timestamp", "@timestamp", "t", "T", "datetime", "asctime", "Time",
    "eventTime", "@t", "log_time", "date", "created",
)  # fmt: skip
_LEVELS = (
    "level", "lvl", "severity", "levelname", "log.level", "L", "loglevel", "@l",
    "Level", "severityText", "log_level", "priority",
)  # fmt: skip
_MESSAGES = (
    "msg", "message", "M", "@m", "@mt", "MESSAGE", "Message", "textPayload",
    "short_message",
)  # fmt: skip
_VAGUE = ("event", "text", "body", "log")
"""Names of messages where events have a level or, as those of Docker's ``json-file``
driver, tell the stream they were printed to; else anything may be called so."""

_STREAM = ("stream",)
PLACES = ("", "events", "logEvents", "entries", "logs")
"""Paths of tables in a document that hold its events."""


# Levels of bunyan and pino; see getpino.io/#/docs/api?id=loggerlevel-string
_NUMBERED = {b"10": "debug", b"20": "debug", b"30": "info", b"40": "warning",
             b"50": "error", b"60": "error"}  # fmt: skip
_VARYING = re.compile(r"0x[0-9a-fA-F]+|(?=[0-9a-f]*\d)[0-9a-f]{6,}|\d+(?:\.\d+)?")
_CLOCK = re.compile(r"\d:\d\d:\d\d|1\d{9}")
_SAMPLE = 40
_MAX_ALIKE = 8
"""Errors of one kind that are shown."""

_MAX_KINDS = 60
_MAX_NAMED = 6
_MAX_NAME = 60


class Events:
    """The rows of a table as events; ``is_log`` tells whether they are."""

    def __init__(self, rows: Sequence[Any]) -> None:
        sample = rows[:: max(1, len(rows) // _SAMPLE)]
        self._rows = rows
        self._time = _member(sample, _TIMES)
        self._level = _member(sample, _LEVELS)
        is_sure = bool(self._level or _member(sample, _STREAM))
        names = (*_MESSAGES, *_VAGUE) if is_sure else _MESSAGES
        self._message = _member(sample, names)
        self.is_log = (
            len(rows) >= MIN_EVENTS
            and bool(self._time and self._message)
            and all(
                _CLOCK.search(_text(row.get(self._time, "0:00:00"))) for row in sample
            )
        )

    def telling(self) -> set[int]:
        """Places of the first event of each kind, of errors, and of both ends.

        All places where most events are of a kind of their own: what people said.
        """
        size = len(self._rows)
        found = {0, 1, size - 2, size - 1}
        seen: Counter[tuple[str, ...]] = Counter()
        for place, row in enumerate(self._rows):
            stated, message = self._stated(row), _text(row.get(self._message, ""))
            shown = _VARYING.sub("0", message)
            kind = (stated, shown, *row)
            seen[kind] += 1
            is_serious = stated == "error" or (
                stated in {"", "warning"} and has_trouble(message)
            )
            if seen[kind] == 1 and (is_serious or len(seen) <= _MAX_KINDS):
                found.add(place)
                if is_serious and place:
                    found.add(place - 1)
            elif is_serious and seen[kind] <= _MAX_ALIKE:
                found.add(place)
        return found if 2 * len(seen) <= size else set(range(size))

    def account(self) -> str:
        """Counts by level and by message, and from when to when, for all events."""
        rows = self._rows
        parts = []
        times = [_shortly(row[self._time]) for row in rows if self._time in row]
        if times:
            parts.append(f"{self._time} {times[0]} to {times[-1]}")
        levels = Counter(self._stated(row) for row in rows)
        said = [f"{name} {levels[name]}" for name in LEVELS if levels[name]]
        if said:
            parts.append(f"levels: {', '.join(said)}")
        texts = (_text(row.get(self._message, "")) for row in rows)
        counts = Counter(_shortly(_VARYING.sub("…", text)) for text in texts)
        often = [one for one in counts.most_common(_MAX_NAMED) if one[1] > 1]
        if often:
            parts.append(", ".join(f"{text} ×{count}" for text, count in often))
        return "; ".join(parts)

    def _stated(self, row: Any) -> str:
        value = row.get(self._level or self._message)
        if isinstance(value, bytes):
            return _NUMBERED.get(value, "")
        return level(value) if isinstance(value, str) else ""


def _member(rows: Sequence[Any], names: Sequence[str]) -> str:
    """The first of these names that nine of ten rows have."""
    for name in names:
        if sum(name in row for row in rows) * 10 >= len(rows) * 9:
            return name
    return ""


def _shortly(value: Any) -> str:
    """One line of a value, as it may stand in the account."""
    return " ".join(_text(value).split())[:_MAX_NAME]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else ""

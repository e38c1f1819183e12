"""Structured logs that cost a request next to nothing.

Records go into a bounded queue; a thread formats and writes them to standard error. A
stalled output loses records (they are counted), never time. Fields are counts, hashes
and identifiers; bodies, header values and credentials have no way in, for no caller
passes any.
"""

import contextlib
import logging
import queue
import sys
import threading
from logging.handlers import QueueHandler
from typing import IO, Any

from pythonjsonlogger.json import JsonFormatter

from headroom.settings import LogSettings

LOGGER = "headroom"
_MAX_QUEUED = 10_000
_CLOSE_S = 1.0
"""How long the end waits for an output that takes nothing any more."""


class _Handler(QueueHandler):
    """Puts records into the queue as they are; counts what does not fit."""

    def __init__(self, records: "queue.Queue[Any]") -> None:
        super().__init__(records)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Formatting is the listener's work."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Writer(threading.Thread):
    """Formats and writes what is queued; a daemon, so that it never holds the end up."""

    def __init__(self, records: "queue.Queue[Any]", output: logging.Handler) -> None:
        super().__init__(name="headroom-logs", daemon=True)
        self._records = records
        self._output = output

    def run(self) -> None:
        while (record := self._records.get()) is not None:
            self._output.handle(record)

    def finish(self) -> None:
        """Write what is queued, unless the output is stalled."""
        with contextlib.suppress(queue.Full):
            self._records.put(None, timeout=_CLOSE_S)
            self.join(_CLOSE_S)


class _TextFormatter(logging.Formatter):
    """One line per record: time, level, event and the other fields."""

    _FIXED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(
            f"{name}={value}"
            for name, value in vars(record).items()
            if name not in self._FIXED
        )
        line = f"{self.formatTime(record)} {record.levelname:7} {record.getMessage()}"
        line = f"{line} {fields}".rstrip()
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class Logs:
    """The running log output of one process; ``close`` writes out what is queued."""

    def __init__(self, settings: LogSettings, stream: IO[str] | None = None) -> None:
        self._logger = logging.getLogger(LOGGER)
        self._handler: _Handler | None = None
        self._writer: _Writer | None = None
        self._taken = 0
        if settings.level == "off":
            self._logger.setLevel(logging.CRITICAL + 1)
            return
        output = logging.StreamHandler(stream or sys.stderr)
        output.setFormatter(_formatter(settings.format))
        records: queue.Queue[Any] = queue.Queue(_MAX_QUEUED)
        self._handler = _Handler(records)
        self._writer = _Writer(records, output)
        self._logger.setLevel(settings.level.upper())
        self._logger.addHandler(self._handler)
        self._logger.propagate = False
        server = logging.getLogger("uvicorn.error")
        server.setLevel(logging.WARNING)
        server.addHandler(self._handler)
        server.propagate = False
        server.addFilter(_is_news)
        self._writer.start()

    def take_dropped(self) -> int:
        """Records lost since the last call."""
        if self._handler is None:
            return 0
        dropped = self._handler.dropped - self._taken
        self._taken = self._handler.dropped
        return dropped

    def close(self) -> None:
        """Write what is queued and take the handlers away again."""
        if self._handler is not None and self._writer is not None:
            self._logger.removeHandler(self._handler)
            self._logger.propagate = True
            server = logging.getLogger("uvicorn.error")
            server.removeHandler(self._handler)
            server.removeFilter(_is_news)
            server.propagate = True
            self._writer.finish()
        self._handler = self._writer = None


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the server's complaint about a response that was broken off on purpose."""
    return "without completing response" not in record.getMessage()


def _formatter(style: str) -> logging.Formatter:
    if style == "text":
        return _TextFormatter()
    return JsonFormatter(
        "{created}{levelname}{message}",
        style="{",
        rename_fields={"created": "ts", "levelname": "level", "message": "event"},
    )

"""Structured logs that cost a request next to nothing.

Records are put aside, at most so many; a thread formats and writes them to standard
error, a batch at a time. A stalled output loses records (they are counted), never time.
Fields are counts, hashes and identifiers; bodies, header values and credentials have no
way in, for no caller passes any.
"""

import contextlib
import logging
import sys
import threading
from collections import deque
from typing import IO

from pythonjsonlogger.msgspec import MsgspecFormatter

from headroom.settings import LogSettings

LOGGER = "headroom"
COMPRESSION_LOGGER = "aibroker.compression"
"""Of integrations and the broker; a name that others' log rules know."""

_MAX_QUEUED = 10_000
_BATCH_S = 0.05
_CLOSE_S = 1.0
"""How long the end waits for an output that takes nothing any more."""


class _Handler(logging.Handler):
    """Takes records as they are; counts what does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque()
        self.wake = threading.Event()
        self.dropped = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep the record for the writer; no lock, no formatting."""
        if len(self.records) >= _MAX_QUEUED:
            self.dropped += 1
            return False
        self.records.append(record)
        if not self.wake.is_set():
            self.wake.set()
        return True


class _Writer(threading.Thread):
    """Formats and writes what was taken; a daemon: it never holds up the end.

    Works in batches, for handing the interpreter to another thread and back for every
    record costs more than the record.
    """

    def __init__(
        self, handler: _Handler, formatter: logging.Formatter, stream: IO[str]
    ) -> None:
        super().__init__(name="headroom-logs", daemon=True)
        self._handler = handler
        self._formatter = formatter
        self._stream = stream
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            self._handler.wake.wait()
            self._ending.wait(_BATCH_S)
            self._handler.wake.clear()
            self._write()

    def finish(self) -> None:
        """Write what is left, unless the output is stalled."""
        self._ending.set()
        self._handler.wake.set()
        self.join(_CLOSE_S)

    def _write(self) -> None:
        records = self._handler.records
        lines: list[str] = []
        while records:
            lines.append(self._formatter.format(records.popleft()) + "\n")
        # Whoever reads the log may have gone; requests go on being served.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("".join(lines))
            self._stream.flush()


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
            logging.getLogger(COMPRESSION_LOGGER).setLevel(logging.CRITICAL + 1)
            return
        self._handler = _Handler()
        formatter = _formatter(settings.format)
        self._writer = _Writer(self._handler, formatter, stream or sys.stderr)
        self._logger.setLevel(settings.level.upper())
        self._logger.addHandler(self._handler)
        self._logger.propagate = False
        compression = logging.getLogger(COMPRESSION_LOGGER)
        compression.setLevel(settings.level.upper())
        compression.addHandler(self._handler)
        compression.propagate = False
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
            compression = logging.getLogger(COMPRESSION_LOGGER)
            compression.removeHandler(self._handler)
            compression.propagate = True
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
    return MsgspecFormatter(
        "{created}{levelname}{message}",
        style="{",
        rename_fields={"created": "ts", "levelname": "level", "message": "event"},
    )

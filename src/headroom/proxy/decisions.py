"""Decision records of finished requests, kept on disk for ``headroom why``.

One JSON object a line, in ``decisions.jsonl`` of the data directory; at half of the
allowed size the file becomes ``decisions.1.jsonl`` and a new one begins. Several
workers append to the same file. Records hold counts, hashes and identifiers, never what
anybody said.

What always holds: writing never delays a request and never fails one: lines are put
aside, a thread writes them in batches, and what cannot be written is counted.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headroom.core.types import JsonValue

NAME = "decisions.jsonl"
OLDER = "decisions.1.jsonl"
_MAX_QUEUED = 10_000
_BATCH_S = 0.25
_CLOSE_S = 2.0

Record = dict[str, JsonValue]


class DecisionLog:
    """Writes the records of one server process.

    Attributes:
        dropped: records that could not be kept.

    Args:
        directory: where the files are; made if it is missing.
        max_bytes: of both files together; 0: nothing is kept.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.dropped = 0
        self._path = directory / NAME
        self._max_bytes = max_bytes // 2
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self._writer: threading.Thread | None = None

    def add(self, record: Record) -> None:
        """Take a record; it is on disk a moment later."""
        if not self._max_bytes:
            return
        if len(self._lines) >= _MAX_QUEUED:
            self.dropped += 1
            return
        self._lines.append(msgspec.json.encode(record))
        if self._writer is None:
            self._writer = threading.Thread(
                target=self._run, name="headroom-decisions", daemon=True
            )
            self._writer.start()
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what was taken."""
        self._is_closing = True
        self._wake.set()
        if self._writer is not None:
            self._writer.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._is_closing or self._lines:
            self._wake.wait()
            self._wake.clear()
            self._write()
            if not self._is_closing:
                threading.Event().wait(_BATCH_S)

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            handle = os.open(self._path, flags, 0o600)
            try:
                # One write: lines of several workers never mix.
                os.write(handle, b"\n".join(lines) + b"\n")
                written = os.fstat(handle)
                # Another worker may have begun a new file in the meantime.
                is_ours = os.path.samestat(written, self._path.stat())
                if written.st_size > self._max_bytes and is_ours:
                    self._path.replace(self._path.with_name(OLDER))
            finally:
                os.close(handle)
        except OSError:
            self.dropped += len(lines)


def newest_first(directory: Path) -> Iterator[Record]:
    """The records kept in a directory; what is damaged is left out."""
    for name in (NAME, OLDER):
        with contextlib.suppress(FileNotFoundError):
            lines = (directory / name).read_bytes().splitlines()
            for line in reversed(lines):
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    record = msgspec.json.decode(line)
                    if isinstance(record, dict):
                        yield record


def find(directory: Path, request_id: str) -> Record | None:
    """The newest record of a request, by Headroom's id or the provider's."""
    for record in newest_first(directory):
        if request_id in {record.get("request_id"), record.get("upstream_request_id")}:
            return record
    return None

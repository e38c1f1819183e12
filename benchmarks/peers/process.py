"""A running peer: started, asked, ended, whatever it does.

Nothing that a peer writes is believed before it is checked, and nothing that it does
can stop the measurement: every step has a time-out, every failure becomes a word in the
result, and the peer with all processes of its own is ended and started again. It gets
no more of this process's environment than it needs to run: no keys, no import paths.
"""

import asyncio
import contextlib
import gzip
import hashlib
import math
import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from headroom.inference import vocabulary

ANSWER_BYTES = 64 << 20
"""A line longer than this is not read to its end."""

START_S = 60.0
"""For a peer to introduce itself: some load models first."""

FAILURES = 20
"""A peer that had to be ended so often in a row is asked no more."""

NOT_ASKED = "not asked"
"""How the failure of a text begins that the peer never saw."""

_CACHES = ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", *_CACHES)

# What libraries read so that they do not wait for a network; the first is documented by
# headroom-ai (its page on PyPI), the others by Hugging Face
# (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables).
_OFFLINE = {
    "HEADROOM_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}

# tiktoken looks for a vocabulary under the SHA-1 of its address before it downloads it
# (https://github.com/openai/tiktoken/blob/main/tiktoken/load.py).
_VOCABULARIES = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


class Hello(Struct, frozen=True):
    """How a peer introduces itself."""

    name: str
    version: str = ""
    kinds: tuple[str, ...] | None = None
    note: str | None = None


class _Answer(Struct, frozen=True):
    id: int
    text: str | None = None
    error: str | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None


class Outcome(Struct, frozen=True):
    """What became of one text; ``failure`` says why there is no ``text``."""

    text: str | None
    seconds: float
    cpu_seconds: float | None = None
    failure: str = ""


class PeerError(Exception):
    """The peer broke the protocol, died, or took too long."""


def printable(line):
    """A line that a peer wrote, shortened, and without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in line.strip()[:160])


def environment(home, extra):
    """The variables of a peer whose state lies in ``home`` and goes with it."""
    vocabularies = home / "vocabularies"
    if not vocabularies.exists():
        vocabularies.mkdir()
        for name in ("o200k_base", "cl100k_base"):
            packed = Path(vocabulary.__file__).parent / "data" / f"{name}.tiktoken.gz"
            address = _VOCABULARIES.format(name).encode()
            file = hashlib.sha1(address, usedforsecurity=False).hexdigest()
            (vocabularies / file).write_bytes(gzip.decompress(packed.read_bytes()))
    mine = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    caches = Path(mine.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "HF_HOME": str(caches / "huggingface"),  # models that are there may be used
        **mine,
        **_OFFLINE,
        "HOME": str(home),
        "TMPDIR": str(home),
        "TIKTOKEN_CACHE_DIR": str(vocabularies),
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }


class Peer:
    """A command that is asked one text at a time."""

    def __init__(self, command, *, timeout_s, budget_s, extra_environment=()):
        """Nothing runs yet.

        Args:
            command: program and arguments.
            timeout_s: for one text.
            budget_s: for all of them, starts included.
            extra_environment: variables to add.
        """
        self.command = [str(part) for part in command]
        self.hello = Hello(Path(self.command[-1]).name)
        self.failures = 0
        self._timeout_s = timeout_s
        self._left_s = budget_s
        self._extra = dict(extra_environment)
        self._process = None
        self._asked = 0
        self._is_introduced = False
        self._home = tempfile.TemporaryDirectory(prefix="peer-")
        self._said = Path(self._home.name) / "standard-error"

    @property
    def is_running(self):
        """Whether it has been started and not been ended since."""
        return self._process is not None

    @property
    def process_id(self):
        """Of the process, and of the group of all that it starts; ``None`` if none."""
        return self._process and self._process.pid

    async def start(self):
        """Start it if it does not run.

        Raises:
            PeerError: it did not introduce itself.
        """
        if self._process is not None:
            return
        home = Path(self._home.name)
        try:
            with self._said.open("ab") as said:
                self._process = await asyncio.create_subprocess_exec(
                    *self.command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=said,
                    limit=ANSWER_BYTES,
                    cwd=home,
                    env=environment(home, self._extra),
                    start_new_session=True,
                )
        except OSError as error:
            raise PeerError(f"does not start: {error}") from error
        self.hello = await self._read(Hello, START_S)
        self._is_introduced = True

    async def ask(self, text):
        """What it makes of ``text``; never raises for what the peer does."""
        if self._left_s <= 0:
            return Outcome(None, 0.0, failure=f"{NOT_ASKED}: its time was up")
        if self.failures >= FAILURES:
            return Outcome(None, 0.0, failure=f"{NOT_ASKED}: had failed too often")
        start = begin = time.perf_counter()
        try:
            await self.start()
            begin = time.perf_counter()
            answer = await self._exchange(text)
        except PeerError as error:
            # What never introduced itself will not do so at the next text either.
            self.failures += 1 if self._is_introduced else FAILURES
            await self.end()
            return Outcome(None, time.perf_counter() - begin, failure=str(error))
        finally:
            self._left_s -= time.perf_counter() - start
        self.failures = 0
        taken = time.perf_counter() - begin
        if answer.text is None:
            return Outcome(None, taken, failure=f"error: {printable(answer.error)}")
        seconds = answer.seconds
        if seconds is None or not math.isfinite(seconds) or not 0 < seconds <= taken:
            seconds = taken
        processor = answer.cpu_seconds
        if processor is not None and not (math.isfinite(processor) and processor > 0):
            processor = None
        return Outcome(answer.text, seconds, processor)

    async def _exchange(self, text):
        self._asked += 1
        request = {"id": self._asked, "text": text}
        answer = await self._read(_Answer, self._timeout_s, request)
        if answer.id != self._asked:
            raise PeerError(f"answered {answer.id} when {self._asked} was asked")
        if answer.text is None and answer.error is None:
            raise PeerError("answered neither text nor error")
        return answer

    async def _read(self, kind, timeout_s, request=None):
        process = self._process
        timeout_s = max(0.1, min(timeout_s, self._left_s))
        try:
            async with asyncio.timeout(timeout_s):
                if request is not None:
                    process.stdin.write(msgspec.json.encode(request) + b"\n")
                    await process.stdin.drain()
                line = await process.stdout.readline()
                if not line.endswith(b"\n"):
                    raise PeerError(await self._last_words(process))
        except TimeoutError as error:
            raise PeerError(f"timed out after {timeout_s:g} s") from error
        except ConnectionError as error:
            raise PeerError("closed its standard input") from error
        except ValueError as error:
            raise PeerError(f"answered more than {ANSWER_BYTES} bytes") from error
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PeerError(f"answered what the protocol has not: {error}") from error

    async def _last_words(self, process):
        code = await process.wait()
        text = self._said.read_bytes().decode(errors="replace").strip()
        last = printable(text.rpartition("\n")[2])
        return f"died with exit code {code}{last and f': {last}'}"

    def said(self, lines=4):
        """The first different lines it wrote to standard error, shortened."""
        try:
            text = self._said.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return []
        found = dict.fromkeys(printable(line) for line in text.splitlines())
        return [line for line in found if line][:lines]

    async def end(self):
        """End it and every process that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        await process.wait()

    async def close(self):
        """End it and delete its folder."""
        await self.end()
        with contextlib.suppress(OSError):
            self._home.cleanup()

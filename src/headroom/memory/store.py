"""All users' memories in one folder, a file for each, opened when they are needed.

What always holds: nothing of one user is ever read while another's is asked for, since
no file holds facts of two. A user who has kept nothing has no file.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from headroom.core.digest import chain_key
from headroom.errors import LimitExceededError, StoreError, StoreUnavailableError
from headroom.memory.facts import Fact, MemoryConfig, Owner
from headroom.memory.user_file import SCHEMA, UserFile, owner_of
from headroom.storage.sqlite_file import SqliteFile

MAX_OPEN = 64
"""Files kept open between calls."""

MAX_USER_BYTES = 256
_SUFFIX = ".db"


class _Open:
    def __init__(self, file: UserFile) -> None:
        self.file = file
        self.borrowers = 0


class MemoryStore:
    """The memories of all users; safe to use from threads and processes.

    Args:
        folder: where the files are; made when the first is.
        config: limits, the clock and the embedder.
    """

    def __init__(self, folder: Path, config: MemoryConfig | None = None) -> None:
        self._folder = folder
        self._config = config or MemoryConfig()
        self._open: OrderedDict[Path, _Open] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    @contextmanager
    def of(
        self, owner: Owner, *, is_writing: bool = False
    ) -> Iterator[UserFile | None]:
        """A user's facts for the time of a block; ``None`` if there are none.

        Args:
            owner: the user.
            is_writing: make the file if there is none; then it is never ``None``.

        Raises:
            StoreUnavailableError: the file cannot be opened.
            LimitExceededError: there are too many users, or the name is too long.
        """
        path = self._path(owner)
        if not self._exists(path):
            if not is_writing:
                yield None
                return
            self._check_room()
        opened = self._borrow(path, owner)
        try:
            yield opened.file
        finally:
            self._give_back(opened)

    def put(self, owner: Owner, content: str) -> Fact:
        """Keep a fact; see ``UserFile.put``."""
        with self.of(owner, is_writing=True) as facts:
            assert facts is not None, "a file to write is made"
            return facts.put(content)

    def load(self, owner: Owner, facts: Sequence[Fact]) -> None:
        """Keep facts of an export; see ``UserFile.load``."""
        with self.of(owner, is_writing=True) as file:
            assert file is not None, "a file to write is made"
            file.load(facts)

    def get(self, owner: Owner, number: int) -> Fact | None:
        """The fact with this id, if there is one."""
        with self.of(owner) as facts:
            return None if facts is None else facts.get(number)

    def update(self, owner: Owner, number: int, content: str) -> Fact | None:
        """Replace the words of a fact; ``None`` if there is none with this id."""
        with self.of(owner) as facts:
            return None if facts is None else facts.update(number, content)

    def delete(self, owner: Owner, number: int) -> bool:
        """Forget a fact; whether there was one."""
        with self.of(owner) as facts:
            return facts is not None and facts.delete(number)

    def newest(
        self, owner: Owner, limit: int = 100, before_id: int | None = None
    ) -> list[Fact]:
        """Facts, the newest first; see ``UserFile.list``."""
        with self.of(owner) as facts:
            return [] if facts is None else facts.newest(limit, before_id)

    def search(self, owner: Owner, query: str, limit: int = 5) -> list[Fact]:
        """The facts that say most about what a text is on, the best first."""
        with self.of(owner) as facts:
            return [] if facts is None else facts.search(query, limit)

    def count(self, owner: Owner) -> int:
        """How many facts a user has."""
        with self.of(owner) as facts:
            return 0 if facts is None else facts.count()

    def all(self, owner: Owner) -> Iterator[Fact]:
        """Every fact of a user, the oldest first."""
        with self.of(owner) as facts:
            if facts is not None:
                yield from facts.all()

    def delete_user(self, owner: Owner) -> int:
        """Forget everything about a user; how many facts there were.

        The emptied file stays: another process may have it open, and what that one
        wrote into a file without a name would be lost.
        """
        with self.of(owner) as facts:
            return 0 if facts is None else facts.clear()

    def owners(self, failures: list[StoreError] | None = None) -> list[Owner]:
        """Who has kept anything, in order.

        Args:
            failures: gets what is wrong with files that cannot be read; without it,
                the first of them ends the search.

        Raises:
            StoreError: a file cannot be read.
        """
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                with closing(SqliteFile(path, SCHEMA)) as file:
                    owner = owner_of(file)
            except StoreError as error:
                if failures is None:
                    raise
                failures.append(error)
                continue
            if owner is not None and self._path(owner) == path:
                found.append(owner)
        return sorted(found)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            opened = list(self._open.values())
            self._open.clear()
        for one in opened:
            one.file.close()

    def _path(self, owner: Owner) -> Path:
        try:
            namespace, user = owner.namespace.encode(), owner.user.encode()
        except UnicodeEncodeError as error:
            raise LimitExceededError("a user's name is text") from error
        if len(namespace) + len(user) > MAX_USER_BYTES:
            raise LimitExceededError(
                f"a user's name has at most {MAX_USER_BYTES} bytes, found"
                f" {len(namespace) + len(user)}"
            )
        return self._folder / f"{chain_key(namespace, user).hex()}{_SUFFIX}"

    def _exists(self, path: Path) -> bool:
        try:
            return path.exists()
        except OSError as error:
            raise StoreUnavailableError(f"{path}: {error.strerror}") from error

    def _check_room(self) -> None:
        try:
            count = sum(1 for _ in self._folder.glob(f"*{_SUFFIX}"))
        except OSError as error:
            raise StoreUnavailableError(f"{self._folder}: {error.strerror}") from error
        if count >= self._config.max_users:
            raise LimitExceededError(f"there are {count} users with a memory already")

    def _borrow(self, path: Path, owner: Owner) -> _Open:
        with self._lock:
            opened = self._open.get(path)
            if opened is not None:
                opened.borrowers += 1
                self._open.move_to_end(path)
                return opened
        made = _Open(UserFile(SqliteFile(path, SCHEMA), owner, self._config))
        with self._lock:
            opened = self._open.setdefault(path, made)
            opened.borrowers += 1
            idle = [key for key, one in self._open.items() if not one.borrowers]
            over = max(0, len(self._open) - MAX_OPEN)
            closing = [self._open.pop(key) for key in idle[:over]]
        if opened is not made:
            closing.append(made)
        for one in closing:
            one.file.close()
        return opened

    def _give_back(self, opened: _Open) -> None:
        with self._lock:
            opened.borrowers -= 1

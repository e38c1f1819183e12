"""The words of the memory as values."""

from collections.abc import Callable, Sequence
from time import time
from typing import Protocol

from msgspec import Struct


class Fact(Struct, frozen=True):
    """One thing that is to be remembered.

    Attributes:
        id: counts up within a user's facts; never used again.
        content: the words.
        created: seconds since the epoch.
        updated: when the words were last replaced.
    """

    id: int
    content: str
    created: int
    updated: int


class Owner(Struct, frozen=True, order=True):
    """Whose facts they are.

    Attributes:
        namespace: the tenant.
        user: the tenant's user; empty: its default user.
    """

    namespace: str = ""
    user: str = ""


class Embedder(Protocol):
    """A local model that turns texts into vectors of one length.

    Attributes:
        name: of the model with its version; vectors of another are never compared.
    """

    @property
    def name(self) -> str:
        """The model's name and version."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text; the same text gives the same vector."""
        ...


class MemoryConfig(Struct, frozen=True):
    """The numbers a store works by.

    Attributes:
        max_facts: of one user; a full memory takes no more.
        max_fact_bytes: of one fact, in UTF-8.
        max_users: whose files are kept.
        clock: seconds since the epoch.
        embedder: finds facts by meaning beside words.
    """

    max_facts: int = 100_000
    max_fact_bytes: int = 4096
    max_users: int = 10_000
    clock: Callable[[], float] = time
    embedder: Embedder | None = None

"""``headroom memory``: what is kept of users, for people who look after it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from headroom import settings
from headroom.errors import StoreError
from headroom.memory import transfer
from headroom.memory.facts import MemoryConfig, Owner
from headroom.memory.meaning import load_embedder
from headroom.memory.recall import told
from headroom.memory.store import MemoryStore

_USER = click.option(
    "--user", metavar="NAME", help="This user only; empty: the default user."
)
_NAMESPACE = click.option(
    "--namespace", default="", metavar="NAME", help="Of this tenant."
)
_LIMIT = click.option("--limit", type=click.IntRange(1), default=20, show_default=True)


@click.group("memory")
def command() -> None:
    """What models have kept of their users: list, search, move, delete."""


@command.command("list")
@_USER
@_NAMESPACE
@_LIMIT
def list_command(user: str | None, namespace: str, limit: int) -> None:
    """Print a user's facts, the newest first; without --user, the users."""
    with _opened() as store:
        if user is None:
            with _all_owners(store) as (owners, failures):
                for owner in owners:
                    where = f"{owner.namespace}/" if owner.namespace else ""
                    name = f"{where}{owner.user}" or "(default user)"
                    try:
                        click.echo(f"{store.count(owner):7}  {name}")
                    except StoreError as error:
                        failures.append(error)
            return
        for fact in store.newest(Owner(namespace, user), limit):
            click.echo(told(fact))


@command.command("search")
@click.argument("query")
@_USER
@_NAMESPACE
@_LIMIT
def search_command(query: str, user: str | None, namespace: str, limit: int) -> None:
    """Print the facts that fit QUERY best, as the model finds them."""
    with _opened() as store:
        for fact in store.search(Owner(namespace, user or ""), query, limit):
            click.echo(told(fact))


@command.command("export")
@_USER
@_NAMESPACE
def export_command(user: str | None, namespace: str) -> None:
    """Write facts to standard output as JSON Lines; without --user, all users'."""
    with _opened() as store:
        if user is not None:
            _write(transfer.export(store, [Owner(namespace, user)]))
            return
        with _all_owners(store) as (owners, failures):
            for owner in owners:
                try:
                    _write(transfer.export(store, [owner]))
                except StoreError as error:
                    failures.append(error)


@command.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--user", metavar="NAME", help="Whose they become; else whose they were.")
@_NAMESPACE
def import_command(file: BinaryIO, user: str | None, namespace: str) -> None:
    """Keep the facts of an export; FILE may be - for standard input."""
    owner = None if user is None else Owner(namespace, user)
    with _opened() as store:
        count = transfer.load(store, file, now=int(time.time()), owner=owner)
    click.echo(f"{count} facts read")


@command.command("delete-user")
@click.argument("user")
@_NAMESPACE
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(user: str, namespace: str, *, yes: bool) -> None:
    """Delete every fact of USER, and its name."""
    owner = Owner(namespace, user)
    with _opened() as store:
        count = store.count(owner)
        if not yes:
            click.confirm(f"Delete {count} facts of {user!r}?", abort=True)
        count = store.delete_user(owner)
    click.echo(f"{count} facts deleted")


def _write(lines: Iterator[bytes]) -> None:
    for line in lines:
        sys.stdout.buffer.write(line)


@contextmanager
def _all_owners(store: MemoryStore) -> Iterator[tuple[list[Owner], list[StoreError]]]:
    """Whoever can be read; in the end, what could not be is told, and the status is 1.

    Raises:
        SystemExit: something could not be read.
    """
    failures: list[StoreError] = []
    yield store.owners(failures), failures
    for error in failures:
        click.echo(f"Error: {error}", err=True)
    if failures:
        sys.exit(1)


@contextmanager
def _opened() -> Iterator[MemoryStore]:
    loaded = settings.load().settings
    given = loaded.memory
    config = MemoryConfig(
        max_facts=given.max_facts,
        max_fact_bytes=given.max_fact_bytes,
        max_users=given.max_users,
        embedder=load_embedder(given.embeddings) if given.embeddings else None,
    )
    store = MemoryStore(Path(loaded.memory_dir), config)
    try:
        yield store
    finally:
        store.close()

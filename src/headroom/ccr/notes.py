"""Notes about answers: what clients did not see of them, which texts they go on from.

A note is an encoded ``core.hidden.Answer``; several can be kept per request, for who
retries or rewinds may go on from any of its answers. Calls wait for the store: whoever
has an event loop makes them in a thread.
"""

from collections.abc import Iterable

from headroom.ccr.ledger import Ledger
from headroom.core.hidden import note_keys
from headroom.errors import StoreError, StoreUnavailableError


def keep_note(
    ledger: Ledger, chain_key: bytes, note: bytes, *, namespace: str
) -> bytes:
    """Keep the note on the answer to a request; the key it lies under.

    Args:
        ledger: where it goes.
        chain_key: after the request's last message.
        note: an encoded answer.
        namespace: the tenant's.

    Returns:
        The key; empty if as many other answers to this request are kept already.

    Raises:
        StoreUnavailableError: the store cannot be written or read.
    """
    for key in note_keys(namespace, chain_key):
        ledger.remember({key: note}, namespace=namespace).result()
        if ledger.recall([key], namespace=namespace).get(key) == note:
            return key
    return b""


def read_texts(
    ledger: Ledger, digests: Iterable[str], *, namespace: str
) -> dict[str, str]:
    """Originals that a note names, by digest, as far as they can be read.

    Args:
        ledger: where they are.
        digests: which ones.
        namespace: the tenant's.
    """
    found: dict[str, str] = {}
    for digest in digests:
        try:
            found[digest] = ledger.get(digest, namespace=namespace)
        except StoreUnavailableError:
            break
        except StoreError:
            continue
    return found

"""Which backend is asked first, and which ones after it.

A conversation stays with one backend: its place in the order comes from the
conversation's beginning (weighted rendezvous hashing), never from chance, so that the
provider's prompt cache goes on being read, on every broker alike. A backend that is
added or taken away moves only the conversations that it gains or loses. Pure.
"""

import math
from collections.abc import Sequence

from blake3 import blake3

from headroom.broker.registry import Model, Target

_BITS = 53


def in_order(model: Model, affinity: bytes) -> list[Target]:
    """All targets of a model: those that share its load, then the fall-backs.

    Args:
        model: what was asked for.
        affinity: the same for all requests of a conversation.
    """
    targets: Sequence[Target] = model.targets
    if len(targets) > 1:
        targets = sorted(targets, key=lambda t: _score(t, affinity), reverse=True)
    return [*targets, *model.fallbacks]


def _score(target: Target, affinity: bytes) -> float:
    """-w / ln(u) of a hash u in (0, 1): the share won is proportional to the weight."""
    name = f"{target.backend.name}\n{target.model}".encode()
    digest = blake3(affinity + b"\n" + name).digest(length=8)
    share = ((int.from_bytes(digest) >> (64 - _BITS)) + 0.5) / 2**_BITS
    return -target.weight / math.log(share)

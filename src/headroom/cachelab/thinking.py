"""Signed thinking: what was issued, and whether it may be replayed where it stands.

A signature names the prefix the thinking was written behind: tools, system and every
earlier message (thinking blocks aside, which a client may drop from the front). Models
with *preserved thinking* accept the block again only behind the same prefix; others
only check that a block in the latest assistant message is unchanged. Signatures that
were never issued here belong to recordings made elsewhere and are accepted, unless the
check is strict.

Sources: https://platform.claude.com/docs/en/build-with-claude/preserved-thinking and
https://platform.claude.com/docs/en/build-with-claude/extended-thinking
Pure: the signature is a digest of what it is bound to.
"""

import base64
from collections.abc import Iterator

from blake3 import blake3
from msgspec import Struct

from headroom.cachelab.prefix import Json, Unit
from headroom.providers.models import Model

# As long as the signatures of a short thought are: opaque, and no one parses them.
_SIGNATURE_BYTES = 210

_MODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot "
    "be modified. These blocks must remain as they were in the original response."
)
_UNKNOWN = "Invalid `signature` in `thinking` block"
_BOUND_ELSEWHERE = (
    "Invalid `signature` in `thinking` block. The block is bound to a different "
    "conversation. Remove the block, or set "
    '`thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
)


class _Issued(Struct, frozen=True):
    bound: bytes
    text: str


class ThinkingLedger:
    """All signatures one provider has issued."""

    def __init__(self, *, is_strict: bool = False) -> None:
        self.is_strict = is_strict
        self._issued: dict[str, _Issued] = {}

    def issue(self, units: list[Unit], text: str) -> str:
        """Sign a thought that answers the request laid out in ``units``."""
        bound = units[-1].bound if units else b""
        seed = blake3(bound + text.encode()).digest(_SIGNATURE_BYTES)
        signature = base64.b64encode(seed).decode()
        self._issued[signature] = _Issued(bound, text)
        return signature

    def mismatches(
        self, request: Json, units: list[Unit], model: Model
    ) -> Iterator[tuple[Unit, str]]:
        """Each replayed block that the model does not accept, with what it says."""
        messages = request["messages"]
        latest = max(
            (n for n, m in enumerate(messages) if m["role"] == "assistant"), default=-1
        )
        bound_before: dict[int, bytes] = {}
        bound = b""
        for unit in units:
            bound_before.setdefault(unit.message, bound)
            bound = unit.bound
        for unit in units:
            if unit.kind != "thinking":
                continue
            block = messages[unit.message]["content"][unit.index]
            issued = self._issued.get(block["signature"])
            if issued is None:
                if self.is_strict:
                    yield unit, _UNKNOWN
            elif issued.text != block["thinking"]:
                yield unit, _MODIFIED if unit.message == latest else _UNKNOWN
            elif model.preserves_thinking and (
                bound_before[unit.message] != issued.bound
            ):
                yield unit, _BOUND_ELSEWHERE

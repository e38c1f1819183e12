"""The one content hash: keys, ledger, markers and handles all use it (SPEC D6).

BLAKE3, first 24 hex digits for texts, 16 bytes for chain keys. The reference vectors at
https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors pin it in the tests.
"""

from blake3 import blake3

DIGEST_HEX_LENGTH = 24
KEY_BYTES = 16


def content_digest(text: str | bytes) -> str:
    """The first 24 hex digits of BLAKE3 over the text's UTF-8 bytes."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return blake3(data).hexdigest()[:DIGEST_HEX_LENGTH]


def chain_key(*parts: bytes) -> bytes:
    """16 bytes of BLAKE3 over the parts, each prefixed by its length.

    The length prefix keeps ``(b"ab", b"c")`` and ``(b"a", b"bc")`` apart.
    """
    hasher = blake3()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.digest()[:KEY_BYTES]

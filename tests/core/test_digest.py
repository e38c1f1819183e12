"""One hash, pinned by the reference vectors of the BLAKE3 project."""

import pytest
from blake3 import blake3

from headroom.core.digest import chain_key, content_digest


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "af1349b9f5f9a1a6a0404dea36dcc949"),
        (1, "2d3adedff11b61f14c886e35afa03673"),
        (1024, "42214739f095a406f3fc83deb889744a"),
    ],
)
def test_the_digest_is_the_first_24_hex_digits_of_blake3(length, expected):
    # The official vectors repeat the bytes 0..250.
    data = bytes(i % 251 for i in range(length))
    assert blake3(data).hexdigest().startswith(expected)
    assert content_digest(data) == expected[:24]


def test_text_is_hashed_as_utf8():
    assert content_digest("é🚀") == content_digest("é🚀".encode())


def test_key_parts_do_not_run_into_each_other():
    assert chain_key(b"ab", b"c") != chain_key(b"a", b"bc")
    assert chain_key(b"ab") != chain_key(b"ab", b"")
    assert len(chain_key(b"x")) == 16

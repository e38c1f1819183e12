"""Content encodings: everything comes back, nothing explodes."""

import contextlib
import gzip
import zlib

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import LimitExceededError, MalformedBodyError, RequestError
from headroom.proxy import encodings


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def fast_brotli(data):
    return brotli.compress(data, quality=2)


PACKERS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", fast_brotli),
    ("zstd", zstd.compress),
]


@pytest.mark.parametrize(("name", "pack"), PACKERS)
@given(data=st.binary(max_size=3000))
def test_what_was_encoded_comes_back(name, pack, data):
    assert encodings.decode(pack(data), (name,), 10_000) == data


@pytest.mark.parametrize(("name", "pack"), PACKERS)
def test_large_bodies_come_back(name, pack):
    data = bytes(range(256)) * 4000
    assert encodings.decode(pack(data), (name,), len(data)) == data
    with pytest.raises(LimitExceededError):
        encodings.decode(pack(data), (name,), len(data) - 1)


def test_encodings_are_undone_in_reverse():
    packed = zstd.compress(gzip.compress(b"abc"))
    applied = encodings.names(b"gzip , ZSTD, identity")
    assert applied == ("gzip", "zstd")
    assert encodings.decode(packed, applied, 1000) == b"abc"


def test_several_members_are_one_body():
    assert encodings.decode(gzip.compress(b"a") * 3, ("gzip",), 10) == b"aaa"
    assert encodings.decode(zstd.compress(b"a") * 3, ("zstd",), 10) == b"aaa"


@pytest.mark.parametrize(("name", "pack"), PACKERS)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_harmless(name, pack, data):
    packed = bytearray(pack(b"some text that is long enough to be damaged" * 9))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MalformedBodyError, LimitExceededError):
        found = encodings.decode(bytes(packed), (name,), 100_000)
        assert len(found) <= 100_000


@pytest.mark.parametrize(("name", "pack"), PACKERS)
def test_what_is_cut_off_is_malformed(name, pack):
    with pytest.raises(MalformedBodyError) as caught:
        encodings.decode(pack(b"some text" * 9)[:-3], (name,), 1000)
    assert caught.value.reason == "undecodable_body"


@pytest.mark.parametrize("applied", [("compress",), ("gzip",) * 3, ("",)])
def test_unknown_encodings_are_refused(applied):
    with pytest.raises(RequestError):
        encodings.decode(b"", applied, 10)


@pytest.mark.parametrize(("name", "pack"), PACKERS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_response_is_decoded_whatever_its_chunks(name, pack, size):
    data = b"event: ping\ndata: {}\n\n" * 50
    packed = pack(data)
    decoder = encodings.ResponseDecoder((name,), 10_000)
    found = b""
    for at in range(0, len(packed), size):
        found += b"".join(decoder.feed(packed[at : at + size]))
    assert found == data


def test_a_response_that_explodes_stops_being_read():
    decoder = encodings.ResponseDecoder(("gzip",), 1000)
    with pytest.raises(LimitExceededError):
        list(decoder.feed(gzip.compress(b"\0" * 100_000)))


def test_a_plain_response_is_not_touched():
    assert list(encodings.ResponseDecoder((), 0).feed(b"abc")) == [b"abc"]

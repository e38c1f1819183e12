import msgspec

from headroom.ccr.encoding import decode_decision, encode_decision, seal
from headroom.core.types import Decision, SlotEdit

EDIT = SlotEdit("0", "d" * 24, "short", "log", "1", is_lossy=True)


def test_a_decision_comes_back_as_it_was():
    decision = Decision((EDIT,), "added", b"\x00hidden")
    assert decode_decision(encode_decision(decision)) == decision


def test_records_of_earlier_shapes_are_read_with_defaults():
    edit = msgspec.to_builtins(EDIT)
    old = msgspec.msgpack.encode([[edit], "added"])
    assert decode_decision(seal(old)) == Decision((EDIT,), "added")
    assert decode_decision(seal(msgspec.msgpack.encode([]))) == Decision()


def test_records_of_later_shapes_are_read_as_far_as_they_are_known():
    known = Decision((), "added", b"h", ("tool_sort",))
    shape = msgspec.msgpack.decode(msgspec.msgpack.encode(known))
    later = msgspec.msgpack.encode([*shape, "more"])
    assert decode_decision(seal(later)) == known


def test_a_flipped_bit_is_no_decision():
    data = bytearray(encode_decision(Decision((EDIT,))))
    data[3] ^= 1
    assert decode_decision(bytes(data)) is None

import pytest

from headroom.core.hidden import (
    NEUTRAL,
    Answer,
    Part,
    Place,
    call_anchor,
    choose,
    decode_placement,
    encode_answer,
    note_keys,
    place,
    seal_anchor,
    text_anchor,
)

CALL = Part("call", data=b"C")
TURN = Part("turn", data=b"R")
A, B, C = (call_anchor(name) for name in "abc")
ONE, TWO = text_anchor("one"), text_anchor("two")
SEAL = seal_anchor("signature")


def seen(*anchors):
    return tuple(Part("seen", anchor) for anchor in anchors)


def answer(before=(), after=(), results=b""):
    middle = (CALL,) if results else (CALL, TURN)
    return Answer((*seen(*before), *middle, *seen(*after)), results)


def positions(placement):
    return (
        None if placement is None else [(p.position, p.kind) for p in placement.places]
    )


def split(at):
    return [(at, "call"), (at, "turn")]


@pytest.mark.parametrize(
    ("before", "after", "anchors", "expected"),
    [
        ([], [ONE], [ONE], split(0)),
        ([ONE], [TWO], [ONE, TWO], split(1)),
        ([SEAL], [ONE, A], [SEAL, ONE, A], split(1)),
        # The client dropped its thinking.
        ([SEAL], [ONE, A], [ONE, A], split(0)),
        # An empty text that only the client, or only the provider, has.
        ([ONE], [A], [ONE, NEUTRAL, A], split(2)),
        ([ONE, NEUTRAL], [A], [ONE, A], split(1)),
        # A text that the client changed, away from the place.
        ([SEAL], [A, ONE], [SEAL, A, TWO], split(1)),
        # The same text twice.
        ([ONE], [ONE, A], [ONE, ONE, A], split(1)),
    ],
)
def test_hidden_parts_are_placed_between_what_the_client_echoes(
    before, after, anchors, expected
):
    assert positions(place(answer(before, after), anchors)) == expected


@pytest.mark.parametrize(
    ("before", "after", "anchors"),
    [
        ([ONE], [TWO], []),
        ([ONE], [TWO], [NEUTRAL]),
        ([ONE], [TWO], [text_anchor("else")]),
        # Something unknown stands at the very place.
        ([ONE], [A], [ONE, TWO, A]),
        ([], [A], [ONE, A]),
        # Calls or thinking of another answer.
        ([ONE], [A], [ONE, B]),
        ([ONE], [A], [ONE, A, B]),
        ([SEAL], [ONE], [seal_anchor("other"), ONE]),
        # Another order.
        ([A], [B], [B, A]),
        # The text fits, but none of the calls is there.
        ([ONE], [TWO, A], [ONE, TWO]),
        # A text that the client has more often than the answer.
        ([ONE], [A], [ONE, ONE, A]),
    ],
)
def test_nothing_is_placed_in_a_message_that_is_not_surely_the_answer(
    before, after, anchors
):
    assert place(answer(before, after), anchors) is None


def test_several_rounds_are_placed_each_at_its_own_boundary():
    parts = (*seen(ONE), CALL, TURN, CALL, CALL, TURN, *seen(A), CALL, TURN, *seen(B))
    found = positions(place(Answer(parts), [ONE, A, B]))
    assert found == [*split(1), (1, "call"), *split(1), *split(2)]


def test_a_call_beside_the_clients_calls_keeps_its_place_even_at_the_end():
    found = place(answer([ONE, A], [], b"R"), [ONE, A])
    assert positions(found) == [(2, "call")]
    assert found.results == b"R"


def test_an_exchange_behind_which_the_client_has_nothing_is_left_out():
    parts = (CALL, TURN, *seen(ONE), CALL, TURN)
    assert positions(place(Answer(parts), [ONE])) == split(0)
    assert place(answer([ONE], []), [ONE]) is None


def test_results_without_the_clients_own_call_are_not_placed():
    parts = (*seen(ONE), CALL, TURN, CALL)
    assert place(Answer(parts, b"R"), [ONE]) is None


def test_white_space_does_not_tell_texts_apart():
    assert text_anchor(" a\n b ") == text_anchor("ab")
    assert text_anchor(" \n") == NEUTRAL


def test_of_several_answers_the_one_that_fits_is_chosen():
    notes = [encode_answer(answer([], [anchor])) for anchor in (A, B)]
    data, placement = choose(notes, [B], has_next=True)
    assert decode_placement(data) == placement
    assert placement.places == (Place(0, "call", b"C"), Place(0, "turn", b"R"))


def test_of_several_answers_that_fit_none_is_chosen_unless_they_say_the_same():
    one = encode_answer(answer([], [ONE]))
    other = encode_answer(Answer((Part("call", data=b"X"), TURN, *seen(ONE))))
    assert choose([one, other], [ONE], has_next=True) == (b"", None)
    assert choose([one, one], [ONE], has_next=True)[1] is not None


def test_results_need_a_message_that_takes_them():
    note = encode_answer(answer([A], [], b"R"))
    assert choose([note], [A], has_next=False) == (b"", None)
    assert choose([note], [A], has_next=True)[1].results == b"R"


def test_a_note_that_cannot_be_read_is_none():
    assert choose([b"", b"\xff", b"\x92\x01\x02"], [ONE], has_next=True) == (b"", None)


def test_notes_of_tenants_and_requests_never_meet():
    keys = {*note_keys("a", b"k"), *note_keys("b", b"k"), *note_keys("a", b"l")}
    assert len(keys) == 3 * len(note_keys("", b""))

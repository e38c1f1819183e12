import pytest

from headroom.core.hidden import Part
from headroom.core.types import ToolCall
from headroom.providers.rounds import MAX_ROUNDS, NOT_AVAILABLE, Piece, Rounds, Said

SEEN = Piece("text:abc")


def hidden(number):
    call = ToolCall(f"c{number}", "headroom_retrieve", b"{}")
    return Piece(call=call, data=b'{"id":"c%d"}' % number)


def rounds():
    return Rounds(lambda piece, text: f"{piece.call.id}={text}".encode())


def test_a_round_without_hidden_calls_is_the_last_and_hides_nothing():
    found = rounds()
    found.close(Said((SEEN,), {"output_tokens": 3}))
    assert (found.verdict, found.answer, found.is_unchanged) == ("final", None, True)
    assert not found.is_waiting
    assert not found.is_continuing


def test_hidden_calls_alone_are_answered_and_the_model_goes_on():
    found = rounds()
    found.close(Said((SEEN, hidden(1), hidden(2)), {"output_tokens": 3}))
    assert found.is_waiting
    assert [call.id for call in found.calls] == ["c1", "c2"]
    found.take(["one", "two"])
    assert found.is_continuing
    assert found.results == b"c1=one,c2=two"
    found.begin()
    found.close(Said((SEEN,), {"output_tokens": 4, "input_tokens": 0}))
    assert found.usage == {"output_tokens": 7}
    assert [part.kind for part in found.answer.parts] == [
        "seen", "call", "call", "turn", "seen"
    ]  # fmt: skip
    assert not found.is_unchanged


def test_results_beside_the_clients_calls_wait_for_its_next_message():
    found = rounds()
    found.close(Said((hidden(1), Piece("call:x")), has_client_calls=True))
    found.take(["one"])
    assert (found.verdict, found.is_continuing) == ("mixed", False)
    assert found.answer.results == b"c1=one"
    assert found.answer.parts == (
        Part("call", data=b'{"id":"c1"}'),
        Part("seen", "call:x"),
    )


def test_calls_of_an_answer_that_was_cut_off_were_never_made():
    found = rounds()
    found.close(Said((SEEN, hidden(1)), is_calling=False))
    assert (found.verdict, found.is_waiting, found.calls) == ("cut", False, ())
    assert found.answer is None
    assert not found.is_unchanged


def test_too_many_rounds_are_told_so_and_then_cut():
    found = rounds()
    for number in range(MAX_ROUNDS):
        found.close(Said((hidden(number),)))
        found.take(["x"])
        found.begin()
    found.close(Said((hidden(8),)))
    assert found.is_waiting
    assert found.calls == ()
    found.take([])
    assert found.results == b"c8=" + NOT_AVAILABLE.format("headroom_retrieve").encode()
    found.begin()
    found.close(Said((hidden(9),)))
    assert found.verdict == "cut"


def test_every_call_wants_one_answer():
    found = rounds()
    found.close(Said((hidden(1),)))
    with pytest.raises(ValueError, match="longer"):
        found.take(["one", "two"])

"""Circuits open after failures in a row and close after one probe."""

from headroom.broker.circuits import Circuit


def fail(circuit, times, now=0.0):
    return [circuit.failed(circuit.begin(), now, 0.0) for _ in range(times)]


def test_it_opens_after_failures_in_a_row_only():
    circuit = Circuit(3, 10)
    fail(circuit, 2)
    circuit.succeeded(circuit.begin())
    assert fail(circuit, 3) == [False, False, True]
    assert circuit.state(9.9) == "open"
    assert not circuit.admits(9.9)
    assert circuit.state(10) == "half_open"


def test_one_probe_at_a_time_and_its_success_closes_it():
    circuit = Circuit(1, 10)
    fail(circuit, 1)
    assert circuit.admits(10)
    probe = circuit.begin()
    assert probe.is_probe
    assert not circuit.admits(10)
    circuit.succeeded(probe)
    assert circuit.state(10) == "closed"
    assert circuit.failures == 0


def test_a_probe_that_fails_doubles_the_time_up_to_a_limit():
    circuit, now = Circuit(1, 10), 0.0
    fail(circuit, 1)
    waits = []
    for _ in range(8):
        wait = 10
        while circuit.state(now + wait) == "open":
            wait *= 2
        waits.append(wait)
        now += wait
        assert circuit.failed(circuit.begin(), now, 0.0)
    assert waits == [10, 20, 40, 80, 160, 320, 320, 320]


def test_a_probe_that_is_given_up_makes_room_for_another():
    circuit = Circuit(1, 10)
    fail(circuit, 1)
    circuit.released(circuit.begin())
    assert circuit.admits(10)


def test_what_began_before_it_opened_says_nothing_about_it():
    circuit = Circuit(1, 10)
    early = [circuit.begin() for _ in range(3)]
    fail(circuit, 1)
    circuit.succeeded(early[0])
    assert not circuit.failed(early[1], 1, 0.0)
    circuit.released(early[2])
    assert circuit.state(5) == "open"


def test_jitter_only_ever_lengthens_the_wait():
    circuit = Circuit(1, 10)
    circuit.failed(circuit.begin(), 0, 1.0)
    assert circuit.state(11.9) == "open"
    assert circuit.state(12) == "half_open"

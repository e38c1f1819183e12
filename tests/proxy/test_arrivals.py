"""What arrives becomes an exchange."""

import logging

from headroom.proxy.arrivals import Arrivals

PATH = b"/v1/messages"


def test_every_exchange_has_an_id_of_its_own():
    arrivals = Arrivals()
    ids = {arrivals.exchange("POST", PATH, []).request_id for _ in range(100)}
    assert len(ids) == 100


def test_two_processes_never_give_the_same_id():
    first = Arrivals().exchange("POST", PATH, []).request_id
    assert first != Arrivals().exchange("POST", PATH, []).request_id


def test_the_id_that_the_client_gives_is_kept():
    made = Arrivals().exchange("POST", PATH, [(b"x-request-id", b"mine")])
    assert made.request_id == "mine"


def test_route_and_credential_are_known_from_the_start():
    headers = [(b"authorization", b"Bearer sk-ant-oat01-x")]
    made = Arrivals().exchange("POST", PATH, headers)
    assert (made.route.provider, made.auth_mode) == ("anthropic", "oauth")


def test_a_credential_that_cannot_be_read_is_logged_without_its_value(caplog):
    with caplog.at_level(logging.WARNING, "headroom.proxy"):
        Arrivals().exchange("POST", PATH, [(b"authorization", "schlüssel".encode())])
    assert caplog.records[0].getMessage() == "auth_mode_classified"
    assert "schl" not in str(vars(caplog.records[0]))


def test_requests_inside_a_connection_share_its_credential_not_its_id():
    arrivals = Arrivals()
    headers = [(b"authorization", b"Bearer sk-ant-oat01-x")]
    opening = arrivals.exchange("GET", PATH, headers)
    inside = arrivals.inside("WS", opening)
    assert inside.request_id != opening.request_id
    assert (inside.route, inside.auth_mode) == (opening.route, "oauth")

"""The stages of an exchange, over any transport."""

import pytest

from headroom import settings
from headroom.proxy.arrivals import Arrivals
from headroom.proxy.metrics import Metrics
from headroom.proxy.steps import Steps
from loopback import EditStage


def steps(*stages, **environ):
    env = {f"HEADROOM_{name}": value for name, value in environ.items()}
    loaded = settings.load({}, {"HOME": "/nonexistent", **env}).settings
    return Steps(loaded, stages, Metrics())


def exchange(path=b"/v1/messages", headers=()):
    made = Arrivals().exchange("POST", path, list(headers))
    made.set_body(b"{}", b"{}")
    return made


async def edit(found):
    found.replace_body(b"[]", "test")


async def fail(found):
    found.replace_body(b"broken", "test")
    raise ZeroDivisionError


async def test_stages_run_in_order_on_one_body():
    made = exchange()
    await steps(EditStage(edit), EditStage()).on_request(made)
    assert made.forwarded_body() == b"[]"


async def test_a_stage_that_fails_leaves_what_the_one_before_made():
    made = exchange()
    await steps(EditStage(edit), EditStage(fail)).on_request(made)
    assert made.forwarded_body() == b"[]"
    assert made.has_failed


@pytest.mark.parametrize(
    ("environ", "headers", "size", "reason"),
    [
        ({}, (), 2, None),
        ({}, (), None, None),
        ({"PROXY_COMPRESSION": "false"}, (), 2, "switched_off"),
        ({"PROXY_COMPRESSION_MODE": "off"}, (), 2, "mode_off"),
        ({}, [(b"x-headroom-bypass", b"true")], 2, "bypass_header"),
        ({"PROXY_MAX_BODY_BYTES": "1"}, (), 2, "body_over_compression_cap"),
    ],
)
def test_why_a_body_is_not_read_is_told(environ, headers, size, reason):
    found = steps(EditStage(), **environ)
    assert found.reason_to_pass(exchange(headers=headers), size) == reason


def test_bodies_of_unknown_paths_are_not_read():
    assert steps(EditStage()).reason_to_pass(exchange(b"/x"), 2) == "not_intercepted"


def test_without_a_stage_nothing_is_read():
    assert steps().reason_to_pass(exchange(), 2) == "no_stage"

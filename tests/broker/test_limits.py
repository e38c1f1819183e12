"""Rates and budgets, by a clock that the tests turn."""

import pytest

from headroom.broker.limits import Meter, Meters, Spent, admit
from headroom.broker.models_file import Limits

DAY = 86_400.0
NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z


def meter(**limits):
    return Meter("it", Limits(**limits), 0.0, NOON)


def test_requests_come_in_a_burst_and_then_evenly():
    found = meter(requests_per_minute=6)
    served = []
    for second in range(61):
        while admit([found], 0, float(second), NOON) is None:
            served.append(second)
    assert served == [0] * 6 + [10, 20, 30, 40, 50, 60]


def test_tokens_are_estimated_first_and_counted_afterwards():
    found = meter(tokens_per_minute=600)
    assert admit([found], 500, 0.0, NOON) is None
    found.settle(500, 1200, 0.0, NOON)
    refusal = admit([found], 0, 0.0, NOON)
    assert refusal.kind == "tokens_per_minute"
    assert refusal.wait_s == pytest.approx(60.1)
    assert admit([found], 0, 60.2, NOON) is None


def test_a_request_that_used_nothing_gives_its_estimate_back():
    found = meter(tokens_per_minute=600)
    for _ in range(50):
        assert admit([found], 599, 0.0, NOON) is None
        found.settle(599, 0, 0.0, NOON)


@pytest.mark.parametrize(
    ("period", "wait"), [("day", DAY / 2), ("month", 16.5 * DAY), ("total", 0)]
)
def test_a_budget_ends_with_its_period(period, wait):
    found = meter(budget_tokens=10, budget_period=period)
    found.settle(0, 10, 0.0, NOON)
    refusal = found.refusal(0.0, NOON)
    assert (refusal.kind, refusal.wait_s) == ("budget_tokens", wait)
    assert (found.refusal(0.0, NOON + 17 * DAY) is None) == (period != "total")


def test_a_day_s_budget_begins_anew_at_midnight_and_no_moment_before():
    found, midnight = meter(budget_tokens=10), NOON + DAY / 2
    found.settle(0, 10, 0.0, NOON)
    last = found.refusal(0.0, midnight - 0.25)
    assert (last.kind, last.wait_s) == ("budget_tokens", 0.25)
    assert found.refusal(0.0, midnight) is None
    found.settle(0, 10, 0.0, midnight)
    assert found.refusal(0.0, midnight).wait_s == DAY


def test_who_is_refused_by_one_meter_uses_nothing_of_the_others():
    free, full = meter(requests_per_minute=1), meter(budget_usd=1.0)
    full.settle(0, 0, 1.5, NOON)
    assert admit([free, full], 0, 0.0, NOON).kind == "budget_usd"
    assert admit([free], 0, 0.0, NOON) is None


def test_what_was_spent_stays_when_limits_change_or_the_broker_starts_again():
    meters = Meters()
    meters.of("it", Limits(budget_tokens=10), 0.0, NOON).settle(0, 9, 0.0, NOON)
    changed = meters.of("it", Limits(budget_tokens=9), 0.0, NOON)
    assert changed.refusal(0.0, NOON) is not None
    written = meters.take_changes()
    again = Meters()
    again.resume(written)
    resumed = again.of("it", Limits(budget_tokens=9), 0.0, NOON)
    assert resumed.refusal(0.0, NOON) is not None
    later = Meters()
    later.resume({"it": Spent("2020-01-01", 99)})
    fresh = later.of("it", Limits(budget_tokens=9), 0.0, NOON)
    assert fresh.refusal(0.0, NOON) is None


def test_only_changes_are_written():
    meters = Meters()
    found = meters.of("it", Limits(), 0.0, NOON)
    assert meters.take_changes() is None
    found.settle(0, 5, 0.0, NOON)
    assert meters.take_changes() == {"it": Spent("2027-01-15", 5)}
    assert meters.take_changes() is None

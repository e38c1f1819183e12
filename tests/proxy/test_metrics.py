"""Figures: bounded labels, right sums."""

from headroom.core.types import BlockOutcome, Manifest, ManifestEntry
from headroom.proxy.metrics import Metrics


def value(metrics, line):
    """The value of one line of a scrape; ``None`` if it is not there."""
    rows = (row.rpartition(" ") for row in metrics.render().decode().splitlines())
    return next((float(number) for name, _, number in rows if name == line), None)


def test_requests_are_counted_and_those_in_flight_come_back_to_zero():
    metrics = Metrics()
    metrics.began()
    metrics.began()
    metrics.ended("/v1/messages", 200, "compressed")
    assert value(metrics, "headroom_requests_in_flight") == 1
    line = (
        'headroom_requests_total{decision="compressed",route="/v1/messages",'
        'status="200"}'
    )
    assert value(metrics, line) == 1


def test_two_apps_in_one_process_count_apart():
    first, second = Metrics(), Metrics()
    first.prefix_breaks(2)
    assert value(first, "headroom_prefix_breaks_total") == 2
    assert value(second, "headroom_prefix_breaks_total") == 0


def test_a_manifest_becomes_counts_of_blocks_and_tokens():
    metrics = Metrics()
    entries = tuple(
        ManifestEntry(
            0,
            0,
            "tool_result",
            BlockOutcome(
                "compressed",
                kind="log",
                strategy="log",
                original_tokens=10,
                compressed_tokens=4,
            ),
            is_reapplied=is_reapplied,
        )
        for is_reapplied in (False, True, True)
    )
    metrics.manifest(Manifest(1, 0, 0, entries))
    assert value(metrics, 'headroom_tokens_before_total{state="first"}') == 10
    assert value(metrics, 'headroom_tokens_before_total{state="reapplied"}') == 20
    assert value(metrics, 'headroom_tokens_after_total{state="reapplied"}') == 8
    line = 'headroom_blocks_total{action="compressed",kind="log",strategy="log"}'
    assert value(metrics, line) == 3


def test_lost_log_records_show():
    metrics = Metrics()
    lost = [3, 0, 2]
    metrics.watch_dropped_logs(lambda: lost.pop(0))
    assert value(metrics, "headroom_log_records_dropped_total") == 3
    assert value(metrics, "headroom_log_records_dropped_total") == 3
    assert value(metrics, "headroom_log_records_dropped_total") == 5

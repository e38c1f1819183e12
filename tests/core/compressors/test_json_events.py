"""JSON lines that are a log: every error, each kind of event once, and counts."""

import json

import pytest

from fakes import settled
from headroom.core.compressors.json_table import compress
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context


def events(count: int, names=("time", "level", "msg")) -> list[dict]:
    time, level, message = names
    return [
        {
            time: f"2026-05-01T10:{i // 60:02}:{i % 60:02}Z",
            level: "info",
            message: ("job taken", "job done")[i % 2],
            "job": f"job-{i:04}",
            "ms": 10 + i * 7 % 90,
        }
        for i in range(count)
    ]


def lossy_of(rows, question: str = ""):
    text = "\n".join(map(json.dumps, rows))
    context = Context(count=estimate_tokens, wants_lossy=True, question=question)
    found = settled(compress(text, context))
    assert found is not None
    return found.lossy


def test_every_error_stays_with_the_event_before_it():
    rows = events(300)
    for i, reason in ((44, "disk full"), (180, "queue gone"), (260, "disk full")):
        rows[i] |= {"level": "error", "msg": f"job failed: {reason}"}
    lossy = lossy_of(rows)
    assert all(f"job-{i:04}" in lossy.text for i in (43, 44, 179, 180, 260))
    assert "disk full" in lossy.text
    assert "queue gone" in lossy.text


def test_each_kind_of_event_and_both_ends_stay_and_the_rest_is_counted():
    rows = events(300)
    rows[150] |= {"level": "warning", "msg": "job 17 is late"}
    lossy = lossy_of(rows)
    assert all(f"job-{i:04}" in lossy.text for i in (0, 1, 150, 298, 299))
    assert "job-0200" not in lossy.text
    assert "levels: warning 1, info 299" in lossy.omitted
    assert "job taken ×149, job done ×150" in lossy.omitted.replace(
        "job done ×150, job taken ×149", "job taken ×149, job done ×150"
    )
    assert "time 2026-05-01T10:00:00Z to 2026-05-01T10:04:59Z" in lossy.omitted


def test_events_that_are_asked_for_stay():
    assert "job-0200" in lossy_of(events(300), "what happened to job-0200?").text


@pytest.mark.parametrize(
    "names",
    [("ts", "severity", "message"), ("T", "L", "M"), ("@timestamp", "lvl", "event")],
)
def test_members_go_by_many_names(names):
    lossy = lossy_of(events(300, names))
    assert "of 300 events" in lossy.omitted


def test_records_without_a_message_or_a_time_keep_every_row():
    bare = [{"level": "info", "job": f"job-{i:04}", "msg": "x"} for i in range(90)]
    untold = [{"time": f"10:00:{i:02}", "job": f"job-{i:04}"} for i in range(60)]
    for rows in (bare, untold):
        lossy = lossy_of(rows)
        assert lossy is None or "events" not in lossy.omitted


def test_a_log_in_which_every_event_differs_stays():
    rows = [
        row | {"msg": f"step {'abcdefgh'[i % 8] * (1 + i)}", "level": "error"}
        for i, row in enumerate(events(60))
    ]
    lossy = lossy_of(rows)
    assert lossy is None or "events" not in lossy.omitted


def test_lines_that_docker_keeps_are_events():
    rows = [
        {
            "log": f"took job {i}\n" if i != 120 else "panic: no such queue\n",
            "stream": "stderr" if i == 120 else "stdout",
            "time": f"2026-05-01T10:{i // 60:02}:{i % 60:02}.5Z",
        }
        for i in range(200)
    ]
    lossy = lossy_of(rows)
    assert "panic: no such queue" in lossy.text
    assert "took job 119" in lossy.text
    assert "took job … ×199" in lossy.omitted
    assert "\n" not in lossy.omitted
    assert "of 200 events" in lossy.omitted


def test_events_within_a_document_are_events():
    rows = [
        {"timestamp": 1770000000000 + i, "message": f"END RequestId: {i:08x} 1"}
        for i in range(200)
    ]
    rows[90]["message"] = "Task timed out after 3.00 seconds"
    text = json.dumps({"events": rows, "nextToken": "f/1"})
    context = Context(count=estimate_tokens, wants_lossy=True)
    lossy = settled(compress(text, context)).lossy
    assert "Task timed out after 3.00 seconds" in lossy.text
    assert "of 200 events" in lossy.omitted
    assert "f/1" in lossy.text


def test_what_people_said_stays():
    said = ("yes", "no", "perhaps", "why", "who", "never", "once", "always", "and")
    rows = [
        {
            "timestamp": f"2026-05-01T10:{i // 60:02}:{i % 60:02}Z",
            "message": f"{said[i % 9]} {said[i // 9 % 9]} {said[i // 81]}",
        }
        for i in range(300)
    ]
    lossy = lossy_of(rows)
    assert lossy is None or "events" not in lossy.omitted

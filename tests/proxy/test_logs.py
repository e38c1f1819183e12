"""Log output: structured, quick, and never in the way."""

import io
import json
import logging
import threading
import time

from headroom.proxy import logs
from headroom.settings import LogSettings

log = logging.getLogger("headroom.proxy")


def written(settings, write):
    stream = io.StringIO()
    running = logs.Logs(settings, stream)
    write()
    running.close()
    return stream.getvalue()


def test_records_are_one_json_object_per_line():
    text = written(
        LogSettings(), lambda: log.info("thing_done", extra={"count": 3, "path": "/a"})
    )
    record = json.loads(text)
    assert record["event"] == "thing_done"
    assert record["level"] == "INFO"
    assert (record["count"], record["path"]) == (3, "/a")
    assert isinstance(record["ts"], float)


def test_text_records_are_lines_with_their_fields():
    text = written(
        LogSettings(format="text"), lambda: log.warning("thing", extra={"count": 3})
    )
    assert text.rstrip().endswith("thing count=3")
    assert "WARNING" in text


def test_the_level_is_a_floor():
    def write():
        log.debug("quiet")
        log.info("loud")

    assert "quiet" not in written(LogSettings(), write)
    assert "quiet" in written(LogSettings(level="debug"), write)
    assert written(LogSettings(level="off"), write) == ""


def test_a_stalled_output_loses_records_and_never_waits(monkeypatch):
    monkeypatch.setattr(logs, "_MAX_QUEUED", 5)
    gate = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text):
            gate.wait(10)
            return super().write(text)

    stream = Stalled()
    running = logs.Logs(LogSettings(), stream)
    for number in range(20):
        log.info("thing", extra={"number": number})
    assert running.take_dropped() == 15
    assert running.take_dropped() == 0
    gate.set()
    running.close()
    assert stream.getvalue().count("thing") == 5


def test_an_output_that_takes_nothing_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(logs, "_MAX_QUEUED", 5)
    monkeypatch.setattr(logs, "_CLOSE_S", 0.05)
    gate = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text):
            gate.wait(10)
            return super().write(text)

    running = logs.Logs(LogSettings(), Stalled())
    for _ in range(20):
        log.info("thing")
    started = time.perf_counter()
    running.close()
    assert time.perf_counter() - started < 1
    gate.set()


def test_a_response_broken_off_on_purpose_is_no_news():
    server = logging.getLogger("uvicorn.error")

    def write():
        server.error("ASGI callable returned without completing response.")
        server.error("something else")

    text = written(LogSettings(), write)
    assert "completing" not in text
    assert "something else" in text


def test_an_output_that_has_gone_costs_records_and_nothing_else():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    running = logs.Logs(LogSettings(), Gone())
    log.info("thing")
    running.close()
    assert running.take_dropped() == 0


def test_records_appear_soon_without_being_asked_for():
    stream = io.StringIO()
    running = logs.Logs(LogSettings(), stream)
    for number in range(3):
        log.info("thing", extra={"number": number})
        deadline = time.perf_counter() + 2
        while stream.getvalue().count("thing") <= number:
            assert time.perf_counter() < deadline
            time.sleep(0.01)
    running.close()

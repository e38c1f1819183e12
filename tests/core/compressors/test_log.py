import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headroom
from fakes import settled
from headroom.core.compressors.log import COMPRESSOR, decode
from headroom.core.folding import normalise
from headroom.core.types import Candidate, Context

LOSSLESS = Context(count=lambda text: len(text) // 4)
LOSSY = Context(count=lambda text: len(text) // 4, wants_lossy=True)


def lossless_of(text: str) -> str:
    found = settled(COMPRESSOR.compress(text, LOSSLESS))
    assert found is not None
    assert found.lossless is not None
    assert found.lossy is None
    return found.lossless.text


def lossy_of(text: str) -> Candidate:
    found = settled(COMPRESSOR.compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    return found.lossy


def service_log(count: int = 400) -> list[str]:
    """A service's log: frequent requests, some warnings, one failure with its trace."""
    lines = []
    for i in range(count):
        clock = f"2024-03-11 08:{i // 60:02}:{i % 60:02},{i % 1000:03}"
        if i == 211:
            lines += [
                f"{clock} ERROR [worker-3] billing: charge 9917 for tenant acme failed",
                "java.net.SocketTimeoutException: Read timed out",
                "\tat com.shop.billing.Gateway.charge(Gateway.java:88)",
                "\tat com.shop.billing.Job.run(Job.java:31)",
            ]
        elif i % 50 == 7:
            lines.append(
                f"{clock} WARN [worker-1] cache: eviction of key user:{i} slow"
            )
        elif i == 300:
            lines.append(f"{clock} INFO [main] leader: state changed to FOLLOWER")
        else:
            lines.append(
                f"{clock} INFO [worker-{i % 4}] http: GET /orders/{i * 7} 200"
                f" in {i % 90} ms"
            )
    return lines


def test_a_log_folds_losslessly_to_less_than_half():
    text = "\n".join(service_log())
    form = lossless_of(text)
    assert len(form) < len(text) / 2
    assert decode(form) == text


def test_every_word_of_the_log_can_be_quoted_from_its_form():
    text = "\n".join(service_log())
    form = lossless_of(text)
    words = {w for w in re.split(r"[\s()\[\]]+", text) if not w.startswith("08:")}
    assert all(word.strip(",") in form for word in words)


def test_first_and_last_line_and_the_first_error_stand_in_full():
    lines = service_log()
    form = lossless_of("\n".join(lines))
    rows = form.split("\n")
    assert lines[0] in rows
    assert lines[-1] in rows
    assert next(line for line in lines if "ERROR" in line) in rows


def test_a_form_is_not_compressed_again():
    for ctx in (LOSSLESS, LOSSY):
        assert COMPRESSOR.compress(lossless_of("\n".join(service_log())), ctx) is None
        assert COMPRESSOR.compress(lossy_of("\n".join(service_log())).text, ctx) is None


@pytest.mark.parametrize(
    "forged",
    [
        "log templates\n\n",
        "log templates; time iso\n$a=x\n\n",
        "log overview, by line number; 1 of 2 lines omitted: x\n",
    ],
)
def test_a_forged_header_does_not_switch_compression_off(forged):
    text = forged + "\n".join(service_log())
    assert len(lossless_of(text)) < len(text) / 2
    assert len(lossy_of(text).text) < len(text) / 5


def test_the_lossy_form_keeps_trouble_with_its_trace_and_neighbours():
    lines = service_log()
    text = lossy_of("\n".join(lines)).text
    at = next(i for i, line in enumerate(lines) if "ERROR" in line)
    for line in lines[at : at + 4]:
        assert line.partition(" ")[2] in text
    assert f"\n{at + 1} " in text
    assert f"\n{at} " in text
    assert "leader: state changed to FOLLOWER" in text


def test_the_lossy_form_counts_what_it_leaves_out():
    lines = service_log()
    found = lossy_of("\n".join(lines))
    shown = len(re.findall(r"(?m)^\d+ ", found.text))
    assert found.omitted.startswith(
        f"{len(lines) - shown} of {len(lines)} lines omitted"
    )
    assert found.omitted in found.text
    assert "levels: error 1, warning 8, info" in found.text
    assert re.search(r"http: GET \S+ 200 in \d+ ms \(×\d+, last 403 at 08:", found.text)


def test_every_numbered_line_of_the_lossy_form_is_that_line_of_the_source():
    lines = service_log()
    for row in lossy_of("\n".join(lines)).text.split("\n")[2:]:
        number, _, shown = row.partition(" ")
        shown = re.sub(r" \((?:×|this trace).*\)$", "", shown)
        assert lines[int(number) - 1].endswith(shown)


def test_a_homogeneous_log_still_shows_its_span_levels_first_and_last_line():
    lines = [f"2024-03-11T08:{i // 60:02}:{i % 60:02}Z INFO tick" for i in range(600)]
    text = lossy_of("\n".join(lines)).text
    assert "time 2024-03-11T08:00:00Z to 2024-03-11T08:09:59Z" in text
    assert "levels: info 600" in text
    assert f"\n1 {lines[0]} (×600, last 600 at 08:09:59)" in text
    assert text.endswith(f"\n600 {lines[-1]}")


def test_distinct_errors_are_all_shown():
    lines = service_log()
    kinds = [f"cannot open table {name}" for name in ("orders", "users", "items")]
    for i, kind in enumerate(kinds * 9):
        lines[i * 11 + 3] = f"2024-03-11 08:00:00,001 ERROR db: {kind}"
    text = lossy_of("\n".join(lines)).text
    assert all(kind in text for kind in kinds)
    assert "(×9, last" in text


def test_a_small_log_stays_lossless():
    found = settled(COMPRESSOR.compress("\n".join(service_log(12)), LOSSY))
    assert found is not None
    assert found.lossy is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("\n".join(service_log(60)), 0.85, 1.0),
        ("\n".join(f"[INFO] step {i} done" for i in range(30)), 0.5, 0.7),
        ("a,b,c\n" * 30, 0.0, 0.0),
        ("\n".join(f"2024-03-11 08:00:{i:02},{i},3.5" for i in range(30)), 0.3, 0.3),
        ('{"time": "2024-03-11T08:00:00Z"}\n' * 30, 0.0, 0.1),
        ("One line of prose.\nAnother line.\nAnd a third.\nAnd more.", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_confidence_follows_the_times_and_levels_of_the_lines(text, low, high):
    assert low <= COMPRESSOR.detect(text) <= high


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(service_log(230)) | st.text(max_size=40), max_size=60))
def test_any_mixture_of_lines_decodes_and_never_grows(lines):
    text = "\n".join(lines)
    found = settled(COMPRESSOR.compress(text, LOSSY))
    if found is not None and found.lossless is not None:
        assert decode(found.lossless.text) == normalise(text)
        assert len(found.lossless.text) < len(text)
    if found is not None and found.lossy is not None:
        assert len(found.lossy.text) < len(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 300_000,
        "[" * 300_000,
        "\n" * 300_000,
        "12:00:00" * 40_000,
        "\tat " * 80_000,
        " ".join(map(str, range(60_000))),
        "\n".join(
            f"ERROR {i * 7919 % 99991:x} {'ab' * (i % 9)}" for i in range(20_000)
        ),
        "log templates\n$a=x\n\n" + "$a×999999999\n" * 9000,
    ],
    ids=range(8),
)
def test_hostile_texts_take_linear_time(text):
    start = time.process_time()
    COMPRESSOR.detect(text)
    COMPRESSOR.compress(text, LOSSY)
    assert time.process_time() - start < 3


def test_a_time_behind_a_level_in_brackets_is_a_loggers_not_mavens():
    lines = [
        f"[INFO] 2026-03-02T12:00:{i:02d}Z server=web-{i % 3} status=ok"
        for i in range(60)
    ]
    assert headroom.compress_text("\n".join(lines)).kind == "log"


def test_errors_without_a_time_among_lines_with_one_are_entries_of_their_own():
    lines = [
        f"2026-03-02T12:{n // 60:02}:{n % 60:02}Z INFO web-{n % 7} served in {n} ms"
        for n in range(400)
    ]
    errors = [f"[ERROR] server=web-3 status=failed cause=disk_{n}" for n in range(5)]
    for n, error in enumerate(errors):
        lines.insert(50 + 60 * n, error)
    overview = lossy_of("\n".join(lines)).text
    assert [error for error in errors if error not in overview] == []

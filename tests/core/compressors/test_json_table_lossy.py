"""The lossy form of JSON: what stays, what goes, and that it is said."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.json_table import compress
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context, ToolCall


def digest(number: int) -> str:
    return f"{number * 2654435761 % 2**64:016x}{number * 40503 % 2**32:08x}"


def orders(count: int) -> list[dict]:
    return [
        {
            "order_id": f"ord-{i:05}",
            "status": "shipped",
            "total": f"{10 + i * 7 % 90}.{i % 100:02}",
            "qty": 1 + i % 5,
            "sha256": digest(i),
            "created": f"2026-03-{1 + i % 28:02}T10:{i % 60:02}:00Z",
        }
        for i in range(count)
    ]


def both(value, question: str = "", call: ToolCall | None = None):
    context = Context(
        count=estimate_tokens, wants_lossy=True, question=question, call=call
    )
    found = settled(compress(json.dumps(value, indent=2), context))
    assert found is not None
    assert found.lossless is not None
    return found


def test_every_row_keeps_its_name_and_its_cheap_cells():
    lossy = both(orders(60)).lossy
    assert lossy is not None
    assert all(f"ord-{i:05} " in lossy.text for i in range(60))
    assert digest(30) not in lossy.text
    assert "of 60 rows without sha256, created" in lossy.omitted
    assert f"… left out: {lossy.omitted}" in lossy.text


def test_first_and_last_rows_and_outliers_stay_whole():
    rows = orders(60)
    rows[33]["qty"] = 900
    rows[41]["status"] = "payment disputed"
    rows[47]["note"] = "address unknown"
    lossy = both(rows).lossy
    assert lossy is not None
    for i in (0, 1, 2, 33, 41, 47, 58, 59):
        assert digest(i) in lossy.text
    assert "payment disputed" in lossy.text
    assert "address unknown" in lossy.text


def test_rows_that_the_question_or_the_call_name_stay_whole():
    call = ToolCall(id="1", name="query", input=b'{"order": "ord-00021"}')
    lossy = both(orders(60), "What about ord-00037?", call).lossy
    assert lossy is not None
    assert digest(21) in lossy.text
    assert digest(37) in lossy.text
    assert digest(38) not in lossy.text


def test_tables_of_very_many_rows_lose_rows_by_number():
    rows = orders(900)
    rows[555]["status"] = "failed"
    lossy = both(rows).lossy
    assert lossy is not None
    assert "ord-00555" in lossy.text
    assert "of 900 rows, numbers " in lossy.omitted
    assert lossy.text.count("\nord-") < 260


def test_long_series_keep_both_ends_and_say_their_range():
    value = {"series": list(range(500)), "names": [f"n-{i}" for i in range(400)]}
    lossy = both(value).lossy
    assert lossy is not None
    assert "480 of items 11-490, 0 to 499" in lossy.text
    assert "n-399" in lossy.text
    assert "series: 480 of 500 items, numbers 11-490" in lossy.omitted


def test_prose_is_cut_but_messages_of_errors_are_not():
    prose = "This part explains at length how things hang together. " * 40
    message = "Cannot open the file because of its owner; " * 40
    rows = [{"path": f"/src/{i}", "description": f"{i} {prose}"} for i in range(6)]
    rows[2]["message"] = message
    lossy = both(rows).lossy
    assert lossy is not None
    assert message.strip() in lossy.text
    assert prose not in lossy.text
    assert "6 long strings cut" in lossy.omitted


def test_small_tables_stay_whole():
    assert both(orders(8)).lossy is None
    assert both(orders(12)).lossy is None


def test_nothing_is_reduced_unless_asked():
    found = settled(compress(json.dumps(orders(60)), Context(count=estimate_tokens)))
    assert found is not None
    assert found.lossy is None


@settings(max_examples=40, deadline=None)
@given(
    st.integers(20, 120),
    st.lists(st.sampled_from(["ok", "warn", "failed"]), min_size=20, max_size=20),
)
def test_every_number_in_the_form_stands_in_the_source(count, states):
    rows = orders(count)
    for i, state in enumerate(states):
        rows[i]["status"] = state
    found = both(rows)
    if found.lossy is None:
        return
    source = json.dumps(rows)
    body = [line for line in found.lossy.text.split("\n")[1:] if line[0] != "…"]
    for line in body:
        for cell in line.replace("=", " ").split(" "):
            bare = cell.removesuffix("…")
            assert bare in source or bare[0] == "*"


@pytest.mark.parametrize("question", ["", "why did job k777 fail? " * 400])
def test_hostile_texts_take_little_time_too(question):
    text = "[" + ",".join(f'{{"k":"a{i}","v":{i}}}' for i in range(40_000)) + "]"
    context = Context(count=estimate_tokens, wants_lossy=True, question=question)
    start = time.process_time()
    compress(text, context)
    assert time.process_time() - start < 3.0


def test_hashes_stay_at_the_ends_and_in_rows_that_were_asked_for():
    def lock(n):
        entry = {"version": f"{n}.0.{n}", "integrity": f"sha512-{n:03}{'aZ9/' * 20}"}
        return entry | ({"os": ["linux"]} if n == 17 else {})

    text = json.dumps({"packages": {f"node_modules/p{n}": lock(n) for n in range(40)}})
    context = Context(
        count=estimate_tokens, wants_lossy=True, question="which is node_modules/p23?"
    )
    found = compress(text, context).lossy
    kept = [n for n in range(40) if f"sha512-{n:03}aZ9" in found.text]
    assert kept == [0, 23, 39]
    assert all(f"node_modules/p{n}" in found.text for n in range(40))
    assert "linux" in found.text
    assert "37 of 40 rows without integrity" in found.omitted


def test_long_lists_of_words_stay_in_rows_that_stand_out():
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]

    def row(n):
        topics = [f"{word}{n}-{n * 7}" for word in words]
        return {"name": f"pkg{n}", "topics": topics, "stars": n * n % 41}

    found = both([row(n) for n in range(40)]).lossy
    assert "alpha0-0" in found.text
    assert "alpha20-140" not in found.text
    assert all(f"pkg{n}" in found.text for n in range(40))
    assert "rows without topics" in found.omitted


def test_a_member_called_error_hides_no_row_that_speaks_of_trouble():
    rows = [{**row, "error": None} for row in orders(60)]
    rows[37]["status"] = "quota exceeded at the carrier"
    lossy = both(rows).lossy
    assert lossy is not None
    assert digest(37) in lossy.text
    assert digest(38) not in lossy.text


def test_codes_that_one_row_has_stay():
    rows = [{**row, "code": 200} for row in orders(80)]
    rows[30]["code"], rows[50]["code"] = 404, 503
    lossy = both(rows).lossy
    assert lossy is not None
    assert digest(30) in lossy.text
    assert digest(50) in lossy.text
    assert digest(40) not in lossy.text


def test_rows_of_trouble_stay_where_more_stand_out_than_can_stay():
    rows = [
        {**row, "zone": f"zone-{n // 3}" if n % 2 else "zone"}
        for n, row in enumerate(orders(2400))
    ]
    for n in range(2000, 2400, 20):
        rows[n]["status"] = f"refused by gate {n}"
    lossy = both(rows).lossy
    assert lossy is not None
    assert all(f"refused by gate {n}" in lossy.text for n in range(2000, 2400, 20))

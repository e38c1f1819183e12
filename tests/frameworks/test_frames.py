"""Columns of real frames."""

import pandas as pd
import polars as pl
import pytest
from polars.exceptions import ColumnNotFoundError

import headroom
from headroom.ccr.stores import open_store
from headroom.core import markers
from headroom.integrations.frames import TextOptions, compress_column
from jobs import log

TEXTS = [log(0), None, "short", log(1)]
ROWS = {"id": [1, 2, 3, 4], "text": TEXTS}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_column_is_shortened_and_the_frame_stays(make):
    frame = make(ROWS)
    made = compress_column(frame, "text")
    assert list(made.columns) == ["id", "text"]
    assert type(made) is type(frame)
    found = list(made["text"])
    assert found[2] == "short"
    assert pd.isna(found[1])
    for n, place in enumerate((0, 3)):
        assert found[place] == headroom.compress_text(log(n)).text
        assert len(found[place]) < 0.9 * len(log(n))
    assert next(iter(frame["text"])) == log(0)
    assert list(compress_column(frame, "text", into="short").columns)[-1] == "short"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_what_is_left_out_can_be_fetched_back(make, tmp_path):
    url = f"sqlite://{tmp_path}/originals.db"
    options = TextOptions(lossy=True, store=url, query="job 7")
    made = compress_column(make(ROWS), "text", options=options)
    (marker,) = markers.find_markers(next(iter(made["text"])))
    store = open_store(url)
    assert headroom.retrieve(marker.digest, store=store) == log(0)
    store.close()


def test_what_cannot_work_is_refused():
    with pytest.raises(TypeError, match="expected pandas or Polars"):
        compress_column([1], "text")
    with pytest.raises(KeyError):
        compress_column(pd.DataFrame(ROWS), "other")
    with pytest.raises(ColumnNotFoundError):
        compress_column(pl.DataFrame(ROWS), "other")
    with pytest.raises(ValueError, match="store"):
        compress_column(pd.DataFrame(ROWS), "text", options=TextOptions(lossy=True))


def test_empty_frames_and_columns_of_other_things():
    assert len(compress_column(pd.DataFrame({"text": []}), "text")) == 0
    empty = pl.DataFrame({"text": []}, schema={"text": pl.String})
    assert compress_column(empty, "text").schema == empty.schema
    numbers = pl.DataFrame({"text": [1, 2]})
    assert compress_column(numbers, "text").equals(numbers)

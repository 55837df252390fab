"""None"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from raw_logs import CSV, FRAME, Read, rows, write

from segue.data import engine
from segue.data.log.read import read_log
from segue.errors import LogError
from segue.settings import ColumnsSettings, CsvSettings, PreparationSettings


def test_a_table_without_order_goes_by_time_then_item(read: Read, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute(
            "CREATE TABLE t AS FROM (VALUES ('u', 'b', 9), ('u', 'c', 5), ('u', 'a', 9)) t(user_id, item_id, timestamp)"
        )
    log = read(f"{tmp_path / 'shop.duckdb'}::t")
    assert rows(log, "item_id, event_row") == [("c", 0), ("a", 1), ("b", 2)]
    assert "the source has no order of rows" in log.facts.order


def test_pandas_categories_floats_and_native_times(read: Read) -> None:
    frame = pd.DataFrame(
        {
            "user_id": pd.Categorical(["a", "b", "a"]),
            "item_id": [12.0, 7.0, 12.5],
            "timestamp": pd.to_datetime([1700000000500, 1699920000000, 1700006400000], unit="ms", utc=True),
        }
    )
    log = read(frame)
    assert rows(log) == [("a", "12", 1700000000500), ("b", "7", 1699920000000), ("a", "12.5", 1700006400000)]
    assert log.facts.timestamp_format == "native timestamps with zone, in UTC"


# Columns


def test_columns_are_mapped_and_the_rest_is_left_alone(read: Read, tmp_path: Path) -> None:
    text = "User Id,User id,when,what,visit,kind\nx,u1,1700000000,i1,s1,view\nx,u1,1700000001,i2,s1,\n"
    names = {"user_id": "User id", "item_id": "what", "timestamp": "when", "session_id": "visit", "event_type": "kind"}
    log = read(write(tmp_path / "log.csv", text), names)
    assert rows(log, "user_id, item_id, session_id, event_type") == [
        ("u1", "i1", "s1", "view"),
        ("u1", "i2", "s1", None),
    ]
    assert (log.facts.has_session_id, log.facts.has_event_type) == (True, True)


def test_session_id_and_event_type_are_found_by_name(read: Read) -> None:
    frame = pa.table({**FRAME, "session_id": [5, 5, 6], "event_type": ["view", "cart", None]})
    log = read(frame)
    assert rows(log, "session_id, event_type") == [("5", "view"), ("5", "cart"), ("6", None)]
    assert not read(pa.table(FRAME)).facts.has_session_id


def test_facts_are_plain_values(read: Read) -> None:
    facts = read(pa.table(FRAME)).facts.as_dict()
    assert facts == {
        "source": "the pyarrow frame",
        "kind": "data frame",
        "rows_read": 3,
        "rows_dropped": 0,
        "nulls": {"user_id": 0, "item_id": 0, "timestamp": 0},
        "timestamp_format": "epoch seconds, UTC",
        "dates_only": False,
        "relative_times": False,
        "order": "rows of the source",
        "has_session_id": False,
        "has_event_type": False,
        "first_time": 1700000000000,
        "last_time": 1700000060000,
        "has_order": False,
        "dropped": {},
        "notes": [],
    }


def test_a_second_log_replaces_the_first(read: Read) -> None:
    read(pa.table({**FRAME, "session_id": ["x"] * 3}))
    assert rows(read(pa.table(FRAME)), "session_id") == [(None,)] * 3


# Nulls


def test_invalid_rows_are_dropped_and_counted_when_asked(read: Read, tmp_path: Path) -> None:
    text = CSV + ',i1,1700000000\nu1,"",1700000000\nu1,i1,\n,,\nu3,i3,1700000099\n'
    log = read(write(tmp_path / "log.csv", text), drop_invalid=True)
    assert rows(log, "user_id, event_row") == [("u1", 0), ("u1", 1), ("u2", 2), ("u3", 7)]
    assert (log.facts.rows_read, log.facts.rows_dropped) == (8, 4)
    assert log.facts.nulls == {"user_id": 2, "item_id": 2, "timestamp": 2}


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "session_id"])
def test_null_ids_and_times_are_refused_with_count_and_first_row(read: Read, column: str) -> None:
    frame = pd.DataFrame({**FRAME, "session_id": ["s", "s", "t"]}).astype({"timestamp": "float"})
    frame.loc[[1, 2], column] = None
    with pytest.raises(LogError, match=f"'{column}' is null or empty in 2 of 3 rows, first in row 2;.*--drop-invalid"):
        read(frame)


def test_users_may_miss_only_when_allowed_and_sessions_are_given(read: Read) -> None:
    frame = {**FRAME, "user_id": ["u1", None, "u2"]}
    log = read(pa.table({**frame, "session_id": ["s", "t", "t"]}), allow_missing_user=True)
    assert rows(log, "user_id") == [("u1",), (None,), ("u2",)]
    assert log.facts.nulls["user_id"] == 1
    with pytest.raises(LogError, match="'user_id' is null"):
        read(pa.table(frame), allow_missing_user=True)


def test_nothing_left_is_refused(read: Read) -> None:
    frame = pa.table({**FRAME, "item_id": pa.array([None] * 3, pa.string())})
    with pytest.raises(LogError, match="each of its 3 rows"):
        read(frame, drop_invalid=True)


# Any text is an id

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
# Blanks alone, and what MySQL writes for a missing value, are no ids.
IDS = st.lists(TEXT.filter(lambda text: text.strip(" \t\r\n") not in ("", r"\N")), min_size=1, max_size=12)


def ids_through(source: Any, scratch: Path, csv: CsvSettings | None = None) -> list[tuple[Any, ...]]:
    with engine.connect(PreparationSettings(memory_limit="256MiB"), scratch) as connection:
        return rows(read_log(connection, source, ColumnsSettings(), csv), "user_id, item_id")


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet", "arrow"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS)
@example(ids=["0", "0", "0\n\t", "0", "0"])
def test_any_text_survives_as_an_id(tmp_path: Path, kind: str, ids: list[str]) -> None:
    frame = pd.DataFrame({"user_id": ids, "item_id": ids[::-1], "timestamp": range(len(ids))})
    path = tmp_path / f"log.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind != "arrow":
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",", quoting=1, lineterminator="\n")
    expected = list(zip(ids, ids[::-1], strict=True))
    csv = CsvSettings(quoting="standard")  # an id with a line end and a delimiter could be read in two ways
    assert ids_through(frame if kind == "arrow" else path, tmp_path / "scratch", csv) == expected


def test_csv_written_by_pandas_quotes_only_where_it_must(tmp_path: Path) -> None:
    ids = ["plain", 'a"b', "a,b", "a\nb", "a\r\nb", " lead", "trail ", "null", "NULL", "nan", "007", "1e5", "ß", "日本"]
    frame = pd.DataFrame({"user_id": ids, "item_id": ids, "timestamp": range(len(ids))})
    frame.to_csv(tmp_path / "log.csv", index=False)
    assert ids_through(tmp_path / "log.csv", tmp_path / "scratch") == [(text, text) for text in ids]

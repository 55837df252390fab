from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.data import engine
from segue.data.log.read import InteractionLog, read_log
from segue.errors import LogError
from segue.settings import ColumnsSettings, PreparationSettings

CSV = "user_id,item_id,timestamp\nu1,i1,1700000000\nu1,i2,1700000060\nu2,i1,1700000030\n"
ROWS = [("u1", "i1", 1700000000000), ("u1", "i2", 1700000060000), ("u2", "i1", 1700000030000)]
FRAME = {
    "user_id": ["u1", "u1", "u2"],
    "item_id": ["i1", "i2", "i1"],
    "timestamp": [1700000000, 1700000060, 1700000030],
}


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    return engine.connect(PreparationSettings(memory_limit="256MiB"), tmp_path / "scratch")


@pytest.fixture
def read(connection: duckdb.DuckDBPyConnection) -> Callable[..., InteractionLog]:
    def read_(source: Any, columns: dict[str, str] | None = None, **options: bool) -> InteractionLog:
        return read_log(connection, source, ColumnsSettings(**(columns or {})), **options)

    return read_


Read = Callable[..., InteractionLog]


def rows(log: InteractionLog, columns: str = "user_id, item_id, time") -> list[tuple[Any, ...]]:
    return log.connection.execute(f"SELECT {columns} FROM log ORDER BY event_row").fetchall()


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def database(path: Path, *tables: str) -> Path:
    with duckdb.connect(path) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} AS SELECT unnest($u) AS user_id, unnest($i) AS item_id, "
                               "unnest($t) AS timestamp", {"u": FRAME["user_id"], "i": FRAME["item_id"],
                                                           "t": FRAME["timestamp"]})  # fmt: skip
    return path


# Every format


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv", "log.tsv.gz", "LOG.CSV"])
def test_text_files(read: Read, tmp_path: Path, name: str) -> None:
    text = CSV.replace(",", "\t") if ".tsv" in name else CSV
    log = read(write(tmp_path / name, text))
    assert rows(log) == ROWS
    assert log.facts.kind == ("TSV" if ".tsv" in name else "CSV")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_of_csv(read: Read, tmp_path: Path, delimiter: str) -> None:
    assert rows(read(write(tmp_path / "log.csv", CSV.replace(",", delimiter)))) == ROWS


def test_byte_order_mark_carriage_returns_and_quotes(read: Read, tmp_path: Path) -> None:
    text = '"user_id","item_id",timestamp,note\r\n"u, ""1""","i\n1",1700000000,"a, b"\r\nü,i2,1700000060,\r\n'
    log = read(write(tmp_path / "log.csv", b"\xef\xbb\xbf" + text.encode()))
    assert rows(log) == [('u, "1"', "i\n1", 1700000000000), ("ü", "i2", 1700000060000)]


def test_a_name_with_the_signs_of_a_pattern_is_that_file(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "log1.csv", "user_id,item_id,timestamp\nwrong,wrong,5\n")
    assert rows(read(write(tmp_path / "log[1]'*.csv", CSV))) == ROWS


def test_parquet(read: Read, tmp_path: Path) -> None:
    pq.write_table(pa.table(FRAME), tmp_path / "log.parquet")
    assert rows(read(str(tmp_path / "log.parquet"))) == ROWS


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz"])
def test_a_folder_is_read_in_the_order_of_its_file_names(read: Read, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "log"
    (folder / "b").mkdir(parents=True)
    for part, file in enumerate(["a.", "b/a.", "b/b.", "c."]):
        table = pd.DataFrame({"user_id": f"u{part}", "item_id": range(3000), "timestamp": range(3000)})
        if kind == "parquet":
            table.to_parquet(folder / (file + kind))
        else:
            table.to_csv(folder / (file + kind), index=False)
    write(folder / "_SUCCESS", "")
    write(folder / ".hidden.csv", "x")
    found = rows(read(folder), "user_id, item_id, event_row")
    assert found == [(f"u{n // 3000}", str(n % 3000), n) for n in range(12000)]


def test_the_order_of_rows_survives_threads_and_row_groups(read: Read, tmp_path: Path) -> None:
    count = 300_000
    table = pa.table({"user_id": ["u"] * count, "item_id": range(count), "timestamp": [1] * count})
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=5_000)
    log = read(tmp_path / "log.parquet")
    query = "SELECT count(*) FROM log WHERE event_row = CAST(item_id AS BIGINT)"
    assert log.connection.execute(query).fetchall() == [(count,)]
    assert log.facts.order == "rows of the source"


@pytest.mark.parametrize("address", ["::clicks", "::main.clicks", ""])
def test_a_duckdb_table(read: Read, tmp_path: Path, address: str) -> None:
    log = read(f"{database(tmp_path / 'shop.duckdb', 'clicks')}{address}")
    assert sorted(rows(log)) == sorted(ROWS)
    assert log.facts.kind == "DuckDB table"


def test_a_table_without_order_goes_by_time_then_item(read: Read, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute(
            "CREATE TABLE t AS FROM (VALUES ('u', 'b', 9), ('u', 'c', 5), ('u', 'a', 9)) t(user_id, item_id, timestamp)"
        )
    log = read(f"{tmp_path / 'shop.duckdb'}::t")
    assert rows(log, "item_id, event_row") == [("c", 0), ("a", 1), ("b", 2)]
    assert "the source has no order of rows" in log.facts.order


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(FRAME), pl.DataFrame(FRAME), pa.table(FRAME), pa.table(FRAME).to_batches()[0]]
)
def test_frames(read: Read, frame: Any) -> None:
    log = read(frame)
    assert rows(log) == ROWS
    assert log.facts.kind == "data frame"


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


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.decimal128(9, 2), pa.string()])
def test_whole_numbers_of_any_type_are_the_same_id(read: Read, kind: pa.DataType) -> None:
    items = pa.array(["7", "12", "7"]).cast(kind)
    assert rows(read(pa.table({**FRAME, "item_id": items})), "item_id") == [("7",), ("12",), ("7",)]


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


# Refusals: one line each, and nothing left in the engine


def refused(read: Read, source: Any, said: str, columns: dict[str, str] | None = None) -> None:
    with pytest.raises(LogError, match=said) as caught:
        read(source, columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.csv", b"", r"log.csv is empty \(0 bytes\)"),
        ("log.csv", b"\n\n", "log.csv is empty: its first line names no column"),
        ("log.csv", b"user_id,item_id,timestamp\n", "log.csv is empty: it names its columns .* holds no row"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nc,d\n", "line 3 has 2 fields, the header 3"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nc,d,2,3\n", "line 3 has 4 fields, the header 3"),
        ("log.csv", b'user_id,item_id,timestamp\na,"b,1\nc,d,2\n', "line 2 has a quote that does not close"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nc\xff\xfe,d,2\n", "log.csv.*not UTF-8"),
        ("log.csv", "user_id,item_id,timestamp\na,b,1\n".encode("utf-16"), "log.csv is not UTF-8 text"),
        ("log.csv", b"user_id,user_id,item_id,timestamp\na,a,b,1\n", "two columns called 'user_id'"),
        ("log.csv", b"userId,item_id,timestamp\na,b,1\n",
         r"no column 'user_id' \(found: userId, item_id, timestamp\); did you mean 'userId'\? map it with "
         "--set columns.user_id=userId"),
        ("log.csv", b"a,item_id,timestamp\na,b,1\n", "map it with --set columns.user_id=COLUMN"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,soon\n", r"timestamp of row 1 \('soon'\)"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1700000000\na,b,1700000000000\n", "mix forms: .* row 2"),
        ("log.csv.gz", b"", "log.csv.gz is empty: its first line names no column"),
        ("log.parquet", b"PAR1 and then nothing like Parquet", "not a complete Parquet file"),
        ("log.duckdb", b"not a database" * 400, "log.duckdb cannot be read"),
        ("log.xlsx", b"PK", "unknown kind of file; Segue reads .csv"),
    ],
)  # fmt: skip
def test_bad_files(read: Read, connection: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, text: bytes,
                   said: str) -> None:  # fmt: skip
    refused(read, write(tmp_path / name, text), said)
    assert connection.execute("SHOW TABLES").fetchall() == []


def test_a_missing_file(read: Read, tmp_path: Path) -> None:
    refused(read, tmp_path / "absent.csv", "no such file: .*absent.csv")
    refused(read, f"{tmp_path}/absent.duckdb::clicks", "no such file: .*absent.duckdb$")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_truncated_gzip_file(read: Read, tmp_path: Path, kept: float) -> None:
    body = "".join(f"u{n % 97},i{n * n % 8191},{1700000000 + n}\n" for n in range(50_000))
    packed = gzip.compress(("user_id,item_id,timestamp\n" + body).encode())
    (tmp_path / "log.csv.gz").write_bytes(packed[: int(len(packed) * kept)])
    refused(read, tmp_path / "log.csv.gz", "not a complete gzip file")


@pytest.mark.parametrize("place", [-6, -2])
def test_a_gzip_file_of_wrong_checksum_or_length(read: Read, tmp_path: Path, place: int) -> None:
    packed = bytearray(gzip.compress(CSV.encode()))
    packed[place] ^= 1
    (tmp_path / "log.csv.gz").write_bytes(packed)
    refused(read, tmp_path / "log.csv.gz", "not a complete gzip file")


def test_plain_text_that_is_called_gzip(read: Read, tmp_path: Path) -> None:
    (tmp_path / "log.csv.gz").write_text(CSV)
    refused(read, tmp_path / "log.csv.gz", "not a complete gzip file")


def test_a_truncated_and_a_damaged_parquet_file(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({name: values * 20_000 for name, values in FRAME.items()}), path, compression="zstd")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(read, path, "not a complete Parquet file")
    path.write_bytes(whole[:4] + bytes(200) + whole[204:])
    refused(read, path, "log.parquet cannot be read")


def test_folders_that_cannot_be_read(read: Read, tmp_path: Path) -> None:
    refused(read, tmp_path, "holds no CSV, TSV or Parquet file")
    write(tmp_path / "a.csv", CSV)
    write(tmp_path / "b.csv", CSV.replace("item_id", "item"))
    refused(read, tmp_path, r"b.csv has other columns than a.csv")
    pq.write_table(pa.table(FRAME), tmp_path / "b.parquet")
    refused(read, tmp_path, "mixes CSV and Parquet files")


def test_the_damaged_file_of_a_folder_is_named(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "csv" / "a.csv", CSV)
    write(tmp_path / "csv" / "b.csv", CSV + "u,i\n")
    refused(read, tmp_path / "csv", "/b.csv cannot be read: line 5 has 2 fields, the header 3")
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.table(FRAME), tmp_path / "parquet" / "a.parquet")
    write(tmp_path / "parquet" / "b.parquet", (tmp_path / "parquet" / "a.parquet").read_bytes()[:-20])
    refused(read, tmp_path / "parquet", "/b.parquet cannot be read: not a complete Parquet file")


def test_a_row_in_a_folder_is_named_with_its_file(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV)
    write(tmp_path / "b.csv", CSV + "u9,i9,later\n")
    refused(read, tmp_path, r"row 4 of b.csv \('later'\)")


def test_databases_that_need_a_table(read: Read, tmp_path: Path) -> None:
    path = database(tmp_path / "shop.duckdb", "clicks", "orders")
    refused(read, path, r"holds more than one table \(tables: clicks, orders\); name one as shop.duckdb::TABLE")
    refused(read, f"{path}::visits", r"has no table 'visits' \(tables: clicks, orders\)")
    assert sorted(rows(read(f"{path}::orders"))) == sorted(ROWS)


def test_frames_that_cannot_be_read(read: Read) -> None:
    refused(read, [1, 2, 3], "cannot read a table from list")
    refused(read, pd.DataFrame(FRAME).iloc[:0], "the pandas frame is empty")
    refused(read, pl.DataFrame({**FRAME, "item_id": [["a"], ["b"], ["c"]]}), r"'item_id' holds VARCHAR\[\]")
    refused(read, pd.DataFrame({**FRAME, "item_id": [1, "b", 2.5]}), "the pandas frame cannot be read")


def test_a_named_column_that_is_absent(read: Read) -> None:
    refused(read, pa.table(FRAME), "no column 'visit'.*columns.session_id", {"session_id": "visit"})


# Any text is an id

IDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), min_size=1, max_size=12)


def ids_through(source: Any, scratch: Path) -> list[tuple[Any, ...]]:
    with engine.connect(PreparationSettings(memory_limit="256MiB"), scratch) as connection:
        return rows(read_log(connection, source, ColumnsSettings()), "user_id, item_id")


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet", "arrow"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS)
def test_any_text_survives_as_an_id(tmp_path: Path, kind: str, ids: list[str]) -> None:
    frame = pd.DataFrame({"user_id": ids, "item_id": ids[::-1], "timestamp": range(len(ids))})
    path = tmp_path / f"log.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind != "arrow":
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",", quoting=1, lineterminator="\n")
    found = ids_through(frame if kind == "arrow" else path, tmp_path / "scratch")
    assert found == list(zip(ids, ids[::-1], strict=True))


def test_csv_written_by_pandas_quotes_only_where_it_must(tmp_path: Path) -> None:
    ids = ["plain", 'a"b', "a,b", "a\nb", "a\r\nb", " lead", "trail ", "null", "NULL", "nan", "007", "1e5", "ß", "日本"]
    frame = pd.DataFrame({"user_id": ids, "item_id": ids, "timestamp": range(len(ids))})
    frame.to_csv(tmp_path / "log.csv", index=False)
    assert ids_through(tmp_path / "log.csv", tmp_path / "scratch") == [(text, text) for text in ids]

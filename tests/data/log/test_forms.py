"""Forms in which logs come: types that differ, JSON, folders, foreign databases and files, frames of mixed columns."""

from __future__ import annotations

import bz2
import lzma
import re
import shlex
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from raw_logs import CSV, FRAME, ROWS, Read, refused, rows, write

from segue.data import engine
from segue.data.log.attributes import read_attributes
from segue.data.log.read import read_log
from segue.errors import LogError
from segue.settings import ColumnsSettings, CsvSettings, Settings

# Parquet parts whose columns differ in type


def parts(folder: Path, **columns: list[pa.Array]) -> Path:
    """A folder with one Parquet file per array of a column; the columns not given are those of the small log."""
    folder.mkdir()
    for number in range(len(next(iter(columns.values())))):
        table = pa.table({**FRAME, **{name: arrays[number] for name, arrays in columns.items()}})
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


@pytest.mark.parametrize(
    ("first", "second", "expected", "said"),
    [
        (
            pa.array([1, 2, 1], pa.int32()),
            pa.array([1, 5_000_000_208, 1]),
            ["1", "2", "1", "1", "5000000208", "1"],
            False,
        ),
        (pa.array([1, 2, 1], pa.uint64()), pa.array([-1, 2, 1], pa.int8()), ["1", "2", "1", "-1", "2", "1"], False),
        (pa.array([1.0, 2.0, 1.5]), pa.array([1, 2, 3]), ["1", "2", "1.5", "1", "2", "3"], True),
        (pa.array(["1", "a", "01"]), pa.array([1.0, 2.0, 1.0]), ["1", "a", "01", "1", "2", "1"], True),
        (pa.array([1, 2, 1]), pa.array(["x", "2", "1"]), ["1", "2", "1", "x", "2", "1"], True),
        (pa.array([True, False, True]), pa.array(["x", "2", "1"]), ["true", "false", "true", "x", "2", "1"], True),
    ],
)
def test_ids_of_parts_of_several_types(
    read: Read, tmp_path: Path, first: pa.Array, second: pa.Array, expected: list[str], said: bool
) -> None:
    for name, arrays in (("one", [first, second]), ("other", [second, first])):
        log = read(parts(tmp_path / name, item_id=arrays))
        found = [item for (item,) in rows(log, "item_id")]
        assert found == (expected if name == "one" else expected[3:] + expected[:3])
        assert [note for note in log.facts.notes if "has several types" in note] == list(log.facts.notes)
        assert bool(log.facts.notes) == said


def test_a_part_without_values_and_parts_of_times_go_together(read: Read, tmp_path: Path) -> None:
    sessions = [pa.array(["s", "s", "t"]), pa.array([None, None, None], pa.string()).dictionary_encode()]
    log = read(parts(tmp_path / "null", event_type=sessions))
    assert rows(log, "event_type")[3:] == [(None,)] * 3
    times = [pa.array([1700000000 * 10**k] * 3, pa.timestamp(unit)) for k, unit in ((3, "ms"), (6, "us"), (9, "ns"))]
    assert {time for (time,) in rows(read(parts(tmp_path / "times", timestamp=times)), "time")} == {1700000000000}


def test_dates_beside_times_are_refused(read: Read, tmp_path: Path) -> None:
    times = [pa.array([19000] * 3, pa.date32()), pa.array([1700000000] * 3, pa.timestamp("s"))]
    refused(read, parts(tmp_path / "log", timestamp=times), "mix forms")


def test_large_ids_in_floats_are_said_or_refused(read: Read, tmp_path: Path) -> None:
    large = pa.array([2.0**53, 2.0**53 + 2, 5.0])
    log = read(pa.table({**FRAME, "item_id": large}))
    assert "2 of its ids are 9,007,199,254,740,992 or more" in log.facts.notes[0]
    log = read(pa.table({**FRAME, "item_id": pa.array([2.0**24, 1.0, 2.0], pa.float32())}))
    assert "1 of its ids are 16,777,216 or more" in log.facts.notes[0]
    assert read(pa.table({**FRAME, "item_id": pa.array([2.0**53 - 1, 2.0, 1.0])})).facts.notes == ()
    refused(read, parts(tmp_path / "log", item_id=[large, pa.array([1, 2, 3])]), "ids may be merged.*in other files")


def test_a_part_without_a_column_is_named(read: Read, tmp_path: Path) -> None:
    folder = parts(tmp_path / "log", item_id=[pa.array([1, 2, 3])])
    pq.write_table(pa.table({"user_id": ["a"], "timestamp": [1700000000]}), folder / "9.parquet")
    refused(read, folder, "9.parquet has no column 'item_id', which other files have")


# JSON, Arrow, folders


def test_json_lines(read: Read, tmp_path: Path) -> None:
    lines = [
        '{"user_id": "u1", "item_id": 12, "timestamp": 1700000000, "deep": {"a": [1]}}',
        '{"timestamp": 1700000060, "user_id": "ü", "item_id": "007"}',
        "",
        '{"user_id": 3, "item_id": "a,\\"b\\"", "timestamp": 1700000120}',
    ]
    expected = [("u1", "12", 1700000000000), ("ü", "007", 1700000060000), ("3", 'a,"b"', 1700000120000)]
    for name in ("log.jsonl", "log.ndjson.gz"):
        assert rows(read(write(tmp_path / name, "\n".join(lines)))) == expected
    listed = "[" + ",".join(line for line in lines if line) + "]"
    assert rows(read(write(tmp_path / "log.json", listed))) == expected
    refused(read, write(tmp_path / "bad.jsonl", lines[0] + '\n{"user_id": \n'), "bad.jsonl")


def test_feather(read: Read, tmp_path: Path) -> None:
    pyarrow.feather.write_feather(pa.table(FRAME), tmp_path / "log.feather")
    assert rows(read(tmp_path / "log.feather")) == ROWS
    write(tmp_path / "bad.feather", b"ARROW1 and nothing")
    refused(read, tmp_path / "bad.feather", "not a complete Arrow file")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_partition_folders_give_a_column(read: Read, tmp_path: Path, ending: str) -> None:
    for kind in ("add to%2Fcart", "click", "__HIVE_DEFAULT_PARTITION__"):
        folder = tmp_path / "event_type=outside" / f"event_type={kind}"
        folder.mkdir(parents=True)
        frame = pd.DataFrame(FRAME)
        if ending == "csv":
            frame.to_csv(folder / "a.csv", index=False)
        elif ending == "parquet":
            frame.to_parquet(folder / "a.parquet")
        else:
            frame.to_json(folder / "a.jsonl", orient="records", lines=True)
    log = read(tmp_path / "event_type=outside")
    assert rows(log, "event_type")[::3] == [(None,), ("add to/cart",), ("click",)]
    write(tmp_path / "event_type=outside" / f"b.{ending}", "x")


def test_empty_parts_are_skipped_with_a_note(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "log" / "a.csv", CSV)
    write(tmp_path / "log" / "b.csv", "")
    write(tmp_path / "log" / "c.csv", "\n \n")
    write(tmp_path / "log" / "d.csv.gz", "")
    log = read(tmp_path / "log")
    assert rows(log) == ROWS
    assert [Path(note.split(" is empty")[0]).name for note in log.facts.notes] == ["b.csv", "c.csv", "d.csv.gz"]


def test_train_and_test_are_one_log_and_that_is_said(read: Read, tmp_path: Path) -> None:
    for name in ("test.csv", "train.csv"):
        write(tmp_path / "log" / name, CSV)
    log = read(tmp_path / "log")
    assert log.facts.rows_read == 6
    assert "read as one log" in log.facts.notes[0]


@pytest.mark.parametrize("name", ["a[1].csv", "a?.csv", "a*.csv", "a[!b].csv", "**.csv"])
def test_the_signs_of_a_pattern_match_no_other_file(read: Read, tmp_path: Path, name: str) -> None:
    write(tmp_path / "a1.csv", "user_id,item_id,timestamp\nwrong,wrong,5\n")
    assert rows(read(write(tmp_path / name, CSV))) == ROWS


# Text: headers and bad rows


@pytest.mark.parametrize("head", ["u1,i0,1699999999\n", "2024-01-31,i0,x\n"])
def test_a_file_without_a_header_is_recognised_and_can_be_read_whole(read: Read, tmp_path: Path, head: str) -> None:
    file = write(tmp_path / "log.csv", head + CSV.partition("\n")[2])
    refused(read, file, "the first line looks like data: .* --set csv.header=false --set columns.user_id=1")


def test_columns_by_their_places(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    file = write(tmp_path / "ratings.dat", "u1::i0::5::1699999999\nu2::i1::3::1700000000\n")
    columns = Settings.parse({"columns": {"user_id": 1, "item_id": 2, "timestamp": 4}}).columns
    log = read_log(connection, file, columns, CsvSettings(header=False))
    assert rows(log) == [("u1", "i0", 1699999999000), ("u2", "i1", 1700000000000)]
    with pytest.raises(LogError, match="columns are called by their places, 1 to 4"):
        read_log(connection, file, ColumnsSettings(), CsvSettings(header=False))


def test_columns_that_are_numbers(read: Read, tmp_path: Path) -> None:
    file = write(tmp_path / "log.csv", CSV.replace("user_id,item_id,timestamp", "0,1,2"))
    columns = Settings.parse({"columns": {"user_id": 0, "item_id": 1, "timestamp": 2}}).columns
    assert rows(read(file, columns.model_dump(include={"user_id", "item_id", "timestamp"}))) == ROWS
    frame = pd.DataFrame(dict(enumerate(FRAME.values())))
    assert rows(read(frame, {"user_id": "0", "item_id": "1", "timestamp": "2"})) == ROWS


def test_recbole_files(read: Read, tmp_path: Path) -> None:
    text = CSV.replace(",", "\t").replace(
        "user_id\titem_id\ttimestamp", "user_id:token\titem_id:token\ttimestamp:float"
    )
    assert rows(read(write(tmp_path / "log.inter", text))) == ROWS


def test_all_that_is_no_event_is_dropped_by_reason_and_counted(read: Read, tmp_path: Path) -> None:
    header, body = CSV.split("\n", 1)
    bad = f"{header}\n,i1,1700000000\nu,i,0000-00-00 00:00:00\nu,i,soon\nu,i\nu,i,1,2\n"
    log = read(write(tmp_path / "log.csv", f"{header}\n{bad}{body}(3 rows)\n"), drop_invalid=True)
    assert rows(log) == ROWS
    assert log.facts.dropped == {
        "too few fields": 2,
        "too many fields": 1,
        "repeated header": 1,
        "unreadable time": 2,
        "null or empty id or time": 1,
    }
    assert (log.facts.rows_read, log.facts.rows_dropped) == (10, 7)


def test_a_time_that_is_none_among_others_can_be_left_out(read: Read, tmp_path: Path) -> None:
    refused(read, write(tmp_path / "log.csv", CSV + "u,i,0000-00-00 00:00:00\n"), "--drop-invalid leaves out such rows")


def test_positions_in_messages_count_the_lines_that_were_left_out(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "log" / "a.csv", CSV)
    write(tmp_path / "log" / "b.csv", CSV + "u\nu,i,1700000000000\n")
    with pytest.raises(LogError, match=r"in row 5 of b\.csv"):
        read(tmp_path / "log", drop_invalid=True)


def test_a_column_that_is_there_twice_matters_only_where_it_is_read(read: Read, tmp_path: Path) -> None:
    text = "".join(f"{line},x,y\n" for line in CSV.splitlines()).replace("timestamp,x,y", "timestamp,,")
    assert rows(read(write(tmp_path / "log.csv", text))) == ROWS
    twice = write(tmp_path / "twice.csv", text.replace("timestamp,,", "timestamp,kind,kind"))
    refused(read, twice, "two columns called 'kind'", {"event_type": "kind"})


def test_items_with_quotes_are_read_like_logs(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    file = write(tmp_path / "items.tsv", 'item_id\tname\ni1\t"Heroes" live\ni2\t12"\n')
    assert read_attributes(connection, file, "item_id")["name"].to_pylist() == ['"Heroes" live', '12"']
    both = write(tmp_path / "both.tsv", 'item_id\tname\ni1\t"Heroes\ni2\tlive"\n')
    with pytest.raises(LogError, match="lines 2 to 3 are one row"):
        read_attributes(connection, both, "item_id")
    assert (
        read_attributes(connection, both, "item_id", CsvSettings(quoting="off", delimiter="~", header=False)).num_rows
        == 2
    )
    frame = pd.DataFrame({"item_id": [1, "b"], "size": [1.0, "L"]})
    assert read_attributes(connection, frame, "item_id").to_pydict() == {"item_id": ["1", "b"], "size": ["1", "L"]}


# Foreign databases and files


def test_views_and_computed_columns_of_a_database_are_not_run(read: Read, tmp_path: Path) -> None:
    secret, path = write(tmp_path / "secret.txt", "secret"), tmp_path / "evil.duckdb"
    columns = "content AS user_id, content AS item_id, 1700000000 AS timestamp"
    with duckdb.connect(path) as evil:
        evil.execute(f"CREATE VIEW stolen AS SELECT {columns} FROM read_text('{secret}')")
        evil.execute(
            "CREATE VIEW endless AS SELECT range AS user_id, 1 AS item_id, 1 AS timestamp FROM range(100000000000)"
        )
        evil.execute(
            "CREATE TABLE computed (user_id INT, item_id INT, timestamp INT GENERATED ALWAYS AS (user_id + 1))"
        )
    for name in ("stolen", "endless"):
        refused(read, f"{path}::{name}", f"'{name}' is a view, a query of whoever made it; if you trust it")
    refused(read, path, "table 'computed' has computed columns; if you trust it")
    with engine.connect(Settings().preparation, tmp_path / "scratch") as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_databases() WHERE NOT internal").fetchone() == (1,)


def test_the_command_of_a_view_works_when_pasted(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "a shop's.duckdb"
    with duckdb.connect(path) as shop:
        shop.execute("CREATE VIEW v AS SELECT 'u' AS user_id, 'i' AS item_id, 1700000000 AS timestamp")
    assert rows(read(converted(read, f"{path}::v", tmp_path / "v.parquet"))) == [("u", "i", 1700000000000)]


def test_types_of_a_database_that_arrow_does_not_have(read: Read, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute(
            "CREATE TABLE t AS SELECT CAST('170141183460469231731687303715884105727' AS HUGEINT) AS user_id, "
            "CAST('6a2f41a3-c54c-fce8-32d2-0324e1c32e22' AS UUID) AS item_id, 1700000000 AS timestamp"
        )
    assert rows(read(tmp_path / "shop.duckdb"), "user_id, item_id") == [
        ("170141183460469231731687303715884105727", "6a2f41a3-c54c-fce8-32d2-0324e1c32e22")
    ]


def converted(read: Read, source: Any, out: Path) -> Path:
    """The file that the command in the refusal makes."""
    with pytest.raises(LogError) as caught:
        read(source)
    command = re.search(r"(?:convert it|Latin-1 by|to a file): (.*?)(?: \((?:then|after|TABLE).*)?$", str(caught.value))
    assert command, caught.value
    pasted = re.sub("^python", shlex.quote(sys.executable), command[1]).replace(" TABLE", " clicks")
    subprocess.run(pasted, shell=True, check=True, cwd=out.parent)
    return out


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as shop:
        shop.execute("CREATE TABLE clicks (user_id, item_id, timestamp)")
        shop.executemany("INSERT INTO clicks VALUES (?, ?, ?)", zip(*FRAME.values(), strict=True))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("log.csv", CSV)


LATIN = "".join(f"{line},é\n" for line in CSV.splitlines())
NESTED = (
    '{"user_id": "u1", "events": [{"item_id": "i1", "timestamp": 1700000000}, '
    '{"item_id": "i2", "timestamp": 1700000060}]}\n'
    '{"user_id": "u2", "events": [{"item_id": "i1", "timestamp": 1700000030}]}\n'
)
FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a log.csv.bz2": (lambda path: path.write_bytes(bz2.compress(CSV.encode())), "a log.csv"),
    "log.csv.xz": (lambda path: path.write_bytes(lzma.compress(CSV.encode())), "log.csv"),
    "bz.csv": (lambda path: path.write_bytes(bz2.compress(CSV.encode())), "bz.unpacked.csv"),
    "log.zip": (zipped, "log"),
    "zip.csv": (zipped, "zip"),
    "log.orc": (lambda path: pyarrow.orc.write_table(pa.table(FRAME), path), "log.parquet"),
    "log's.sqlite": (sqlite, "log's.csv"),
    "shop.db": (sqlite, "shop.csv"),
    "log.pkl": (pd.DataFrame(FRAME).to_pickle, "log.csv"),
    "utf16.csv": (lambda path: path.write_bytes(CSV.encode("utf-16")), "utf16.utf8.csv"),
    "bare16.csv": (lambda path: path.write_bytes(CSV.encode("utf-16-le")), "bare16.utf8.csv"),
    "latin.csv": (lambda path: path.write_bytes(LATIN.encode("latin-1")), "latin.utf8.csv"),
    "parquet.csv": (pd.DataFrame(FRAME).to_parquet, "parquet.parquet"),
    "nested.jsonl": (lambda path: path.write_text(NESTED), "nested.parquet"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_converts_a_foreign_file_works_when_pasted(read: Read, tmp_path: Path, name: str) -> None:
    make, out = FOREIGN[name]
    make(tmp_path / name)
    assert rows(read(converted(read, tmp_path / name, tmp_path / out))) == ROWS


@pytest.mark.parametrize("name", ["log.xlsx", "log.avro", "log.h5", "log.dta", "log.csv.zst", "log.xls"])
def test_files_that_need_a_package_say_which_command(read: Read, tmp_path: Path, name: str) -> None:
    refused(read, write(tmp_path / name, "x"), r"convert it: (python -c|zstd -d) ")


def test_a_log_of_zero_bytes_is_no_text(read: Read, tmp_path: Path) -> None:
    refused(read, write(tmp_path / "log.csv", CSV.encode() + b"\0\1\2"), "is no text")


# Frames


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([536365, "C536379", 536365], ["536365", "C536379", "536365"]),
        ([1, 2.0, "x"], ["1", "2", "x"]),
        ([10**25, "a", 1], [str(10**25), "a", "1"]),
        ([9007199254740993, 1.5, 2], ["9007199254740993", "1.5", "2"]),
    ],
)
def test_pandas_columns_of_mixed_values_are_read_value_by_value(
    read: Read, ids: list[Any], expected: list[str]
) -> None:
    log = read(pd.DataFrame({**FRAME, "item_id": pd.Series(ids, dtype=object)}))
    assert [item for (item,) in rows(log, "item_id")] == expected
    assert "mixes types" in log.facts.notes[0]


@pytest.mark.parametrize("unused", [[1, "C1", None], [{1}, b"x", object()], [[1], {"a": 1}, 2]])
def test_columns_that_nobody_asked_for_are_left_alone(read: Read, unused: list[Any]) -> None:
    assert rows(read(pd.DataFrame({**FRAME, "unused": pd.Series(unused, dtype=object)}))) == ROWS
    assert rows(read(pl.DataFrame({**FRAME, "unused": pl.Series(unused, dtype=pl.Object)}))) == ROWS


def test_a_named_index_of_a_frame_is_a_column(read: Read) -> None:
    assert rows(read(pd.DataFrame(FRAME).set_index("user_id"))) == ROWS

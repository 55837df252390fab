"""Sources of every kind are opened, and damaged ones are refused in one line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_logs import CSV, FRAME, ROWS, Read, refused, rows, write

from segue.errors import UserMistake


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


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(FRAME), pl.DataFrame(FRAME), pa.table(FRAME), pa.table(FRAME).to_batches()[0]]
)
def test_frames(read: Read, frame: Any) -> None:
    log = read(frame)
    assert rows(log) == ROWS
    assert log.facts.kind == "data frame"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.csv", b"", r"log.csv is empty \(0 bytes\)"),
        ("log.csv", b"\n\n", "log.csv is empty: its first line names no column"),
        ("log.csv", b"user_id,item_id,timestamp\n", "log.csv is empty: it names its columns .* holds no row"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nc,d\n", "line 3 has 2 fields, the header 3"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nc,d,2,3\n", "line 3 has 4 fields, the header 3"),
        ("log.csv", b'user_id,item_id,timestamp\n"a","b",1\nc,"d"x,2\n"a","b",3\n',
         "line 3 has a quote that does not"),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nc\xff\xfe,d,2\n", "log.csv.*not UTF-8"),
        ("log.csv", "user_id,item_id,timestamp\na,b,1\n".encode("utf-16"), "log.csv is UTF-16 text; convert it: iconv"),
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
        ("log.xlsx", b"PK", "log.xlsx is an Excel workbook; convert it: python -c "),
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
    refused(read, tmp_path, "holds no file that is read; Segue reads .csv")
    write(tmp_path / "a.csv", CSV)
    write(tmp_path / "b.csv", CSV.replace("item_id", "item"))
    refused(read, tmp_path, r"b.csv has other columns than a.csv")
    pq.write_table(pa.table(FRAME), tmp_path / "b.parquet")
    refused(read, tmp_path, "mixes CSV and Parquet files")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "b.csv.zst",
            b"\x28\xb5\x2f\xfd",
            r"b.csv.zst is a file packed by zstandard; convert it: zstd -d \S+b.csv.zst",
        ),
        ("c.xlsx", b"PK\3\4", "c.xlsx is an Excel workbook; convert it: python"),
        ("d.csv.bz2", b"BZh", "d.csv.bz2 is a file packed by bzip2; convert it: python"),
        ("part-00001", b"PAR1", r"part-00001 is a Parquet file; convert it: mv \S+part-00001 \S+part-00001.parquet"),
        ("b.csv", CSV.encode("utf-16"), "b.csv is UTF-16 text; convert it: iconv"),
    ],
)
def test_a_folder_with_a_data_file_that_is_not_read(
    read: Read, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    write(tmp_path / "log" / "a.csv", CSV)
    write(tmp_path / "log" / name, data)
    refused(read, tmp_path / "log", said + ".*; the folder .*/log is one log: move what is no part of it, such as")


def test_what_is_passed_over_in_a_folder_is_said(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "log" / "a.csv", CSV)
    for quiet in ("README", "LICENSE.txt.md", "notes.md", "a.csv.crc", "_SUCCESS", ".hidden", "empty"):
        write(tmp_path / "log" / quiet, "" if quiet == "empty" else "x")
    assert read(tmp_path / "log").facts.notes == ()
    write(tmp_path / "log" / "part-00001", CSV)
    (note,) = read(tmp_path / "log").facts.notes
    assert note.startswith("1 file of it is not read (part-00001), because of the name's ending")
    write(tmp_path / "log" / "part-00002.gz", CSV)
    (note,) = read(tmp_path / "log").facts.notes
    assert note.startswith("2 files of it are not read (such as part-00001)")
    (tmp_path / "log" / "a.csv").unlink()
    refused(read, tmp_path / "log", r"holds no file that is read; 2 files of it are not read \(such as part-00001\)")


def test_the_damaged_file_of_a_folder_is_named(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "csv" / "a.csv", CSV)
    write(tmp_path / "csv" / "b.csv", CSV + "u,i\n")
    refused(read, tmp_path / "csv", "/b.csv cannot be read: line 5 has 2 fields, the header 3")
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.table(FRAME), tmp_path / "parquet" / "a.parquet")
    write(tmp_path / "parquet" / "b.parquet", (tmp_path / "parquet" / "a.parquet").read_bytes()[:-20])
    refused(read, tmp_path / "parquet", "/b.parquet cannot be read: not a complete Parquet file")


def test_databases_that_need_a_table(read: Read, tmp_path: Path) -> None:
    path = database(tmp_path / "shop.duckdb", "clicks", "orders")
    refused(read, path, r"holds more than one table \(tables: clicks, orders\); name one as shop.duckdb::TABLE")
    refused(read, f"{path}::visits", r"has no table 'visits' \(tables: clicks, orders\)")
    assert sorted(rows(read(f"{path}::orders"))) == sorted(ROWS)


def test_frames_that_cannot_be_read(read: Read) -> None:
    refused(read, [1, 2, 3], "cannot read a table from list")
    refused(read, pd.DataFrame(FRAME).iloc[:0], "the pandas frame is empty")
    refused(read, pl.DataFrame({**FRAME, "item_id": [["a"], ["b"], ["c"]]}), r"'item_id' holds VARCHAR\[\]")
    refused(read, pd.DataFrame({**FRAME, "item_id": [1, "b", [2]]}), "'item_id' of the pandas frame .* of type list")


def test_a_pipe_under_the_name_of_a_log(read: Read, tmp_path: Path) -> None:
    """Opening it would wait for ever for somebody to write."""
    os.mkfifo(tmp_path / "log.csv")
    refused(read, tmp_path / "log.csv", "is a device or a pipe, not a file")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    refused(read, tmp_path / "endless.csv", "is a device or a pipe, not a file")


def test_a_file_of_a_folder_whose_name_is_not_utf8(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "logs" / "a.csv", CSV)
    write(Path(os.fsdecode(os.fsencode(tmp_path / "logs") + b"/caf\xe9.csv")), CSV)
    with pytest.raises(UserMistake, match=r"the name .*caf.* is not UTF-8; rename the file or folder"):
        read(tmp_path / "logs")

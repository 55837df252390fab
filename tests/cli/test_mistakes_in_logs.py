"""Logs that cannot be read or believed, and logs in which nothing survives: one line, exit code 2, nothing written."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import small_logs
from mistakes import HEADER, LINES, ROWS, SETTINGS, Refused, half, parquet, written

from segue.settings import Nested


def with_rows(path: Path, *lines: str) -> Path:
    """The log with further lines."""
    return written(path, HEADER + "\n".join([*LINES, *lines]) + "\n")


LOGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (lambda d: d / "nowhere.csv", r"no such file: .*nowhere\.csv"),
    "unknown kind": (lambda d: written(d / "log.mdb", "x"), r"log\.mdb: unknown kind of file; Segue reads \.csv"),
    "empty file": (lambda d: written(d / "log.csv", ""), r"log\.csv is empty"),
    "header alone": (lambda d: written(d / "log.csv", HEADER), r"log\.csv is empty: .* holds no row"),
    "empty folder": (lambda d: (d / "logs").mkdir() or d / "logs", r"holds no file that is read; Segue reads \.csv"),
    "missing column": (
        lambda d: small_logs.write_csv(d / "log.csv", ROWS, ("user_id", "article", "timestamp")),
        r"no column 'item_id' \(found: user_id, article, timestamp\); .*--set columns\.item_id=",
    ),
    "unparsable time": (lambda d: with_rows(d / "log.csv", "u,i,yesterday"), r"row 865 .*'yesterday'.*epoch seconds"),
    "mixed units": (
        lambda d: written(d / "log.csv", HEADER + "u,a,1700000000\nu,b,1700000000000\n"),
        r"row 1 \('1700000000'\).*row 2 \('1700000000000'\)",
    ),
    "mixed forms": (lambda d: with_rows(d / "log.csv", "u,i,2024-01-31"), r"ISO 8601 .*dates"),
    "null item": (
        lambda d: with_rows(d / "log.csv", "u,,2024-01-31T00:00:00Z"),
        r"column 'item_id' is null or empty in 1 of 865 rows, first in row 865; .*--drop-invalid",
    ),
    "null user": (lambda d: with_rows(d / "log.csv", ",i,2024-01-31T00:00:00Z"), r"'user_id' is null.*--drop-invalid"),
    "null time": (lambda d: with_rows(d / "log.csv", "u,i,"), r"'timestamp' is null.*--drop-invalid"),
    "only nulls": (lambda d: written(d / "log.csv", HEADER + ",,\n,,\n"), r"null or empty"),
    "ragged rows": (lambda d: with_rows(d / "log.csv", "u,i"), r"line 866 has 2 fields, the header 3"),
    "truncated gz": (lambda d: half(written(d / "log.csv.gz", gzip.compress(b"x" * 9 + os.urandom(9000)))), r"gzip"),
    "no gz": (lambda d: written(d / "log.csv.gz", HEADER), r"not a complete gzip file"),
    "truncated parquet": (lambda d: half(parquet(d / "log.parquet")), r"not a complete Parquet file"),
    "no parquet": (lambda d: written(d / "log.parquet", "x" * 300), r"not a complete Parquet file"),
    "not UTF-8": (lambda d: written(d / "log.csv", HEADER.encode() + b"u,caf\xe9,1700000000\n"), r"not UTF-8"),
    "no database table": (lambda d: f"{database(d)}::orders", r"no table 'orders' \(tables: clicks\)"),
    "unknown data set file": (lambda d: f"lastfm:{d / 'nowhere'}", r"lastfm: no file .*download"),
}


def database(folder: Path) -> Path:
    path = folder / "log.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE clicks (user_id VARCHAR)")
    return path


@pytest.mark.parametrize("name", LOGS)
def test_logs_that_cannot_be_read_or_believed(tmp_path: Path, refused: Refused, name: str) -> None:
    make, says = LOGS[name]
    log = make(tmp_path)
    said = refused("fit", log, "--out", tmp_path / "model", *SETTINGS)
    assert re.search(says, said), said
    assert refused("prepare", log, "--out", tmp_path / "corpus", *SETTINGS) == said
    if not name.startswith(("null", "only", "unparsable", "ragged")):  # `check` counts such rows and goes on
        assert refused("check", log) == said


FILTERS: dict[str, tuple[Nested, str]] = {
    "item support": ({"filters": {"min_item_support": 1000}}, r"filters\.min_item_support took 864 events"),
    "user sessions": (
        {"filters": {"min_user_sessions": 99}},
        r"filters\.min_user_sessions took 864 events and 216 ses",
    ),
    "session length": ({"sessions": {"min_length": 9}}, r"sessions\.min_length took 864 events"),
    "long sessions": ({"sessions": {"max_length": 2, "keep": "drop"}}, r"sessions\.max_length took 864 events"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_log_in_which_nothing_survives(tmp_path: Path, refused: Refused, name: str) -> None:
    overrides, says = FILTERS[name]
    said = refused("fit", small_logs.log(), "--out", tmp_path / "m", *SETTINGS, *small_logs.as_arguments(overrides))
    assert re.search(says, said), said
    assert "nothing is left of the log's 864 events (12 users, 32 items)" in said


def test_one_user_only(tmp_path: Path, refused: Refused) -> None:
    log = written(tmp_path / "log.csv", HEADER + "\n".join(line for line in LINES if line.startswith("user00")))
    assert "1 user is left" in refused("fit", log, "--out", tmp_path / "m", *SETTINGS)


def test_check_refuses_the_event_types_that_prepare_refuses(tmp_path: Path, refused: Refused) -> None:
    asked = ("--set", 'filters.event_types=["veiw"]')
    for columns, rows, says in (
        (("user_id", "item_id", "timestamp", "event_type"), [(*row, "view") for row in ROWS], r"did you mean 'view'"),
        (("user_id", "item_id", "timestamp"), ROWS, r"the log has no event types"),
    ):
        log = small_logs.write_csv(tmp_path / f"{len(columns)}.csv", rows, columns)
        said = refused("prepare", log, "--out", tmp_path / "corpus", *asked)
        assert re.search(says, said), said
        assert refused("check", log, *asked) == said

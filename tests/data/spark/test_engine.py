"""The layer between the common SQL and Spark: numbers, order, whole division, files that go when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import spark_sessions

from segue.data.spark.engine import SparkTables, in_spark
from segue.data.spark.session import session
from segue.data.tables import batches, create, drop, number
from segue.settings import PreparationSettings


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[SparkTables]:
    spark_sessions.running()
    scratch = tmp_path / "scratch [1] {é}"
    scratch.mkdir()
    with session("local", PreparationSettings(), scratch) as running:
        yield SparkTables(running, scratch)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT a // b", "SELECT a DIV b"),
        ("SELECT 'a // b', a // 2", "SELECT 'a // b', a DIV 2"),
        ("SELECT 'it''s // it', 'x'", r"SELECT 'it\'s // it', 'x'"),
        (r"SELECT '\N'", r"SELECT '\\N'"),
        ("""SELECT "it's // it", ''""", """SELECT "it's // it", ''"""),
    ],
)
def test_what_spark_writes_otherwise(query: str, expected: str) -> None:
    assert in_spark(query) == expected


@spark_sessions.NEEDS_SPARK
def test_numbers_without_gaps(tables: SparkTables, tmp_path: Path) -> None:
    """Over several partitions, as DuckDB numbers them; a table may be replaced by its own rows."""
    values = ", ".join(f"({n * 7919 % 1009}, {n})" for n in range(1009))
    query = f"SELECT * FROM (VALUES {values}) AS t(a, b)"
    found = []
    with duckdb.connect() as connection:
        for engine in (connection, tables):
            create(engine, "things", query)
            number(engine, "things", "SELECT a, b FROM things", "user", order="a", kind="BIGINT")
            found.append(batches(engine, 'SELECT "user", a, b FROM things ORDER BY "user"', 100).read_all())
    assert found[0].equals(found[1])
    assert found[1].column("user").to_pylist() == list(range(1009))
    assert [len(chunk) for chunk in found[1].column("a").chunks] == [100] * 10 + [9]


@spark_sessions.NEEDS_SPARK
def test_files_go_with_their_tables(tables: SparkTables, tmp_path: Path) -> None:
    (scratch,) = tmp_path.iterdir()
    create(tables, "things", "SELECT 1 AS a")
    create(tables, "things", "SELECT a + 1 AS a FROM things")
    assert tables.execute("SELECT a FROM things").fetchall() == [(2,)]
    assert [path.name for path in scratch.iterdir()] == ["things-2"]
    assert batches(tables, "SELECT a FROM things", 5).read_all().to_pydict() == {"a": [2]}
    drop(tables, "things")
    assert not list(scratch.iterdir())


@spark_sessions.NEEDS_SPARK
@pytest.mark.parametrize("text", ["it's", "a\\b", "x // y", "\\", "%", "é🎈", '"'])
def test_texts_are_what_they_are(tables: SparkTables, text: str) -> None:
    literal = "'" + text.replace("'", "''") + "'"
    assert tables.execute(f"SELECT {literal} AS t").fetchone() == (text,)
    assert tables.execute("SELECT 1 AS one WHERE ? = ?", [text, text]).fetchall() == [(1,)]

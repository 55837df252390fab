"""What the preparation asks of a query engine. Its SQL is one text, in the words that DuckDB and Spark both take.

A query goes to ``execute``, of either engine. What the two write differently is here and in
:mod:`segue.data.spark.engine`: how a table is made, how rows are numbered, and how many rows are handed out.
Decision 0031 lists what the common SQL keeps away from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from duckdb import DuckDBPyConnection

from segue.data.engine import quoted


class Result(Protocol):
    """The rows of a query, still to be fetched."""

    def fetchall(self) -> list[Any]:
        """All rows, as tuples."""

    def fetchone(self) -> Any:
        """The first row; None where there is none."""

    def fetchnumpy(self) -> dict[str, Any]:
        """Column name → values."""

    def to_arrow_table(self) -> pa.Table:
        """All rows as an Arrow table."""


class Tables(Protocol):
    """An engine that makes its tables in its own way: Spark."""

    def execute(self, query: str, parameters: Any = None) -> Result:
        """Run a query."""

    def create(self, name: str, query: str) -> None:
        """Make or replace a table, which the query may read."""

    def number(self, name: str, query: str, column: str, order: str, kind: str) -> None:
        """Make or replace a table of the query's rows, numbered."""

    def drop(self, name: str) -> None:
        """Remove a table."""

    def take(self, name: str, folder: Path) -> None:
        """Let the Parquet files of a folder be a table; the folder goes with it."""

    def batches(self, query: str, rows: int) -> pa.RecordBatchReader:
        """The rows in the query's order."""


Engine = DuckDBPyConnection | Tables
"""DuckDB's connection, or an engine that is asked in the same words."""


def create(engine: Engine, name: str, query: str) -> None:
    """Make the table `name` of the rows of `query`, or replace it; the query may read the table that it replaces."""
    if isinstance(engine, DuckDBPyConnection):
        engine.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
    else:
        engine.create(name, query)


def number(engine: Engine, name: str, query: str, column: str, *, order: str, kind: str = "INTEGER") -> None:
    """Make the table `name` of the rows of `query`, with their numbers from 0 in the column `column`.

    Args:
        order: what they are numbered by, a total order: equal numbers on every engine need one.
        kind: the SQL type of the numbers.
    """
    if isinstance(engine, DuckDBPyConnection):
        ranked = f"CAST(row_number() OVER (ORDER BY {order}) - 1 AS {kind}) AS {quoted(column)}"
        create(engine, name, f"SELECT {ranked}, * FROM ({query})")
    else:
        engine.number(name, query, column, order, kind)


def drop(engine: Engine, name: str) -> None:
    """Remove a table."""
    if isinstance(engine, DuckDBPyConnection):
        engine.execute(f"DROP TABLE {name}")
    else:
        engine.drop(name)


def batches(engine: Engine, query: str, rows: int) -> pa.RecordBatchReader:
    """The rows of `query`, in its order, about so many `rows` at once."""
    if isinstance(engine, DuckDBPyConnection):
        return engine.sql(query).to_arrow_reader(rows)
    return engine.batches(query, rows)

"""What the preparation asks of a query engine. Its SQL is one text, in the words that DuckDB and Spark both take.

A query goes to ``execute``, of either engine. What the two write differently is here and in
:mod:`segue.data.spark.engine`: how a table is made, how rows are numbered, and how many rows are handed out.
Decision 0031 lists what the common SQL keeps away from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from duckdb import DuckDBPyConnection


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

    def batches(self, query: str, rows: int) -> pa.RecordBatchReader:
        """The rows in the query's order."""


Engine = DuckDBPyConnection | Tables
"""DuckDB's connection, or an engine that is asked in the same words."""


@dataclass(frozen=True)
class Made:
    """A table that was made.

    Attributes:
        name, query: its name, and the SQL of its rows.
        rows: number of its rows.
        width: bytes of a row, uncompressed.
        seconds: how long it took.
    """

    name: str
    query: str
    rows: int
    width: float
    seconds: float

    @property
    def size(self) -> float:
        """Bytes of the table, uncompressed."""
        return self.rows * self.width


_WIDTHS = {"BOOLEAN": 1, "INTEGER": 4, "BIGINT": 8, "DOUBLE": 8, "HUGEINT": 16}
_OFFSET = 4
"""Bytes that a text takes beside its own."""


_record: ContextVar[list[Made] | None] = ContextVar("record", default=None)


@contextmanager
def recorded() -> Iterator[list[Made]]:
    """The tables that DuckDB makes inside the block, in their order; each is measured once it is there."""
    record: list[Made] = []
    before = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(before)


def create(engine: Engine, name: str, query: str) -> None:
    """Make the table `name` of the rows of `query`, or replace it; the query may read the table that it replaces."""
    if not isinstance(engine, DuckDBPyConnection):
        engine.create(name, query)
        return
    began = time.perf_counter()
    engine.execute(f"CREATE OR REPLACE TABLE {name} AS {query}")
    record = _record.get()
    if record is not None:
        record.append(_measured(engine, name, query, time.perf_counter() - began))


def _measured(engine: DuckDBPyConnection, name: str, query: str, seconds: float) -> Made:
    kinds = {column: kind for column, kind, *_ in engine.execute(f"DESCRIBE {name}").fetchall()}
    texts = "".join(f', coalesce(avg(strlen("{column}")), 0)' for column, kind in kinds.items() if kind == "VARCHAR")
    rows, *lengths = engine.execute(f"SELECT count(*){texts} FROM {name}").fetchall()[0]
    width = sum(_WIDTHS[kind] for kind in kinds.values() if kind != "VARCHAR") + sum(lengths) + _OFFSET * len(lengths)
    return Made(name, query, rows, width, seconds)


def number(engine: Engine, name: str, query: str, column: str, *, order: str, kind: str = "INTEGER") -> None:
    """Make the table `name` of the rows of `query`, with their numbers from 0 in the column `column`.

    Args:
        order: what they are numbered by, a total order: equal numbers on every engine need one.
        kind: the SQL type of the numbers.
    """
    if isinstance(engine, DuckDBPyConnection):
        ranked = f'CAST(row_number() OVER (ORDER BY {order}) - 1 AS {kind}) AS "{column}"'
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

"""A column of numbers or text that is to be read as times, and queries over its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb

from segue.data.engine import one_row

_WHOLE = {sign + size for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")}


@dataclass(frozen=True)
class TimeColumn:
    """A column in the engine. In the queries, ``row``, ``value`` and ``number`` are the row's number, its value (null
    where it is missing), and the value as DOUBLE (null where it is no number).

    Attributes:
        relation: the engine's table.
        column: the column, quoted for SQL.
        kind: its DuckDB type.
        name: the source, for messages.
        row_name: rowid → the position of that row, for messages.
    """

    connection: duckdb.DuckDBPyConnection
    relation: str
    column: str
    kind: str
    name: str
    row_name: Callable[[int], str]

    @property
    def holds_numbers_or_text(self) -> bool:
        """Whether the type is one that can write times as numbers or text."""
        return self.kind in _WHOLE | {"VARCHAR", "DOUBLE", "FLOAT"} or self.kind.startswith("DECIMAL")

    @property
    def is_text(self) -> bool:
        """Whether the values are text."""
        return self.kind == "VARCHAR"

    @property
    def value(self) -> str:
        """The SQL of the value over the column: trimmed, null where it is missing."""
        if self.is_text:
            return f"nullif(trim({self.column}), '')"
        # Not-a-number is how frames write a missing number.
        return f"CASE WHEN NOT isnan({self.column}) THEN {self.column} END" if self._is_float else self.column

    @property
    def rows(self) -> str:
        """The SQL of the rows with row, value and number."""
        # DuckDB would also take 1_000 for a number.
        number = "CASE WHEN NOT contains(value, '_') THEN TRY_CAST(value AS DOUBLE) END"
        return f"""
            (SELECT row, value, {number if self.is_text else "CAST(value AS DOUBLE)"} AS number
             FROM (SELECT rowid AS row, {self.value} AS value FROM {self.relation}) WHERE value IS NOT NULL)
        """

    @property
    def _is_float(self) -> bool:
        return self.kind in ("DOUBLE", "FLOAT")

    def summary(self, aggregates: str, condition: str = "true") -> tuple[Any, ...]:
        """The row of these aggregates over the values that meet the condition."""
        return one_row(self.connection, f"SELECT {aggregates} FROM {self.rows} WHERE {condition}")

    def example(self, row: int) -> str:
        """The value of a row, as text."""
        (value,) = one_row(self.connection, f"SELECT {self.column} FROM {self.relation} WHERE rowid = {row}")
        return str(value)

    def in_words(self, row: int) -> str:
        """A row and its value, for messages."""
        return f"{self.row_name(row)} ('{self.example(row)}')"

    def make_null(self, condition: str) -> None:
        """Make the values that meet the condition null."""
        self.connection.execute(
            f"UPDATE {self.relation} SET {self.column} = NULL "
            f"WHERE rowid IN (SELECT row FROM {self.rows} WHERE {condition})"
        )

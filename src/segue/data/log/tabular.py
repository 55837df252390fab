"""A table from outside, once it is open (``opening.py``), and its copy in the engine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from segue.errors import LogError
from segue.settings import ColumnsSettings

_BLANKS = "' \t\r\n'"


@dataclass(frozen=True)
class Tabular:
    """A table from outside, open for reading.

    Attributes:
        name: the table as the user named it.
        kind: its format, in words.
        scan: the SQL that stands after FROM.
        columns: column name → the SQL that reads it.
        ordered: whether the order of its rows means something (that of a DuckDB table does not).
        files: the files behind it, in the order of reading; empty for a frame or a DuckDB table.
    """

    name: str
    kind: str
    scan: str
    columns: Mapping[str, str]
    ordered: bool = True
    files: tuple[Path, ...] = ()


def stage(connection: duckdb.DuckDBPyConnection, table: Tabular, wanted: Mapping[str, str], into: str) -> None:
    """Copy columns to the engine's table `into`, in the order of the source.

    ``rowid`` of the copy is the row's number, from 0 and over the files of a folder in the order of their names.

    Args:
        wanted: name in `into` → column of the source. Enumerations become text.

    Raises LogError when there is no row.
    """
    wanted_sql = ", ".join(f"{table.columns[column]} AS {quoted(name)}" for name, column in wanted.items())
    connection.execute(f"CREATE OR REPLACE TABLE {into} AS SELECT {wanted_sql} FROM {table.scan}")
    for name, kind in column_types(connection, into).items():
        if kind.startswith("ENUM"):
            connection.execute(f"ALTER TABLE {into} ALTER {quoted(name)} TYPE VARCHAR")
    if connection.execute(f"SELECT 1 FROM {into} LIMIT 1").fetchone() is None:
        connection.execute(f"DROP TABLE {into}")
        raise LogError(f"{table.name} is empty: it names its columns ({', '.join(table.columns)}) but holds no row")


def forget_words(connection: duckdb.DuckDBPyConnection, relation: str, words: Sequence[str]) -> None:
    """Make the texts of the engine's table `relation` null that are one of `words`, or blank."""
    wanted = [word.strip() for word in words if word.strip()]
    missing = ", ".join(literal(word) for word in ("", *wanted))
    for column, kind in column_types(connection, relation).items():
        text = quoted(column)
        if kind == "VARCHAR":
            # Trimming every text would take longer than reading it: only those that begin like a word or with a blank.
            begins = " OR ".join([f"{text} < '!'", *(f"starts_with({text}, {literal(word)})" for word in wanted)])
            connection.execute(
                f"UPDATE {relation} SET {text} = NULL WHERE ({begins}) AND trim({text}, {_BLANKS}) IN ({missing})"
            )


def column_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Column name → DuckDB type."""
    return {name: str(kind) for name, kind, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}


def require_column(table: Tabular, column: str, hint: Callable[[str], str]) -> None:
    """Raise LogError when the column is not there; `hint` says the way to take another, whose name it is given."""
    if column in table.columns:
        return
    others = [name for name in table.columns if name not in ColumnsSettings.model_fields]
    plain = {re.sub(r"[\W_]", "", name).lower(): name for name in others}
    close = difflib.get_close_matches(re.sub(r"[\W_]", "", column).lower(), list(plain), n=1, cutoff=0.5)
    nearest = f"did you mean '{plain[close[0]]}'? " if close else ""
    remedy = hint(plain[close[0]] if close else "COLUMN")
    raise LogError(f"{table.name} has no column '{column}' (found: {', '.join(table.columns)}); {nearest}{remedy}")


def row_in_words(connection: duckdb.DuckDBPyConnection, table: Tabular, row: int) -> str:
    """The position of row number `row` (from 0) for messages: ``row 3``, counted from 1 after the header."""
    if len(table.files) < 2:
        return f"row {row + 1}"
    counts = dict(connection.execute(f"SELECT segue_file, count(*) FROM {table.scan} GROUP BY segue_file").fetchall())
    for file in table.files:
        if row < counts.get(str(file), 0):
            return f"row {row + 1} of {file.name}"
        row -= counts.get(str(file), 0)
    raise AssertionError("a row beyond the last file")


def as_text(column: str, kind: str) -> str | None:
    """The SQL that reads a column of type `kind` as text, empty text as null; None for a type that is no plain value.

    Whole numbers stored as floats become whole: frames turn integers into floats where one is missing. The rule for
    one value of Python is :func:`segue.data.ids.id_text`.
    """
    if kind == "BLOB" or kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
        return None
    plain = f"CAST({column} AS VARCHAR)"
    if kind in ("DOUBLE", "FLOAT"):
        whole = (
            f"WHEN {column} = trunc({column}) AND abs({column}) < 1e18 THEN CAST(CAST({column} AS BIGINT) AS VARCHAR)"
        )
        return f"CASE WHEN isnan({column}) THEN NULL {whole} ELSE {plain} END"
    if kind.startswith("DECIMAL"):
        whole = f"CAST(CAST({column} AS HUGEINT) AS VARCHAR)"
        return f"CASE WHEN {column} = trunc({column}) THEN {whole} ELSE rtrim({plain}, '0') END"
    return f"nullif({plain}, '')" if kind == "VARCHAR" else plain


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"

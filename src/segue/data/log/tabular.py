"""A table from outside, once it is open (``opening``), and its copy in the engine."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import duckdb

from segue.data.engine import FILE, column_types, literal, one_row, quoted
from segue.errors import LogError
from segue.settings import ColumnsSettings

_BLANKS = "' \t\r\n'"


@dataclass(frozen=True)
class Loaded:
    """What became of the rows of a table that was copied.

    Attributes:
        dropped: reason → number of rows that were left out because they are no rows at all.
        notes: what was recognised, or is doubtful, and is worth saying.
        position: row number of the copy (from 0) → its position in the source, in words.
    """

    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    position: Callable[[int], str] = lambda row: f"row {row + 1}"


Load = Callable[[Mapping[str, str], str, bool], Loaded]
"""Copies columns to a table of the engine: (name there → column of the source, name of the table, whether rows that are
no rows are left out)."""


@dataclass(frozen=True)
class Tabular:
    """A table from outside, open for reading.

    Attributes:
        name: the table as the user named it.
        kind: its format, in words.
        columns: names of its columns.
        load: copies some of them to the engine.
        ordered: whether the order of its rows means something (that of a DuckDB table does not).
        hint: what to say beside a column that is not there.
        repeated: names that more than one column has.
        notes: what was recognised when it was opened and is worth saying.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    load: Load
    ordered: bool = True
    hint: str = ""
    repeated: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: Tabular,
    wanted: Mapping[str, str],
    into: str,
    *,
    drop_invalid: bool = False,
) -> Loaded:
    """Copy columns to the engine's table `into`, in the order of the source.

    ``rowid`` of the copy is the row's number, from 0 and over the files of a folder in the order of their names.

    Args:
        wanted: name in `into` → column of the source. Enumerations become text.
        drop_invalid: leave out, and count, what is no row.

    Raises LogError when there is no row, for a column that the source has twice, and for what is no row.
    """
    for column in wanted.values():
        if column in table.repeated:
            raise LogError(f"{table.name} has two columns called '{column}'; rename one of them")
    loaded = table.load(wanted, into, drop_invalid)
    for name, kind in column_types(connection, into).items():
        if kind.startswith("ENUM"):
            connection.execute(f"ALTER TABLE {into} ALTER {quoted(name)} TYPE VARCHAR")
    if connection.execute(f"SELECT 1 FROM {into} LIMIT 1").fetchone() is None:
        connection.execute(f"DROP TABLE {into}")
        if loaded.dropped:
            raise LogError(f"{table.name}: no line is a row ({counted(loaded.dropped)}); is csv.delimiter right?")
        raise LogError(f"{table.name} is empty: it names its columns ({', '.join(table.columns)}) but holds no row")
    return replace(loaded, notes=(*table.notes, *loaded.notes))


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


def counted(dropped: Mapping[str, int]) -> str:
    """Numbers of rows by reason, in words: ``1 row: too few fields, 3 rows: unreadable time``."""
    return ", ".join(f"{count:,} row{'s' * (count != 1)}: {reason}" for reason, count in dropped.items())


def position_in_files(
    files: Sequence[Path],
    held: Callable[[], Mapping[str, int]],
    gaps: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Callable[[int], str]:
    """Row number over all files → ``row 3 of part-2.csv``, counted from 1 after the header; of one file ``row 3``.

    Args:
        held: the number of rows read per file; called only for several files, when a position is asked for.
        gaps: file → positions, from 0 and rising, of its rows that were left out.
    """

    def position(row: int) -> str:
        counts = held() if len(files) > 1 else {str(files[0]): row + 1}
        for file in files:
            if row < counts.get(str(file), 0):
                for gap in gaps.get(str(file), ()):
                    row += gap <= row
                return f"row {row + 1}" + (f" of {file.name}" if len(files) > 1 else "")
            row -= counts.get(str(file), 0)
        raise AssertionError("a row beyond the last file")

    return position


def rows_per_file(connection: duckdb.DuckDBPyConnection, scan: str) -> dict[str, int]:
    """Number of rows of each file behind a scan with the column :data:`segue.data.engine.FILE`."""
    return dict(connection.execute(f"SELECT {FILE}, count(*) FROM {scan} GROUP BY {FILE}").fetchall())


def repeated_names(names: Sequence[str]) -> frozenset[str]:
    """The names that more than one column has."""
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def inexact(connection: duckdb.DuckDBPyConnection, relation: str, column: str, kind: str, name: str) -> Iterator[str]:
    """A note where ids in a column of floats are too large to be told apart: beyond 2^24 or 2^53 integers have gaps.

    Args:
        column: the SQL of the column in `relation`.
        kind: its type.
        name: its name in the source.
    """
    bits = {"FLOAT": 24, "DOUBLE": 53}.get(kind)
    if bits is None:
        return
    large = f"abs({column}) >= {2**bits} AND isfinite({column})"
    (count,) = one_row(connection, f"SELECT count(*) FROM {relation} WHERE {large}")
    if count:
        yield (
            f"column '{name}' holds floats ({kind}), and {count:,} of its ids are {2**bits:,} or more, where floats "
            "skip whole numbers, so that ids may be merged: write the column as integers or text"
        )


def require_column(table: Tabular, column: str, hint: Callable[[str], str]) -> None:
    """Raise LogError when the column is not there; `hint` says the way to take another, whose name it is given."""
    if column in table.columns:
        return
    others = [name for name in table.columns if name not in ColumnsSettings.model_fields]
    plain = {re.sub(r"[\W_]", "", name).lower(): name for name in others}
    close = difflib.get_close_matches(re.sub(r"[\W_]", "", column).lower(), list(plain), n=1, cutoff=0.5)
    nearest = f"did you mean '{plain[close[0]]}'? " if close else ""
    remedy = hint(plain[close[0]] if close else "COLUMN")
    found = f"{table.name} has no column '{column}' (found: {', '.join(table.columns)})"
    raise LogError(f"{found}; {table.hint or nearest + remedy}")


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

"""Opening Parquet files, also those whose columns differ in type from file to file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from segue.data.engine import FILE, column_types, file_list, quoted
from segue.data.log.opening.kinds import partitions
from segue.data.log.tabular import (
    Loaded,
    Tabular,
    as_text,
    inexact,
    position_in_files,
    rows_per_file,
)
from segue.errors import LogError

_OPTIONS = "binary_as_string = true, hive_partitioning = false"
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
_TIMES = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")


@dataclass(frozen=True)
class _Part:
    """Files in a row with the same types."""

    files: tuple[Path, ...]
    types: Mapping[str, str]

    @property
    def scan(self) -> str:
        return f"read_parquet({file_list(self.files)}, {_OPTIONS}, filename = '{FILE}')"


def open_parquet(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> Tabular:
    """Open Parquet files. Where a column differs in type, each file is read by its own type, see :func:`_unified`."""
    parts = _parts(connection, files)
    folders = {key: sql for key, sql in partitions(Path(name), files).items() if key not in parts[0].types}

    def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
        selects: list[str] = []
        notes: list[str] = []
        for part in parts:
            _refuse_missing(part, [column for column in wanted.values() if column not in folders])
        for role, column in wanted.items():
            if column not in folders:
                notes += _notes(connection, parts, role, column)
        for part in parts:
            columns = (
                f"{folders[column] if column in folders else _unified(parts, part, column)} AS {quoted(role)}"
                for role, column in wanted.items()
            )
            selects.append(f"SELECT {', '.join(columns)} FROM {part.scan}")
        connection.execute(f"CREATE OR REPLACE TABLE {into} AS {' UNION ALL '.join(selects)}")
        return Loaded(notes=tuple(notes), position=position_in_files(files, held))

    def held() -> dict[str, int]:
        return {file: rows for part in parts for file, rows in rows_per_file(connection, part.scan).items()}

    return Tabular(name, "Parquet", (*parts[0].types, *folders), load)


def _parts(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[_Part]:
    by_schema: dict[str, Mapping[str, str]] = {}

    def types(file: Path) -> Mapping[str, str]:
        try:
            schema = str(pq.read_schema(file).remove_metadata())
        except (pa.ArrowException, OSError):
            raise LogError(f"{file} cannot be read: not a complete Parquet file; fetch or write it again") from None
        if schema not in by_schema:
            by_schema[schema] = column_types(connection, f"read_parquet({file_list([file])}, {_OPTIONS})")
        return by_schema[schema]

    return [_Part(tuple(group), found) for found, group in groupby(files, key=types)]


def _refuse_missing(part: _Part, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in part.types:
            raise LogError(
                f"{part.files[0]} has no column '{column}', which other files have; mend or remove that file"
            )


def _kinds(parts: Sequence[_Part], column: str) -> list[str]:
    return list(dict.fromkeys(part.types[column] for part in parts))


def _unified(parts: Sequence[_Part], part: _Part, column: str) -> str:
    """The SQL that reads a column of one part so that it goes with the same column of the others.

    Whole numbers go by the widest type and times without zone by microseconds: nothing is lost. Anything else is read
    as text, each file by its own type, as a file would be that stands alone.
    """
    kinds, name = _kinds(parts, column), quoted(column)
    if len(kinds) == 1:
        return name
    if set(kinds) <= set(_WHOLE):
        return f"CAST({name} AS {'HUGEINT' if {'UBIGINT', 'HUGEINT'} & set(kinds) else 'BIGINT'})"
    if set(kinds) <= set(_TIMES):
        return f"CAST({name} AS TIMESTAMP)"
    text = as_text(name, part.types[column])
    if text is None:
        raise LogError(f"{part.files[0]}: column '{column}' holds {part.types[column]}, in other files {kinds[0]}")
    return text


def _notes(connection: duckdb.DuckDBPyConnection, parts: Sequence[_Part], role: str, column: str) -> Iterator[str]:
    """What is said of a column that is read as text because its types differ.

    Raises LogError for ids that are too large for the floats of one file: those of other files cannot be matched.
    """
    kinds = _kinds(parts, column)
    if len(kinds) == 1 or set(kinds) <= set(_WHOLE) or set(kinds) <= set(_TIMES):
        return
    first = {kind: next(part.files[0].name for part in parts if part.types[column] == kind) for kind in kinds}
    found = ", ".join(f"{kind} in {file}" for kind, file in first.items())
    yield f"column '{column}' has several types ({found}): each file is read by its own, as text"
    for part in parts:
        for problem in inexact(connection, part.scan, quoted(column), part.types[column], column):
            if role != "timestamp":
                raise LogError(f"{part.files[0]}: {problem}; in other files its ids are exact")

"""Opening JSON: one object per line, or one list of objects."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from segue.data.engine import FILE, column_types, file_list, literal, quoted
from segue.data.log.opening.kinds import partitions
from segue.data.log.tabular import Loaded, Tabular, position_in_files, rows_per_file
from segue.errors import LogError

_KEPT = {"BIGINT", "UBIGINT", "DOUBLE", "BOOLEAN"}
"""Types that are kept as DuckDB finds them over whole files; any other plain value is text as it is written."""


def open_json(connection: duckdb.DuckDBPyConnection, name: str, kind: str, files: Sequence[Path]) -> Tabular:
    """Open JSON files. Raises LogError for a log whose events lie in lists inside objects, with what flattens it."""
    form = "newline_delimited" if kind == "JSON lines" else "auto"
    options = f"format = '{form}', hive_partitioning = false"
    inferred = "sample_size = -1, union_by_name = true, map_inference_threshold = -1"
    types = column_types(connection, f"read_json({file_list(files)}, {options}, {inferred})")
    lists = [column for column, found in types.items() if found.startswith("STRUCT(") and found.endswith("[]")]
    if lists:
        raise LogError(
            f"{name} holds lists of objects (key '{lists[0]}'), one row each is read; {_flatten(files, types)}"
        )
    plain = {column: _type(found) for column, found in types.items()}
    folders = {key: sql for key, sql in partitions(Path(name), files).items() if key not in plain}

    def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
        read = {column: plain[column] for column in wanted.values() if column in plain}
        columns = ", ".join(f"{literal(column)}: {literal(found)}" for column, found in read.items())
        lenient = ", ignore_errors = true" if drop_invalid and form == "newline_delimited" else ""
        scan = f"read_json({file_list(files)}, {options}{lenient}, filename = '{FILE}', columns = {{{columns}}})"
        selected = ", ".join(
            f"{folders.get(column, quoted(column))} AS {quoted(role)}" for role, column in wanted.items()
        )
        connection.execute(f"CREATE OR REPLACE TABLE {into} AS SELECT {selected} FROM {scan}")
        return Loaded(position=position_in_files(files, lambda: rows_per_file(connection, scan)))

    return Tabular(name, kind, (*plain, *folders), load)


def _type(found: str) -> str:
    nested = found.endswith("]") or found.startswith(("STRUCT", "MAP", "UNION"))
    return found if found in _KEPT or nested else "VARCHAR"


def _flatten(files: Sequence[Path], types: Mapping[str, str]) -> str:
    """The command that writes one row per object of the lists."""
    columns = ", ".join(
        f"unnest({quoted(column)}, recursive := true)" if found.startswith("STRUCT(") else quoted(column)
        for column, found in types.items()
    )
    out = files[0].with_name(files[0].name.split(".")[0] + ".parquet")
    code = (
        f"import duckdb; duckdb.sql({f'SELECT {columns} FROM read_json({literal(str(files[0]))})'!r}).write_parquet("
        f"{str(out)!r})"
    )
    more = "; do so with each file" if len(files) > 1 else ""
    return f"convert it: python -c {shlex.quote(code)}{more}"

"""Opening JSON: one object per line, or one list of objects."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from segue.data.engine import FILE, column_types, file_list, literal, quoted
from segue.data.log.opening.json_objects import load_objects, structure_of
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
    types = _whole(connection, f"read_json({file_list(files)}, {options}, {inferred})", kind)
    structure = None if types else structure_of(connection, name, files)
    if structure:
        types = column_types(connection, f"(SELECT unnest(json_transform('{{}}', {literal(json.dumps(structure))})))")
    lists = [column for column, found in types.items() if found.startswith("STRUCT(") and found.endswith("[]")]
    if lists:
        raise LogError(
            f"{name} holds lists of objects (key '{lists[0]}'), one row each is read; {_flatten(files, types)}"
        )
    plain = {column: _type(found) for column, found in types.items()}
    folders = {key: sql for key, sql in partitions(Path(name), files).items() if key not in plain}

    def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
        read = {column: plain[column] for column in wanted.values() if column in plain}
        selected = {role: folders.get(column, quoted(column)) for role, column in wanted.items()}
        if structure:
            nested = {column: structure[column] for column in read if isinstance(structure[column], dict | list)}
            return load_objects(connection, files, {**read, **nested}, selected, into, drop_invalid=drop_invalid)
        columns = ", ".join(f"{literal(column)}: {literal(found)}" for column, found in read.items())
        scan = f"read_json({file_list(files)}, {options}, filename = '{FILE}', columns = {{{columns}}})"
        named = ", ".join(f"{sql} AS {quoted(role)}" for role, sql in selected.items())
        connection.execute(f"CREATE OR REPLACE TABLE {into} AS SELECT {named} FROM {scan}")
        return Loaded(position=position_in_files(files, lambda: rows_per_file(connection, scan)))

    return Tabular(name, kind, (*plain, *folders), load)


def _whole(connection: duckdb.DuckDBPyConnection, scan: str, kind: str) -> dict[str, str]:
    """Key → type over whole files; nothing for JSON lines of which some are no objects."""
    try:
        types = column_types(connection, scan)
    except duckdb.InvalidInputException as error:
        if kind != "JSON lines" or "Malformed JSON" not in str(error) or "UTF-8" in str(error):
            raise
        return {}
    return {} if kind == "JSON lines" and types == {"json": "JSON"} else types


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

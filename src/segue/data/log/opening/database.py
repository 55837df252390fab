"""Opening a table of a DuckDB database, which may be anybody's: only stored rows are read, nothing in it is run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from segue.data.engine import column_types, one_row, quoted
from segue.data.log.tabular import Loaded, Tabular
from segue.errors import LogError

_STREAM = "segue_stream"
_PLAIN = {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_PLAIN |= {"FLOAT", "DOUBLE", "DATE", "VARCHAR", "BLOB"}
_PLAIN_FAMILIES = ("DECIMAL", "TIMESTAMP", "ENUM", "STRUCT", "MAP", "UNION")
"""Types that pass through Arrow as they are; others are read as their text."""


@contextmanager
def open_database(connection: duckdb.DuckDBPyConnection, name: str, path: Path, table: str) -> Iterator[Tabular]:
    """Open a base table for the block, in an engine of its own that reads no other file.

    A view or a computed column runs a query of whoever made the database, with the rights of whoever reads it: such are
    refused. Raises LogError.
    """
    foreign = duckdb.connect(str(path.resolve()), read_only=True, config=_settings(connection))
    try:
        foreign.execute("SET enable_progress_bar = false")
        foreign.execute("SET lock_configuration = true")
        relation = _base_table(foreign, path, table)
        types = column_types(foreign, relation)

        def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
            selected = ", ".join(f"{_read(column, types[column])} AS {quoted(role)}" for role, column in wanted.items())
            rows = foreign.sql(f"SELECT {selected} FROM {relation}")
            connection.register(_STREAM, rows.to_arrow_reader())
            try:
                connection.execute(f"CREATE OR REPLACE TABLE {into} AS FROM {_STREAM}")
            finally:
                connection.unregister(_STREAM)
            return Loaded()

        yield Tabular(name, "DuckDB table", tuple(types), load, ordered=False)
    finally:
        foreign.close()


def _settings(connection: duckdb.DuckDBPyConnection) -> dict[str, str | bool | int | float | list[str]]:
    memory, threads = one_row(connection, "SELECT current_setting('memory_limit'), current_setting('threads')")
    return {
        "memory_limit": memory,
        "threads": threads,
        "enable_external_access": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }


def _read(column: str, kind: str) -> str:
    plain = kind in _PLAIN or kind.startswith(_PLAIN_FAMILIES) or kind.endswith("]")
    return quoted(column) if plain else f"CAST({quoted(column)} AS VARCHAR)"


def _base_table(foreign: duckdb.DuckDBPyConnection, path: Path, table: str) -> str:
    """The SQL name of the one base table that is meant."""
    tables = foreign.execute(
        "SELECT table_name, schema_name, sql FROM duckdb_tables() WHERE NOT internal AND NOT temporary ORDER BY ALL"
    ).fetchall()
    views = foreign.execute(
        "SELECT view_name, schema_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
    ).fetchall()
    wanted = [row for row in tables if table in ("", row[0], f"{row[1]}.{row[0]}")]
    if len(wanted) != 1:
        if any(table in (row[0], f"{row[1]}.{row[0]}") for row in views):
            raise LogError(f"{path}: '{table}' is a view, a query of whoever made it; {_export(path, table)}")
        known = ", ".join(row[0] for row in tables) or "none"
        problem = f"has no table '{table}'" if table else "holds more than one table" if tables else "holds no table"
        raise LogError(f"{path} {problem} (tables: {known}); name one as {path.name}::TABLE")
    name, schema, definition = wanted[0]
    if "GENERATED ALWAYS AS" in definition:
        raise LogError(f"{path}: table '{name}' has computed columns; {_export(path, name)}")
    return f"{quoted(schema)}.{quoted(name)}"


def _export(path: Path, table: str) -> str:
    """The command that writes what a view or a computed column gives."""
    out = path.with_name(f"{table.replace('/', '_')}.parquet")
    name = ".".join(quoted(part) for part in table.split("."))
    read = f"duckdb.connect({str(path)!r}, read_only=True).sql({f'FROM {name}'!r})"
    code = f"import duckdb; {read}.write_parquet({str(out)!r})"
    return f"if you trust it, write its rows to a file: python -c {shlex.quote(code)}"

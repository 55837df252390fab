"""Opening text files: CSV, TSV and their relatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import duckdb

from segue.data.engine import quoted
from segue.data.log.opening.kinds import partitions
from segue.data.log.tabular import Loaded, Tabular, position_in_files, repeated_names, rows_per_file
from segue.data.text.header import looks_like_data
from segue.data.text.records import Dialect
from segue.data.text.survey import is_blank
from segue.data.text.table import TextCopy, TextTable, copy_text, open_text, scan
from segue.errors import LogError
from segue.settings import CsvSettings


def open_texts(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    kind: str,
    files: Sequence[Path],
    csv: CsvSettings,
) -> Tabular:
    """Open text files that share their columns; those of a folder that are blank are passed over."""
    filled = [file for file in files if len(files) == 1 or not is_blank(file)]
    if not filled:
        raise LogError(f"{files[0]} is empty: its first line names no column")
    notes = tuple(f"{file} is empty and was skipped" for file in files if file not in filled)
    table = open_text(filled, delimiter=csv.delimiter, header=csv.header, quoting=csv.quoting)
    folders = {key: sql for key, sql in partitions(Path(name), filled).items() if key not in table.columns}
    columns = {column: f"c{number}" for number, column in reversed(list(enumerate(table.columns)))} | folders

    def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
        selected = {quoted(role): columns[column] for role, column in wanted.items()}
        copied = copy_text(connection, table, selected, into, drop_invalid=drop_invalid)
        return Loaded(copied.dropped, copied.notes, _position(connection, table, copied))

    return Tabular(
        name,
        kind,
        (*dict.fromkeys(table.columns), *folders),
        load,
        hint=_hint(table),
        repeated=repeated_names(table.columns),
        notes=notes,
    )


def _position(connection: duckdb.DuckDBPyConnection, table: TextTable, copied: TextCopy) -> Callable[[int], str]:
    rows = scan(table.files, Dialect(table.delimiter, len(table.columns), copied.quoting), header=table.header)
    kept = {str(file): count for file, count in copied.kept.items()}
    gaps = {str(file): positions for file, positions in copied.gaps.items()}
    return position_in_files(table.files, lambda: kept or rows_per_file(connection, rows), gaps)


def _hint(table: TextTable) -> str:
    """What to say when a column is not there and the first line looks like a row."""
    if not table.header:
        return f"the columns are called by their places, 1 to {len(table.columns)}: --set columns.user_id=1"
    if not looks_like_data(list(table.columns)):
        return ""
    return (
        "the first line looks like data: if it is no header, say so and name the columns by their places, such as "
        "--set csv.header=false --set columns.user_id=1 --set columns.item_id=2 --set columns.timestamp=3"
    )

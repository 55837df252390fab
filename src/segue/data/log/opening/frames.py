"""Opening data frames, and files that are frames: of each only the columns that are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.feather

from segue.data.ids import id_text
from segue.data.log.opening.kinds import READABLE
from segue.data.log.tabular import Loaded, Tabular, position_in_files, repeated_names
from segue.errors import LogError

_FRAME = "segue_frame"


def open_frame(connection: duckdb.DuckDBPyConnection, frame: Any, name: str) -> Tabular:
    """Open a frame with ``__arrow_c_stream__``: pandas, Polars (collected), Arrow. Raises LogError for others."""
    if not hasattr(frame, "__arrow_c_stream__") or (_is_pandas(frame) and not hasattr(frame, "columns")):
        problem = f"cannot read a table from {type(frame).__name__}"
        raise LogError(f"{problem}; {READABLE}, and pandas, Polars (collected) or Arrow frames")
    columns = _columns(frame)
    if not _height(frame):
        raise LogError(f"{name} is empty: it holds no row (columns: {', '.join(columns)})")

    def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
        notes: list[str] = []
        arrays = {role: _array(frame, columns, column, notes) for role, column in wanted.items()}
        _copy(connection, pa.table(arrays), into)
        return Loaded(notes=tuple(notes))

    return Tabular(name, "data frame", tuple(dict.fromkeys(columns)), load, repeated=repeated_names(columns))


def open_arrow_files(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> Tabular:
    """Open Feather and Arrow files. Raises LogError for damaged ones, and for files of unequal columns."""
    tables = [_read(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        if not table.schema.equals(tables[0].schema):
            raise LogError(f"{file} has other columns than {files[0].name}; the files of a folder must share theirs")
    names = tables[0].column_names

    def load(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
        whole = pa.concat_tables(tables).select([names.index(column) for column in wanted.values()])
        _copy(connection, whole.rename_columns(list(wanted)), into)
        held = {str(file): table.num_rows for file, table in zip(files, tables, strict=True)}
        return Loaded(position=position_in_files(files, lambda: held))

    return Tabular(name, "Arrow", tuple(dict.fromkeys(names)), load, repeated=repeated_names(names))


def _read(file: Path) -> pa.Table:
    try:
        return pyarrow.feather.read_table(file)
    except (pa.ArrowException, OSError):
        raise LogError(f"{file} cannot be read: not a complete Arrow file; fetch or write it again") from None


def _copy(connection: duckdb.DuckDBPyConnection, table: pa.Table, into: str) -> None:
    connection.register(_FRAME, table)
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {into} AS FROM {_FRAME}")
    finally:
        connection.unregister(_FRAME)


def _is_pandas(frame: Any) -> bool:
    return type(frame).__module__.partition(".")[0] == "pandas"


def _columns(frame: Any) -> list[str]:
    """Names of the columns, as text; of a pandas frame also those of its index that have one."""
    if _is_pandas(frame):
        return [*map(str, frame.columns), *(str(name) for name in frame.index.names if name is not None)]
    if hasattr(frame, "schema") and hasattr(frame.schema, "names"):
        names = frame.schema.names
        return list(names() if callable(names) else names)
    return list(pa.table(frame).column_names)


def _height(frame: Any) -> int:
    return len(frame) if hasattr(frame, "__len__") else pa.table(frame).num_rows


def _array(frame: Any, columns: Sequence[str], column: str, notes: list[str]) -> Any:
    """One column as an Arrow array."""
    place = columns.index(column)
    if not _is_pandas(frame):
        part = frame.select([column])
        return pa.table(part).column(0)
    width = len(frame.columns)
    series = frame.iloc[:, place] if place < width else frame.index.get_level_values(frame.index.names.index(column))
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _mixed(series, column, notes)


def _mixed(series: Any, column: str, notes: list[str]) -> pa.Array:
    """A column of values of several types, each as the text of its own."""
    kinds = Counter(type(value).__name__ for value in series if id_text(value) is not None)
    odd = [kind for kind in kinds if kind in ("list", "dict", "tuple", "set", "ndarray", "bytes")]
    if odd:
        raise LogError(f"column '{column}' of the pandas frame holds values of type {odd[0]}; ids are text or numbers")
    found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    if len(kinds) > 1:
        notes.append(f"column '{column}' mixes types ({found}): each value is read as its text")
    return pa.array([id_text(value) for value in series], pa.string())

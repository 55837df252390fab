"""What every stored table and every stored session must satisfy: one list of checks for corpora and models.

All raise ValueError with what was found; who reads says which file, and what to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segue.errors import first_line
from segue.system.json_files import check_regular

LATEST = 2**53
"""Bound on times, in ms on either side of 1970: differences of two of them are exact, also as floating point."""
_VALUES, _VALUES_PER_BYTE = 2**23, 64
"""A column may hold _VALUES values, and _VALUES_PER_BYTE more for each byte of its file. Compression of what was
recorded stays far below; a file that claims more would take memory without end."""


def read_table(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some columns of it.

    Raises OSError or ValueError when it is missing, damaged, claims more values than it can hold, or lacks a column.
    """
    check_regular(path)
    try:
        with pq.ParquetFile(path) as file:
            _check_size(file.metadata, path.stat().st_size)
            table = _read(file, path.name, columns)
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ValueError(f"{path.name}: {first_line(error)}") from None
    return table


def _read(file: pq.ParquetFile, name: str, columns: Collection[str] | None) -> pa.Table:
    names = file.schema_arrow.names
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise ValueError(f"{name} holds column {twice[0]!r} twice")
    lacking = [column for column in columns or () if column not in names]
    if lacking:
        raise ValueError(f"{name} lacks column {lacking[0]!r}")
    # Not pq.read_table: it imports every library for frames that is installed, which takes longer than an answer.
    wanted = list(columns) if columns is not None else names
    found = file.schema_arrow
    schema = pa.schema([field for field in found if field.name in wanted], found.metadata)
    return pa.Table.from_batches(file.iter_batches(columns=wanted), schema).select(wanted)


def check_columns(table: pa.Table, kinds: Mapping[str, pa.DataType], nullable: Collection[str], name: str) -> None:
    """Check the types of some columns, and that none but the `nullable` ones holds a null."""
    for column, kind in kinds.items():
        if column not in table.column_names:
            raise ValueError(f"{name} lacks column '{column}'")
        found = table.column(column)
        if found.type != kind:
            raise ValueError(f"{name}: column '{column}' holds {found.type}, expected {kind}")
        if found.null_count and column not in nullable:
            raise ValueError(f"{name}: column '{column}' holds {found.null_count:,} nulls")


def check_vocabulary(table: pa.Table, kind: Literal["item", "user"]) -> int:
    """Check items or users: an id that occurs once, then text; users are known first, and a known one has an id.

    Returns the number of known ones.
    """
    name, identity = f"{kind}s.parquet", f"{kind}_id"
    texts = dict.fromkeys((identity, *(c for c in table.column_names if c != "known" or kind == "item")), pa.string())
    attributes = [column for column in texts if column != identity]
    check_columns(table, texts, attributes if kind == "item" else [identity, *attributes], name)
    ids = table.column(identity).combine_chunks()
    if not _ascending(ids) and pc.count_distinct(ids).as_py() < len(ids) - ids.null_count:
        raise ValueError(f"{name}: an id occurs twice")
    if kind == "item":
        return len(ids)
    check_columns(table, {"known": pa.bool_()}, (), name)
    known = np.array(table.column("known").to_pylist(), dtype=np.bool_)  # Arrow's own way imports pandas
    if not (known[:-1] >= known[1:]).all():
        raise ValueError(f"{name}: the known users do not come first")
    if ids.slice(0, int(known.sum())).null_count:
        raise ValueError(f"{name}: a known user has no id")
    return int(known.sum())


def check_sessions(
    items: npt.NDArray[np.int32],
    times: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    user: npt.NDArray[np.int32],
    *,
    n_items: int,
    n_users: int,
) -> None:
    """Check sessions as flat arrays, in the order of user and start; see :class:`segue.data.corpus.Sessions`.

    Args:
        n_users: rows of the table of users, the unknown ones included.
    """
    check_offsets("the sessions' offsets", offsets, len(user), len(items))
    if len(times) != len(items):
        raise ValueError(f"the sessions hold {len(items):,} items and {len(times):,} times")
    check_range("the sessions' items", items, 0, n_items - 1)
    check_range("the sessions' users", user, 0, n_users - 1)
    check_range("the sessions' times", times, -LATEST, LATEST)
    first = offsets[:-1]
    if not (np.diff(offsets) > 0).all():
        raise ValueError(f"session {int(np.argmin(np.diff(offsets)))} is empty")
    earlier = np.diff(times) < 0
    earlier[first[1:] - 1] = False
    if earlier.any():
        raise ValueError(f"the times of a session do not ascend, first at event {int(np.argmax(earlier)) + 1}")
    start = times[first]
    behind = (user[1:] < user[:-1]) | ((user[1:] == user[:-1]) & (start[1:] < start[:-1]))
    if behind.any():
        raise ValueError(
            f"the sessions are not in the order of user and start, first session {int(np.argmax(behind)) + 1}"
        )


def check_offsets(name: str, offsets: npt.NDArray[Any], rows: int, entries: int) -> None:
    """Check the offsets of `rows` lists that hold `entries` entries together."""
    if not len(offsets) or len(offsets) != rows + 1:
        raise ValueError(f"{name} are {len(offsets):,}, expected {max(rows + 1, 1):,}")
    if offsets[0] != 0 or offsets[-1] != entries or not (offsets[:-1] <= offsets[1:]).all():
        raise ValueError(f"{name} do not ascend from 0 to {entries:,}")


def check_range(name: str, values: npt.NDArray[Any], least: float, most: float) -> None:
    """Check that all values lie between two bounds, both included; NaN does not."""
    if len(values) and not (values.min() >= least and values.max() <= most):
        raise ValueError(f"{name} reach from {values.min()} to {values.max()}, expected {least} to {most}")


def _ascending(ids: pa.Array) -> bool:
    """Whether the ids ascend, each above the one before: then none occurs twice. Found faster than by counting."""
    above = pc.less(ids.slice(0, max(len(ids) - 1, 0)), ids.slice(1))
    return bool(pc.all(above, skip_nulls=False, min_count=0).as_py())


def _check_size(metadata: pq.FileMetaData, size: int) -> None:
    most = _VALUES + _VALUES_PER_BYTE * size
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = range(metadata.num_columns)
    values = max((sum(group.column(c).num_values for group in groups) for c in columns), default=0)
    uncompressed = sum(group.column(c).total_uncompressed_size for group in groups for c in columns)
    if max(values, metadata.num_rows, uncompressed / 16) > most:
        raise ValueError(f"it claims {values:,} values, {uncompressed:,} bytes, in a file of {size:,} bytes")

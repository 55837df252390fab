"""Logs as lines, and files that are written wrong on purpose, for tests of what a user may get wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import small_logs

Refused = Callable[..., str]
"""Runs a command that has to fail, and returns its one line."""
SETTINGS = small_logs.as_arguments(small_logs.SMALL)
HEADER = "user_id,item_id,timestamp\n"
ROWS = small_logs.rows()
LINES = [",".join(row) for row in ROWS]


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def half(path: Path) -> Path:
    data = path.read_bytes()
    return written(path, data[: len(data) // 2])


def parquet(path: Path) -> Path:
    columns = dict(zip(small_logs.COLUMNS, zip(*ROWS, strict=True), strict=True))
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    return path

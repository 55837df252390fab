"""Reading a source as the preparation does, and the rows it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from segue.data.sources import RawLog, Source
from segue.settings import Nested, compose


def read(source: Source, folder: Path, overrides: Nested | None = None) -> tuple[RawLog, list[tuple[Any, ...]]]:
    """What the source makes of its files, and the rows of its log in order."""
    connection = duckdb.connect()
    raw = source.read(connection, folder, compose(source.settings, overrides or {}))
    return raw, connection.execute("SELECT * FROM read_parquet(?)", [str(raw.events)]).fetchall()

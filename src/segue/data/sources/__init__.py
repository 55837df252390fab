"""Known data sets, read from their original raw files. The folder is the list: one file per data set.

Each module has ``source(path: Path | None) -> Source``; its name in commands is the file's, with ``-`` for ``_``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from segue.data.raw_text import refused
from segue.errors import LogError
from segue.settings import Nested, Settings
from segue.settings.base import nearest
from segue.system.paths import named_path


@dataclass(frozen=True)
class RawLog:
    """The data of a source in standard form: a log with the standard columns, and attributes.

    Attributes:
        events: anything that ``read_log`` takes; of a known data set a Parquet file with user_id, item_id, timestamp
            and, where the source knows them, session_id and event_type; rows in the order in which they happened, as
            far as the raw files tell.
        items, users: tables with item_id or user_id, name, categorical columns; None where there are none.
        left_out: lines of the raw files that were invalid and left out.
    """

    events: Any
    items: pa.Table | None = None
    users: pa.Table | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Source:
    """A known data set whose raw files exist.

    Attributes:
        name: as in commands (``"lastfm"``).
        settings: the settings of this data set; the user's own go over them.
        read: makes the log out of the raw files, in the given folder, under the composed settings.
    """

    name: str
    settings: Nested
    read: Callable[[DuckDBPyConnection, Path, Settings], RawLog] = field(repr=False)


def names() -> list[str]:
    """Names of the known data sets."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def open_source(name: str, path: Path | None) -> Source:
    """The data set `name` with its raw files at `path`.

    Raises LogError when there is no such data set, or its files are not at `path`.
    """
    if name not in names():
        raise LogError(f"unknown data set '{name}': {nearest(name, names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    source: Source = module.source(path)
    return source


def find(text: str) -> Source | None:
    """The source that ``NAME:PATH`` names, or None when `text` is an ordinary path.

    Raises LogError when the data set is known but its files are not at PATH.
    """
    name, colon, path = text.partition(":")
    if not colon or name not in names():
        return None
    return open_source(name, named_path(path) if path else None)


def raw_log(connection: DuckDBPyConnection, log: Any, scratch: Path, settings: Settings) -> RawLog:
    """The log in standard form: what a known data set makes of its raw files; anything else is its own log.

    Raises LogError for raw files that cannot be read.
    """
    if not isinstance(log, Source):
        return RawLog(log)
    with refused(f"the data set {log.name}"):
        return log.read(connection, scratch, settings)


def raw_file(path: Path | None, dataset: str, file_name: str) -> Path:
    """The raw file: `path` itself, or the file of that name (also .gz) in the folder `path`. Raises LogError."""
    if path is None:
        raise LogError(f"where are the files of {dataset}? write {dataset}:PATH, the path of {file_name}")
    candidates = [path] if not path.is_dir() else [path / file_name, path / f"{file_name}.gz"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise LogError(f"{dataset}: no file {candidates[0]}; download the data set and give the path of {file_name}")


def write_events(connection: DuckDBPyConnection, query: str, events: Path, parameters: Sequence[str] = ()) -> Path:
    """Write the rows of `query`, in its order, as the Parquet file `events`, and return that."""
    quoted = str(events).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet)", list(parameters))
    return events

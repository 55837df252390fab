"""The query engine of preparation and graph construction: DuckDB with a memory cap, out of core, without a network."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segue.data.tables import Engine
from segue.errors import UserMistake, first_line
from segue.settings import PreparationSettings
from segue.settings.units import size_in_bytes
from segue.system.interrupts import interruptible, undisturbed
from segue.system.limits import cores, query_engine_memory

_spill: ContextVar[Path | None] = ContextVar("spill", default=None)


def connect(preparation: PreparationSettings, scratch: Path) -> duckdb.DuckDBPyConnection:
    """A fresh engine that spills to a folder of its own inside `scratch`, which the caller owns and removes.

    Tables live in memory up to the limit and in that folder beyond it: a database file would hold the same rows, but
    compressing every intermediate table costs more than half of the preparation. Nothing is loaded from outside.
    Raises UserMistake when the folder cannot be written.
    """
    limit = size_in_bytes(preparation.memory_limit) if preparation.memory_limit else query_engine_memory()
    with guarded(f"opening the query engine in {scratch}"):
        scratch.mkdir(parents=True, exist_ok=True)
        spill = tempfile.mkdtemp(prefix="spill-", dir=scratch)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{limit}B",
            "temp_directory": spill,
            "threads": cores(),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def spilling(folder: Path) -> Iterator[None]:
    """Inside the block, engines without a scratch folder of their own spill to `folder`, on the disk of the run.

    The folder is made anew and removed afterwards, with whatever a killed process left there. Raises UserMistake when
    that fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with guarded(f"making the folder {folder}"):
        folder.mkdir()
    before = _spill.set(folder)
    try:
        yield
    finally:
        _spill.reset(before)
        with undisturbed():
            shutil.rmtree(folder, ignore_errors=True)


def spill_folder() -> Path | None:
    """The folder of the running :func:`spilling`; None outside of it, for the system's temporary folder."""
    return _spill.get()


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn a full disk, an unwritable folder, or too little memory inside the block into one UserMistake line.

    Other errors of the engine are defects, or mistakes that only the caller can name: they pass. Ctrl-C leaves the
    block as KeyboardInterrupt, see :func:`segue.system.interrupts.interruptible`.

    Args:
        what: the step, as it reads after "while": ``"cutting sessions"``.
    """
    try:
        with interruptible():
            yield
    except duckdb.OutOfMemoryException as error:
        reason = first_line(error)
        if "failed to offload" in reason or "No space left" in str(error):
            raise UserMistake(_full_disk(what, reason)) from None
        advice = "raise preparation.memory_limit (--set preparation.memory_limit=8GiB)"
        raise UserMistake(f"out of memory while {what}: {reason}; {advice}") from None
    except duckdb.IOException as error:
        if "No space left" in str(error) or "Disk quota exceeded" in str(error):
            raise UserMistake(_full_disk(what, first_line(error))) from None
        raise UserMistake(f"input or output failed while {what}: {first_line(error)}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserMistake(_full_disk(what, str(error))) from None
        raise UserMistake(f"input or output failed while {what}: {error}") from None


@contextmanager
def undone(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Undo at the end of the block what it does to the tables; files that it writes stay."""
    connection.begin()
    try:
        yield
    finally:
        connection.rollback()


def one_row(connection: Engine, query: str, parameters: list[Any] | None = None) -> tuple[Any, ...]:
    """The single row of a query that always has one (an aggregate)."""
    (row,) = connection.execute(query, parameters or []).fetchall()
    return tuple(row)


def table_of(connection: Engine, query: str, parameters: list[Any] | None = None) -> pa.Table:
    """The rows of a query as an Arrow table."""
    if isinstance(connection, duckdb.DuckDBPyConnection):
        return connection.sql(query, params=parameters or []).to_arrow_table()
    return connection.execute(query, parameters or []).to_arrow_table()


def scratch_of(connection: duckdb.DuckDBPyConnection) -> str:
    """The folder into which the engine spills, for intermediate files that go with it."""
    return str(one_row(connection, "SELECT current_setting('temp_directory')")[0])


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


FILE = "segue_file"
"""Column of a scan that holds the file of each row."""


def file_list(files: Sequence[Path]) -> str:
    """Files as an SQL list for DuckDB's readers, with the characters of its patterns taken literally."""
    return "[" + ", ".join(literal(re.sub(r"([*?\[])", r"[\1]", str(file))) for file in files) + "]"


def column_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Column name → DuckDB type of the columns of a table, or of anything else that may stand after FROM."""
    return {name: str(kind) for name, kind, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}


def _full_disk(what: str, reason: str) -> str:
    return f"the disk is full while {what}: {reason}; free some space there"

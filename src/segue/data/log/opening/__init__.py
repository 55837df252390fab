"""Opening tables from outside: text, JSON, Parquet or Arrow files, folders of them, DuckDB tables, data frames.

Nothing is unpickled and nothing that comes with a table is run. Values of text files stay text; an empty field is null.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segue.data.log.opening.database import open_database
from segue.data.log.opening.frames import open_arrow_files, open_frame
from segue.data.log.opening.json_lines import open_json
from segue.data.log.opening.kinds import JSON, find_files, kind_of
from segue.data.log.opening.parquet import open_parquet
from segue.data.log.opening.text import open_texts
from segue.data.log.tabular import Tabular
from segue.data.text.survey import not_utf8
from segue.errors import LogError, first_line
from segue.settings import CsvSettings

__all__ = ["name_of", "opened"]


def name_of(source: Any) -> str:
    """The name of a source in messages."""
    return str(source) if isinstance(source, str | Path) else f"the {type(source).__module__.split('.')[0]} frame"


@contextmanager
def opened(
    connection: duckdb.DuckDBPyConnection, source: Any, settings: CsvSettings | None = None
) -> Iterator[Tabular]:
    """Open a source for the block, in which it can be staged.

    Args:
        source: a path, ``FILE.duckdb::TABLE``, or any frame with ``__arrow_c_stream__`` (pandas, Polars, Arrow).
        settings: how text files are read.

    Raises LogError, also for what goes wrong with the source inside the block: missing, empty, damaged or truncated
    file, text that is not UTF-8, lines that are no rows.
    """
    name = name_of(source)
    try:
        if isinstance(source, str | Path):
            with _open_path(connection, name, settings or CsvSettings()) as table:
                yield table
        else:
            yield open_frame(connection, source, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{name} is not a complete gzip file ({first_line(error)}); fetch or pack it again") from None
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, csv.Error, pa.ArrowException) as error:
        if "No space left" in str(error):
            raise
        message = str(error)
        file = re.search(r"(?:^ *file = |[Ff]ile ['\"])([^'\"\n]+)", message, re.MULTILINE)
        named = file[1] if file else name
        raise LogError(f"{named} cannot be read: {_reason(message, named)}") from None


def _reason(message: str, file: str) -> str:
    if "Invalid unicode" in message or "Invalid string encoding" in message or "invalid UTF-8" in message:
        return not_utf8(Path(file))
    if "GZIP" in message or "gzip" in message:
        return "not a complete gzip file; fetch or pack it again"
    if "magic bytes" in message or "too small to be a Parquet" in message:
        return "not a complete Parquet file; fetch or write it again"
    line = re.search(r"CSV Error on Line: (\d+)", message)
    if line:
        return f"line {line[1]} is not valid CSV; mend that line"
    return re.sub(r"^[\w ]+ Error: ", "", message.strip().splitlines()[0])


@contextmanager
def _open_path(connection: duckdb.DuckDBPyConnection, name: str, settings: CsvSettings) -> Iterator[Tabular]:
    file, marked, table = name.partition("::")
    path = Path(file)
    if not file:
        raise LogError("no log is named (the name is empty); give a file, a folder, or FILE.duckdb::TABLE")
    if not path.exists():
        raise LogError(f"no such file: {file}")
    if not (path.is_file() or path.is_dir()):
        raise LogError(f"{file} is a device or a pipe, not a file; write what it gives into a file")
    files, notes = find_files(path)
    kind = "DuckDB" if marked else kind_of(files[0])
    if kind == "DuckDB":
        with open_database(connection, name, path, table) as found:
            yield found
        return
    if kind == "Parquet":
        found = open_parquet(connection, name, files)
    elif kind == "Arrow":
        found = open_arrow_files(connection, name, files)
    elif kind in JSON:
        found = open_json(connection, name, kind, files)
    else:
        found = open_texts(connection, name, kind, files, settings)
    yield replace(found, notes=(*notes, *found.notes))

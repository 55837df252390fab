"""Opening tables from outside: CSV, TSV, Parquet (a file or a folder), a DuckDB table, a data frame.

Nothing is unpickled. Values of CSV and TSV stay text; an empty field is null.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segue.data.log.tabular import Tabular, column_types, literal, quoted
from segue.errors import LogError, first_line
from segue.system.paths import named

_SUFFIXES = {
    ".csv": "CSV",
    ".csv.gz": "CSV",
    ".tsv": "TSV",
    ".tsv.gz": "TSV",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".duckdb": "DuckDB",
    ".db": "DuckDB",
}
_READABLE = "Segue reads .csv, .csv.gz, .tsv, .tsv.gz, .parquet, a folder of these, and FILE.duckdb::TABLE"
_HEADER_LIMIT = 1 << 20
_ATTACHED = "segue_source"
_FRAME = "segue_frame"


def name_of(source: Any) -> str:
    """The name of a source in messages."""
    return str(source) if isinstance(source, str | Path) else f"the {type(source).__module__.split('.')[0]} frame"


@contextmanager
def opened(connection: duckdb.DuckDBPyConnection, source: Any) -> Iterator[Tabular]:
    """Open a source for the block, in which it can be staged.

    Args:
        source: a path, ``FILE.duckdb::TABLE``, or any frame with ``__arrow_c_stream__`` (pandas, Polars, Arrow).

    Raises LogError, also for what goes wrong with the source inside the block: missing, empty, damaged or truncated
    file, text that is not UTF-8, rows of unequal length.
    """
    name = name_of(source)
    try:
        if isinstance(source, str | Path):
            with _open_path(connection, name) as table:
                yield table
        else:
            yield _open_frame(connection, source, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{name} is not a complete gzip file ({first_line(error)}); fetch or pack it again") from None
    except UnicodeDecodeError:
        raise LogError(f"{name} is not UTF-8 text; convert it (iconv -t UTF-8)") from None
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, csv.Error, pa.ArrowException) as error:
        if "No space left" in str(error):
            raise
        message = str(error)
        file = re.search(r"(?:^ *file = |[Ff]ile ['\"])([^'\"\n]+)", message, re.MULTILINE)
        raise LogError(f"{file[1] if file else name} cannot be read: {_reason(message)}") from None
    finally:
        connection.unregister(_FRAME)


def _reason(message: str) -> str:
    if "Invalid unicode" in message or "Invalid string encoding" in message:
        return "text that is not UTF-8; convert it (iconv -t UTF-8)"
    if "GZIP" in message or "gzip" in message:
        return "not a complete gzip file; fetch or pack it again"
    if "magic bytes" in message or "too small to be a Parquet" in message:
        return "not a complete Parquet file; fetch or write it again"
    line = re.search(r"CSV Error on Line: (\d+)", message)
    if not line:
        return re.sub(r"^[\w ]+ Error: ", "", message.strip().splitlines()[0])
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if counts:
        return f"line {line[1]} has {counts[2]} fields, the header {counts[1]}; mend or quote that line"
    if "unterminated quote" in message or "quote" in message.split("Possible")[0].lower():
        return f"line {line[1]} has a quote that does not close; mend that line"
    return f"line {line[1]} is not valid CSV; mend that line"


@contextmanager
def _open_path(connection: duckdb.DuckDBPyConnection, name: str) -> Iterator[Tabular]:
    file, marked, table = name.partition("::")
    path = Path(file)
    if not file:
        raise LogError("no log is named (the name is empty); give a file, a folder, or FILE.duckdb::TABLE")
    if not path.exists():
        raise LogError(f"no such file: {file}")
    if not (path.is_file() or path.is_dir()):
        raise LogError(f"{file} is a device or a pipe, not a file; write what it gives into a file")
    if marked or (path.is_file() and _kind(path) == "DuckDB"):
        connection.execute(f"ATTACH {literal(file)} AS {_ATTACHED} (READ_ONLY, TYPE duckdb)")
        try:
            yield _open_database(connection, name, path, table)
        finally:
            connection.execute(f"DETACH {_ATTACHED}")
        return
    files = _files(path)
    kinds = {_kind(each) for each in files}
    if len(kinds) > 1:
        raise LogError(f"the folder {name} mixes {' and '.join(sorted(kinds))} files; keep one kind")
    for each in files:
        named(str(each))  # refuses a name that is not UTF-8
        if not each.stat().st_size:
            raise LogError(f"{each} is empty (0 bytes)")
    kind = kinds.pop()
    yield _open_parquet(connection, name, files) if kind == "Parquet" else _open_text(name, kind, files)


def _files(path: Path) -> tuple[Path, ...]:
    if not path.is_dir():
        return (path,)
    files = sorted(
        each
        for each in path.rglob("*")
        if each.is_file()
        and any(each.name.lower().endswith(suffix) for suffix, kind in _SUFFIXES.items() if kind != "DuckDB")
        and not any(part.startswith((".", "_")) for part in each.relative_to(path).parts)
    )
    if not files:
        raise LogError(f"the folder {path} holds no CSV, TSV or Parquet file")
    return tuple(files)


def _kind(path: Path) -> str:
    for suffix, kind in _SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise LogError(f"{path}: unknown kind of file; {_READABLE}")


def _list(files: tuple[Path, ...]) -> str:
    """The files as an SQL list, with the characters of DuckDB's patterns taken literally."""
    return "[" + ", ".join(literal(re.sub(r"([*?\[])", r"[\1]", str(file))) for file in files) + "]"


def _open_parquet(connection: duckdb.DuckDBPyConnection, name: str, files: tuple[Path, ...]) -> Tabular:
    options = "binary_as_string = true, hive_partitioning = false"
    types = column_types(connection, f"read_parquet({_list(files)}, {options})")
    scan = f"read_parquet({_list(files)}, {options}, filename = 'segue_file')"
    return Tabular(name, "Parquet", scan, {column: quoted(column) for column in types}, files=files)


def _open_text(name: str, kind: str, files: tuple[Path, ...]) -> Tabular:
    for file in files:
        if _is_packed(file):
            _verify_gzip(file)
    header, delimiter = _header(files[0], kind)
    for file in files[1:]:
        if _header(file, kind)[0] != header:
            raise LogError(f"{file} has other columns than {files[0].name}; the files of a folder must share theirs")
    columns = _own_names(str(files[0]), header)
    types = ", ".join(f"'{column}': 'VARCHAR'" for column in columns.values())
    scan = (
        f"read_csv({_list(files)}, auto_detect = false, header = true, delim = {literal(delimiter)}, quote = '\"', "
        f"escape = '\"', strict_mode = true, hive_partitioning = false, filename = 'segue_file', columns = {{{types}}})"
    )
    return Tabular(name, kind, scan, columns, files=files)


def _is_packed(file: Path) -> bool:
    return file.name.lower().endswith(".gz")


def _verify_gzip(file: Path) -> None:
    """Unpack once, for the length and the checksum: DuckDB ignores the checksum, and before 2.0 takes a file that was
    cut off for one that ends there. Raises EOFError, BadGzipFile or zlib.error."""
    with gzip.open(file) as packed:
        while packed.read(1 << 20):
            pass


def _header(file: Path, kind: str) -> tuple[list[str], str]:
    """Column names and delimiter of a CSV or TSV file."""
    unpack = gzip.open if _is_packed(file) else open
    with unpack(file, "rt", encoding="utf-8-sig", newline="") as text:
        first = text.readline(_HEADER_LIMIT)
        delimiter = "\t" if kind == "TSV" else max(",;\t|", key=first.count)
        header = next(csv.reader(chain([first], text), delimiter=delimiter), [])
    if not any(header):
        raise LogError(f"{file} is empty: its first line names no column")
    return header, delimiter


def _open_database(connection: duckdb.DuckDBPyConnection, name: str, path: Path, table: str) -> Tabular:
    tables = connection.execute(
        "SELECT table_name, table_schema FROM information_schema.tables WHERE table_catalog = ? ORDER BY ALL",
        [_ATTACHED],
    ).fetchall()
    wanted = [row for row in tables if table in ("", row[0], f"{row[1]}.{row[0]}")]
    if len(wanted) != 1:
        known = ", ".join(each for each, _ in tables) or "none"
        problem = f"has no table '{table}'" if table else "holds more than one table" if tables else "holds no table"
        raise LogError(f"{path} {problem} (tables: {known}); name one as {path.name}::TABLE")
    scan = f"{_ATTACHED}.{quoted(wanted[0][1])}.{quoted(wanted[0][0])}"
    columns = {column: quoted(column) for column in column_types(connection, scan)}
    return Tabular(name, "DuckDB table", scan, columns, ordered=False)


def _open_frame(connection: duckdb.DuckDBPyConnection, frame: Any, name: str) -> Tabular:
    if not hasattr(frame, "__arrow_c_stream__"):
        problem = f"cannot read a table from {type(frame).__name__}"
        raise LogError(f"{problem}; {_READABLE}, and pandas, Polars (collected) or Arrow frames")
    table = pa.table(frame)
    if not table.num_rows:
        raise LogError(f"{name} is empty: it holds no row (columns: {', '.join(map(str, table.column_names))})")
    columns = _own_names(name, table.column_names)
    connection.register(_FRAME, table.rename_columns(list(columns.values())))
    return Tabular(name, "data frame", _FRAME, columns)


def _own_names(name: str, columns: list[str]) -> dict[str, str]:
    """Column → a name of our own for it: names of a source may differ in case alone, which SQL does not tell apart."""
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise LogError(f"{name} has two columns called '{twice[0]}'; rename one of them")
    return {column: f"c{number}" for number, column in enumerate(columns)}

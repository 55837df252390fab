"""Raw text files of known data sets: every line becomes a row, is refused with its number, or is left out and counted.

The names in these data sets hold no line ends, so a row is a line; a quoted field that spans lines is a broken quote
that would swallow the lines behind it.
"""

from __future__ import annotations

import csv
import gzip
import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from segue.data.engine import literal, one_row
from segue.errors import LogError, first_line

logger = logging.getLogger("segue")

_HEADER_LIMIT = 1 << 20
_REMEDY = "mend or remove it, or leave such lines out with --drop-invalid"


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are written.

    Attributes:
        delimiter: what stands between two fields.
        quote: what quotes a field; empty where quotes are letters.
        header: whether the first line names the columns.
        ragged: whether lines may have fewer or more fields than there are columns.
    """

    delimiter: str
    quote: str = ""
    header: bool = True
    ragged: bool = False


def header_of(file: Path, layout: Layout) -> list[str]:
    """The names in the first line. Raises LogError when the file is empty or no text."""
    with refused(file):
        if not file.stat().st_size:
            raise LogError(f"{file} is empty (0 bytes)")
        unpack = gzip.open if file.suffix == ".gz" else open
        with unpack(file, "rt", encoding="utf-8-sig", newline="") as text:
            first = text.readline(_HEADER_LIMIT)
            if not layout.quote:
                return first.rstrip("\r\n").split(layout.delimiter)
            return next(csv.reader([first], delimiter=layout.delimiter), [])


def load_lines(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    layout: Layout,
    columns: Mapping[str, str],
    wanted: Mapping[str, str],
    into: str,
    *,
    optional: Mapping[str, str] | None = None,
    drop_invalid: bool,
) -> int:
    """Make the table `into` of line (the number in the file), the wanted values and the optional ones.

    Args:
        columns: every column of the file in order → its DuckDB type. A value of another type makes its line invalid.
        wanted: name in `into` → SQL over the columns; a null makes its line invalid.
        optional: name in `into` → SQL over the columns that may be null.
        drop_invalid: leave invalid lines out instead of refusing the first one.

    Returns the number of lines that were left out. Raises LogError.
    """
    types = ", ".join(f"{literal(name)}: '{kind}'" for name, kind in columns.items())
    options = "strict_mode = false, null_padding = true" if layout.ragged else "strict_mode = true"
    values = ", ".join(f"{sql} AS {name}" for name, sql in {**wanted, **(optional or {})}.items())
    with refused(file):
        if not file.stat().st_size:
            raise LogError(f"{file} is empty (0 bytes)")
        _verify(file)
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE {into} AS
            SELECT row_number() OVER () + {int(layout.header)} AS line, {values}
            FROM read_csv(?, auto_detect = false, header = {str(layout.header).lower()}, delim = '{layout.delimiter}',
                          quote = '{layout.quote}', escape = '{layout.quote}', {options}, columns = {{{types}}},
                          store_rejects = true, rejects_limit = 0, rejects_table = 'broken_lines',
                          rejects_scan = 'broken_scans')
            """,
            [str(file)],
        )
        try:
            broken = _broken(connection, file, drop_invalid)
        finally:
            connection.execute("DROP TABLE IF EXISTS broken_lines; DROP TABLE IF EXISTS broken_scans")
    incomplete = _incomplete(connection, file, list(wanted), into, drop_invalid)
    if broken or incomplete:
        logger.warning("%s: dropped %s broken and %s incomplete lines", file, f"{broken:,}", f"{incomplete:,}")
    return broken + incomplete


def _broken(connection: duckdb.DuckDBPyConnection, file: Path, drop_invalid: bool) -> int:
    lines = connection.execute("""
        SELECT line, arg_min(error_type, byte_position), arg_min(error_message, byte_position),
               bool_or(contains(rtrim(csv_line, chr(13) || chr(10)), chr(10)))
        FROM broken_lines GROUP BY line ORDER BY line
    """).fetchall()
    swallowing = [line for line in lines if line[3]]
    for number, kind, message, swallows in swallowing or lines[: 0 if drop_invalid else 1]:
        reason = "has a quote that does not close" if kind == "UNQUOTED VALUE" else f"is broken ({message.rstrip('.')})"
        remedy = "mend it: the lines behind it would be lost" if swallows else _REMEDY
        raise LogError(f"{file}: line {number} {reason}; {remedy}")
    return len(lines)


def _incomplete(
    connection: duckdb.DuckDBPyConnection, file: Path, names: list[str], into: str, drop_invalid: bool
) -> int:
    texts = [f"CAST({name} AS VARCHAR)" for name in names]
    spans = " OR ".join(f"contains({text}, chr(10))" for text in texts)
    missing = " OR ".join(f"coalesce({text}, '') = '' OR contains({text}, chr(0))" for text in texts)
    spanning, count, first, total = one_row(
        connection,
        f"""
        SELECT min(line) FILTER ({spans}), count(*) FILTER ({missing}), min(line) FILTER ({missing}), count(*)
        FROM {into}
        """,
    )
    if spanning is not None:
        raise LogError(f"{file}: line {spanning} has a quoted field that goes on in the next lines; mend its quotes")
    if count == total:
        raise LogError(f"{file}: none of its {total:,} lines is complete ({', '.join(names)}); is it the right file?")
    if count and not drop_invalid:
        nothing = " OR ".join(f"coalesce({text}, '') = ''" for text in texts)
        (lacks,) = one_row(connection, f"SELECT {nothing} FROM {into} WHERE line = {first}")
        problem = f"lacks a value, or one is out of range ({', '.join(names)})" if lacks else "holds a NUL byte"
        raise LogError(f"{file}: line {first} {problem}; {_REMEDY}")
    if count:
        connection.execute(f"DELETE FROM {into} WHERE {missing}")
    return int(count)


def _verify(file: Path) -> None:
    """Unpack a .gz once, for its length and checksum, which the engine does not look at."""
    if file.suffix == ".gz":
        with gzip.open(file) as packed:
            while packed.read(1 << 20):
                pass


@contextmanager
def refused(what: object) -> Iterator[None]:
    """Turn what the engine, or Python, says against the files inside the block into one LogError.

    A full disk and too little memory pass; see :func:`segue.data.engine.guarded`.

    Args:
        what: the file or files, for the message.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{what} is not a complete gzip file ({first_line(error)}); fetch or pack it again") from None
    except UnicodeDecodeError:
        raise LogError(f"{what} is not UTF-8 text; is it the right file?") from None
    except (duckdb.Error, csv.Error) as error:
        if "No space left" in str(error) or "Disk quota" in str(error):
            raise
        reason = first_line(error).partition(" Error: ")[2] or first_line(error)
        raise LogError(f"{what} cannot be read: {reason.rstrip('.')}; is it the right file?") from None

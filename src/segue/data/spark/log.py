"""Reading a log in Spark: plain Parquet files, by the rules of :mod:`segue.data.log`. DuckDB reads every other log.

Plain are files of one schema whose ids are text or whole numbers, and whose times are dates, timestamps, or epochs that
all lie between 1997 and 2059. Of such a log both engines make the same table ``log``; where a log is not plain, what it
means is found out in DuckDB's words (``timestamps``, ``tabular``), on this machine, and the table is handed over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from segue.data.engine import literal, one_row, quoted
from segue.data.log.facts import LogFacts, reported
from segue.data.log.opening.kinds import find_files, kind_of, partitions
from segue.data.log.order import EventOrder
from segue.data.log.read import ROWS, Staged, mapped, may_lack, write_log
from segue.data.log.tabular import Loaded, Tabular
from segue.data.log.timestamp_units import EPOCHS, UNITS, USUAL
from segue.data.log.timestamps import NATIVE, TimestampFormat
from segue.data.spark.engine import FILE_FACTS, SparkTables
from segue.errors import LogError
from segue.settings import Settings
from segue.settings.units import DAY

logger = logging.getLogger("segue")

_FILE_BITS = 40
"""A row's number is that of its file, shifted by so many bits, and its own inside the file."""
_ROW = 2**_FILE_BITS - 1
_ORDER = EventOrder("rows of the source", "rowid")


def read_plain_log(tables: SparkTables, source: Any, settings: Settings, *, left_out: int) -> LogFacts | None:
    """Make the table ``log`` of a plain log; None where DuckDB has to read it, and the reason is logged.

    Args:
        source: what ``read_log`` takes. left_out: see there.

    Raises LogError as ``read_log`` does.
    """
    reason = "only files are read by Spark itself"
    if isinstance(source, str | Path) and Path(source).exists():
        files, notes = find_files(Path(source))
        table = Tabular(str(source), "Parquet", (), _never, notes=notes)
        found = _staged(tables, table, files, settings)
        if not isinstance(found, str):
            table, staged = found
            user, session = settings.filters.rare_users == "train", settings.sessions.missing == "gap"
            allowed = may_lack(staged.mapping, user, session)
            facts = write_log(tables, table, staged, settings.preparation.drop_invalid, allowed)
            tables.drop(ROWS)
            _refuse_other_count(table.name, facts.rows_read, files)
            return reported(facts, left_out)
        reason = found
    logger.info("Spark starts from the table that DuckDB reads on this machine: %s", reason)
    return None


def _refuse_other_count(name: str, read: int, files: tuple[Path, ...]) -> None:
    """Every row is read once: what Spark read is compared with what the files say of themselves."""
    held = sum(pq.read_metadata(file).num_rows for file in files)
    if read != held:
        raise LogError(
            f"{name}: Spark read {read:,} rows, its files hold {held:,}; did they change? prepare again, or with "
            "--engine duckdb"
        )


def _never(wanted: Mapping[str, str], into: str, drop_invalid: bool) -> Loaded:
    raise AssertionError("Spark copies no table")


def _staged(
    tables: SparkTables, table: Tabular, files: tuple[Path, ...], settings: Settings
) -> tuple[Tabular, Staged] | str:
    """The log's columns as the view :data:`ROWS`, or the reason why the log is not plain."""
    if kind_of(files[0]) != "Parquet":
        return f"{kind_of(files[0])} is not read by Spark itself"
    schemas = {str(schema := pq.read_schema(file).remove_metadata()): schema for file in files}
    if len(schemas) > 1 or partitions(Path(table.name), files):
        return "its files differ in their columns, or their folders hold values"
    (schema,) = schemas.values()
    table = replace(table, columns=tuple(schema.names))
    mapping = mapped(table, settings.columns)
    types = {role: schema.field(column).type for role, column in mapping.items()}
    time = types.pop("timestamp")
    if "order" in mapping or not all(map(_is_id, types.values())) or len(set(schema.names)) < len(schema.names):
        return "its ids are neither text nor whole numbers, a column orders its events, or a name occurs twice"
    reason = _unread(tables, files, schema)
    if reason is not None:
        return reason
    words = [word.strip() for word in settings.columns.null_words if word.strip()]
    ids = {role: _id(role, kind, words) for role, kind in types.items()}
    numbers = _numbers(tables, files)
    columns = [*(f"{quoted(column)} AS {quoted(role)}" for role, column in mapping.items()), f"{numbers} AS rowid"]
    tables.view(ROWS, files, columns)
    format_ = _format(tables, time, settings)
    if format_ is None:
        return f"its times ({time}) are not the plain ones"
    loaded = Loaded(notes=table.notes, position=_position(files))
    return table, Staged(loaded, mapping, ids, format_, _ORDER)


def _unread(tables: SparkTables, files: tuple[Path, ...], schema: pa.Schema) -> str | None:
    """Why Spark reads no rows of these files, or not their numbers; None where it does.

    Spark passes over names that begin with _ or a dot, takes column names for the same whose case differs, and has no
    nanoseconds; the column that numbers the rows hides behind one of its name.
    """
    if not any(pq.read_metadata(file).num_rows for file in files):
        return "it holds no row"
    if any(name.lower() == FILE_FACTS for name in schema.names):
        return f"a column is called {FILE_FACTS}, as what Spark tells of its files"
    refused = tables.refusal(files)
    return refused and f"Spark does not read its files ({refused})"


def _is_id(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_signed_integer(kind))


def _id(role: str, kind: pa.DataType, null_words: list[str]) -> str:
    """The SQL of an id as text; null where it is missing, blank, or a word that stands for nothing."""
    text = f"CAST({quoted(role)} AS STRING)"
    if pa.types.is_signed_integer(kind):
        return text
    missing = ", ".join(map(literal, ["", *null_words]))
    blanks = "' ' || char(9) || char(13) || char(10)"
    return f"CASE WHEN trim(BOTH {blanks} FROM {text}) NOT IN ({missing}) THEN {text} END"


def _numbers(tables: SparkTables, files: tuple[Path, ...]) -> str:
    """The SQL of the row's number: files in their order, rows as they stand in them."""
    places = {str(file.resolve()): number for number, file in enumerate(files)}
    known = {uri: places[unquote(urlsplit(uri).path)] for uri in tables.file_names(files)}
    pairs = ", ".join(f"{literal(uri)}, CAST({number} AS BIGINT)" for uri, number in known.items())
    return f"map({pairs})[{FILE_FACTS}.file_path] * {2**_FILE_BITS} + {FILE_FACTS}.row_index"


def _position(files: tuple[Path, ...]) -> Any:
    def position(row: int) -> str:
        file = files[row >> _FILE_BITS]
        return f"row {(row & _ROW) + 1}" + (f" of {file.name}" if len(files) > 1 else "")

    return position


def _format(tables: SparkTables, kind: pa.DataType, settings: Settings) -> TimestampFormat | None:
    """How the times are read; None where more has to be known of them."""
    columns, column = settings.columns, quoted("timestamp")
    if columns.timestamp_unit or columns.timestamp_format:
        return None
    if pa.types.is_date32(kind):
        found = TimestampFormat(NATIVE["DATE"], f"(CAST(unix_date({column}) AS BIGINT) * {DAY})")
    elif pa.types.is_timestamp(kind) and kind.unit != "ns":
        words = NATIVE["TIMESTAMPTZ" if kind.tz else "TIMESTAMP"]
        found = TimestampFormat(words, f"(unix_micros(CAST({column} AS TIMESTAMP)) // 1000)")
    elif pa.types.is_signed_integer(kind):
        unit = _unit(tables, column)
        if unit is None:
            return None
        found = TimestampFormat(f"{UNITS[unit].words}, UTC", UNITS[unit].sql(column))
    else:
        return None
    (dates_only,) = one_row(tables, f"SELECT bool_and({found.sql} % {DAY} = 0) FROM {ROWS}")
    return found.of_dates() if dates_only else found


def _unit(tables: SparkTables, column: str) -> str | None:
    """The unit in which all numbers are usual times of a log."""
    least, greatest = one_row(tables, f"SELECT min({column}), max({column}) FROM {ROWS}")
    for unit in EPOCHS if least is not None else ():
        low, high = (UNITS[unit].number(time) for time in USUAL)
        if low <= least and greatest < high:
            return unit
    return None

"""From a CSV file, a table or a frame to the interaction log: the table ``log`` in the engine.

::

    user_id     VARCHAR   null only where allowed
    item_id     VARCHAR
    time        BIGINT    epoch milliseconds
    session_id  VARCHAR   null throughout where the source has none
    event_type  VARCHAR   null throughout where the source has none
    event_row   BIGINT    a total order: the row number in the source; the rank by the column that `columns.order`
                          names, then by row; where rows have no order, the rank by (time, item_id, user_id,
                          session_id, event_type)

Ids are text; whole numbers stored as floats (12.0, as pandas makes them beside a missing value) become "12".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import duckdb

from segue.data import engine
from segue.data.engine import column_types, literal, one_row, quoted
from segue.data.log.facts import LogFacts, reported
from segue.data.log.opening import name_of, opened
from segue.data.log.order import EventOrder, event_order
from segue.data.log.tabular import Loaded, Tabular, as_text, forget_words, inexact, require_column, stage
from segue.data.log.timestamps import TimestampFormat, recognise
from segue.data.tables import Engine, create
from segue.errors import LogError
from segue.settings import ColumnsSettings, CsvSettings
from segue.settings.overrides import as_option

ROWS = "log_rows"
"""The engine's table of the source's rows: a column for each role, and their numbers, ``rowid``."""
_REQUIRED = ("user_id", "item_id", "timestamp")
_OPTIONAL = ("session_id", "event_type")


_ANONYMOUS = (
    "; or, where the log knows sessions but no users, make each session a user of its own: {} "
    "--set filters.min_user_sessions=1 --set split.protocol=global_time"
)
_SESSIONS = (
    "or cut such rows into sessions by sessions.gap (--set sessions.missing=gap), or leave the column unused (--set "
    "columns.session_id=), "
)


@dataclass(frozen=True)
class InteractionLog:
    """A log in the engine: the name of its table, and facts about it."""

    connection: duckdb.DuckDBPyConnection
    facts: LogFacts
    table: str = "log"


def read_log(
    connection: duckdb.DuckDBPyConnection,
    source: Any,
    columns: ColumnsSettings,
    csv: CsvSettings | None = None,
    *,
    drop_invalid: bool = False,
    allow_missing_user: bool = False,
    allow_missing_session: bool = False,
    left_out: int = 0,
) -> InteractionLog:
    """Read a log into the table ``log``, replacing one that is there.

    Args:
        source: a text, JSON, Parquet or Arrow file, a folder of one of these, ``FILE.duckdb::TABLE``, or a frame
            (anything with ``__arrow_c_stream__``: pandas, Polars, Arrow).
        csv: how text files are read.
        drop_invalid: leave out, and count, what is no event, instead of refusing the log: rows with a null or empty id
            or time or a time that cannot be read, and lines that are no rows.
        allow_missing_user: let rows without a user pass where the log has session ids.
        allow_missing_session: let rows without a session id pass.
        left_out: rows that were invalid and left out before; the facts count them as read and dropped.

    Raises LogError: a source that is missing, empty or damaged, a missing column, times that cannot be read or are of
    mixed forms, null ids or times. UserMistake: a full disk, too little memory.
    """
    with engine.guarded(f"reading {name_of(source)}"), opened(connection, source, csv) as table:
        mapping = mapped(table, columns)
        loaded = stage(connection, table, mapping, ROWS, drop_invalid=drop_invalid)
        forget_words(connection, ROWS, columns.null_words)
        try:
            allowed = may_lack(mapping, allow_missing_user, allow_missing_session)
            facts = _write_log(connection, table, loaded, mapping, columns, drop_invalid, allowed)
        finally:
            connection.execute(f"DROP TABLE {ROWS}")
    return InteractionLog(connection, reported(facts, left_out))


def may_lack(mapping: Mapping[str, str], user: bool, session: bool) -> set[str]:
    """The roles that may be null in a row, where rows without a user, or without a session id, may pass."""
    return ({"user_id"} if user and "session_id" in mapping else set()) | ({"session_id"} if session else set())


def mapped(table: Tabular, columns: ColumnsSettings) -> dict[str, str]:
    """Role → column of the source. Raises LogError for a column that is not there."""
    named = columns.model_dump(include={*_REQUIRED, *_OPTIONAL, "order"})
    for role in _OPTIONAL:
        if named[role] is None and role in table.columns:
            named[role] = role
    mapping = {role: column for role, column in named.items() if column}  # "" leaves a column unused
    for role, column in mapping.items():
        known_sessions = mapping.get("session_id") if role == "user_id" else None
        sessions = known_sessions if known_sessions in table.columns else None
        require_column(table, column, partial(_way_to_map, role, sessions))
    return mapping


def _way_to_map(role: str, sessions: str | None, column: str) -> str:
    """How to name the column of a role; `sessions` is the column of session ids in a log that may have no users."""
    way = f"map it with {as_option(f'columns.{role}', column)}"
    return way if sessions is None else f"{way}{_ANONYMOUS.format(as_option('columns.user_id', sessions))}"


def _write_log(
    connection: duckdb.DuckDBPyConnection,
    table: Tabular,
    loaded: Loaded,
    mapping: Mapping[str, str],
    columns: ColumnsSettings,
    drop_invalid: bool,
    allowed: Collection[str],
) -> LogFacts:
    """Make the table ``log``; `allowed` are the roles that may be null in a row."""
    headers = _drop_headers(connection, mapping) if drop_invalid else 0
    format_ = recognise(
        connection, ROWS, "timestamp", table.name, loaded.position, asked=columns, drop_unreadable=drop_invalid
    )
    ids = _ids(connection, table, mapping)
    order = event_order(connection, ROWS, table, mapping.get("order"))
    notes = (*loaded.notes, *_inexact_ids(connection, ids, mapping))
    staged = Staged(replace(loaded, notes=notes), mapping, ids, format_, order, headers)
    return write_log(connection, table, staged, drop_invalid, allowed)


@dataclass(frozen=True)
class Staged:
    """The rows of a source in the engine's table :data:`ROWS`, and how they are read.

    Attributes:
        loaded: what became of the source's rows.
        mapping: role → column of the source.
        ids: role → SQL of the text of an id, null where it is missing.
        format: how the times are read.
        order: what the events of one time follow.
        headers: repeated headers that were left out.
    """

    loaded: Loaded
    mapping: Mapping[str, str]
    ids: Mapping[str, str]
    format: TimestampFormat
    order: EventOrder
    headers: int = 0


def write_log(
    connection: Engine, table: Tabular, staged: Staged, drop_invalid: bool, allowed: Collection[str]
) -> LogFacts:
    """Make the table ``log`` of staged rows; `allowed` are the roles that may be null in a row. Raises LogError."""
    loaded, mapping, ids, format_, order, headers = (
        staged.loaded, staged.mapping, staged.ids, staged.format, staged.order, staged.headers
    )  # fmt: skip
    expressions = {**ids, "timestamp": format_.sql} | ({"order": order.column} if order.column else {})
    required = {name: sql for name, sql in expressions.items() if name != "event_type"}
    barred = [name for name in required if name not in allowed]
    nulls = _count_nulls(connection, required)
    if not drop_invalid:
        _refuse_nulls(table, loaded, nulls, {name: mapping[name] for name in barred})
    _create(connection, expressions, [name for name in barred if nulls.counts[name]], order)
    left, first, last = one_row(connection, "SELECT count(*), min(time), max(time) FROM log")
    if not left:
        raise LogError(f"{table.name}: each of its {nulls.rows:,} rows has a null or empty id or time; nothing is left")
    dropped = {**loaded.dropped, "repeated header": headers, **_reasons(format_, nulls, left)}
    return LogFacts(
        source=table.name,
        kind=table.kind,
        rows_read=nulls.rows + headers + sum(loaded.dropped.values()),
        rows_dropped=sum(dropped.values()),
        nulls={**nulls.counts, "timestamp": nulls.counts["timestamp"] - format_.unreadable},
        timestamp_format=format_.words,
        dates_only=format_.dates_only,
        relative_times=format_.relative,
        order=order.words,
        has_session_id="session_id" in ids,
        has_event_type="event_type" in ids,
        first_time=first,
        last_time=last,
        has_order="order" in mapping,
        dropped={reason: count for reason, count in dropped.items() if count},
        notes=loaded.notes,
    )


def _drop_headers(connection: duckdb.DuckDBPyConnection, mapping: Mapping[str, str]) -> int:
    """Remove rows that hold the names of the columns, as in files put one behind the other; return their number."""
    if set(column_types(connection, ROWS).values()) != {"VARCHAR"}:
        return 0
    same = " AND ".join(f"trim({quoted(role)}) = {literal(column.strip())}" for role, column in mapping.items())
    (count,) = one_row(connection, f"SELECT count(*) FROM {ROWS} WHERE {same}")
    if count:
        connection.execute(f"CREATE OR REPLACE TABLE {ROWS} AS FROM {ROWS} WHERE ({same}) IS NOT TRUE")
    return int(count)


def _reasons(format_: TimestampFormat, nulls: _Nulls, left: int) -> dict[str, int]:
    """Reason → rows of the engine's copy that were left out; a row without a time that also lacks an id counts once."""
    others = nulls.rows - left - format_.unreadable
    return {"unreadable time": format_.unreadable, "null or empty id or time": others}


def _inexact_ids(
    connection: duckdb.DuckDBPyConnection, ids: Mapping[str, str], mapping: Mapping[str, str]
) -> Iterator[str]:
    kinds = column_types(connection, ROWS)
    for role in ids:
        yield from inexact(connection, ROWS, quoted(role), kinds[role], mapping[role])


def _ids(connection: duckdb.DuckDBPyConnection, table: Tabular, mapping: Mapping[str, str]) -> dict[str, str]:
    """Role → SQL of the id columns that the source has. Raises LogError for a type that is no id."""
    kinds = column_types(connection, ROWS)
    expressions = {}
    for role in ("user_id", "item_id", *_OPTIONAL):
        if role in mapping:
            text = as_text(quoted(role), kinds[role])
            if text is None:
                raise LogError(f"{table.name}: column '{mapping[role]}' holds {kinds[role]}; ids are text or numbers")
            expressions[role] = text
    return expressions


@dataclass(frozen=True)
class _Nulls:
    """Number of rows of the source; for each role the number of rows where it is null or empty, and the first one."""

    rows: int
    counts: dict[str, int]
    firsts: dict[str, int]


def _count_nulls(connection: Engine, expressions: Mapping[str, str]) -> _Nulls:
    counts = ", ".join(
        f"count(*) FILTER (WHERE {sql} IS NULL), min(rowid) FILTER (WHERE {sql} IS NULL)"
        for sql in expressions.values()
    )
    rows, *counted = one_row(connection, f"SELECT count(*), {counts} FROM {ROWS}")
    return _Nulls(
        rows, dict(zip(expressions, counted[::2], strict=True)), dict(zip(expressions, counted[1::2], strict=True))
    )


def _refuse_nulls(table: Tabular, loaded: Loaded, nulls: _Nulls, columns: Mapping[str, str]) -> None:
    for role, column in columns.items():
        if nulls.counts[role]:
            where = loaded.position(nulls.firsts[role])
            raise LogError(
                f"{table.name}: column '{column}' is null or empty in {nulls.counts[role]:,} of {nulls.rows:,} rows, "
                f"first in {where}; fill them, {_SESSIONS if role == 'session_id' else ''}or leave such rows out with "
                "--drop-invalid"
            )


def _create(connection: Engine, expressions: Mapping[str, str], incomplete: list[str], order: EventOrder) -> None:
    roles = {"user_id": "user_id", "item_id": "item_id", "timestamp": "time", **{name: name for name in _OPTIONAL}}
    missing = "CAST(NULL AS STRING)"
    columns = {**roles, "order": quoted("order")} if order.column else roles
    selected = ", ".join(f"{expressions.get(role, missing)} AS {column}" for role, column in columns.items())
    valid = " AND ".join(f"{columns[role]} IS NOT NULL" for role in incomplete) or "true"
    create(
        connection,
        "log",
        f"""
        SELECT {", ".join(roles.values())}, {order.sql} AS event_row
        FROM (SELECT {selected}, rowid FROM {ROWS}) AS read WHERE {valid}
        """,
    )

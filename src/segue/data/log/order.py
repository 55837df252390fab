"""The order of events that share a time: that of the rows, of a column, or where there is neither, of the ids."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from segue.data.engine import column_types, one_row, quoted
from segue.data.log.tabular import Tabular, as_text
from segue.errors import LogError

_BY_IDS = "time, item_id, user_id, session_id, event_type"


@dataclass(frozen=True)
class EventOrder:
    """What the number ``event_row`` of an event follows.

    Attributes:
        words: the order as reports name it.
        sql: the number, over the roles of the log, ``rowid``, and ``"order"`` where a column gives the order.
        column: the SQL of the column's values as text; None where there is no such column.
    """

    words: str
    sql: str
    column: str | None = None


def event_order(connection: duckdb.DuckDBPyConnection, staged: str, table: Tabular, column: str | None) -> EventOrder:
    """The order of the staged rows of a table.

    Args:
        staged: the engine's table, whose column ``order`` is the one that `columns.order` names.
        column: the name of that column in the source; None where none is asked for.

    Raises LogError for a column that holds no plain values.
    """
    rows, words = ("rowid", "rows of the source") if table.ordered else (_BY_IDS, "time, then ids")
    if column is None:
        if table.ordered:
            return EventOrder(words, rows)
        return EventOrder(f"{words} (the source has no order of rows)", f"row_number() OVER (ORDER BY {rows}) - 1")
    kind = column_types(connection, staged)["order"]
    text = as_text(quoted("order"), kind)
    if text is None:
        raise LogError(f"{table.name}: column '{column}' holds {kind}; an order is text, numbers or times")
    column_sql = quoted("order")
    number = f"TRY_CAST({column_sql} AS DOUBLE)"
    query = f"SELECT bool_and({number} IS NOT NULL) FROM {staged} WHERE {text} IS NOT NULL"
    (numbers,) = one_row(connection, query)
    # Beyond 2^53 numbers that differ are equal as DOUBLE.
    keys = f"{number}, TRY_CAST({column_sql} AS HUGEINT)" if numbers else column_sql
    return EventOrder(
        f"column '{column}' as {'numbers' if numbers else 'text'}, then {words}",
        f"row_number() OVER (ORDER BY {keys}, {rows}) - 1",
        text,
    )

"""The order of the events inside sessions: was it clicked, or made by whatever wrote the log?"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from segue.data.engine import one_row
from segue.data.session_gap import opens, visit
from segue.data.tables import Engine, create

VISITS = "SELECT visit, item_id AS item, TRY_CAST(item_id AS BIGINT) AS number, time, event_row AS place FROM visits"
"""The events of the table ``visits`` for :func:`count_steps`."""
_WAYS = ("number > last_number", "number < last_number", "item > last_item", "item < last_item")


@dataclass(frozen=True)
class OrderEvidence:
    """Evidence for or against the order of events inside sessions.

    Attributes:
        of_two, of_three: numbers of sessions of at least two, and of at least three, events.
        one_time: share of the sessions of two or more whose events all carry one timestamp.
        sorted_by_id: share of the sessions of three or more that rise strictly, or fall strictly, by item id (as
            numbers or as text, whichever of the four is most common).
        sorted_by_chance: the share that would be sorted by chance, the mean of 1 / n! over the sessions.
    """

    of_two: int
    of_three: int
    one_time: float
    sorted_by_id: float
    sorted_by_chance: float


def mark_sessions(connection: duckdb.DuckDBPyConnection, gap: int) -> None:
    """Make the table ``visits`` from ``log``: visit (event_row of the session's first event), item_id, time, event_row.

    Args:
        gap: milliseconds; see :mod:`segue.data.session_gap`.
    """
    order = "time, event_row"
    connection.execute(f"""
        CREATE OR REPLACE TABLE visits AS
        SELECT last_value(opening IGNORE NULLS) OVER visit AS visit, item_id, time, event_row
        FROM (
            SELECT *, CASE WHEN {opens(gap)} THEN event_row END AS opening FROM log WINDOW {visit(order)}
        )
        WINDOW {visit(order, frame="ROWS UNBOUNDED PRECEDING")}
    """)


def count_steps(connection: Engine, events: str) -> None:
    """Make the table ``session_steps``: for each session its length n, whether it has one_time, and its steps by id.

    Args:
        events: a query with the columns visit (the session), item (which sorts as the item's id does), number (the id
            as a number, null where it is none), time, and place (its order is that inside the sessions).
    """
    steps = ", ".join(f"count(*) FILTER (WHERE {way}) AS steps{number}" for number, way in enumerate(_WAYS))
    create(
        connection,
        "session_steps",
        f"""
        SELECT count(*) AS n, min(time) = max(time) AS one_time, {steps}
        FROM (
            SELECT *, lag(item) OVER within AS last_item, lag(number) OVER within AS last_number
            FROM ({events}) WINDOW within AS (PARTITION BY visit ORDER BY time, place)
        )
        GROUP BY visit
        """,
    )


def order_evidence(connection: Engine) -> OrderEvidence:
    """The evidence in the table ``session_steps``, see :func:`count_steps`."""
    ways = range(len(_WAYS))
    ordered = ", ".join(f"count(*) FILTER (WHERE n >= 3 AND steps{way} = n - 1)" for way in ways)
    of_two, of_three, one_time, chance, *counts = one_row(
        connection,
        f"""
        SELECT count(*) FILTER (WHERE n >= 2), count(*) FILTER (WHERE n >= 3),
               count(*) FILTER (WHERE n >= 2 AND one_time),
               avg(CASE WHEN n < 20 THEN 1 / factorial(CAST(n AS INTEGER)) ELSE 0 END) FILTER (WHERE n >= 3),
               {ordered}
        FROM session_steps
        """,
    )
    return OrderEvidence(
        of_two=of_two,
        of_three=of_three,
        one_time=one_time / of_two if of_two else 0.0,
        sorted_by_id=max(counts) / of_three if of_three else 0.0,
        sorted_by_chance=chance or 0.0,
    )

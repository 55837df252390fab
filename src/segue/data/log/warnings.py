"""Warnings about a log that is hard to believe: an order inside sessions that nobody clicked, impossible times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from segue.data.engine import one_row
from segue.data.log.read import LogFacts
from segue.data.log.session_ids import session_id_warnings
from segue.data.log.tabular import counted
from segue.data.log.timestamp_units import DAY, YEAR_1980
from segue.data.session_gap import opens, visit

_NEARLY_ALL = 0.9
_ENOUGH = 5
_SHUFFLE = "shuffle the events inside each session with a fixed seed, and draw no conclusion about order from this log"


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


def order_evidence(connection: duckdb.DuckDBPyConnection) -> OrderEvidence:
    """Measure the evidence in the table ``visits``, see :func:`mark_sessions`."""
    ways = ("number > last_number", "number < last_number", "item_id > last_id", "item_id < last_id")
    of_two, of_three, one_time, chance, *ordered = one_row(
        connection,
        f"""
        SELECT count(*) FILTER (n >= 2), count(*) FILTER (n >= 3), count(*) FILTER (n >= 2 AND one_time),
               avg(CASE WHEN n < 20 THEN 1 / factorial(CAST(n AS INTEGER)) ELSE 0 END) FILTER (n >= 3),
               {", ".join(f"count(*) FILTER (n >= 3 AND steps{number} = n - 1)" for number in range(len(ways)))}
        FROM (
            SELECT count(*) AS n, min(time) = max(time) AS one_time,
                   {", ".join(f"count(*) FILTER ({way}) AS steps{number}" for number, way in enumerate(ways))}
            FROM (
                SELECT *, lag(item_id) OVER within AS last_id, lag(number) OVER within AS last_number
                FROM (SELECT *, TRY_CAST(item_id AS BIGINT) AS number FROM visits)
                WINDOW within AS (PARTITION BY visit ORDER BY time, event_row)
            )
            GROUP BY visit
        )
        """,
    )
    return OrderEvidence(
        of_two=of_two,
        of_three=of_three,
        one_time=one_time / of_two if of_two else 0.0,
        sorted_by_id=max(ordered) / of_three if of_three else 0.0,
        sorted_by_chance=chance or 0.0,
    )


@dataclass(frozen=True)
class Warnings:
    """Collects the warnings about one log. `now` is the present in epoch milliseconds."""

    connection: duckdb.DuckDBPyConnection
    facts: LogFacts
    now: int

    def collect(self, evidence: OrderEvidence, *, users: int, duplicates: int) -> list[str]:
        """All warnings about the log; each says what is wrong and what to do."""
        return [*self._rows(users, duplicates), *self._order(evidence), *self._times(), *self._session_ids()]

    def _rows(self, users: int, duplicates: int) -> Iterator[str]:
        yield from self.facts.notes
        if self.facts.rows_dropped:
            dropped = f"{self.facts.rows_dropped:,} of {self.facts.rows_read:,} rows"
            reasons = counted(self.facts.dropped)
            yield f"{dropped} are no events ({reasons}): mend them, or leave them out with --drop-invalid"
        if duplicates:
            yield (
                f"{duplicates:,} rows repeat an earlier row exactly: if they were logged twice, remove them; "
                "sessions.drop_repeats removes those that follow each other"
            )
        if users < 2:
            yield "all events are of one user: a log of two users or more is needed; is columns.user_id right?"

    def _order(self, evidence: OrderEvidence) -> Iterator[str]:
        ordered = self.facts.has_order
        if self.facts.dates_only and not ordered:
            yield (
                "timestamps are dates only: the order inside a day is not known; give times, or name a column that "
                f"orders the events of a day with columns.order, or give session ids and {_SHUFFLE}"
            )
        if evidence.of_two and evidence.one_time >= _NEARLY_ALL and not ordered:
            yield (
                f"in {evidence.one_time:.1%} of the sessions of two events or more all events carry one timestamp, so "
                "their order is only that of the rows: unless the rows are known to stand in true order, name a column "
                f"that orders them with columns.order, or {_SHUFFLE}"
            )
        if evidence.of_three >= _ENOUGH and evidence.sorted_by_id >= _NEARLY_ALL:
            yield (
                f"{evidence.sorted_by_id:.1%} of the sessions of three events or more are sorted by item id "
                f"({evidence.sorted_by_chance:.1%} would be by chance): this order was made, not clicked, and gives "
                f"the next item away; {_SHUFFLE}"
            )

    def _times(self) -> Iterator[str]:
        if self.facts.relative_times:
            yield (
                "times count from an unknown start and are read as seconds: if they count something else, set "
                "columns.timestamp_unit (such as ms or minutes); gaps between events are right then, calendar times "
                "are not; add the start if it is known"
            )
            return
        negative, early, future = one_row(
            self.connection,
            f"""
            SELECT count(*) FILTER (time < 0), count(*) FILTER (time >= 0 AND time < {YEAR_1980}),
                   count(*) FILTER (time > {self.now + DAY}) FROM log
            """,
        )
        if negative:
            yield f"{negative:,} events lie before 1970 (negative epoch times): mend or remove them"
        if early:
            yield f"{early:,} events lie in the years 1970 to 1979, often a sign of missing times: mend or remove them"
        if future:
            yield f"{future:,} events lie in the future: is the unit of the timestamps right? mend or remove them"

    def _session_ids(self) -> Iterator[str]:
        if self.facts.has_session_id:
            yield from session_id_warnings(self.connection, self.facts.nulls["session_id"])

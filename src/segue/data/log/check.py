"""What a log holds, what sessions it would give, and what in it cannot be right."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from segue.data import engine
from segue.data.engine import one_row
from segue.data.log.event_types import check_event_types
from segue.data.log.facts import LogFacts
from segue.data.log.ids_of_log import Busiest, busiest, count_ids, number_of, shown
from segue.data.log.moments import iso
from segue.data.log.order_evidence import VISITS, OrderEvidence, count_steps, mark_sessions, order_evidence
from segue.data.log.read import read_log
from segue.data.log.warnings import Warnings, count_duplicates
from segue.data.session_gap import IDLE, opens, visit
from segue.data.sources import raw_log
from segue.settings import Settings
from segue.settings.units import milliseconds

GAPS = ("10min", "30min", "1h", "8h", "1d")
"""The gaps whose sessions are counted, beside the one that is set."""


@dataclass(frozen=True)
class SessionFigures:
    """Sessions before any filter.

    Attributes:
        cut: the gap that cuts them, or ``session_id`` for the log's own.
        sessions: number of sessions.
        mean_length: mean number of events per session.
        share_of_three: share of the sessions with three events or more.
    """

    cut: str
    sessions: int
    mean_length: float
    share_of_three: float


@dataclass(frozen=True)
class CheckReport:
    """The report of `check_log`.

    Attributes:
        facts: how the log was read; rows with null ids or times are left out of everything below.
        rows, users, items: numbers of rows, users and items that are left.
        first, last: times of the first and the last row, ISO 8601 in UTC.
        duplicates: rows that repeat an earlier row in every column that Segue reads.
        sessions: figures of the sessions, one entry per gap (or one for the log's own session ids).
        repeats: share of the events whose item occurs earlier in their session (by its id, or by the gap that is set).
        repeats_in_sessions: whether any session holds an item twice; where none does, items of the running session
            are masked (``evaluation.mask_session``).
        order: what speaks for or against the order inside the sessions.
        warnings: what cannot be right, and what to do about it.
        busiest_user, busiest_item: who holds most events.
    """

    facts: LogFacts
    rows: int
    users: int
    items: int
    first: str
    last: str
    duplicates: int
    sessions: tuple[SessionFigures, ...]
    repeats: float
    repeats_in_sessions: bool
    order: OrderEvidence
    warnings: tuple[str, ...]
    busiest_user: Busiest
    busiest_item: Busiest

    def as_dict(self) -> dict[str, Any]:
        """The report as one flat object, JSON-safe."""
        report = asdict(self)
        facts = report.pop("facts")
        added = {"dropped": dict(facts.pop("dropped")), "notes": facts.pop("notes")}
        return {**facts, **report, "nulls": dict(self.facts.nulls), **added}

    def lines(self) -> list[str]:
        """The report as text for people."""
        facts = self.facts
        nulls = ", ".join(f"{column} {count:,}" for column, count in facts.nulls.items())
        since = " (as if counted from 1970)" if facts.relative_times else ""
        return [
            f"{facts.source} ({facts.kind}): {facts.rows_read:,} rows",
            f"  events kept   {self.rows:,}",
            f"  users         {self.users:,}",
            f"  items         {self.items:,}",
            f"  busiest user  {_held(self.busiest_user)}",
            f"  busiest item  {_held(self.busiest_item)}",
            f"  span          {self.first} to {self.last}{since}",
            f"  timestamps    {facts.timestamp_format}",
            f"  row order     {facts.order}",
            f"  duplicates    {self.duplicates:,} rows",
            f"  nulls         {nulls}",
            f"  repeats       {self.repeats:.1%} of events repeat an item of their session",
            f"  one time      {self.order.one_time:.1%} of sessions of two events or more share one timestamp",
            f"  sorted        {self.order.sorted_by_id:.1%} of sessions of three events or more are sorted by item id "
            f"(chance {self.order.sorted_by_chance:.1%})",
            "  sessions      cut by          sessions   mean length   with 3 events or more",
            *(
                f"                {cut.cut:<10}{cut.sessions:>14,}{cut.mean_length:>14.2f}{cut.share_of_three:>24.1%}"
                for cut in self.sessions
            ),
            *(f"warning: {warning}" for warning in self.warnings),
        ]


def _held(most: Busiest) -> str:
    return f"{shown(most.id)}, {most.share:.1%} of the events ({most.events:,})" if most.id is not None else "none"


def check_log(source: Any, settings: Settings, scratch: Path) -> CheckReport:
    """Read a log and report on it. Rows with null ids or times are counted and left out, never refused here.

    Args:
        source: anything that ``read_log`` takes, or a known data set.
        scratch: a folder for what does not fit into memory.

    Raises LogError when the log cannot be read at all, or lacks an event type of the settings; UserMistake for a full
    disk or too little memory.
    """
    with engine.connect(settings.preparation, scratch) as connection, engine.guarded("checking the log"):
        raw = raw_log(connection, source, scratch, settings)
        rare_users_train = settings.filters.rare_users == "train"
        log = read_log(
            connection,
            raw.events,
            settings.columns,
            settings.csv,
            drop_invalid=True,
            allow_missing_user=rare_users_train,
            allow_missing_session=settings.sessions.missing == "gap",
            left_out=raw.left_out,
        )
        if settings.filters.event_types is not None:
            check_event_types(connection, "log", settings.filters.event_types)
        return _report(connection, log.facts, settings)


def _report(connection: duckdb.DuckDBPyConnection, facts: LogFacts, settings: Settings) -> CheckReport:
    (rows,) = one_row(connection, "SELECT count(*) FROM log")
    count_ids(connection)
    duplicates = count_duplicates(connection)
    mark_sessions(connection, milliseconds(settings.sessions.gap))
    figures = _given_sessions(connection) if facts.has_session_id else _gap_sessions(connection, settings.sessions.gap)
    (pairs,) = one_row(connection, "SELECT count(*) FROM (SELECT DISTINCT visit, item_id FROM visits)")
    count_steps(connection, VISITS)
    evidence = order_evidence(connection)
    warnings = Warnings(connection, facts, int(time.time() * 1000), settings.columns.null_words)
    return CheckReport(
        facts=facts,
        rows=rows,
        users=number_of(connection, "user_id"),
        items=number_of(connection, "item_id"),
        first=iso(facts.first_time),
        last=iso(facts.last_time),
        duplicates=duplicates,
        sessions=tuple(figures),
        repeats=(rows - pairs) / rows,
        repeats_in_sessions=pairs < rows,
        order=evidence,
        warnings=tuple(warnings.collect(evidence, duplicates=duplicates)),
        busiest_user=busiest(connection, "user_id"),
        busiest_item=busiest(connection, "item_id"),
    )


def _given_sessions(connection: duckdb.DuckDBPyConnection) -> list[SessionFigures]:
    """The sessions in the table ``visits``, by the ids of the log."""
    figures = one_row(
        connection,
        """
        SELECT count(*), avg(events), count(*) FILTER (events >= 3) / count(*)
        FROM (SELECT count(*) AS events FROM visits GROUP BY visit)
        """,
    )
    return [SessionFigures("session_id", *figures)]


def _gap_sessions(connection: duckdb.DuckDBPyConnection, gap: str) -> list[SessionFigures]:
    """One pass for all gaps: a session has three events or more where neither of the two events after its first one
    opens a session."""
    cuts: Mapping[int, str] = {milliseconds(text): text for text in (*GAPS, gap)}
    columns = ", ".join(
        f"count(*) FILTER ({opens(cut, 'idle')}), "
        f"count(*) FILTER ({opens(cut, 'idle')} AND NOT {opens(cut, 'next_idle')} AND NOT {opens(cut, 'second_idle')})"
        for cut in sorted(cuts)
    )
    rows, *counts = one_row(
        connection,
        f"""
        SELECT count(*), {columns} FROM (
            SELECT session_id, {IDLE} AS idle,
                   lead(time) OVER visit - time AS next_idle,
                   lead(time, 2) OVER visit - lead(time) OVER visit AS second_idle
            FROM log WINDOW {visit("time, event_row")}
        )
        """,
    )
    pairs = zip(sorted(cuts), counts[::2], counts[1::2], strict=True)
    return [SessionFigures(cuts[cut], sessions, rows / sessions, long / sessions) for cut, sessions, long in pairs]

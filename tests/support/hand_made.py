"""Logs written by hand, in the engine's table, and readers of what the steps left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

MINUTE = 60_000
Row = tuple[Any, ...]


def with_log(rows: Sequence[Row]) -> duckdb.DuckDBPyConnection:
    """A database with the table ``log`` of (user, item, minute [, session id [, event type]]), in file order."""
    connection = duckdb.connect(config={"threads": 2})
    connection.execute(
        "CREATE TABLE log (user_id VARCHAR, item_id VARCHAR, time BIGINT, session_id VARCHAR, event_type VARCHAR, "
        "event_row BIGINT)"
    )
    filled = [(*row, *[None] * (5 - len(row)))[:5] for row in rows]
    for number, (user, item, minute, session, kind) in enumerate(filled):
        connection.execute(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", [user, item, int(minute * MINUTE), session, kind, number]
        )
    return connection


def sessions_of(connection: duckdb.DuckDBPyConnection) -> list[tuple[str | None, str]]:
    """(user, items joined) of every session in ``events``, by user and first event."""
    found = connection.execute("""
        SELECT u.user_id, string_agg(i.item_id, ' ' ORDER BY e.event)
        FROM events AS e JOIN user_codes AS u USING (user_key) JOIN item_codes AS i USING (item_key)
        GROUP BY e.session_key, u.user_id, u.user_key ORDER BY u.user_key, min(e.event)
    """)
    return found.fetchall()


def visits(user: str, *sessions: str, start: int = 0, apart: int = 1000) -> list[Row]:
    """A user's sessions as rows, a minute from event to event, `apart` minutes from session to session."""
    return [
        (user, item, start + place * apart + minute)
        for place, session in enumerate(sessions)
        for minute, item in enumerate(session.split())
    ]

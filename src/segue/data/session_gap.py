"""The one rule by which a log is cut into sessions, in SQL.

An event opens a session when it is the first of its user and session id, or when the log has no session ids and the
idle time before it is strictly longer than the gap. Whatever counts or forms sessions asks :func:`opens`.
"""

from __future__ import annotations

IDLE = "time - lag(time) OVER visit"
"""Idle time before an event in ms, over the window ``visit``; null for the first event of the window."""


def visit(order: str, *, user: str = "user_id", frame: str = "") -> str:
    """The window ``visit``: the events of one user and session id in time order.

    A log without session ids has null in that column, so that all events of a user are one window.

    Args:
        order: columns that give events a total order, time first.
        user: the column of the user.
        frame: the frame of the window, where a query needs one.
    """
    return f"visit AS (PARTITION BY {user}, session_id ORDER BY {order} {frame})"


def opens(gap: int, idle: str = IDLE) -> str:
    """The condition that an event opens a session. `gap`, and the expression `idle`, are in ms."""
    return f"({idle} IS NULL OR (session_id IS NULL AND {idle} > {gap}))"

"""Warnings about session ids that are no visits: those of users, devices, or counters that start again."""

from __future__ import annotations

from collections.abc import Iterator

from segue.data.engine import one_row
from segue.data.tables import Engine, create
from segue.settings.units import DAY

_SOME = 0.1
_UNUSED = "to cut all by sessions.gap instead, leave the column unused: --set columns.session_id="


def session_id_warnings(connection: Engine, missing: int) -> Iterator[str]:
    """What is hard to believe about the session ids of the table ``log``, which has some.

    Args:
        missing: rows of the source without a session id.
    """
    given = """
        SELECT session_id, max(time) - min(time) AS span FROM log WHERE session_id IS NOT NULL
        GROUP BY user_id, session_id HAVING count(*) > 1
    """
    create(connection, "given_sessions", given)
    sessions, long, longest = one_row(
        connection, f"SELECT count(*), count(*) FILTER (WHERE span > {DAY}), max(span) FROM given_sessions"
    )
    if long and long / sessions >= _SOME:
        (median,) = one_row(connection, "SELECT median(span) FROM given_sessions")
        yield (
            f"sessions span days: {long:,} of {sessions:,} sessions of two events or more last longer than a day, the "
            f"median {_days(median)}, the longest {_days(longest)}: their ids may be those of users or devices, or of "
            f"a counter that starts again; sessions.gap is ignored where there are session ids; {_UNUSED}"
        )
    ids, shared, parts = one_row(
        connection,
        """
        SELECT count(*), count(*) FILTER (WHERE users > 1), sum(users) FILTER (WHERE users > 1)
        FROM (
            SELECT count(DISTINCT user_id) AS users FROM log WHERE session_id IS NOT NULL GROUP BY session_id
        )
        """,
    )
    if shared:
        yield (
            f"{shared:,} session ids occur with several users (the log has {ids:,}): each user's part counts as a "
            f"session of its own, {int(parts):,} in all"
        )
    (kept,) = one_row(connection, "SELECT count(*) FROM log WHERE session_id IS NULL")
    if kept:
        yield f"{kept:,} rows have no session id: they are cut into sessions by sessions.gap"
    elif missing:
        yield (
            f"{missing:,} rows have no session id and are left out here: --set sessions.missing=gap keeps them, cut by "
            f"sessions.gap; {_UNUSED}"
        )


def _days(span: float) -> str:
    return f"{span / DAY:.1f} days"

"""From the log to sessions: keys for ids, sessions by gap or by given id, immediate repeats, length cap.

Everything works on one table, ``events``, rewritten by each step::

    session_key  the `event` that opened the session
    user_key     rank of the user's id in byte order; sessions without a user have a key each, after all users
    item_key     rank of the item's id in byte order
    time         epoch milliseconds
    event        rank in the order (user_key, time, event_row): time order inside a user and inside a session

so that every later step compares whole numbers, and `event` alone orders the events of a session and a user's sessions.
"""

from __future__ import annotations

import logging
from typing import Literal

from duckdb import DuckDBPyConnection

from segue.data.engine import one_row
from segue.data.log.event_types import check_event_types
from segue.data.log.order_evidence import count_steps
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.scope import COUNTED, set_test_apart
from segue.data.session_gap import opens, visit
from segue.settings import FiltersSettings, SessionsSettings, SplitSettings
from segue.settings.units import milliseconds

logger = logging.getLogger("segue")

_VISITS = """
    SELECT session_key AS visit, item_key AS item, TRY_CAST(item_id AS BIGINT) AS number, time, event AS place
    FROM events JOIN item_codes USING (item_key)
"""


def form_sessions(
    connection: DuckDBPyConnection,
    sessions: SessionsSettings,
    filters: FiltersSettings,
    split: SplitSettings | None = None,
) -> Ledger:
    """Make the table ``events`` from the table ``log``: events in sessions, without repeats, cut to length.

    Event types, top items, sessions, immediate repeats, length cap; each applied once. Under `filters.scope` "train"
    sessions are formed before top items are counted, and the test sessions of `split` are set apart between the two:
    the table ``test_sessions``, see ``scope.py``. The log's own session ids go to the table ``session_ids``
    (session_key, session_id), users and items to ``user_codes`` and ``item_codes``, the order inside the sessions, as
    they are before anything is removed from them, to ``session_steps``.

    A session id seen with two users is two sessions. An event with neither user nor session id belongs to no
    session and is removed, and counted.

    Raises CorpusError when nothing is left, LogError when event types are set that the log lacks.
    """
    ledger = _encode(connection)
    if filters.event_types is not None:
        _keep_event_types(connection, filters.event_types)
        ledger.record("filters.event_types", in_sessions=False)
    if filters.top_items is not None and filters.scope == "all":
        _keep_top_items(connection, filters.top_items, "events")
        ledger.record("filters.top_items", in_sessions=False)
    _sessionise(connection, milliseconds(sessions.gap))
    count_steps(connection, _VISITS)
    ledger.record("sessions")
    _say_what_cuts(connection, sessions.gap)
    set_test_apart(connection, filters.scope, split or SplitSettings(), ledger.named_users)
    if filters.top_items is not None and filters.scope == "train":
        _keep_top_items(connection, filters.top_items, COUNTED)
        _mark_repeats(connection)
        ledger.record("filters.top_items")
    condition = "NOT repeats" if sessions.drop_repeats else "true"
    rewrite(connection, f"SELECT session_key, user_key, item_key, time, event FROM events WHERE {condition}")
    ledger.record("sessions.drop_repeats")
    _cap_length(connection, sessions.max_length, sessions.keep)
    ledger.record("sessions.max_length")
    return ledger


def _say_what_cuts(connection: DuckDBPyConnection, gap: str) -> None:
    total, given = one_row(connection, "SELECT count(*), count(session_id) FROM events")
    if given == total:
        logger.info("sessions are those of the log's own ids; sessions.gap is ignored")
    elif given:
        logger.info("%s events have no session id; sessions.gap (%s) cuts them", f"{total - given:,}", gap)


def rewrite(connection: DuckDBPyConnection, query: str) -> None:
    """Replace the table ``events`` by the rows of `query`, which may read it."""
    connection.execute(f"CREATE OR REPLACE TABLE events AS {query}")


def _encode(connection: DuckDBPyConnection) -> Ledger:
    """Replace ids by keys in byte order, which is DuckDB's own order of VARCHAR."""
    connection.execute("""
        CREATE TABLE item_codes AS
        SELECT CAST(row_number() OVER (ORDER BY item_id) - 1 AS INTEGER) AS item_key, item_id
        FROM (SELECT DISTINCT item_id FROM log)
    """)
    connection.execute("""
        CREATE TABLE user_codes AS
        SELECT CAST(row_number() OVER (ORDER BY user_id NULLS LAST, visit) - 1 AS INTEGER) AS user_key, user_id, visit
        FROM (SELECT DISTINCT user_id, CASE WHEN user_id IS NULL THEN session_id END AS visit FROM log)
        WHERE user_id IS NOT NULL OR visit IS NOT NULL
    """)
    connection.execute("""
        CREATE TABLE events AS
        SELECT u.user_key, i.item_key, l.time, l.event_row, l.session_id, l.event_type
        FROM log AS l
        JOIN item_codes AS i ON l.item_id = i.item_id
        LEFT JOIN user_codes AS u ON l.user_id IS NOT DISTINCT FROM u.user_id
            AND CASE WHEN l.user_id IS NULL THEN l.session_id END IS NOT DISTINCT FROM u.visit
    """)
    (named_users,) = one_row(connection, "SELECT count(user_id) FROM user_codes")
    ledger = Ledger(connection, named_users)
    ledger.record("log", in_sessions=False)
    return ledger


def _keep_event_types(connection: DuckDBPyConnection, event_types: tuple[str, ...]) -> None:
    check_event_types(connection, "events", event_types)
    connection.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT unnest(?) AS event_type", [list(event_types)])
    rewrite(connection, "SELECT * FROM events SEMI JOIN wanted USING (event_type)")


def _keep_top_items(connection: DuckDBPyConnection, top_items: int, counted: str) -> None:
    rewrite(
        connection,
        f"""
        SELECT * FROM events SEMI JOIN (
            SELECT item_key FROM {counted} GROUP BY item_key ORDER BY count(*) DESC, item_key LIMIT {top_items}
        ) AS top USING (item_key)
        """,
    )


def _mark_repeats(connection: DuckDBPyConnection) -> None:
    """Mark the immediate repeats anew, once events inside sessions are gone."""
    rewrite(
        connection,
        """
        SELECT * EXCLUDE (repeats), item_key IS NOT DISTINCT FROM lag(item_key) OVER within AS repeats
        FROM events WINDOW within AS (PARTITION BY session_key ORDER BY event)
        """,
    )


def _sessionise(connection: DuckDBPyConnection, gap: int) -> None:
    rewrite(
        connection,
        """
        SELECT row_number() OVER (ORDER BY user_key, time, event_row) AS event, user_key, item_key, time, session_id
        FROM events WHERE user_key IS NOT NULL
        """,
    )
    rewrite(
        connection,
        f"""
        SELECT event, user_key, item_key, time, session_id, {opens(gap)} AS opens,
               item_key = lag(item_key) OVER visit AS same_item
        FROM events WINDOW {visit("event", user="user_key")}
        """,
    )
    rewrite(
        connection,
        f"""
        SELECT last_value(CASE WHEN opens THEN event END IGNORE NULLS) OVER visit AS session_key,
               user_key, item_key, time, event, session_id, NOT opens AND same_item AS repeats
        FROM events WINDOW {visit("event", user="user_key", frame="ROWS UNBOUNDED PRECEDING")}
        """,
    )
    connection.execute("""
        CREATE TABLE session_ids AS
        SELECT session_key, session_id FROM events WHERE session_key = event AND session_id IS NOT NULL
    """)


def _cap_length(connection: DuckDBPyConnection, max_length: int, keep: Literal["last", "first", "drop"]) -> None:
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE too_long AS
        SELECT session_key FROM events GROUP BY session_key HAVING count(*) > {max_length}
    """)
    short = "SELECT * FROM events ANTI JOIN too_long USING (session_key)"
    if keep == "drop":
        rewrite(connection, short)
        return
    direction = "DESC" if keep == "last" else "ASC"
    rewrite(
        connection,
        f"""
        {short}
        UNION ALL
        SELECT session_key, user_key, item_key, time, event FROM (
            SELECT *, row_number() OVER (PARTITION BY session_key ORDER BY event {direction}) AS rank
            FROM events SEMI JOIN too_long USING (session_key)
        ) WHERE rank <= {max_length}
        """,
    )

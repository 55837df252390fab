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

from segue.data.engine import literal, one_row
from segue.data.log.event_types import check_event_types
from segue.data.log.order_evidence import count_steps
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.scope import COUNTED, set_test_apart
from segue.data.session_gap import opens, visit
from segue.data.tables import Engine, create, number
from segue.settings import FiltersSettings, SessionsSettings, SplitSettings
from segue.settings.units import milliseconds

logger = logging.getLogger("segue")

_VISITS = """
    SELECT session_key AS visit, item_key AS item, TRY_CAST(item_id AS BIGINT) AS number, time, event AS place
    FROM events JOIN item_codes USING (item_key)
"""


def form_sessions(
    engine: Engine,
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
    ledger = _encode(engine)
    if filters.event_types is not None:
        _keep_event_types(engine, filters.event_types)
        ledger.record("filters.event_types", in_sessions=False)
    if filters.top_items is not None and filters.scope == "all":
        _keep_top_items(engine, filters.top_items, "events")
        ledger.record("filters.top_items", in_sessions=False)
    _sessionise(engine, milliseconds(sessions.gap))
    count_steps(engine, _VISITS)
    ledger.record("sessions")
    _say_what_cuts(engine, sessions.gap)
    set_test_apart(engine, filters.scope, split or SplitSettings(), ledger.named_users)
    if filters.top_items is not None and filters.scope == "train":
        _keep_top_items(engine, filters.top_items, COUNTED)
        _mark_repeats(engine)
        ledger.record("filters.top_items")
    condition = "NOT repeats" if sessions.drop_repeats else "true"
    rewrite(engine, f"SELECT session_key, user_key, item_key, time, event FROM events WHERE {condition}")
    ledger.record("sessions.drop_repeats")
    _cap_length(engine, sessions.max_length, sessions.keep)
    ledger.record("sessions.max_length")
    return ledger


def _say_what_cuts(engine: Engine, gap: str) -> None:
    total, given = one_row(engine, "SELECT count(*), count(session_id) FROM events")
    if given == total:
        logger.info("sessions are those of the log's own ids; sessions.gap is ignored")
    elif given:
        logger.info("%s events have no session id; sessions.gap (%s) cuts them", f"{total - given:,}", gap)


def rewrite(engine: Engine, query: str) -> None:
    """Replace the table ``events`` by the rows of `query`, which may read it."""
    create(engine, "events", query)


def _encode(engine: Engine) -> Ledger:
    """Replace ids by keys in byte order, which is the engines' own order of text."""
    number(engine, "item_codes", "SELECT DISTINCT item_id FROM log", "item_key", order="item_id")
    users = """
        SELECT user_id, visit
        FROM (SELECT DISTINCT user_id, CASE WHEN user_id IS NULL THEN session_id END AS visit FROM log)
        WHERE user_id IS NOT NULL OR visit IS NOT NULL
    """
    number(engine, "user_codes", users, "user_key", order="user_id NULLS LAST, visit")
    rewrite(
        engine,
        """
        SELECT u.user_key, i.item_key, l.time, l.event_row, l.session_id, l.event_type
        FROM log AS l
        JOIN item_codes AS i ON l.item_id = i.item_id
        LEFT JOIN user_codes AS u ON l.user_id IS NOT DISTINCT FROM u.user_id
            AND CASE WHEN l.user_id IS NULL THEN l.session_id END IS NOT DISTINCT FROM u.visit
        """,
    )
    (named_users,) = one_row(engine, "SELECT count(user_id) FROM user_codes")
    ledger = Ledger(engine, named_users)
    ledger.record("log", in_sessions=False)
    return ledger


def _keep_event_types(engine: Engine, event_types: tuple[str, ...]) -> None:
    check_event_types(engine, "events", event_types)
    wanted = ", ".join(map(literal, event_types))
    rewrite(engine, f"SELECT * FROM events WHERE event_type IN ({wanted})")


def _keep_top_items(engine: Engine, top_items: int, counted: str) -> None:
    rewrite(
        engine,
        f"""
        SELECT * FROM events SEMI JOIN (
            SELECT item_key FROM {counted} GROUP BY item_key ORDER BY count(*) DESC, item_key LIMIT {top_items}
        ) AS top USING (item_key)
        """,
    )


def _mark_repeats(engine: Engine) -> None:
    """Mark the immediate repeats anew, once events inside sessions are gone."""
    rewrite(
        engine,
        """
        SELECT session_key, user_key, item_key, time, event, session_id,
               item_key IS NOT DISTINCT FROM lag(item_key) OVER within AS repeats
        FROM events WINDOW within AS (PARTITION BY session_key ORDER BY event)
        """,
    )


def _sessionise(engine: Engine, gap: int) -> None:
    known = "SELECT user_key, item_key, time, session_id, event_row FROM events WHERE user_key IS NOT NULL"
    number(engine, "events", known, "event", order="user_key, time, event_row", kind="BIGINT")
    rewrite(
        engine,
        f"""
        SELECT event, user_key, item_key, time, session_id, {opens(gap)} AS opens,
               item_key = lag(item_key) OVER visit AS same_item
        FROM events WINDOW {visit("event", user="user_key")}
        """,
    )
    rewrite(
        engine,
        f"""
        SELECT max(CASE WHEN opens THEN event END) OVER visit AS session_key,
               user_key, item_key, time, event, session_id, NOT opens AND same_item AS repeats
        FROM events WINDOW {visit("event", user="user_key", frame="ROWS UNBOUNDED PRECEDING")}
        """,
    )
    given = "SELECT session_key, session_id FROM events WHERE session_key = event AND session_id IS NOT NULL"
    create(engine, "session_ids", given)


def _cap_length(engine: Engine, max_length: int, keep: Literal["last", "first", "drop"]) -> None:
    long = f"SELECT session_key FROM events GROUP BY session_key HAVING count(*) > {max_length}"
    create(engine, "too_long", long)
    short = "SELECT session_key, user_key, item_key, time, event FROM events ANTI JOIN too_long USING (session_key)"
    if keep == "drop":
        rewrite(engine, short)
        return
    direction = "DESC" if keep == "last" else "ASC"
    rewrite(
        engine,
        f"""
        {short}
        UNION ALL
        SELECT session_key, user_key, item_key, time, event FROM (
            SELECT *, row_number() OVER (PARTITION BY session_key ORDER BY event {direction}) AS rank
            FROM events SEMI JOIN too_long USING (session_key)
        ) WHERE rank <= {max_length}
        """,
    )

"""The split into train, validation and test, and the cleaning of test."""

from __future__ import annotations

import logging

from segue.data.corpus import Part
from segue.data.engine import one_row
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.scope import WINDOWS, Scope, exact, floor_share
from segue.data.preparation.sessions import rewrite
from segue.data.tables import Engine, create, drop, number
from segue.errors import CorpusError
from segue.settings import SplitSettings

logger = logging.getLogger("segue")

_MIN_TEST_LENGTH = 2


def split(
    engine: Engine,
    ledger: Ledger,
    settings: SplitSettings,
    scope: Scope = "all",
    *,
    validate_late: bool = False,
) -> dict[str, int | None]:
    """Make the tables ``sessions`` and ``vocabulary`` from ``events``; test events that no model can know are removed.

    ``sessions`` has session_key, user_key, regular (neither of a rare user nor without a user), part, first_event,
    start and finish (ms) and length. ``vocabulary`` has item_key and item, the number in the corpus: the items of
    train and validation in byte order of their ids.

    - ``user_80_20``: of a user's n regular sessions, in order of their start, the first floor((1 - test) n) are train.
    - ``global_time``: of the n regular sessions of the log, in order of their *end*, the first floor((1 - test) n).
    - The last floor(validation n_train) of the n_train sessions are validation, at least one of three or more.
    - Under `filters.scope` "train" the test sessions are those of the table ``test_sessions`` that are left.
    - Other sessions are train; under ``global_time`` only those that ended no later than the regular train sessions.

    Args:
        validate_late: under ``global_time`` other sessions that ended after the regular train sessions are validation
            if they ended before test began to, for a corpus whose validation is learned too.

    Returns what was removed from test: ``events_of_unknown_items``, ``short_sessions``, and the ``false_adjacencies``
    that removing events inside sessions made (a, X, b became a, b); ``sessions_after_train`` left out (see above);
    and, in epoch ms, ``last_train_end`` and ``first_test_end``, before test was cleaned. The first is never later than
    the second under ``global_time``; under ``user_80_20`` it usually is: one user's train knows another's future.

    Raises CorpusError when no session is left for train.
    """
    _summarise_sessions(engine)
    _assign_parts(engine, settings, scope)
    _refuse_no_train(engine, settings)
    if validate_late:
        _validate_late_irregular_sessions(engine)
    facts = {"sessions_after_train": _drop_late_irregular_sessions(engine, settings)} | _boundary(engine)
    known = f"""
        SELECT DISTINCT e.item_key FROM events AS e JOIN sessions AS s USING (session_key)
        WHERE s.part < {int(Part.TEST)}
    """
    number(engine, "vocabulary", known, "item", order="item_key")
    facts |= _clean_test(engine)
    ledger.record("split")
    for part, count in engine.execute("SELECT part, count(*) FROM sessions GROUP BY part ORDER BY part").fetchall():
        logger.info("%s: %s sessions", Part(part).name.lower(), f"{count:,}")
    return facts


def _summarise_sessions(engine: Engine) -> None:
    summary = """
        SELECT session_key, min(user_key) AS user_key, min(event) AS first_event,
               min(time) AS start, max(time) AS finish, count(*) AS length
        FROM events GROUP BY session_key
    """
    create(engine, "summaries", summary)


def _assign_parts(engine: Engine, settings: SplitSettings, scope: Scope) -> None:
    partition, order = WINDOWS[settings.protocol]
    train = floor_share("total", 1 - exact(settings.test)) if scope == "all" else "total"
    validation = floor_share("train", exact(settings.validation))
    create(
        engine,
        "sessions",
        f"""
        WITH ranked AS (
            SELECT session_key, row_number() OVER ({partition} {order}) AS rank, count(*) OVER ({partition}) AS total
            FROM summaries ANTI JOIN rare_users USING (user_key) ANTI JOIN test_sessions USING (session_key)
        ), sized AS (
            SELECT *, {train} AS train FROM ranked
        ), parted AS (
            SELECT session_key, rank,
                   train - CASE WHEN train >= 3 THEN greatest({validation}, 1) ELSE {validation} END AS fitted, train
            FROM sized
        )
        SELECT s.*, p.session_key IS NOT NULL OR t.session_key IS NOT NULL AS regular,
               CAST(CASE WHEN t.session_key IS NOT NULL OR p.rank > p.train THEN {int(Part.TEST)}
                         WHEN p.rank > p.fitted THEN {int(Part.VALIDATION)}
                         ELSE {int(Part.TRAIN)} END AS INTEGER) AS part
        FROM summaries AS s LEFT JOIN parted AS p USING (session_key) LEFT JOIN test_sessions AS t USING (session_key)
        """,
    )
    drop(engine, "summaries")


def _refuse_no_train(engine: Engine, settings: SplitSettings) -> None:
    total, users, train = one_row(
        engine,
        f"""
        SELECT count(*), count(DISTINCT user_key), count(*) FILTER (WHERE regular AND part = {int(Part.TRAIN)})
        FROM sessions
        """,
    )
    if not train:
        remedy = "lower split.test or the filters that take sessions"
        if settings.protocol == "user_80_20" and total == users:
            remedy = "each user has one session: divide them together by time (--set split.protocol=global_time)"
        raise CorpusError(
            f"no train session: split.protocol={settings.protocol} with split.test={settings.test} leaves none of "
            f"{total:,} sessions; {remedy}"
        )


_LAST_TRAIN = f"(SELECT coalesce(max(finish), 0) FROM sessions WHERE regular AND part = {int(Part.TRAIN)})"


def _validate_late_irregular_sessions(engine: Engine) -> None:
    first_test = f"(SELECT min(finish) FROM sessions WHERE part = {int(Part.TEST)})"
    create(
        engine,
        "sessions",
        f"""
        SELECT session_key, user_key, regular, CAST(CASE
                   WHEN NOT regular AND finish > {_LAST_TRAIN} AND coalesce(finish < {first_test}, true)
                   THEN {int(Part.VALIDATION)} ELSE part END AS INTEGER) AS part,
               first_event, start, finish, length
        FROM sessions
        """,
    )


def _drop_late_irregular_sessions(engine: Engine, settings: SplitSettings) -> int:
    """Under global_time nothing in train may end after validation begins to."""
    if settings.protocol != "global_time":
        return 0
    late = f"""
        SELECT session_key FROM sessions
        WHERE NOT regular AND part = {int(Part.TRAIN)} AND finish > {_LAST_TRAIN}
    """
    (count,) = one_row(engine, f"SELECT count(*) FROM ({late})")
    if count:
        rewrite(engine, f"SELECT * FROM events ANTI JOIN ({late}) AS late USING (session_key)")
        create(engine, "sessions", f"SELECT * FROM sessions ANTI JOIN ({late}) AS late USING (session_key)")
        logger.info("%s sessions of rare or no users ended after train and are left out", f"{count:,}")
    return int(count)


def _boundary(engine: Engine) -> dict[str, int | None]:
    last_train_end, first_test_end = one_row(
        engine,
        f"""
        SELECT max(finish) FILTER (WHERE part < {int(Part.TEST)}), min(finish) FILTER (WHERE part = {int(Part.TEST)})
        FROM sessions
        """,
    )
    return {"last_train_end": last_train_end, "first_test_end": first_test_end}


def _clean_test(engine: Engine) -> dict[str, int]:
    """Events of items outside the vocabulary go first, then test sessions that have no event to predict."""
    create(
        engine,
        "touched",
        f"""
        SELECT session_key, count(v.item) AS kept, count(*) - count(v.item) AS lost
        FROM events AS e JOIN sessions AS s USING (session_key) LEFT JOIN vocabulary AS v USING (item_key)
        WHERE s.part = {int(Part.TEST)}
        GROUP BY session_key HAVING count(v.item) < count(*) OR count(v.item) < {_MIN_TEST_LENGTH}
        """,
    )
    unknown, short = one_row(
        engine, f"SELECT coalesce(sum(lost), 0), count(*) FILTER (WHERE kept < {_MIN_TEST_LENGTH}) FROM touched"
    )
    (false_adjacencies,) = one_row(
        engine,
        """
        WITH numbered_events AS (
            SELECT e.session_key, e.event, v.item, row_number() OVER visit AS position
            FROM events AS e SEMI JOIN touched USING (session_key) LEFT JOIN vocabulary AS v USING (item_key)
            WINDOW visit AS (PARTITION BY e.session_key ORDER BY e.event)
        ), kept AS (
            SELECT position - lag(position) OVER (PARTITION BY session_key ORDER BY event) AS step
            FROM numbered_events WHERE item IS NOT NULL
        )
        SELECT count(*) FROM kept WHERE step > 1
        """,
    )
    _remove_from_test(engine)
    counts = {"events_of_unknown_items": int(unknown), "short_sessions": short, "false_adjacencies": false_adjacencies}
    logger.info("test: %s", ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
    return counts


def _remove_from_test(engine: Engine) -> None:
    """Rewrites ``events`` and ``sessions``; start and length of a session follow its events."""
    rewrite(
        engine,
        f"""
        SELECT e.* FROM events AS e
        ANTI JOIN (SELECT session_key FROM touched WHERE kept < {_MIN_TEST_LENGTH}) AS short USING (session_key)
        SEMI JOIN vocabulary USING (item_key)
        """,
    )
    create(
        engine,
        "sessions",
        """
        SELECT s.session_key, s.user_key, s.regular, s.part, n.first_event, n.start, n.finish, n.length
        FROM sessions AS s JOIN (
            SELECT session_key, min(event) AS first_event, min(time) AS start, max(time) AS finish, count(*) AS length
            FROM events GROUP BY session_key
        ) AS n USING (session_key)
        """,
    )

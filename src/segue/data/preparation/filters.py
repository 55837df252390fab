"""The filters after sessions are formed: item support, short sessions, rare users. One pass, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from segue.data.preparation.ledger import Ledger
from segue.data.preparation.scope import COUNTED
from segue.data.preparation.sessions import rewrite
from segue.data.tables import Engine, create
from segue.settings import FiltersSettings, SessionsSettings


@dataclass(frozen=True)
class Passed:
    """What no filter takes, since it has passed them before: SQL of the keys of items, sessions and users; "" where
    there are none."""

    items: str = ""
    sessions: str = ""
    users: str = ""


def apply_filters(
    engine: Engine,
    ledger: Ledger,
    sessions: SessionsSettings,
    filters: FiltersSettings,
    passed: Passed = Passed(),
) -> None:
    """Rewrite ``events``: item support, short sessions, rare users. Leaves the table ``rare_users`` (user_key).

    Under `filters.scope` "train" items and users are counted without the sessions of the table ``test_sessions``.

    Each filter is applied once, as in the preparations that the paper follows: what a later filter removes may leave
    an item below the support again.

    Args:
        passed: of a corpus that grows: it holds but part of the events that were counted when it was made.

    Raises CorpusError when nothing is left.
    """
    rewrite(engine, _at_least("item_key", filters.min_item_support, COUNTED, passed.items))
    ledger.record("filters.min_item_support")
    rewrite(engine, _at_least("session_key", sessions.min_length, "events", passed.sessions))
    ledger.record("sessions.min_length")
    _set_rare_users_apart(engine, ledger.named_users, filters, passed.users)
    ledger.record("filters.min_user_sessions")


def _at_least(key: str, least: int, counted: str, passed: str) -> str:
    return f"""
        SELECT * FROM events SEMI JOIN (
            SELECT {key} FROM {counted} GROUP BY {key} HAVING count(*) >= {least}
            {f"UNION {passed}" if passed else ""}
        ) AS kept USING ({key})
    """


def _set_rare_users_apart(engine: Engine, named_users: int, filters: FiltersSettings, passed: str) -> None:
    """Make the table ``rare_users``; sessions without a user count as those of a rare user.

    What rare users did in a part that was set apart as test is left out. A user of test alone is rare where more than
    one session is asked for.
    """
    # Where test is set apart a user may be left with no session that counts; one session is then no demand.
    least = 0 if filters.scope == "train" and filters.min_user_sessions == 1 else filters.min_user_sessions
    create(
        engine,
        "rare_users",
        f"""
        SELECT user_key
        FROM events LEFT JOIN (SELECT session_key, true AS test FROM test_sessions) AS apart USING (session_key)
        GROUP BY user_key
        HAVING (user_key >= {named_users} OR count(DISTINCT session_key) FILTER (WHERE test IS NULL) < {least})
        {f"AND user_key NOT IN ({passed})" if passed else ""}
        """,
    )
    if filters.rare_users == "drop":
        rewrite(engine, "SELECT * FROM events ANTI JOIN rare_users USING (user_key)")
    else:
        rewrite(
            engine,
            """
            SELECT * FROM events ANTI JOIN (
                SELECT event FROM events
                SEMI JOIN test_sessions USING (session_key) SEMI JOIN rare_users USING (user_key)
            ) AS theirs USING (event)
            """,
        )

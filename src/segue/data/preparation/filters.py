"""The filters after sessions are formed: item support, short sessions, rare users. One pass, in this order."""

from __future__ import annotations

from typing import Literal

from duckdb import DuckDBPyConnection

from segue.data.preparation.ledger import Ledger
from segue.data.preparation.sessions import rewrite
from segue.settings import FiltersSettings, SessionsSettings


def apply_filters(
    connection: DuckDBPyConnection, ledger: Ledger, sessions: SessionsSettings, filters: FiltersSettings
) -> None:
    """Rewrite ``events``: item support, short sessions, rare users. Leaves the table ``rare_users`` (user_key).

    Each filter is applied once, as in the preparations that the paper follows: what a later filter removes may leave
    an item below the support again.

    Raises CorpusError when nothing is left.
    """
    rewrite(connection, _at_least("item_key", "count(*)", filters.min_item_support))
    ledger.record("filters.min_item_support")
    rewrite(connection, _at_least("session_key", "count(*)", sessions.min_length))
    ledger.record("sessions.min_length")
    _set_rare_users_apart(connection, ledger.named_users, filters.min_user_sessions, filters.rare_users)
    ledger.record("filters.min_user_sessions")


def _at_least(key: str, count: str, least: int) -> str:
    return f"""
        SELECT * FROM events SEMI JOIN (
            SELECT {key} FROM events GROUP BY {key} HAVING {count} >= {least}
        ) AS kept USING ({key})
    """


def _set_rare_users_apart(
    connection: DuckDBPyConnection, named_users: int, min_user_sessions: int, rare_users: Literal["drop", "train"]
) -> None:
    """Make the table ``rare_users``; sessions without a user count as those of a rare user."""
    connection.execute(f"""
        CREATE TABLE rare_users AS
        SELECT user_key FROM events GROUP BY user_key
        HAVING user_key >= {named_users} OR count(DISTINCT session_key) < {min_user_sessions}
    """)
    if rare_users == "drop":
        rewrite(connection, "SELECT * FROM events ANTI JOIN rare_users USING (user_key)")

"""Which sessions are test, and which events the filters count: `filters.scope`.

Under "all" the filters count every event of the log, as the preparations that the paper follows do, and the split comes
after them; what happens in test then decides in part which items and users train has. Under "train" the sessions of
test are set apart before anything is counted, and no event of theirs changes what is made of the others.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from segue.data.tables import Engine, create
from segue.settings import SplitSettings

Scope = Literal["all", "train"]

COUNTED = "(SELECT * FROM events ANTI JOIN test_sessions USING (session_key)) AS counted"
"""The SQL of the events that the filters count, once :func:`set_test_apart` has been called."""

WINDOWS = {
    "user_80_20": ("PARTITION BY user_key", "ORDER BY first_event"),
    "global_time": ("", "ORDER BY finish, first_event"),
}
"""Protocol → the window, in SQL, in which sessions follow one another: partition and order."""


def set_test_apart(engine: Engine, scope: Scope, split: SplitSettings, named_users: int) -> None:
    """Make the table ``test_sessions`` (session_key) from ``events``: empty under "all".

    Under "train" they are those sessions, the short ones included, that follow the first floor((1 - test) n) of n: of
    the user, or under ``global_time`` of the log. Sessions without a user are then never test, unless the log is split
    by time. The table ``places`` keeps all sessions as they were formed, with their users.

    Args:
        named_users: number of users with an id; see ``Ledger``.
    """
    if scope == "all":
        create(engine, "test_sessions", "SELECT session_key FROM events WHERE false")
        return
    places = """
        SELECT session_key, min(user_key) AS user_key, min(event) AS first_event, max(time) AS finish
        FROM events GROUP BY session_key
    """
    create(engine, "places", places)
    partition, order = WINDOWS[split.protocol]
    create(
        engine,
        "test_sessions",
        f"""
        SELECT session_key FROM (
            SELECT session_key, row_number() OVER ({partition} {order}) AS rank, count(*) OVER ({partition}) AS total
            FROM places WHERE {split.protocol == "global_time"} OR user_key < {named_users}
        ) WHERE rank > {floor_share("total", 1 - exact(split.test))}
        """,
    )


def exact(share: float) -> Fraction:
    """The share as written: 0.2 is one fifth, so that 80 % of 5 sessions are 4 and never 3."""
    return Fraction(str(share)).limit_denominator(10**9)


def floor_share(count: str, share: Fraction) -> str:
    """The SQL of a share of a count, rounded down."""
    return f"({count} * {share.numerator} // {share.denominator})"

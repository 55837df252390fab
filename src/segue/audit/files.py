"""Train and test files of another library: what crosses the cut between them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from segue.audit.finding import Audit, Finding
from segue.audit.rebuild import scratch
from segue.audit.shares import others_later
from segue.audit.times import moment, share
from segue.data import engine
from segue.data.arrays import offsets_of
from segue.data.corpus import Sessions
from segue.data.log.facts import LogFacts
from segue.data.log.read import read_log
from segue.errors import LogError
from segue.settings import Settings

_LIMITS = (
    "What the other library made of its files: vocabularies, counts, normalisers, negatives and models are elsewhere.",
    "By which rule the files were split: the audit takes the strictest that they keep: by time for everybody, else for"
    " each user, else by the ends of sessions.",
    "Whether something from after the cut decided which rows are there: filters by the number of events, for example.",
)
_OF_A_SESSION = "coalesce(session_id, 'row ' || event_row)"


def audit_files(train: Path, test: Path, settings: Settings) -> Audit:
    """Audit the split of another library.

    Args:
        train, test: files or folders that :func:`segue.data.log.read.read_log` takes. settings: names of the columns.

    Raises LogError for a file that cannot be read.
    """
    with scratch() as folder, closing(engine.connect(settings.preparation, folder)) as connection:
        facts = [_read(connection, path, name, settings) for path, name in ((train, "train"), (test, "test"))]
        _refuse_users_of_one_file(connection, train, test)
        dates = all(fact.dates_only for fact in facts)
        sessions = all(fact.has_session_id for fact in facts)
        findings = [
            _cut(connection, sessions=sessions),
            _copied(connection, dates=dates),
            *([_whole_sessions(connection), _repeated(connection)] if sessions else []),
            others_later(*(_sessions(connection, name) for name in ("train", "test"))),
            _only_later(connection, "item"),
            _only_later(connection, "user"),
        ]
    column = settings.columns.session_id
    unread = () if sessions else (
        f"Whether whole sessions repeat: the files have no column '{column}' of session ids; another is named with"
        " --set columns.session_id=NAME.",
    )  # fmt: skip
    return Audit("files", f"{train} and {test}", findings, (*unread, *_LIMITS))


def _read(connection: DuckDBPyConnection, path: Path, name: str, settings: Settings) -> LogFacts:
    found = read_log(
        connection, str(path), settings.columns, settings.csv,
        drop_invalid=settings.preparation.drop_invalid, allow_missing_user=True, allow_missing_session=True,
    )  # fmt: skip
    connection.execute(f"""
        CREATE TABLE {name} AS
        SELECT coalesce(user_id, chr(0) || session_id) AS user_id, user_id IS NOT NULL AS named,
               item_id, time, session_id, event_row
        FROM log
    """)  # a session of nobody has a user of its own, under an id that no file can hold
    return found.facts


def _refuse_users_of_one_file(connection: DuckDBPyConnection, train: Path, test: Path) -> None:
    """Events and sessions are compared by user: files of which one alone names users cannot be."""
    named = [engine.one_row(connection, f"SELECT count(*) FROM {name} WHERE named")[0] for name in ("train", "test")]
    if bool(named[0]) != bool(named[1]):
        without, with_users = (train, test) if named[1] else (test, train)
        raise LogError(
            f"{without} names no user and {with_users} does, so that nothing can be compared; give both files their"
            " users, or empty the user column of both"
        )


def _cut(connection: DuckDBPyConnection, *, sessions: bool) -> Finding:
    """Every train event lies before the test events: of everybody, or else of its own user, or of sessions' ends."""
    name, checked = "events after the cut", "that no train event is later than test's first: of all, else of its user"
    last, first = engine.one_row(connection, "SELECT (SELECT max(time) FROM train), (SELECT min(time) FROM test)")
    if last <= first:
        return Finding(name, checked, "clean", f"train ends at {moment(last)}, test begins at {moment(first)}")
    (shared,) = engine.one_row(connection, _SHARED_USERS)
    users, events = engine.one_row(connection, _LATER_THAN_THEIR_TEST)
    if shared and not events:
        said = f"each user's train events come before their test events; {shared:,} users are in both files"
        return Finding(name, checked, "clean", said)
    if sessions and not engine.one_row(connection, _BY_SESSION_ENDS)[0]:
        return Finding(name, checked, "clean", "no train session ends later than test's first, and none is in both")
    (total,) = engine.one_row(connection, "SELECT count(*) FROM train")
    if shared:
        by = f", of {users:,} users, are later than the same user's first test event"
    else:
        (events,) = engine.one_row(connection, "SELECT count(*) FROM train WHERE time > (SELECT min(time) FROM test)")
        by = " are later than test's first event, and no user is in both files"
    found = f"{events:,} of {total:,} train events ({share(events, total)}){by}"
    return Finding(name, checked, "leak", found, {"events": events, "users": users})


_SHARED_USERS = """
    SELECT count(*) FROM (SELECT DISTINCT user_id FROM train WHERE named) SEMI JOIN test USING (user_id)
"""
_LATER_THAN_THEIR_TEST = """
    SELECT count(DISTINCT user_id), count(*) FROM train
    JOIN (SELECT user_id, min(time) AS first FROM test GROUP BY user_id) USING (user_id) WHERE named AND time > first
"""

_BY_SESSION_ENDS = """
    WITH ends AS (
        SELECT 0 AS part, user_id, session_id, max(time) AS finish FROM train GROUP BY ALL
        UNION ALL SELECT 1, user_id, session_id, max(time) FROM test GROUP BY ALL
    )
    SELECT count(*) FILTER (part = 0 AND finish > (SELECT min(finish) FROM ends WHERE part = 1))
           + count(*) - count(DISTINCT (user_id, session_id)) FROM ends
"""


def _copied(connection: DuckDBPyConnection, *, dates: bool) -> Finding:
    """Events of one user, item and time in both files."""
    both = "SELECT count(*) FROM test SEMI JOIN train USING (user_id, item_id, time)"
    (number,) = engine.one_row(connection, both)
    (total,) = engine.one_row(connection, "SELECT count(*) FROM test")
    remark = "; times are dates alone, so that these may be events of one day" if number and dates else ""
    return Finding(
        "events copied across the cut",
        "whether a test event, with its user, item and time, also stands in train",
        ("share" if dates else "leak") if number else "clean",
        f"{number:,} of {total:,} test events ({share(number, total)}) stand in train too{remark}"
        if number
        else "no event stands in both files",
        {"events": number, "of": total},
    )


def _whole_sessions(connection: DuckDBPyConnection) -> Finding:
    """Sessions with rows in both files: the last item of each may be test on purpose."""
    (number,) = engine.one_row(
        connection,
        "SELECT count(*) FROM (SELECT DISTINCT user_id, session_id FROM test WHERE session_id IS NOT NULL)"
        " SEMI JOIN train USING (user_id, session_id)",
    )
    return Finding(
        "sessions across the cut",
        "how many sessions have events in both files",
        "share" if number else "clean",
        f"{number:,} sessions" if number else "none",
        {"sessions": number},
    )


def _repeated(connection: DuckDBPyConnection) -> Finding:
    listed = "SELECT user_id, session_id, list(item_id ORDER BY time, event_row) AS items FROM {} GROUP BY ALL"
    number, total = engine.one_row(
        connection,
        f"""
        SELECT count(*) FILTER (EXISTS (FROM ({listed.format("train")}) AS a
                                        WHERE a.user_id = b.user_id AND a.items = b.items)), count(*)
        FROM ({listed.format("test")}) AS b WHERE session_id IS NOT NULL
        """,
    )
    return Finding(
        "sessions repeated later",
        "how many test sessions hold the items of a train session of the same user, in the same order",
        "share" if number else "clean",
        f"{number:,} of {total:,} test sessions ({share(number, total)})",
        {"sessions": number, "of": total},
    )


def _sessions(connection: DuckDBPyConnection, name: str) -> Sessions:
    """The events of a file as sessions, each of one event where there are no ids. Users are numbered over both files;
    items are left out."""
    table = engine.table_of(
        connection,
        f"""
        WITH users AS (
            SELECT user_id, row_number() OVER (ORDER BY user_id) - 1 AS number
            FROM (SELECT user_id FROM train UNION SELECT user_id FROM test)
        )
        SELECT number, time, dense_rank() OVER (ORDER BY number, {_OF_A_SESSION}) AS session
        FROM {name} JOIN users USING (user_id) ORDER BY session, time
        """,
    )
    columns: dict[str, Any] = {column: table.column(column).to_numpy() for column in table.column_names}
    first = np.flatnonzero(np.diff(columns["session"], prepend=0))
    offsets = offsets_of(np.diff(np.append(first, len(table))))
    user = columns["number"][first].astype(np.int32)
    items = np.zeros(len(table), dtype=np.int32)
    return Sessions(items, columns["time"].astype(np.int64), offsets, user, np.arange(len(first)))


def _only_later(connection: DuckDBPyConnection, kind: str) -> Finding:
    number, events = engine.one_row(
        connection, f"SELECT count(DISTINCT {kind}_id), count(*) FROM test ANTI JOIN train USING ({kind}_id)"
    )
    (total,) = engine.one_row(connection, "SELECT count(*) FROM test")
    name, checked = f"{kind}s that exist only later", f"how many test events are of {kind}s that train does not hold"
    if kind == "item" and events == total:
        ids = engine.one_row(connection, "SELECT (SELECT min(item_id) FROM train), (SELECT min(item_id) FROM test)")
        found = (
            f"all {total:,} events, such as of item '{ids[1]:.40}', where train has '{ids[0]:.40}': the files may write"
            " the same item in two ways, and then no check above has compared anything"
        )
        return Finding(name, checked, "cannot", found, {"events": events, "items": number})
    return Finding(
        name,
        checked,
        "share" if events else "clean",
        f"{events:,} events of {number:,} {kind}s" if events else "none",
        {"events": events, f"{kind}s": number},
    )

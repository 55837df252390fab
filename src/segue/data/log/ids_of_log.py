"""The ids of a log, counted: who holds most events, words that stand for nothing, one id in several spellings."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import duckdb
from duckdb import DuckDBPyConnection

from segue.data.engine import one_row, table_of
from segue.data.log.id_spellings import case_key, spelling_key
from segue.data.tables import Engine, create
from segue.settings.overrides import as_option

WRITTEN_NULLS = (
    r"\n", "null", "(null)", "[null]", "<null>", "none", "nan", "<na>", "na", "n/a", "#n/a", "nat", "nil", "undefined",
)  # fmt: skip
"""Words that programs write for a missing value, in lower case."""
_PLACEHOLDERS = ("unknown", "missing", "(not set)", "not set", "-", "--", "?")
_NULL_WORDS = (*WRITTEN_NULLS, *_PLACEHOLDERS)
_NOUNS = {"user_id": "user", "item_id": "item", "event_type": "event type", "session_id": "session"}
_MUCH = 0.2
_PARTS = 5
_OF_ALL = 0.01
_LONGEST_SHOWN = 80
_MOST_BROUGHT = 5_000_000
"""Ids that Spark hands to this machine, some hundred MB."""


@dataclass(frozen=True)
class Busiest:
    """The user or item with the most events, and its share of all events."""

    id: str | None
    events: int
    share: float


def count_ids(connection: Engine) -> None:
    """Make the table ``id_counts`` from ``log``: role ("user_id", "item_id", "event_type"), id, events."""
    counts = " UNION ALL ".join(
        f"SELECT '{role}' AS role, {role} AS id, count(*) AS events FROM log WHERE {role} IS NOT NULL GROUP BY {role}"
        for role in ("user_id", "item_id", "event_type")
    )
    create(connection, "id_counts", counts)


def number_of(connection: Engine, role: str) -> int:
    """Number of different ids of this role in ``id_counts``."""
    return int(one_row(connection, "SELECT count(*) FROM id_counts WHERE role = ?", [role])[0])


def busiest(connection: Engine, role: str) -> Busiest:
    """Who holds most events; the first id in byte order where several do. The id is None where no row has one."""
    found = connection.execute(
        "SELECT id, events, events / (SELECT count(*) FROM log) FROM id_counts WHERE role = ? "
        "ORDER BY events DESC, id LIMIT 1",
        [role],
    ).fetchone()
    return Busiest(*found) if found else Busiest(None, 0, 0.0)


def id_warnings(connection: Engine, null_words: Sequence[str]) -> Iterator[str]:
    """The warnings that the table ``id_counts`` gives reason for.

    Args:
        null_words: the words that the log was read with as missing values, for the advice to read more of them so.
    """
    for role in ("user_id", "item_id"):
        yield from _much_held(role, busiest(connection, role), number_of(connection, role))
    yield from _words_for_nothing(connection, null_words)
    (ids,) = one_row(connection, "SELECT count(*) FROM id_counts")
    if isinstance(connection, DuckDBPyConnection):
        yield from _all_spellings(connection)
    elif ids <= _MOST_BROUGHT:
        with closing(duckdb.connect()) as here:  # the keys of spellings are written in DuckDB's words
            brought = table_of(connection, "SELECT role, id, events FROM id_counts")
            here.register("brought", brought)
            here.execute("CREATE TABLE id_counts AS FROM brought")
            yield from _all_spellings(here)
    else:
        yield (
            f"ids in several spellings were not looked for: the log has {ids:,} ids, more than the {_MOST_BROUGHT:,} "
            "that are compared beside Spark; to look for them: segue check on a part of the log"
        )


def _all_spellings(connection: DuckDBPyConnection) -> Iterator[str]:
    for role in ("user_id", "item_id", "event_type"):
        yield from _spellings(connection, role)


def _much_held(role: str, most: Busiest, ids: int) -> Iterator[str]:
    if most.share > max(_MUCH, _PARTS / ids if ids else 1):
        advice = {
            "user_id": "is it a robot, or the id of everybody who is not known? leave such events out of the log",
            "item_id": "is it an item, or a page that all pass through? leave such events out of the log",
        }
        yield (
            f"{_NOUNS[role]} {shown(str(most.id))} holds {most.events:,} events, {most.share:.1%} of all "
            f"(the log has {ids:,} {_NOUNS[role]}s): {advice[role]}"
        )


def _words_for_nothing(connection: Engine, null_words: Sequence[str]) -> Iterator[str]:
    known = ", ".join("?" for _ in _NULL_WORDS)
    sessions = f"""
        SELECT 'session_id', session_id, count(*) FROM log
        WHERE session_id IS NOT NULL AND lower(trim(session_id)) IN ({known}) GROUP BY session_id
    """
    rows = connection.execute(
        f"SELECT role, id, events FROM id_counts WHERE role <> 'event_type' AND lower(trim(id)) IN ({known}) "
        f"UNION ALL {sessions} ORDER BY ALL",
        [*_NULL_WORDS, *_NULL_WORDS],
    ).fetchall()
    if not rows:
        return
    setting = read_as_missing(null_words, [word for _, word, _ in rows])
    found = ", ".join(f"{events:,} events of {_NOUNS[role]} {shown(word)}" for role, word, events in rows)
    yield (
        f"{found}: a word that often stands for a missing value, counted here as an id like any other; if it is none, "
        f"read it as missing with {setting}"
    )


def read_as_missing(null_words: Sequence[str], more: Sequence[str]) -> str:
    """The option that reads more words as missing values, quoted for a shell."""
    words = list(dict.fromkeys([*null_words, *(word.strip() for word in more)]))
    return as_option("columns.null_words", words)


def _spellings(connection: DuckDBPyConnection, role: str) -> Iterator[str]:
    keyed = f"SELECT *, {spelling_key('id')} AS key FROM id_counts WHERE role = '{role}'"
    by_case = f"SELECT * REPLACE ({case_key('key')} AS key) FROM ({keyed})"
    several = _several(connection, keyed)
    in_case = _several(connection, by_case)
    if in_case.ids > several.ids and (role == "event_type" or in_case.ids >= _OF_ALL * number_of(connection, role)):
        several = in_case
    if several.groups:
        noun = _NOUNS[role]
        yield (
            f"{several.groups:,} {noun}s stand in the log in several spellings, such as {pair(*several.example)} "
            f"({several.ids:,} spellings, {several.events:,} events): each spelling counts by itself; "
            f"write every {noun} in one way"
        )


@dataclass(frozen=True)
class _Several:
    """Ids in several spellings: number of ids, of their spellings, of their events, and two spellings of one."""

    groups: int
    ids: int
    events: int
    example: tuple[str, str]


def _several(connection: DuckDBPyConnection, keyed: str) -> _Several:
    groups, ids, events, first, second = one_row(
        connection,
        f"""
        SELECT count(*), coalesce(sum(ids), 0), coalesce(sum(events), 0),
               arg_min(first, (-events, first)), arg_min(last, (-events, first))
        FROM (
            SELECT count(*) AS ids, sum(events) AS events, min(id) AS first, max(id) AS last
            FROM ({keyed}) GROUP BY key HAVING count(*) > 1
        )
        """,
    )
    return _Several(groups, int(ids), int(events), (first, second))


def shown(text: str) -> str:
    """An id in quotes, so that blanks at its ends are seen, and what does not show is escaped."""
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


def pair(first: str, second: str) -> str:
    """Two ids for a message: escaped throughout where they would look the same."""
    alike = unicodedata.normalize("NFC", repr(first)) == unicodedata.normalize("NFC", repr(second))
    return f"{first!a} and {second!a}" if alike else f"{shown(first)} and {shown(second)}"

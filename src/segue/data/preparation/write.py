"""Writes the tables of the preparation as the corpus folder that ``corpus.py`` reads, hashing what it writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from segue.data.arrays import IntArray, offsets_of
from segue.data.corpus import Part
from segue.data.corpus_folder import PART_SCHEMA
from segue.data.engine import one_row
from segue.data.preparation.scope import Scope
from segue.data.tables import Engine, batches, create, number
from segue.errors import LogError

_ROWS_PER_GROUP = 65_536
_EVENTS_PER_READ = 1_000_000


class CorpusWriter:
    """Writes items, users and the three parts into a folder.

    The digest covers every value in reading order and nothing else: not how Parquet groups, encodes or compresses it.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._digest = hashlib.sha256()

    @property
    def fingerprint(self) -> str:
        """sha256, in hexadecimal, of what was written so far."""
        return self._digest.hexdigest()

    def write_items(self, attributes: pa.Table | None) -> int:
        """Write items.parquet; returns the number of items that have attributes.

        Args:
            attributes: item_id (unique), then any of name and categorical columns.
        """
        query = "SELECT c.item_id FROM vocabulary JOIN item_codes AS c USING (item_key) ORDER BY item"
        return self._write_vocabulary("items", batches(self._engine, query, _EVENTS_PER_READ).read_all(), attributes)

    def write_users(self, attributes: pa.Table | None) -> int:
        """Write users.parquet from the table ``owners``; returns the number of users that have attributes."""
        query = 'SELECT o.user_id, o.known FROM owners AS o ORDER BY o."user"'  # "user" alone is a function of Spark
        return self._write_vocabulary("users", batches(self._engine, query, _EVENTS_PER_READ).read_all(), attributes)

    def write_part(self, part: Part) -> None:
        """Write train.parquet, validation.parquet or test.parquet, sessions in the order of their numbers."""
        query = f'SELECT session, "user", session_id, length FROM numbered WHERE part = {int(part)} ORDER BY session'
        groups = _groups(self._engine, query)
        events = _Events(self._engine, part)
        with pq.ParquetWriter(self._folder / part.file, PART_SCHEMA, compression="zstd") as writer:
            self._hash_text(part.name)
            for group in groups:
                writer.write_table(self._with_events(group, events))

    def _with_events(self, group: pa.Table, events: _Events) -> pa.Table:
        lengths = np.asarray(group.column("length"), dtype=np.int64)
        items, times = events.take(int(lengths.sum()))
        offsets = pa.array(offsets_of(lengths), type=pa.int32())
        for values, kind in ((group.column("session"), "<i8"), (group.column("user"), "<i4"), (lengths, "<i8")):
            self._digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
        self._digest.update(items.astype("<i4").tobytes() + times.astype("<i8").tobytes())
        self._hash_text(group.column("session_id").to_pylist())
        lists = [pa.ListArray.from_arrays(offsets, pa.array(values)) for values in (items, times)]
        columns = [group.column(name).cast(PART_SCHEMA.field(name).type) for name in ("session", "user", "session_id")]
        return pa.Table.from_arrays([*columns, *lists], schema=PART_SCHEMA)

    def _write_vocabulary(self, name: str, table: pa.Table, attributes: pa.Table | None) -> int:
        table, matched = _with_attributes(table, attributes)
        for column in table.column_names:
            self._hash_text([name, column])
            for start in range(0, len(table), _ROWS_PER_GROUP):
                self._hash_text(table.column(column).slice(start, _ROWS_PER_GROUP).to_pylist())
        pq.write_table(table, self._folder / f"{name}.parquet", compression="zstd")
        return matched

    def _hash_text(self, value: Any) -> None:
        self._digest.update(json.dumps(value, ensure_ascii=True).encode())


def _groups(engine: Engine, query: str) -> Iterator[pa.Table]:
    """The rows of `query`, a row group at a time."""
    if not isinstance(engine, DuckDBPyConnection):
        return (pa.Table.from_batches([batch]) for batch in batches(engine, query, _ROWS_PER_GROUP))
    # DuckDB hands out one result at a time, and that will be the events'.
    whole = batches(engine, query, _EVENTS_PER_READ).read_all()
    starts = range(0, len(whole), _ROWS_PER_GROUP)
    return (whole.slice(start, _ROWS_PER_GROUP).combine_chunks() for start in starts)


class _Events:
    """The flat events of a part, in the order of its sessions, read in pieces."""

    def __init__(self, engine: Engine, part: Part) -> None:
        query = f"""
            SELECT v.item, e.time
            FROM events AS e JOIN numbered AS n USING (session_key) JOIN vocabulary AS v USING (item_key)
            WHERE n.part = {int(part)} ORDER BY n.session, e.event
        """
        self._batches = batches(engine, query, _EVENTS_PER_READ)
        self._items = np.empty(0, dtype=np.int32)
        self._times = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> tuple[np.ndarray[Any, np.dtype[np.int32]], IntArray]:
        """The next `count` items and times."""
        items, times, ready = [self._items], [self._times], len(self._items)
        while ready < count:
            batch = self._batches.read_next_batch()
            items.append(np.asarray(batch.column(0), dtype=np.int32))
            times.append(np.asarray(batch.column(1), dtype=np.int64))
            ready += len(batch)
        all_items, all_times = np.concatenate(items), np.concatenate(times)
        self._items, self._times = all_items[count:], all_times[count:]
        return all_items[:count], all_times[:count]


def number_users_and_sessions(engine: Engine, scope: Scope = "all", *, kept: bool = False) -> None:
    """Make the tables ``owners`` (user_key, user_id, known, user) and ``numbered`` (sessions by their corpus numbers).

    Known users, those with regular train or validation sessions, come first, each group in byte order of the ids. Each
    session without a user is a user row of its own at the end, without an id, so that it is nobody's history.

    Under `filters.scope` "train" numbers do not depend on what is left of test: users of test alone come last, and
    before every session that is not test there is room for all test sessions that its user had when they were formed.

    Args:
        kept: the tables ``kept_items`` and ``kept_users`` (id, place) come first in their order, for a corpus that
            grows; items are numbered anew for that.
    """
    others = "" if scope == "all" else "in_train DESC,"
    if kept:
        others += "place NULLS LAST,"
        items = """
            SELECT item_key, place FROM (SELECT item_key FROM vocabulary) JOIN item_codes USING (item_key)
            LEFT JOIN kept_items ON item_id = id
        """
        number(engine, "vocabulary", items, "item", order="place NULLS LAST, item_key")
    owners = f"""
        SELECT user_key, c.user_id, known, in_train{", place" if kept else ""}
        FROM (
            SELECT user_key, bool_or(regular AND part < {int(Part.TEST)}) AS known,
                   bool_or(part < {int(Part.TEST)}) AS in_train
            FROM sessions GROUP BY user_key
        ) AS u
        JOIN user_codes AS c USING (user_key) {"LEFT JOIN kept_users AS k ON k.id = c.user_id" if kept else ""}
    """
    number(engine, "owners", owners, "user", order=f"known DESC, {others} user_key")
    owned = f"""
        SELECT s.session_key, s.part, s.part = {int(Part.TEST)} AS test, s.length, s.first_event, s.user_key,
               o."user", i.session_id
        FROM sessions AS s JOIN owners AS o USING (user_key) LEFT JOIN session_ids AS i USING (session_key)
    """
    if scope == "all":  # one number after another, in the order of users and starts
        number(engine, "numbered", owned, "session", order='"user", first_event', kind="BIGINT")
    else:
        create(engine, "numbered", _WITH_ROOM.format(owned=owned))


_WITH_ROOM = """
    WITH owned AS ({owned}), formed AS (
        SELECT user_key, count(t.session_key) AS tests, count(*) - count(t.session_key) AS others
        FROM places LEFT JOIN test_sessions AS t USING (session_key) GROUP BY user_key
    ), rooms AS (
        SELECT user_key, "user", tests, (others + 1) * (tests + 1) AS room FROM owners JOIN formed USING (user_key)
    ), begun AS (
        SELECT user_key, tests, sum(room) OVER (ORDER BY "user") - room AS first_room FROM rooms
    ), placed AS (
        SELECT *, count(CASE WHEN NOT test THEN 1 END) OVER (PARTITION BY user_key ORDER BY first_event) AS before
        FROM owned
    )
    SELECT session_key, part, length, "user", session_id, CAST(
        first_room + before * (tests + 1) - 1 + CASE
            WHEN test THEN row_number() OVER (PARTITION BY user_key, before, test ORDER BY first_event) ELSE 0
        END AS BIGINT) AS session
    FROM placed JOIN begun USING (user_key)
"""
"""Numbers in the order of users and starts, with room: of t test sessions that a user had when sessions were formed,
each may start before, between or after the user's other sessions, whose numbers are t + 1 apart."""


def sizes(engine: Engine) -> dict[str, int]:
    """Numbers of items, users, and of sessions and events per part, as in the manifest."""
    (items,) = one_row(engine, "SELECT count(*) FROM vocabulary")
    users, known = one_row(engine, "SELECT count(*), count(*) FILTER (WHERE known) FROM owners")
    counts = {"items": items, "users": users, "known_users": known}
    for part in Part:
        sessions, events = one_row(
            engine, "SELECT count(*), coalesce(sum(length), 0) FROM numbered WHERE part = ?", [int(part)]
        )
        counts |= {f"{part.name.lower()}_sessions": sessions, f"{part.name.lower()}_events": int(events)}
    return counts


def newest_events(engine: Engine) -> dict[Part, int | None]:
    """The time of the newest event of each part, epoch ms; None for a part without sessions."""
    query = "SELECT max(finish) FROM sessions WHERE part = ?"
    return {part: one_row(engine, query, [int(part)])[0] for part in Part}


def _with_attributes(table: pa.Table, attributes: pa.Table | None) -> tuple[pa.Table, int]:
    """The vocabulary with a name column (null where nothing is known) and the categorical columns."""
    if attributes is None:
        return table.append_column("name", pa.nulls(len(table), pa.string())), 0
    key = table.column_names[0]
    known_ids = attributes.column(key).cast(pa.string()).combine_chunks()
    rows = pc.index_in(table.column(key).cast(pa.string()), value_set=known_ids).combine_chunks()
    if "name" not in attributes.column_names:
        table = table.append_column("name", pa.nulls(len(table), pa.string()))
    for column in attributes.column_names:
        if column in table.column_names and column != key:
            raise LogError(f"an attribute of users cannot be called '{column}', the corpus says that itself; rename it")
        if column != key:
            table = table.append_column(column, attributes.column(column).combine_chunks().take(rows))
    return table, len(rows) - rows.null_count

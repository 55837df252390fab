"""The events that a corpus keeps and those of a new log, as one log."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from segue.data import engine
from segue.data.corpus import Corpus, Part
from segue.data.corpus_folder import read_manifest, read_tables
from segue.data.engine import one_row
from segue.settings import Settings

KEPT, NEWS, LOG = "kept", "news", "log"
SAME_EVENT = """
    log.item_id = kept.item_id AND log.time = kept.time AND log.user_id IS NOT DISTINCT FROM kept.user_id
    AND (log.user_id IS NOT NULL OR log.session_id IS NOT DISTINCT FROM kept.session_id)
"""
"""Two rows are one event: user, item and time are equal; of nobody, also the session id."""


class News(NamedTuple):
    """Numbers of events of the log: those that the corpus had; and of the new ones, each row of a repeated one, those
    that are older than the corpus's newest event, those that are older than their user's newest one, and all."""

    duplicates: int
    late: int
    backwards: int
    events: int


def join(connection: DuckDBPyConnection, whole: Corpus, own: Path, settings: Settings) -> None:
    """Make the table ``log`` of the corpus' own events and of those that it does not have, the table ``news``."""
    sessions = whole.sessions
    owner = np.repeat(np.arange(len(sessions)), sessions.lengths)
    types = settings.filters.event_types
    kept = pa.table({
        "user_id": whole.users.column("user_id").take(pa.array(sessions.user[owner])),
        "item_id": whole.items.column("item_id").take(pa.array(sessions.items)),
        "time": sessions.times,
        "session_id": _session_ids(own).take(pa.array(owner)),
        "event_type": pa.array([types[0] if types else None] * len(owner), pa.string()),
        "event_row": np.arange(len(owner)),
    })  # fmt: skip
    connection.register(KEPT, kept)
    connection.register("kept_items", _numbered(whole.items.column("item_id")))
    connection.register("kept_users", _numbered(whole.users.column("user_id").slice(0, whole.n_users)))
    columns = "user_id, item_id, time, session_id, event_type"
    wanted = ", ".join(engine.literal(each) for each in types or ())
    if types:
        connection.execute(f"DELETE FROM {LOG} WHERE event_type IS NULL OR event_type NOT IN ({wanted})")
    connection.execute(f"CREATE TABLE read AS SELECT count(*) AS events FROM {LOG}")
    connection.execute(f"""
        CREATE TABLE {NEWS} AS
        SELECT {columns}, event_row FROM {LOG} ANTI JOIN {KEPT} ON {SAME_EVENT}
    """)
    connection.execute(f"""
        CREATE OR REPLACE TABLE {LOG} AS
        SELECT {columns}, CAST(event_row AS BIGINT) AS event_row FROM {KEPT}
        UNION ALL SELECT {columns}, event_row + {len(owner)} FROM {NEWS}
    """)


def digest_of(connection: DuckDBPyConnection) -> str:
    """What the log holds, whatever the order of its rows: their number, and two sums of their hashes."""
    found = one_row(
        connection,
        f"""
        SELECT count(*), bit_xor(hash), sum(hash % 1000000007) FROM (
            SELECT md5_number(to_json([user_id, item_id, time::VARCHAR, session_id, event_type])::VARCHAR) AS hash
            FROM {LOG}
        )
        """,
    )
    return "-".join(map(str, found))


def _numbered(ids: Any) -> pa.Table:
    """Ids and their numbers, in order."""
    return pa.table({"id": ids, "place": np.arange(len(ids))})


def _session_ids(own: Path) -> Any:
    """The log's own id of every session, null where there was none, in the order in which a loaded corpus has them."""
    tables = read_tables(own, read_manifest(own), [part.name.lower() for part in Part])[2]
    return pa.concat_tables(tables).sort_by("session").column("session_id").combine_chunks()


def counts(connection: DuckDBPyConnection) -> News:
    """How much of the log is new."""
    (events,) = one_row(connection, f"SELECT count(*) FROM {NEWS}")
    (wanted,) = one_row(connection, "SELECT events FROM read")
    (late,) = one_row(connection, f"SELECT count(*) FROM {NEWS} WHERE time < (SELECT max(time) FROM {KEPT})")
    (backwards,) = one_row(
        connection,
        f"""
        SELECT count(*) FROM {NEWS} JOIN (SELECT user_id, max(time) AS newest FROM {KEPT} GROUP BY user_id) AS own
        USING (user_id) WHERE time < newest
        """,
    )
    return News(wanted - events, late, backwards, events)


def changes(connection: DuckDBPyConnection) -> tuple[int, int]:
    """How many events the corpus has more than before, and how many of the old ones it has no longer."""
    connection.execute("""
        CREATE TABLE final AS SELECT item_id, time, user_id, session_id FROM events JOIN numbered USING (session_key)
        JOIN item_codes USING (item_key) JOIN owners ON owners."user" = numbered."user"
    """)
    (added,) = one_row(connection, f"SELECT count(*) FROM final AS log ANTI JOIN {KEPT} ON {SAME_EVENT}")
    (lost,) = one_row(connection, f"SELECT count(*) FROM {KEPT} AS log ANTI JOIN final AS kept ON {SAME_EVENT}")
    return added, lost

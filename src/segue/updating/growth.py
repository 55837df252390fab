"""A corpus grown by the events of a new log: the preparation once more, over what the corpus keeps and what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from segue.data import engine
from segue.data.corpus import Corpus, Part
from segue.data.corpus_folder import CHECKSUMS, FORMAT, MANIFEST, checksums, read_manifest, read_tables
from segue.data.engine import one_row
from segue.data.lineage import LINEAGE, form_of_log
from segue.data.log.read import LogFacts
from segue.data.origin import MADE_FROM, PARTS_OF_FILES, Origin
from segue.data.preparation.filters import apply_filters
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.prepare import read_in_duckdb
from segue.data.preparation.sessions import form_sessions
from segue.data.preparation.split import split
from segue.data.preparation.write import CorpusWriter, newest_events, number_users_and_sessions, sizes
from segue.data.sources import RawLog, raw_log
from segue.errors import CorpusError
from segue.settings import Settings, SplitSettings
from segue.updating.attributes import grown_attributes
from segue.version import __version__

_KEPT, _NEWS, _LOG = "kept", "news", "log"
_SAME_EVENT = """
    log.item_id = kept.item_id AND log.time = kept.time AND log.user_id IS NOT DISTINCT FROM kept.user_id
    AND (log.user_id IS NOT NULL OR log.session_id IS NOT DISTINCT FROM kept.session_id)
"""
"""Two rows are one event: user, item and time are equal; of nobody, also the session id."""


@dataclass(frozen=True)
class Read:
    """What the new log held; every row of it is in one of the first four counts.

    Attributes:
        rows: rows of the log. invalid: left out as unreadable. duplicates: events that the corpus has already.
        left_out: new events that the filters, the length cap or the split left out. added: events that came.
        lost: events of the corpus that are gone, since a session has become too long.
        late: new events from before the newest event of the corpus. backwards: from before the newest event of their
            own user. items, users: new ones in the vocabulary.
    """

    rows: int
    invalid: int
    duplicates: int
    left_out: int
    added: int
    lost: int
    late: int
    backwards: int
    items: int
    users: int

    def as_dict(self) -> dict[str, int]:
        """The JSON shape."""
        return asdict(self)


@dataclass(frozen=True)
class Source:
    """What a corpus grows by.

    Attributes:
        log: what ``prepare`` takes. items, users: files of attributes, or None.
        newest: the time before the newest event, in ms, whose sessions become test. drop_invalid: leave out rows
            without an id or time.
    """

    log: Any
    items: Any = None
    users: Any = None
    newest: int = 24 * 60 * 60 * 1000
    drop_invalid: bool = False


def grow(whole: Corpus, own: Path, source: Source, folder: Path, scratch: Path, *, apart: bool = False) -> Read:
    """Write the grown corpus into a new folder; items and known users of the old one keep their numbers.

    Where nothing of the log is new, or the corpus has grown by this very log before, nothing is written: `added` is 0.

    Old events stand in the sessions that the log gave them; where it gave none, sessions are cut again from the events
    that the corpus keeps, so that new events go on with a session as if all had been prepared at once.

    Args:
        whole, own: the old corpus, with all parts, and its folder.
        apart: whether the sessions that end in the time `source.newest` before the newest event are test, but none that
            the corpus had whole; a later item or user is then none of the vocabulary. Else nothing is test.

    Raises:
        LogError: the log or an attribute file cannot be read or believed.
        CorpusError: nothing of the log is newer than the corpus, or an item or user of it would be lost.
    """
    settings = Settings.parse(whole.manifest["settings"])
    if source.drop_invalid:
        settings = settings.model_copy(
            update={"preparation": settings.preparation.model_copy(update={"drop_invalid": True})}
        )
    folder.mkdir()
    with engine.connect(settings.preparation, scratch) as connection, engine.guarded("growing the corpus"):
        raw = raw_log(connection, source.log, scratch, settings)
        facts = read_in_duckdb(connection, raw, settings)
        digest = _digest(connection)
        _join(connection, whole, own, settings)
        duplicates, late, backwards, events = _counts(connection)
        if not events or digest in [each.get("digest") for each in whole.manifest.get(LINEAGE, [])]:
            return Read(facts.rows_read, facts.rows_dropped, duplicates, events, 0, 0, late, backwards, 0, 0)
        ledger, removed = _divide(connection, settings, whole, source.newest if apart else None)
        added, lost = _changes(connection)
        read = Read(
            rows=facts.rows_read, invalid=facts.rows_dropped, duplicates=duplicates, left_out=events - added,
            added=added, lost=lost, late=late, backwards=backwards,
            items=_size(connection, "vocabulary") - whole.n_items, users=_known(connection) - whole.n_users,
        )  # fmt: skip
        _write(connection, whole, raw, source, settings, folder, _Made(ledger, removed, facts, read, digest))
    return read


def _join(connection: DuckDBPyConnection, whole: Corpus, own: Path, settings: Settings) -> None:
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
    connection.register(_KEPT, kept)
    connection.register("kept_items", _numbered(whole.items.column("item_id")))
    connection.register("kept_users", _numbered(whole.users.column("user_id").slice(0, whole.n_users)))
    columns = "user_id, item_id, time, session_id, event_type"
    wanted = ", ".join(engine.literal(each) for each in types or ())
    if types:
        connection.execute(f"DELETE FROM {_LOG} WHERE event_type IS NULL OR event_type NOT IN ({wanted})")
    connection.execute(f"CREATE TABLE read AS SELECT count(*) AS events FROM {_LOG}")
    connection.execute(f"""
        CREATE TABLE {_NEWS} AS
        SELECT {columns}, event_row FROM {_LOG} ANTI JOIN {_KEPT} ON {_SAME_EVENT}
    """)
    connection.execute(f"""
        CREATE OR REPLACE TABLE {_LOG} AS
        SELECT {columns}, CAST(event_row AS BIGINT) AS event_row FROM {_KEPT}
        UNION ALL SELECT {columns}, event_row + {len(owner)} FROM {_NEWS}
    """)


def _digest(connection: DuckDBPyConnection) -> str:
    """What the log holds, whatever the order of its rows: their number, and two sums of their hashes."""
    found = one_row(
        connection,
        f"""
        SELECT count(*), bit_xor(hash), sum(hash % 1000000007) FROM (
            SELECT md5_number(to_json([user_id, item_id, time::VARCHAR, session_id, event_type])::VARCHAR) AS hash
            FROM {_LOG}
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


def _counts(connection: DuckDBPyConnection) -> tuple[int, int, int, int]:
    """Duplicates, late events, events that go backwards for their user, and all new events."""
    (events,) = one_row(connection, f"SELECT count(*) FROM {_NEWS}")
    (wanted,) = one_row(connection, "SELECT events FROM read")
    (late,) = one_row(connection, f"SELECT count(*) FROM {_NEWS} WHERE time < (SELECT max(time) FROM {_KEPT})")
    (backwards,) = one_row(
        connection,
        f"""
        SELECT count(*) FROM {_NEWS} JOIN (SELECT user_id, max(time) AS newest FROM {_KEPT} GROUP BY user_id) AS own
        USING (user_id) WHERE time < newest
        """,
    )
    return wanted - events, late, backwards, events


def _divide(
    connection: DuckDBPyConnection, settings: Settings, whole: Corpus, newest: int | None
) -> tuple[Ledger, dict[str, int | None]]:
    """From the joined log to numbered sessions; returns the ledger, and what the split removed."""
    (last,) = one_row(connection, f"SELECT max(time) FROM {_LOG}")
    cut = None if newest is None else max(last - newest, int(whole.sessions.times.max()))
    # No share is test: a setting may not say so, since a preparation without test is of no use elsewhere.
    none = SplitSettings(protocol="global_time", validation=settings.split.validation).model_copy(update={"test": 0.0})
    ledger, scope = form_sessions(connection, settings.sessions, settings.filters, none), settings.filters.scope
    if cut is not None and scope == "train":  # which sessions are test has to be known before anything is counted
        chosen = _with_test(connection, none, cut, "events")
        ledger = form_sessions(connection, settings.sessions, settings.filters, chosen)
    apply_filters(connection, ledger, settings.sessions, settings.filters)
    ledger.refuse_one_user()
    regular = "(SELECT * FROM events ANTI JOIN rare_users USING (user_key))"
    chosen = none if cut is None else _with_test(connection, none, cut, regular)
    removed = split(connection, ledger, chosen, scope)
    number_users_and_sessions(connection, scope, kept=True)
    _refuse_lost(connection, whole)
    return ledger, removed


def _with_test(connection: DuckDBPyConnection, chosen: SplitSettings, cut: int, events: str) -> SplitSettings:
    """The split whose test are the sessions that end after `cut` (epoch ms), of those in the SQL `events`."""
    later, total = one_row(
        connection,
        f"""
        SELECT count(*) FILTER (WHERE finish > {cut}), count(*)
        FROM (SELECT max(time) AS finish FROM {events} AS e GROUP BY session_key)
        """,
    )
    if not later or later == total:
        raise CorpusError(
            "the log has no session that ends after the newest event of the model's corpus, so there is nothing to"
            " compare two models on; give the log of the days since then"
        )
    # Half a session less, so that rounding the share down cannot move the cut.
    return chosen.model_copy(update={"test": (later - 0.5) / total})


def _refuse_lost(connection: DuckDBPyConnection, whole: Corpus) -> None:
    """Raise CorpusError where an item or known user of the old corpus has another number, or none."""
    items, users = (
        one_row(connection, query)[0]
        for query in (
            "SELECT count(*) FROM vocabulary JOIN item_codes USING (item_key) JOIN kept_items AS k ON item_id = id"
            " AND item = k.place",
            'SELECT count(*) FROM owners JOIN kept_users AS k ON user_id = k.id AND "user" = k.place WHERE known',
        )
    )
    if (items, users) != (whole.n_items, whole.n_users):
        raise CorpusError(
            f"{whole.n_items - items:,} items and {whole.n_users - users:,} users of the model would be lost by the"
            " filters of its corpus (filters.top_items and sessions.keep=drop do that when a log grows); prepare and"
            " train anew with segue fit"
        )


def _changes(connection: DuckDBPyConnection) -> tuple[int, int]:
    """How many events the corpus has more than before, and how many of the old ones it has no longer."""
    connection.execute("""
        CREATE TABLE final AS SELECT item_id, time, user_id, session_id FROM events JOIN numbered USING (session_key)
        JOIN item_codes USING (item_key) JOIN owners ON owners."user" = numbered."user"
    """)
    (added,) = one_row(connection, f"SELECT count(*) FROM final AS log ANTI JOIN {_KEPT} ON {_SAME_EVENT}")
    (lost,) = one_row(connection, f"SELECT count(*) FROM {_KEPT} AS log ANTI JOIN final AS kept ON {_SAME_EVENT}")
    return added, lost


def _size(connection: DuckDBPyConnection, table: str) -> int:
    return int(one_row(connection, f"SELECT count(*) FROM {table}")[0])


def _known(connection: DuckDBPyConnection) -> int:
    return int(one_row(connection, "SELECT count(*) FROM owners WHERE known")[0])


@dataclass(frozen=True)
class _Made:
    """What the manifest says of how the corpus was made."""

    ledger: Ledger
    split: dict[str, int | None]
    log: LogFacts
    read: Read
    digest: str


def _write(
    connection: DuckDBPyConnection,
    whole: Corpus,
    raw: RawLog,
    source: Source,
    settings: Settings,
    folder: Path,
    made: _Made,
) -> None:
    """Write the tables as a corpus folder."""
    writer = CorpusWriter(connection, folder)
    items, users = (
        grown_attributes(connection, table, given, f"{kind}_id", settings)
        for kind, table, given in (
            ("item", whole.items, raw.items if source.items is None else source.items),
            ("user", whole.users, raw.users if source.users is None else source.users),
        )
    )
    described = {"items": writer.write_items(items), "users": writer.write_users(users)}
    for part in Part:
        writer.write_part(part)
    newest, old = newest_events(connection), whole.manifest
    manifest = {
        "format": FORMAT,
        "segue": __version__,
        "fingerprint": writer.fingerprint,
        "log": _about_log(old, made.log),
        "steps": made.ledger.as_dicts(),
        "split": made.split,
        "sizes": sizes(connection),
        MADE_FROM: {file: Origin.of(parts, newest).as_dict() for file, parts in PARTS_OF_FILES.items()},
        "has_names": items is not None and "name" in items.column_names,
        "described": described,
        "settings": {**old["settings"], "split": {**old["settings"]["split"], "protocol": "global_time"}},
        "warnings": list(old.get("warnings", [])),
        LINEAGE: [
            *old.get(LINEAGE, []),
            {"corpus": whole.fingerprint, "log": made.log.source, "digest": made.digest, "read": made.read.as_dict()},
        ],
    }
    manifest[CHECKSUMS] = checksums(folder, manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _about_log(old: Mapping[str, Any], new: LogFacts) -> dict[str, Any]:
    """What is known of the log: the form of the first one, and the times of both."""
    log = old.get("log", {})
    return {
        **form_of_log({"log": new.as_dict()}),
        **form_of_log(old),
        "dates_only": bool(log.get("dates_only")) or new.dates_only,
        "first_time": min(log.get("first_time", new.first_time), new.first_time),
        "last_time": max(log.get("last_time", new.last_time), new.last_time),
    }

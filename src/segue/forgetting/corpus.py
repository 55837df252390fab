"""The corpus of what is left, written as the preparation writes one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from segue.data import engine
from segue.data.corpus import Corpus, Part
from segue.data.corpus_folder import CHECKSUMS, FORMAT, MANIFEST, checksums, read_manifest, read_tables
from segue.data.lineage import FORGOTTEN, LINEAGE, blocks, forgotten, form_of_log
from segue.data.log.attributes import categorical
from segue.data.origin import MADE_FROM, PARTS_OF_FILES, Origin
from segue.data.preparation.write import CorpusWriter, newest_events, sizes
from segue.forgetting.remaining import Remaining
from segue.settings import Nested, Settings
from segue.settings.overrides import on_this_machine
from segue.version import __version__


def write_corpus(
    whole: Corpus,
    source: Path,
    left: Remaining,
    folder: Path,
    scratch: Path,
    people: int,
    machine: Nested | None = None,
) -> None:
    """Write the corpus of what is left into a new folder.

    The writer, and so the fingerprint, is that of the preparation: a preparation of the log without these people gives
    the same where filters and split do not decide otherwise without them.

    Args:
        source: the folder of `whole`. scratch: a folder for intermediate files. people: how many were taken out.
        machine: settings of this machine, see :func:`segue.settings.overrides.on_this_machine`.

    Raises UserMistake where the disk is full or cannot be written.
    """
    settings = on_this_machine(Settings.parse(whole.manifest["settings"]), machine or {})
    folder.mkdir()
    with engine.connect(settings.preparation, scratch) as connection, engine.guarded("writing the corpus"):
        _fill(connection, whole, left, _session_ids(source)[left.rows])
        writer = CorpusWriter(connection, folder)
        items, users = (_attributes(whole, left, kind) for kind in ("item", "user"))
        writer.write_items(items)
        writer.write_users(users)
        for part in Part:
            writer.write_part(part)
        newest = newest_events(connection)
        manifest = {
            "format": FORMAT,
            "segue": __version__,
            "fingerprint": writer.fingerprint,
            "log": _about_log(whole.manifest, left),
            "steps": [],
            "split": {"last_train_end": left.last_train_end, "first_test_end": left.first_test_end},
            "sizes": sizes(connection),
            MADE_FROM: {file: Origin.of(parts, newest).as_dict() for file, parts in PARTS_OF_FILES.items()},
            "has_names": bool(whole.manifest.get("has_names")),
            "described": {"items": _described(items), "users": _described(users)},
            "settings": whole.manifest["settings"],
            "warnings": [],
            FORGOTTEN: {"people": people + forgotten(whole.manifest)},
            **_lineage(whole, left),
        }
    manifest[CHECKSUMS] = checksums(folder, manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _lineage(whole: Corpus, left: Remaining) -> dict[str, Any]:
    """How many of the items that are left came with each update; the rest of the record is about the people too."""
    if LINEAGE not in whole.manifest:
        return {}
    ends = np.searchsorted(left.items, blocks(whole.manifest, whole.n_items))
    return {LINEAGE: [{"read": {"items": int(number)}} for number in np.diff(ends)]}


def _session_ids(source: Path) -> Any:
    """The log's own id of every session, in the order in which a loaded corpus has them, as an array of objects."""
    tables = read_tables(source, read_manifest(source), [part.name.lower() for part in Part])[2]
    joined = pa.concat_tables(tables).sort_by("session")
    return np.array(joined.column("session_id").to_pylist(), dtype=object)


def _fill(connection: DuckDBPyConnection, whole: Corpus, left: Remaining, session_ids: Any) -> None:
    """Make the tables that the writer reads; keys are the new numbers."""
    sessions, key = left.sessions, pa.array(left.sessions.number)
    items, users = (np.arange(len(rows), dtype=np.int32) for rows in (left.items, left.users))
    tables = {
        "vocabulary": {"item_key": items, "item": items},
        "item_codes": {"item_key": items, "item_id": whole.items.column("item_id").take(pa.array(left.items))},
        "owners": {
            "user": users,
            "user_id": whole.users.column("user_id").take(pa.array(left.users)),
            "known": pa.array(users < left.n_users),
        },
        "numbered": {
            "session_key": key, "session": key, "part": left.part.astype(np.int32), "length": sessions.lengths,
            "user": sessions.user, "session_id": pa.array(session_ids, pa.string()),
        },
        "events": {
            "session_key": np.repeat(sessions.number, sessions.lengths), "event": np.arange(len(sessions.items)),
            "item_key": sessions.items, "time": sessions.times,
        },
        "sessions": {"part": left.part.astype(np.int32), "finish": sessions.times[sessions.offsets[1:] - 1]},
    }  # fmt: skip
    for name, columns in tables.items():
        connection.register(name, pa.table(columns))


def _attributes(whole: Corpus, left: Remaining, kind: str) -> pa.Table | None:
    """The attributes of the items or users that are left, by id; None where there are none."""
    table, rows = (whole.items, left.items) if kind == "item" else (whole.users, left.users)
    table = table.take(pa.array(rows))
    table = table.filter(pc.is_valid(table.column(f"{kind}_id")))
    names = [name for name in table.column_names if name != "known"]
    has_names = "name" in names and table.column("name").null_count < len(table)
    return table.select(names) if categorical(names) or has_names else None


def _described(table: pa.Table | None) -> int:
    """Rows with any attribute: a row of the file without one cannot be told from none."""
    if table is None:
        return 0
    filled = [np.asarray(pc.is_valid(column).combine_chunks()) for column in table.columns[1:]]
    return int(np.any(filled, axis=0).sum())


def _about_log(manifest: Mapping[str, Any], left: Remaining) -> dict[str, Any]:
    """What is known of the form of the log, and the times of what is left of it."""
    times = left.sessions.times
    return {**form_of_log(manifest), "first_time": int(times.min()), "last_time": int(times.max())}

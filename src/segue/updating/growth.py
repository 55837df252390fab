"""A corpus grown by the events of a new log: the preparation once more, over what the corpus keeps and what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from segue.data import engine
from segue.data.corpus import Corpus, Part
from segue.data.corpus_folder import CHECKSUMS, FORMAT, MANIFEST, checksums
from segue.data.engine import one_row
from segue.data.lineage import FORGOTTEN, LINEAGE, forgotten, form_of_log
from segue.data.log.facts import LogFacts
from segue.data.log.warnings import log_warnings
from segue.data.origin import MADE_FROM, PARTS_OF_FILES, Origin
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.prepare import read_in_duckdb, said
from segue.data.preparation.write import CorpusWriter, newest_events, sizes
from segue.data.sources import RawLog, raw_log
from segue.settings import Nested, Settings
from segue.settings.overrides import on_this_machine
from segue.updating.attributes import grown_attributes
from segue.updating.division import divide
from segue.updating.form import refuse_other_form, settings_of, without_set
from segue.updating.join import changes, counts, digest_of, join
from segue.updating.source import Read, Source
from segue.version import __version__


def grow(
    whole: Corpus,
    own: Path,
    source: Source,
    folder: Path,
    scratch: Path,
    machine: Nested | None = None,
    *,
    apart: bool = False,
) -> Read:
    """Write the grown corpus into a new folder; items and known users of the old one keep their numbers.

    Where nothing of the log is new, or the corpus has grown by this very log before, nothing is written: `added` is 0.

    Old events stand in the sessions that the log gave them; where it gave none, sessions are cut again from the events
    that the corpus keeps, so that new events go on with a session as if all had been prepared at once.

    Args:
        whole, own: the old corpus, with all parts, and its folder.
        machine: settings of this machine, see :func:`segue.settings.overrides.on_this_machine`.
        apart: whether the newest sessions are test, see :func:`segue.updating.division.divide`, but none that the
            corpus had whole; a later item or user is then none of the vocabulary. Else nothing is test.

    Raises:
        ConfigError: `machine` names other settings.
        LogError: the log or an attribute file cannot be read or believed.
        CorpusError: nothing of the log is newer than the corpus, or an item or user of it would be lost.
    """
    settings = on_this_machine(settings_of(whole.manifest, drop_invalid=source.drop_invalid), machine or {})
    folder.mkdir()
    with (
        engine.connect(settings.preparation, scratch) as connection,
        engine.guarded("growing the corpus"),
        without_set(),
    ):
        raw = raw_log(connection, source.log, scratch, settings)
        facts = read_in_duckdb(connection, raw, settings)
        refuse_other_form(whole.manifest, facts, settings)
        digest = digest_of(connection)
        join(connection, whole, own, settings)
        duplicates, late, backwards, events = counts(connection)
        other = facts.rows_read - facts.rows_dropped - duplicates  # beside new ones those of other event types
        if not events or digest in [each.get("digest") for each in whole.manifest.get(LINEAGE, [])]:
            return Read(facts.rows_read, facts.rows_dropped, duplicates, other, 0, 0, late, backwards, 0, 0)
        ledger, removed = divide(connection, settings, whole, source, apart=apart)
        warnings = [*log_warnings(connection, facts, settings.columns.null_words), *_of_forgotten(whole)]
        added, lost = changes(connection)
        read = Read(
            rows=facts.rows_read, invalid=facts.rows_dropped, duplicates=duplicates, left_out=other - added,
            added=added, lost=lost, late=late, backwards=backwards,
            items=_size(connection, "vocabulary") - whole.n_items, users=_known(connection) - whole.n_users,
        )  # fmt: skip
        made = _Made(ledger, removed, facts, read, digest, warnings if apart else said(warnings))
        _write(connection, whole, raw, source, settings, folder, made)
    return read


def _of_forgotten(whole: Corpus) -> list[str]:
    """That people who were forgotten come back with a log that still has them."""
    people = forgotten(whole.manifest)
    if not people:
        return []
    return [
        f"the corpus has forgotten {people:,} {'person' if people == 1 else 'people'}; an event of theirs in this log"
        " is learned as if they were new, so the log must be without them"
    ]


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
    warnings: list[str]


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
        "warnings": made.warnings,
        **({FORGOTTEN: old[FORGOTTEN]} if FORGOTTEN in old else {}),
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

"""A corpus grown by the events of a new log: the preparation once more, over what the corpus keeps and what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
from segue.updating.form import refuse_other_form, refuse_other_resolution, settings_of, without_set
from segue.updating.join import News, changes, counts, digest_of, join
from segue.updating.source import Read, Source
from segue.version import __version__


def grow(
    whole: Corpus,
    own: Path,
    source: Source,
    scratch: Path,
    machine: Nested | None = None,
    *,
    out: Path | None = None,
    apart: Path | None = None,
) -> Read:
    """Write the grown corpus into a new folder, or two; items and known users of the old one keep their numbers.

    Where nothing of the log is new, or the corpus has grown by this very log before, nothing is written: `added` is 0.

    Old events stand in the sessions that the log gave them; where it gave none, sessions are cut again from the events
    that the corpus keeps, so that new events go on with a session as if all had been prepared at once.

    Args:
        whole, own: the old corpus, with all parts, and its folder.
        machine: settings of this machine, see :func:`segue.settings.overrides.on_this_machine`.
        out: the folder for the corpus in which nothing is test.
        apart: the folder for the one in which the newest sessions are test, see :func:`segue.updating.division.divide`,
            but none that the corpus had whole; a later item or user is then none of the vocabulary.

    Returns what was read, with the changes of the first of the two.

    Raises:
        ConfigError: `machine` names other settings.
        LogError: the log or an attribute file cannot be read or believed.
        CorpusError: nothing of the log is newer than the corpus, or an item or user of it would be lost.
    """
    settings = on_this_machine(settings_of(whole.manifest, drop_invalid=source.drop_invalid), machine or {})
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
        refuse_other_resolution(connection, facts)
        joined = _Joined(connection, whole, raw, source, settings, facts, digest)
        if not joined.news.events or digest in [each.get("digest") for each in whole.manifest.get(LINEAGE, [])]:
            return joined.nothing()
        reads: list[Read] = []
        for folder in (out, apart):
            if folder is not None and all(read.added for read in reads):  # where nothing is new, none can be set apart
                reads.append(joined.write(folder, apart=folder is apart))
        return reads[0]


@dataclass(frozen=True)
class _Joined:
    """The corpus and the log as one, in the connection's tables."""

    connection: DuckDBPyConnection
    whole: Corpus
    raw: RawLog
    source: Source
    settings: Settings
    log: LogFacts
    digest: str

    @cached_property
    def news(self) -> News:
        """What the log has that the corpus had not."""
        return counts(self.connection)

    def nothing(self) -> Read:
        """What was read where none of it is new."""
        return self._read(0, 0, 0, 0)

    def write(self, folder: Path, *, apart: bool) -> Read:
        """Write the grown corpus; what that does to the tables is undone, so that another can be written."""
        connection = self.connection
        folder.mkdir()
        with engine.undone(connection):
            ledger, removed = divide(connection, self.settings, self.whole, self.source, apart=apart)
            warnings = [
                *log_warnings(connection, self.log, self.settings.columns.null_words),
                *_of_forgotten(self.whole),
            ]
            added, lost = changes(connection)
            items, users = _size(connection, "vocabulary") - self.whole.n_items, _known(connection) - self.whole.n_users
            read = self._read(added, lost, items, users)
            self._write(folder, ledger, removed, read, warnings if apart else said(warnings))
        return read

    def _read(self, added: int, lost: int, items: int, users: int) -> Read:
        log, news = self.log, self.news
        other = log.rows_read - log.rows_dropped - news.duplicates  # beside new ones those of other event types
        return Read(
            rows=log.rows_read, invalid=log.rows_dropped, duplicates=news.duplicates, left_out=other - added,
            added=added, lost=lost, late=news.late, backwards=news.backwards, items=items, users=users,
        )  # fmt: skip

    def _write(
        self, folder: Path, ledger: Ledger, split: Mapping[str, int | None], read: Read, warnings: list[str]
    ) -> None:
        """Write the tables as a corpus folder."""
        connection, whole, raw, source = self.connection, self.whole, self.raw, self.source
        writer = CorpusWriter(connection, folder)
        items, users = (
            grown_attributes(connection, table, given, f"{kind}_id", self.settings)
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
            "log": _about_log(old, self.log),
            "steps": ledger.as_dicts(),
            "split": split,
            "sizes": sizes(connection),
            MADE_FROM: {file: Origin.of(parts, newest).as_dict() for file, parts in PARTS_OF_FILES.items()},
            "has_names": items is not None and "name" in items.column_names,
            "described": described,
            "settings": {**old["settings"], "split": {**old["settings"]["split"], "protocol": "global_time"}},
            "warnings": warnings,
            **({FORGOTTEN: old[FORGOTTEN]} if FORGOTTEN in old else {}),
            LINEAGE: [
                *old.get(LINEAGE, []),
                {"corpus": whole.fingerprint, "log": self.log.source, "digest": self.digest, "read": read.as_dict()},
            ],
        }
        manifest[CHECKSUMS] = checksums(folder, manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


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

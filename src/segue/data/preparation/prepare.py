"""From an interaction log to a corpus folder: the steps in order, written aside and renamed when done."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from segue.data import engine
from segue.data.corpus import Part
from segue.data.corpus_folder import CHECKSUMS, FILES, FORMAT, GRAPH, checksums, recognise
from segue.data.engine import literal
from segue.data.log.attributes import check_attributes, read_attributes
from segue.data.log.facts import LogFacts
from segue.data.log.opening import name_of
from segue.data.log.read import read_log
from segue.data.log.warnings import log_warnings
from segue.data.origin import MADE_FROM, PARTS_OF_FILES, Origin
from segue.data.preparation.descriptions import description_warnings
from segue.data.preparation.filters import apply_filters
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.sessions import form_sessions
from segue.data.preparation.split import split
from segue.data.preparation.write import CorpusWriter, newest_events, number_users_and_sessions, sizes
from segue.data.sources import RawLog, Source, raw_log
from segue.data.spark.engine import SparkTables
from segue.data.spark.log import read_plain_log
from segue.data.spark.session import session
from segue.data.tables import Engine
from segue.data.tables import drop as drop_table
from segue.errors import CorpusError
from segue.settings import Settings
from segue.system.folders import FolderKind, refuse_inputs_inside, refuse_nameless
from segue.system.holding import held
from segue.system.interrupts import interruptible, undisturbed
from segue.system.log_lines import telling
from segue.system.replacing import followed, publish, under_construction

logger = logging.getLogger("segue")

_CORPUS_FOLDER = FolderKind(CorpusError, recognise, lambda path: str(path) in FILES or path.parts[0] == GRAPH)
Graph = Callable[[Engine, Path], dict[str, Any]]
SECTIONS = ("columns", "csv", "sessions", "filters", "split", "preparation")
"""Sections of settings that a corpus is prepared with."""


def prepare(
    source: Any,
    out: Path,
    settings: Settings,
    *,
    items: Any = None,
    users: Any = None,
    overwrite: bool = False,
    spark: str | None = None,
    graph: Graph | None = None,
    called: str | None = None,
) -> dict[str, Any]:
    """Prepare a log and write the corpus folder `out`; see ``corpus.py`` for what is in it.

    Args:
        source: anything that ``read_log`` takes (a path, a frame), or a ``Source``: a known data set. The caller
            composes the settings of a data set beneath the user's.
        out: the folder to write. It appears, or is replaced, at the end and whole, or not at all.
        items: what ``read_attributes`` takes: item_id, name, categorical columns; instead of what a ``Source`` brings.
        users: what ``read_attributes`` takes: user_id, name, categorical columns; instead of a ``Source``'s own.
        overwrite: replace an existing corpus.
        spark: the master on which Spark prepares (``local``, ``spark://HOST:PORT``, …), whose machines all reach the
            folder of `out` under its name; None: DuckDB does, on this machine. The corpus is the same.
        graph: called with the engine, its tables and the corpus folder when the parts are written; it writes a folder
            ``graph`` there, and returns what the manifest says of it.
        called: the name of the source in the manifest, where `source` is a copy of it; unset: that of `source`.

    Returns:
        The manifest. Its ``fingerprint`` depends on the prepared data alone.

    Raises:
        ConfigError: `settings.graph.attributes` names a column that items and users lack.
        LogError: the log or an attribute file cannot be read or believed.
        CorpusError: `out` is in the way, holds files of others or is held by another process, or no usable corpus
            survives the filters.
        UserMistake: `out` cannot be written or holds the log, the disk is full, memory or the engine's limit is too
            small.
    """
    refuse_nameless(out, CorpusError)
    with held(out, CorpusError):
        place = followed(out)
        with engine.guarded(f"looking for {out}"):
            _CORPUS_FOLDER.refuse_existing(place, overwrite=overwrite)
            refuse_inputs_inside(place, source, items, users)
        with engine.guarded(f"preparing the corpus {out}"), _folder_aside(place) as (folder, scratch):
            with (
                interruptible(),
                engine.connect(settings.preparation, scratch) as connection,
                _tables(connection, settings, scratch, spark) as tables,
            ):
                manifest = _prepare(connection, tables, source, folder, scratch, settings, items=items, users=users)
                name = source.name if called is None and isinstance(source, Source) else called
                if name is not None:
                    manifest["log"]["source"] = name
                if graph is not None:
                    with engine.guarded("preparing the graph"):
                        manifest[GRAPH] = graph(tables, folder)
            manifest[CHECKSUMS] = checksums(folder, manifest)
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            _CORPUS_FOLDER.refuse_existing(place, overwrite=overwrite)  # again: it has been a while
            with undisturbed():
                publish(folder, place)
    counts = ", ".join(f"{count:,} {name}" for name, count in manifest["sizes"].items())
    logger.info("corpus %s: %s", out, counts, extra=telling("corpus", sizes=manifest["sizes"]))
    return manifest


def _prepare(
    connection: DuckDBPyConnection,
    tables: Engine,
    source: Any,
    folder: Path,
    scratch: Path,
    settings: Settings,
    *,
    items: Any,
    users: Any,
) -> dict[str, Any]:
    raw = raw_log(connection, source, scratch, settings)
    described_by = {"items": raw.items if items is None else items, "users": raw.users if users is None else users}
    check_attributes(connection, settings.graph.attributes, **described_by)
    drop, words = settings.preparation.drop_invalid, settings.columns.null_words
    read = partial(read_attributes, connection, csv=settings.csv, drop_invalid=drop, null_words=words)
    item_attributes = read(items, "item_id") if items is not None else raw.items
    user_attributes = read(users, "user_id") if users is not None else raw.users
    facts = _log(connection, tables, raw, scratch, settings)
    ledger = form_sessions(tables, settings.sessions, settings.filters, settings.split)
    warnings = said(log_warnings(tables, facts, words))
    drop_table(tables, "log")
    removed = divide(tables, ledger, settings)
    writer = CorpusWriter(tables, folder)
    described = {"items": writer.write_items(item_attributes), "users": writer.write_users(user_attributes)}
    for kind, table in (("items", item_attributes), ("users", user_attributes)):
        if table is not None:
            warnings += said(description_warnings(connection, kind, folder, table, described[kind], words))
    for part in Part:
        with engine.guarded(f"writing {part.file}"):
            writer.write_part(part)
    newest = newest_events(tables)
    return {
        "format": FORMAT,
        "segue": version("segue"),
        "fingerprint": writer.fingerprint,
        "log": facts.as_dict(),
        "steps": ledger.as_dicts(),
        "split": removed,
        "sizes": sizes(tables),
        MADE_FROM: {file: Origin.of(parts, newest).as_dict() for file, parts in PARTS_OF_FILES.items()},
        "has_names": item_attributes is not None and "name" in item_attributes.column_names,
        "described": described,
        "settings": settings.model_dump(mode="json", include={*SECTIONS}),
        "warnings": warnings,
    }


def divide(tables: Engine, ledger: Ledger, settings: Settings) -> dict[str, int | None]:
    """From sessions to the numbered sessions of the three parts; returns what was removed from test.

    Raises CorpusError when no usable corpus survives.
    """
    apply_filters(tables, ledger, settings.sessions, settings.filters)
    ledger.refuse_one_user()
    removed = split(tables, ledger, settings.split, settings.filters.scope)
    number_users_and_sessions(tables, settings.filters.scope)
    return removed


def _log(connection: DuckDBPyConnection, tables: Engine, raw: RawLog, scratch: Path, settings: Settings) -> LogFacts:
    """Make the table ``log`` among `tables`; what Spark does not read itself is read by DuckDB and handed over."""
    if isinstance(tables, SparkTables):
        with engine.guarded(f"reading {name_of(raw.events)}"):
            plain = read_plain_log(tables, raw.events, settings, left_out=raw.left_out)
        if plain is not None:
            return plain
    facts = read_in_duckdb(connection, raw, settings)
    if isinstance(tables, SparkTables):
        tables.take("log", _handed_over(connection, scratch))
    return facts


def read_in_duckdb(connection: DuckDBPyConnection, raw: RawLog, settings: Settings) -> LogFacts:
    """Make the table ``log``, by the settings. Raises LogError."""
    return read_log(
        connection,
        raw.events,
        settings.columns,
        settings.csv,
        drop_invalid=settings.preparation.drop_invalid,
        allow_missing_user=settings.filters.rare_users == "train",
        allow_missing_session=settings.sessions.missing == "gap",
        left_out=raw.left_out,
    ).facts


def _handed_over(connection: DuckDBPyConnection, scratch: Path) -> Path:
    """The table ``log`` as a folder of Parquet, for another engine; DuckDB forgets it."""
    folder = scratch / "log"
    folder.mkdir()
    connection.execute(f"COPY log TO {literal(str(folder / 'part-0.parquet'))} (FORMAT parquet)")
    connection.execute("DROP TABLE log")
    return folder


@contextmanager
def _tables(connection: DuckDBPyConnection, settings: Settings, scratch: Path, spark: str | None) -> Iterator[Engine]:
    """The engine that makes the corpus out of the log."""
    if spark is None:
        yield connection
        return
    with session(spark, settings.preparation, scratch) as running:
        yield SparkTables(running, scratch)


def said(warnings: list[str]) -> list[str]:
    """Log each warning about a log; returns them."""
    for warning in warnings:
        logger.warning("warning: %s", warning)
    return warnings


@contextmanager
def _folder_aside(out: Path) -> Iterator[tuple[Path, Path]]:
    """A folder beside `out`, on the same disk, and one in it for intermediate files; both gone afterwards."""
    with under_construction(out, mode=0o700) as aside:
        folder, scratch = aside / "corpus", aside / "scratch"
        folder.mkdir()
        scratch.mkdir()
        yield folder, scratch

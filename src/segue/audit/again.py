"""A corpus beside its log: prepared a second time, and a third time with markers for all that test holds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segue.audit.finding import Finding, some
from segue.audit.parts import Parts, owners
from segue.audit.rebuild import scratch
from segue.audit.times import share
from segue.data import engine
from segue.data.corpus import Part
from segue.data.log.read import read_log
from segue.data.preparation.prepare import prepare
from segue.data.sources import raw_log
from segue.errors import CorpusError, LogError, first_line
from segue.pipeline.settings import settings_for_log
from segue.settings import Settings, compose, merged

_MARKER = "segue-marker-"
_OF_TEST = """
EXISTS (FROM test_events AS e
        WHERE e.item_id = log.item_id AND e.time = log.time AND e.user_id IS NOT DISTINCT FROM log.user_id)
"""
_AGAIN, _MARKED, _FILTERS = "corpus from its log", "markers in the log", "filters, measured"


def from_log(parts: Parts, log: Any) -> list[Finding]:
    """Prepare the log as the corpus was prepared, compare, and try what its test part decides.

    Raises LogError when the log cannot be read, or is not the one that the corpus was prepared from.
    """
    rows_expected = parts.manifest.get("log", {}).get("rows_read")
    if type(rows_expected) is not int:  # as of a corpus from which people have been taken out
        raise LogError(f"the corpus {parts.folder} does not say what log it is of, so no log gives it; leave --log out")
    source, settings = settings_for_log(log, parts.manifest["settings"])
    with scratch() as folder:
        folder.mkdir()
        manifest = prepare(source, folder / "again", settings)
        rows = manifest["log"]["rows_read"]
        if rows != rows_expected:
            raise LogError(
                f"{log} has {rows:,} rows; the corpus {parts.folder} was prepared from a log of {rows_expected:,}"
            )
        again = Parts.read(folder / "again")
        findings = [_compared(parts, again)]
        counts_test = settings.filters.scope == "all" and _strict(settings)
        tried = _filters(again, source, settings, folder) if counts_test else _markers(again, source, settings, folder)
        return [*findings, tried]


def _compared(parts: Parts, again: Parts) -> Finding:
    apart = _differ(parts, again, tuple(Part))
    return Finding(
        _AGAIN,
        "that the log, prepared a second time with the settings of the corpus, gives its vocabularies and parts",
        "leak" if apart else "clean",
        f"the corpus is not what the log gives: {', '.join(apart)}" if apart else "vocabularies and parts are the same",
    )


def _differ(parts: Parts, others: Parts, compared: tuple[Part, ...]) -> list[str]:
    """What differs between two corpora: items, known users, and sessions of some parts, by ids."""
    first, second = parts.any, others.any
    found = ["items"] if first.item_ids != second.item_ids else []
    found += ["known users"] if first.user_ids[: first.n_users] != second.user_ids[: second.n_users] else []
    if found:
        return found
    return [part.name.lower() for part in compared if not _same_sessions(parts, others, part)]


def _same_sessions(parts: Parts, others: Parts, part: Part) -> bool:
    a, b = parts.of(part), others.of(part)
    same = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("items", "times", "offsets"))
    return same and _ids(parts, part).equals(_ids(others, part))


def _ids(parts: Parts, part: Part) -> pa.Array:
    column = parts.any.users.column("user_id").combine_chunks()
    return column.take(pa.array(parts.of(part).user))


def _strict(settings: Settings) -> bool:
    """Whether the filters may take an item or a user."""
    return max(settings.filters.min_item_support, settings.filters.min_user_sessions) > 1


def _filters(again: Parts, source: Any, settings: Settings, folder: Path) -> Finding:
    """How much of train is there only because the filters counted test."""
    checked = "what changes in train when the filters no longer count test (filters.scope=train)"
    alone = merged(settings.model_dump(mode="json"), {"filters": {"scope": "train"}})
    try:
        prepare(source, folder / "alone", compose(alone))
        without = Parts.read(folder / "alone")
    except CorpusError as error:
        return Finding(_FILTERS, checked, "cannot", f"without test no corpus comes of the log: {first_line(error)}")
    gone = sorted(set(again.any.item_ids) - set(without.any.item_ids))
    fewer = len(again.train.items) - len(without.train.items)
    users = len(set(_known(again)) - set(_known(without)))
    return Finding(
        _FILTERS, checked, "share" if gone or users or fewer else "clean",
        f"{len(gone):,} of {again.any.n_items:,} items ({share(len(gone), again.any.n_items)}) and {users:,} known"
        f" users would not be there, and train would have {fewer:,} events less{': ' + some(gone) if gone else ''}",
        {"items": len(gone), "users": users, "train_events": fewer},
    )  # fmt: skip


def _known(parts: Parts) -> list[str]:
    return parts.any.user_ids[: parts.any.n_users]


def _markers(again: Parts, source: Any, settings: Settings, folder: Path) -> Finding:
    """Every item of a test event gets another name in the log: train, validation and vocabularies must stay."""
    checked = "that train, validation and vocabularies stay when every item of test has another name in the log"
    frame, planted = _planted(again, source, settings, folder)
    columns = {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp", "order": "event_row",
               "timestamp_unit": None, "timestamp_format": None, "session_id": None, "event_type": None}  # fmt: skip
    values = settings.model_dump(mode="json")
    prepare(frame, folder / "marked", compose({**values, "columns": {**values["columns"], **columns}}))
    apart = _differ(again, Parts.read(folder / "marked"), (Part.TRAIN, Part.VALIDATION))
    return Finding(
        _MARKED,
        checked,
        "leak" if apart else "clean",
        f"{planted:,} marked events changed {', '.join(apart)}"
        if apart
        else f"{planted:,} marked events changed nothing",
        {"events": planted},
    )


def _planted(again: Parts, source: Any, settings: Settings, folder: Path) -> tuple[pa.Table, int]:
    """The log as a frame, with a marker before the item of every event of test, and the number of these."""
    with closing(engine.connect(settings.preparation, folder)) as connection:
        raw = raw_log(connection, source, folder, settings)
        read_log(
            connection, raw.events, settings.columns, settings.csv,
            drop_invalid=settings.preparation.drop_invalid,
            allow_missing_user=settings.filters.rare_users == "train",
            allow_missing_session=settings.sessions.missing == "gap",
        )  # fmt: skip
        connection.register("test_events", _test_events(again))
        (planted,) = engine.one_row(connection, f"SELECT count(*) FROM log WHERE {_OF_TEST}")
        frame = engine.table_of(
            connection,
            f"""
            SELECT user_id, CASE WHEN {_OF_TEST} THEN '{_MARKER}' || item_id ELSE item_id END AS item_id,
                   make_timestamp_ms(time) AS timestamp, session_id, event_type, event_row
            FROM log ORDER BY event_row
            """,
        )
    empty = [name for name in ("session_id", "event_type") if frame.column(name).null_count == len(frame)]
    return frame.drop_columns(empty), int(planted)


def _test_events(parts: Parts) -> pa.Table:
    """User, item and time of every test event, by ids. The user of sessions without one is null."""
    test, corpus = parts.of(Part.TEST), parts.any
    users, items = (corpus.users.column("user_id"), corpus.items.column("item_id"))
    return pa.table(
        {
            "user_id": users.take(pa.array(owners(test))),
            "item_id": items.take(pa.array(test.items)),
            "time": pa.array(test.times),
        }
    )

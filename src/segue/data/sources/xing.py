"""Xing, the job postings of the RecSys Challenge 2016, prepared as H-RNN does (hgru4rec), which the paper follows.

The raw file ``interactions.csv``: tab separated, header user_id, item_id, interaction_type, created_at (epoch
seconds), each name possibly behind the exported table's (``interactions.user_id``).
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from duckdb import DuckDBPyConnection

from segue.data.engine import one_row
from segue.data.raw_text import Layout, header_of, load_lines
from segue.data.session_gap import opens, visit
from segue.data.sources import RawLog, Source, raw_file, write_events
from segue.errors import LogError
from segue.settings import Nested, Settings
from segue.settings.units import milliseconds

logger = logging.getLogger("segue")

FILE = "interactions.csv"
SETTINGS: Nested = {
    "sessions": {"gap": "30min", "drop_repeats": False, "max_length": 20, "keep": "first", "min_length": 3},
    "filters": {"min_item_support": 1, "min_user_sessions": 5},
}
MIN_SUPPORT = 20
_DELETE = 4
_LAYOUT = Layout("\t")
_COLUMNS = ("user_id", "item_id", "interaction_type", "created_at")


def source(path: Path | None) -> Source:
    """The interactions at `path`, the file or its folder. Raises LogError when they are not there."""
    return Source("xing", SETTINGS, partial(_read, raw_file(path, "xing", FILE)))


def _read(file: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """Read the interactions. Deletions are left out; of a session's equal interactions with a posting the first stays;
    then items with fewer than 20 interactions are left out.

    The support is of the raw data in that it is counted before the length cap and before short sessions leave, which
    is why ``filters.min_item_support`` asks for nothing more. A click followed by a bookmark of the same posting
    stays, as an immediate repeat. Under `filters.scope` "train" no item is left out here: test would be counted.
    Sessions are cut here (``sessions.gap``): which interactions are equal depends on
    them.
    """
    left_out = _load(file, connection, settings.preparation.drop_invalid)
    (interactions,) = one_row(connection, "SELECT count(*) FROM interactions")
    support = MIN_SUPPORT
    if settings.filters.scope == "train":
        support = 1
        logger.warning(
            "xing: items with fewer than %d interactions stay, as counting them would count test; filters.scope=train "
            "leaves them to filters.min_item_support (%d), such as --set filters.min_item_support=%d",
            MIN_SUPPORT,
            settings.filters.min_item_support,
            MIN_SUPPORT,
        )
    events = write_events(
        connection,
        f"""
            WITH marked AS (
                SELECT *, {opens(milliseconds(settings.sessions.gap))} AS opens
                FROM interactions WINDOW {visit("time, line")}
            ), numbered AS (
                SELECT *, count(*) FILTER (WHERE opens) OVER visit AS visit
                FROM marked WINDOW {visit("time, line", frame="ROWS UNBOUNDED PRECEDING")}
            ), distinct_events AS (
                SELECT * FROM numbered
                QUALIFY row_number() OVER (PARTITION BY user_id, visit, item_id, event_type ORDER BY time, line) = 1
            )
            SELECT user_id, item_id, epoch_ms(time) AS timestamp, event_type, user_id || '-' || visit AS session_id
            FROM distinct_events SEMI JOIN (
                SELECT item_id FROM distinct_events GROUP BY item_id HAVING count(*) >= {support}
            ) AS supported USING (item_id)
            ORDER BY line
        """,
        folder / "xing.parquet",
    )
    connection.execute("DROP TABLE interactions")
    (left,) = one_row(connection, "SELECT count(*) FROM read_parquet(?)", [str(events)])
    if not left:
        raise LogError(f"{file}: of {interactions:,} interactions none is of an item with {support} of them")
    logger.info("xing: %s interactions, %s left of items with %d", f"{interactions:,}", f"{left:,}", support)
    return RawLog(events, left_out=left_out)


def _load(file: Path, connection: DuckDBPyConnection, drop_invalid: bool) -> int:
    """Make the table ``interactions`` without deletions; returns the number of lines left out as invalid."""
    names = header_of(file, _LAYOUT)
    headers = {name.rpartition(".")[2]: name for name in names}
    missing = [name for name in _COLUMNS if name not in headers]
    if missing:
        raise LogError(f"{file}: no column {', '.join(missing)} in its tab-separated header; is it the raw {FILE}?")
    user, item, kind, time = (f'"{headers[name]}"' for name in _COLUMNS)
    numbers = {headers["interaction_type"]: "INTEGER", headers["created_at"]: "DOUBLE"}
    left_out = load_lines(
        connection,
        file,
        _LAYOUT,
        {name: numbers.get(name, "VARCHAR") for name in names},
        {
            "user_id": user,
            "item_id": item,
            "event_type": kind,
            # Epoch seconds beyond 1e11 would be milliseconds, and no time of an interaction.
            "time": f"CASE WHEN abs({time}) < 1e11 THEN CAST({time} AS BIGINT) * 1000 END",
        },
        "loaded",
        drop_invalid=drop_invalid,
    )
    connection.execute(f"""
        CREATE TEMP TABLE interactions AS
        SELECT line, user_id, item_id, CAST(event_type AS VARCHAR) AS event_type, time,
               CAST(NULL AS VARCHAR) AS session_id
        FROM loaded WHERE event_type <> {_DELETE}
    """)
    connection.execute("DROP TABLE loaded")
    return left_out

"""Last.fm-1K (Celma): who listened to which artist when. Prepared as section 5.1.1 of the paper and LESSR do.

The raw file ``userid-timestamp-artid-artname-traid-traname.tsv``: tab separated, no header, quotes are letters like
any other, times in ISO form with Z, a user's newest listen first.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from duckdb import DuckDBPyConnection

from segue.data.engine import one_row, table_of
from segue.data.raw_text import Layout, load_lines
from segue.data.sources import RawLog, Source, raw_file, write_events
from segue.errors import LogError
from segue.settings import Nested, Settings

logger = logging.getLogger("segue")

FILE = "userid-timestamp-artid-artname-traid-traname.tsv"
SETTINGS: Nested = {
    "sessions": {"gap": "8h", "drop_repeats": True, "max_length": 20, "keep": "first", "min_length": 3},
    "filters": {"top_items": 40_000, "min_item_support": 5, "min_user_sessions": 5},
}
# Some names hold tabs: what goes beyond six fields belongs to the track's name, and is not needed.
_LAYOUT = Layout("\t", header=False, ragged=True)
_FIELDS = ("user_id", "time", "artist_id", "artist_name", "track_id", "track_name")


def source(path: Path | None) -> Source:
    """Last.fm-1K at `path`, the file or its folder. Raises LogError when it is not there."""
    return Source("lastfm", SETTINGS, partial(_read, raw_file(path, "lastfm", FILE)))


def _read(file: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """Read the listens. Items are artists by their MusicBrainz id; listens of artists without one are dropped.

    Rows are turned around, so that listens of the same second stand in the order in which they happened.
    """
    left_out = load_lines(
        connection,
        file,
        _LAYOUT,
        dict.fromkeys(_FIELDS, "VARCHAR"),
        {"user_id": "user_id", "timestamp": 'CASE WHEN TRY_CAST("time" AS TIMESTAMPTZ) IS NOT NULL THEN "time" END'},
        "listens",
        optional={"item_id": "nullif(artist_id, '')", "name": "artist_name"},
        drop_invalid=settings.preparation.drop_invalid,
    )
    listens, with_artist = one_row(connection, "SELECT count(*), count(item_id) FROM listens")
    if not with_artist:
        raise LogError(f"{file}: no line has an artist id in its third tab-separated field; is it {FILE}?")
    logger.info("lastfm: %s listens, %s without an artist id dropped", f"{listens:,}", f"{listens - with_artist:,}")
    events = write_events(
        connection,
        "SELECT user_id, item_id, timestamp FROM listens WHERE item_id IS NOT NULL ORDER BY line DESC",
        folder / "lastfm.parquet",
    )
    names = table_of(
        connection,
        "SELECT item_id, min(name) AS name FROM listens WHERE item_id IS NOT NULL GROUP BY item_id ORDER BY item_id",
    )
    connection.execute("DROP TABLE listens")
    return RawLog(events, items=names, left_out=left_out)

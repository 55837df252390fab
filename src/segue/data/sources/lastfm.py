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
_LISTENS = """
    read_csv(?, auto_detect = false, header = false, delim = '\t', quote = '', escape = '', strict_mode = false,
             null_padding = true, columns = {'user_id': 'VARCHAR', 'timestamp': 'VARCHAR', 'artist_id': 'VARCHAR',
             'artist_name': 'VARCHAR', 'track_id': 'VARCHAR', 'track_name': 'VARCHAR'})
"""


def source(path: Path | None) -> Source:
    """Last.fm-1K at `path`, the file or its folder. Raises LogError when it is not there."""
    return Source("lastfm", SETTINGS, partial(_read, raw_file(path, "lastfm", FILE)))


def _read(file: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """Read the listens. Items are artists by their MusicBrainz id; listens of artists without one are dropped.

    Rows are turned around, so that listens of the same second stand in the order in which they happened.
    """
    connection.execute(
        f"CREATE TEMP TABLE listens AS "
        f"SELECT row_number() OVER () AS line, user_id, artist_id AS item_id, timestamp FROM {_LISTENS}",
        [str(file)],
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
    connection.execute("DROP TABLE listens")
    names = table_of(
        connection,
        f"SELECT artist_id AS item_id, min(artist_name) AS name FROM {_LISTENS} "
        f"WHERE artist_id IS NOT NULL GROUP BY artist_id ORDER BY artist_id",
        [str(file)],
    )
    return RawLog(events, items=names)

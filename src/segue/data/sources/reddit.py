"""Reddit: who commented in which subreddit when (the "subreddit interactions" data set of Kaggle, colemaclean).

The raw file ``reddit_data.csv``: columns username, subreddit, utc (epoch seconds), possibly an index column before.
Sessions by 60 minutes, repeats kept (section 5.1.1); the paper's item filter is not documented, ours is the default.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from duckdb import DuckDBPyConnection

from segue.data.raw_text import Layout, header_of, load_lines
from segue.data.sources import RawLog, Source, raw_file, write_events
from segue.errors import LogError
from segue.settings import Nested, Settings

FILE = "reddit_data.csv"
SETTINGS: Nested = {
    "sessions": {"gap": "60min", "drop_repeats": False, "max_length": 20, "keep": "first", "min_length": 3},
    "filters": {"min_item_support": 5, "min_user_sessions": 5},
}
_LAYOUT = Layout(",", quote='"')
_COLUMNS = ("username", "subreddit", "utc")
# Epoch seconds beyond 1e11 would be milliseconds, and no time of a comment.
_SECONDS = "CASE WHEN abs(utc) < 1e11 THEN utc END"


def source(path: Path | None) -> Source:
    """The comments at `path`, the file or its folder. Raises LogError when they are not there."""
    return Source("reddit", SETTINGS, partial(_read, raw_file(path, "reddit", FILE)))


def _read(file: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """Read the comments; items are subreddits, rows keep their order."""
    names = header_of(file, _LAYOUT)
    missing = set(_COLUMNS) - set(names)
    if missing:
        raise LogError(f"{file}: no column {', '.join(sorted(missing))} in its header; is it the raw {FILE}?")
    left_out = load_lines(
        connection,
        file,
        _LAYOUT,
        {name or f"unnamed {place}": "DOUBLE" if name == "utc" else "VARCHAR" for place, name in enumerate(names)},
        {"user_id": "username", "item_id": "subreddit", "seconds": _SECONDS},
        "comments",
        drop_invalid=settings.preparation.drop_invalid,
    )
    query = """
        SELECT user_id, item_id, epoch_ms(CAST(seconds * 1000 AS BIGINT)) AS timestamp FROM comments ORDER BY line
    """
    events = write_events(connection, query, folder / "reddit.parquet")
    connection.execute("DROP TABLE comments")
    return RawLog(events, left_out=left_out)

"""Reddit: who commented in which subreddit when (the "subreddit interactions" data set of Kaggle, colemaclean).

The raw file ``reddit_data.csv``: columns username, subreddit, utc (epoch seconds), possibly an index column before.
Sessions by 60 minutes, repeats kept (section 5.1.1); the paper's item filter is not documented, ours is the default.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from duckdb import DuckDBPyConnection

from segue.data.sources import RawLog, Source, columns_of, raw_file, write_events
from segue.errors import LogError
from segue.settings import Nested, Settings

FILE = "reddit_data.csv"
SETTINGS: Nested = {
    "sessions": {"gap": "60min", "drop_repeats": False, "max_length": 20, "keep": "first", "min_length": 3},
    "filters": {"min_item_support": 5, "min_user_sessions": 5},
}
_COMMENTS = "read_csv(?, delim = ',', header = true, all_varchar = true)"
_COLUMNS = ("username", "subreddit", "utc")


def source(path: Path | None) -> Source:
    """The comments at `path`, the file or its folder. Raises LogError when they are not there."""
    return Source("reddit", SETTINGS, partial(_read, raw_file(path, "reddit", FILE)))


def _read(file: Path, connection: DuckDBPyConnection, folder: Path, settings: Settings) -> RawLog:
    """Read the comments; items are subreddits, rows keep their order."""
    missing = set(_COLUMNS) - set(columns_of(connection, _COMMENTS, file))
    if missing:
        raise LogError(f"{file}: no column {', '.join(sorted(missing))} in its header; is it the raw {FILE}?")
    query = f"""
        SELECT username AS user_id, subreddit AS item_id,
               epoch_ms(CAST(CAST(utc AS DOUBLE) * 1000 AS BIGINT)) AS timestamp
        FROM {_COMMENTS}
    """
    return RawLog(write_events(connection, query, folder / "reddit.parquet", [str(file)]))

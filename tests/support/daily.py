"""Small corpora of daily visits, of whatever form and settings, and what they grow to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import runs
from small_logs import SMALL, write_csv

from segue.data.corpus import Corpus, load
from segue.settings import Nested
from segue.updating.growth import grow
from segue.updating.source import Read, Source

Event = tuple[Any, ...]
COLUMNS = ("user_id", "item_id", "timestamp", "session_id", "event_type")
START = datetime(2024, 1, 1, tzinfo=UTC)


def made(folder: Path, rows: list[Event], columns: tuple[str, ...] = COLUMNS[:3], **settings: Any) -> Path:
    """A corpus of some rows; by default no filter takes anything."""
    sections: Nested = {
        "sessions": {"min_length": 2, "gap": "1h", **settings.get("sessions", {})},
        "filters": {"min_item_support": 1, "min_user_sessions": 1, **settings.get("filters", {})},
        "split": {"protocol": "global_time", **settings.get("split", {})},
        "preparation": SMALL["preparation"],
    }
    write_csv(folder / "first.csv", rows, columns)
    runs.prepare(str(folder / "first.csv"), folder / "first", sections)
    return folder / "first"


def grown(corpus: Path, rows: list[Event], columns: tuple[str, ...] = COLUMNS[:3], **how: Any) -> tuple[Read, Corpus]:
    """The corpus grown by some rows."""
    apart = how.pop("apart", False)
    home = corpus.parent / f"grown-{apart}"
    (home / "scratch").mkdir(parents=True)
    write_csv(home / "next.csv", rows, columns)
    source = Source(str(home / "next.csv"), **how)
    place = home / "corpus"
    read = grow(
        load(corpus), corpus, source, home / "scratch", out=None if apart else place, apart=place if apart else None
    )
    assert read.rows == read.invalid + read.duplicates + read.left_out + read.added
    return read, load(home / "corpus")


def visit(user: str, at: float, items: str, *more: Any) -> list[Event]:
    """Events a minute apart, `at` hours after the start."""
    begin = START + timedelta(hours=at)
    return [
        (user, item, (begin + timedelta(minutes=place)).strftime("%Y-%m-%dT%H:%M:%SZ"), *more)
        for place, item in enumerate(items)
    ]


def days(first: int, last: int, users: int = 8, items: str = "abc", *more: Any) -> list[Event]:
    """One visit of each user on each day."""
    return [
        event
        for day in range(first, last)
        for user in range(users)
        for event in visit(f"u{user}", 24 * day + user, items, *more)
    ]

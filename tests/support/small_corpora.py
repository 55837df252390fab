"""A small log by hand, and readable views of the corpus made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segue.data.corpus import Corpus, Part
from segue.settings import Settings, compose

MINUTE = 60_000


START = 1_600_000_000_000


SMALL = {
    "sessions": {"min_length": 2},
    "filters": {"min_item_support": 1, "min_user_sessions": 2},
    "preparation": {"memory_limit": "256MiB"},
}


def small(**sections: dict[str, Any]) -> Settings:
    return compose(SMALL, sections)


def log_of(rows: list[tuple[str, str, int]]) -> pa.Table:
    """(user, item, minute) as a frame."""
    users, items, minutes = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": [START + m * MINUTE for m in minutes]})


def visits(user: str, *sessions: str) -> list[tuple[str, str, int]]:
    return [
        (user, item, 1000 * place + minute)
        for place, session in enumerate(sessions)
        for minute, item in enumerate(session.split())
    ]


ROWS = [
    *visits("bob", "c a", "a b", "b c a", "a b b c", "c x a"),
    *visits("ann", "a b", "b a"),
    *visits("rare", "a b c"),
]


def readable(corpus: Corpus) -> list[tuple[str, str, Part]]:
    """(user id, item ids, part) of each session."""
    sessions = corpus.sessions
    return [
        (
            corpus.user_ids[sessions.user[s]],
            " ".join(corpus.item_ids[i] for i in sessions.items[sessions.offsets[s] : sessions.offsets[s + 1]]),
            Part(corpus.part[s]),
        )
        for s in range(len(sessions))
    ]


def session_ids(folder: Path, part: Part) -> list[str | None]:
    """The log's own ids of the sessions of one part, in their order."""
    return pq.read_table(folder / part.file).sort_by("session").column("session_id").to_pylist()

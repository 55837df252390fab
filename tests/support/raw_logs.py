"""A small log as text and as a frame, and short forms of reading it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segue.data.log.read import InteractionLog
from segue.errors import LogError

CSV = "user_id,item_id,timestamp\nu1,i1,1700000000\nu1,i2,1700000060\nu2,i1,1700000030\n"


ROWS = [("u1", "i1", 1700000000000), ("u1", "i2", 1700000060000), ("u2", "i1", 1700000030000)]


FRAME = {
    "user_id": ["u1", "u1", "u2"],
    "item_id": ["i1", "i2", "i1"],
    "timestamp": [1700000000, 1700000060, 1700000030],
}


Read = Callable[..., InteractionLog]


def rows(log: InteractionLog, columns: str = "user_id, item_id, time") -> list[tuple[Any, ...]]:
    return log.connection.execute(f"SELECT {columns} FROM log ORDER BY event_row").fetchall()


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# Refusals: one line each, and nothing left in the engine


def refused(read: Read, source: Any, said: str, columns: dict[str, str] | None = None) -> None:
    with pytest.raises(LogError, match=said) as caught:
        read(source, columns)
    assert "\n" not in str(caught.value)

"""Small logs to check."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from segue.data.log.check import CheckReport, check_log
from segue.settings import compose

START = 1_700_000_000


Event = tuple[str, str, float]


def check(
    scratch: Path,
    events: list[Event],
    settings: dict[str, dict[str, Any]] | None = None,
    **columns: list[Any],
) -> CheckReport:
    users, items, times = zip(*events, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times, **columns})
    report = check_log(table, compose(settings or {}), scratch)
    json.dumps(report.as_dict())
    return report


def warned(report: CheckReport, words: str) -> bool:
    return any(words in warning for warning in report.warnings)


def clicks(sessions: int, length: int, seed: int = 0) -> list[Event]:
    """Believable sessions: random items a minute apart, two days between the sessions of a user."""
    draw = random.Random(seed)
    return [
        (f"u{session % 3}", f"i{draw.randrange(1000)}", START + session * 172_800 + place * 60)
        for session in range(sessions)
        for place in range(length)
    ]

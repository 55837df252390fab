"""A short plan on the small log, and rows of the paper's tables that measured given values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import small_logs

from segue.compare.row import EntrantRow, Entry
from segue.evaluation.measurement import Measurement
from segue.paper.plan import Plan
from segue.paper.printed_numbers import METRICS
from segue.paper.rows import Row
from segue.settings import Nested

BRIEF: Nested = {"training": {"max_epochs": 1, "epoch_steps": 0, "pass_steps": 0, "threads": 1}}
"""One pass, by the letter of the paper's schedule: 4,100 steps would take a test minutes."""


def brief(out: Path, **named: Any) -> Plan:
    return Plan(small_logs.corpus(), out, quick=True, own=BRIEF, **named)


def row_of(metrics: dict[str, float], run: Path = Path(), tuned: dict[str, Any] | None = None, events: int = 1) -> Row:
    """A row that measured this on so many events, with one seed."""
    measurement = Measurement(
        "test", "user_80_20", "frozen", "x/y", "", events, 1, 1, metrics, metrics, metrics, {}, False, "", {}, {}
    )
    entry = Entry(tuned or {}, 0, 0.0, 0.0, {"model": {"name": "x", "preset": "y"}})
    return Row(EntrantRow(entry, (run,), (measurement,), (), 0))


def rows_of(**values: float) -> dict[str, Row]:
    return {label: row_of(dict.fromkeys(METRICS, value)) for label, value in values.items()}


def with_ranks(folder: Path, ranks: dict[str, list[int]], tuned: dict[str, Any] | None = None) -> Row:
    """A measured row whose ranks file says this of each user."""
    (folder / "evaluation").mkdir(parents=True)
    table = {
        "user": [user for user, own in ranks.items() for _ in own],
        "rank": [r for own in ranks.values() for r in own],
    }
    pq.write_table(pa.table(table), folder / "evaluation" / "test.ranks.parquet")
    rank = np.array(table["rank"])
    metrics = {f"HR@{k}": float((rank <= k).mean()) for k in (5, 10)}
    metrics |= {f"MRR@{k}": float(np.where(rank <= k, 1 / rank, 0).mean()) for k in (5, 10)}
    return row_of(metrics, folder, tuned, len(rank))

"""What is known of a log once it has been read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

logger = logging.getLogger("segue")


@dataclass(frozen=True)
class LogFacts:
    """Facts about a log, collected while it is read.

    Attributes:
        source: the source as the user named it.
        kind: CSV, TSV, text, RecBole, JSON, JSON lines, Parquet, Arrow, DuckDB table, data frame.
        rows_read: rows of the source, lines that are no rows included.
        rows_dropped: rows left out, for any of the reasons in `dropped`.
        nulls: column → rows in which it is null or empty; a row counts under each of its columns.
        timestamp_format: the recognised format, in words.
        dates_only: every time is a midnight.
        relative_times: the times count from an unknown start.
        order: what event_row follows, in words.
        has_session_id, has_event_type: whether the source has such a column.
        first_time, last_time: first and last time of the rows in the log, epoch milliseconds.
        has_order: whether a column orders the events of one time.
        dropped: reason → rows left out for it; each row counts once.
        notes: what was recognised, or is doubtful, in how the source was read.
    """

    source: str
    kind: str
    rows_read: int
    rows_dropped: int
    nulls: Mapping[str, int]
    timestamp_format: str
    dates_only: bool
    relative_times: bool
    order: str
    has_session_id: bool
    has_event_type: bool
    first_time: int
    last_time: int
    has_order: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The facts as they stand in manifests: JSON-safe."""
        return {**asdict(self), "notes": list(self.notes)}


def reported(facts: LogFacts, left_out: int) -> LogFacts:
    """Say how a log was read; returns the facts with so many lines of the raw files that were left out before."""
    facts = _with_left_out(facts, left_out)
    logger.info("%s: %s rows, timestamps: %s", facts.source, f"{facts.rows_read:,}", facts.timestamp_format)
    return facts


def _with_left_out(facts: LogFacts, lines: int) -> LogFacts:
    """The facts of a log, with so many invalid lines of the raw files that were left out before."""
    if not lines:
        return facts
    return replace(
        facts,
        rows_read=facts.rows_read + lines,
        rows_dropped=facts.rows_dropped + lines,
        dropped={"line of the raw file that is no event": lines, **facts.dropped},
    )

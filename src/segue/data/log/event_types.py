"""The types of events that `filters.event_types` names, against those of the log."""

from __future__ import annotations

from collections.abc import Sequence

from segue.data.tables import Engine
from segue.errors import LogError
from segue.settings.base import closest

_MOST_SHOWN = 20


def check_event_types(connection: Engine, relation: str, event_types: Sequence[str]) -> None:
    """Raise LogError for an event type that occurs nowhere in a relation with such a column: a slip would lose its
    events without a word."""
    rows = connection.execute(
        f"SELECT event_type, count(*) AS events FROM {relation} WHERE event_type IS NOT NULL "
        "GROUP BY event_type ORDER BY events DESC, event_type"
    ).fetchall()
    known = dict(rows)
    if not known:
        raise LogError("filters.event_types is set, but the log has no event types; set columns.event_type")
    for name in event_types:
        if name not in known:
            shown = ", ".join(f"'{each}' {count:,}" for each, count in rows[:_MOST_SHOWN])
            more = f" and {len(rows) - _MOST_SHOWN:,} more" if len(rows) > _MOST_SHOWN else ""
            close = closest(name, list(known))
            hint = f"did you mean '{close}'? " if close is not None else ""
            raise LogError(
                f"filters.event_types: '{name}' occurs nowhere in the log; {hint}write a type that occurs, or leave it "
                f"out (types and their events: {shown}{more})"
            )

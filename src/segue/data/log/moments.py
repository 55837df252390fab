"""Moments as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def iso(time: int) -> str:
    """An epoch ms as ISO 8601 in UTC; the years that Python does not know stay a number."""
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time)
    except OverflowError:
        return f"{time} ms after 1970-01-01"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Times and shares in the words of an audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def moment(time: int) -> str:
    """Epoch milliseconds as a date and time in UTC; those beyond the calendar as the number that they are."""
    try:
        return f"{_BEGINNING + timedelta(milliseconds=time):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return f"{time:,} ms"


def share(part: int, whole: int) -> str:
    """A share in percent: ``12.3 %``."""
    return f"{100 * part / max(whole, 1):.1f} %"

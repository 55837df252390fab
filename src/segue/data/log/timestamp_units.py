"""Numbers that count time: what a number means in every unit that the setting `columns.timestamp_unit` can name."""

from __future__ import annotations

from dataclasses import dataclass

from segue.data.engine import literal
from segue.data.log.time_column import TimeColumn
from segue.settings.units import DAY

YEAR_1980 = 315_532_800_000
YEAR_10000 = 253_402_300_800_000
"""From here on a number is no time of the unit that was asked for: it counts something finer, as ms among seconds."""

USUAL = (852_076_800_000, 2_840_140_800_000)
"""1997 to 2059, epoch ms: where at least half of a log's times lie when its numbers are epochs."""
_BELIEVABLE = (788_918_400_000, 2_208_988_800_000)
"""1995 to 2039, epoch ms: where nearly all times of a log lie under the right one of the rarer units."""
_YOUNG = 6 * 365 * DAY
"""Times this soon after the origin of a unit, in ms, do not speak for it: small numbers would be such times."""
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Unit:
    """What a number of this unit means.

    Attributes:
        words: the unit in reports.
        per_ms: units per millisecond, where a millisecond holds a whole number of them (exact arithmetic); else None.
        in_ms: milliseconds per unit, where `per_ms` is None.
        origin: the moment of the number 0, in epoch ms.
    """

    words: str
    per_ms: int | None = None
    in_ms: int = 1
    origin: int = 0

    def sql(self, column: str) -> str:
        """The SQL that reads the column of numbers, or of their text, as epoch ms; null for what is no number."""
        if self.per_ms:
            return f"(TRY_CAST({column} AS BIGINT) // {self.per_ms} + {self.origin})"
        return f"(TRY_CAST(round(TRY_CAST({column} AS DOUBLE) * {self.in_ms}) AS BIGINT) + {self.origin})"

    def number(self, time: int) -> float:
        """The number that stands for an epoch ms."""
        return (time - self.origin) * (self.per_ms or 1) / self.in_ms


_YEAR_1000 = -30_610_224_000_000
_YEAR_1 = -62_135_596_800_000
_YEAR_1601 = -11_644_473_600_000
UNITS = {
    "s": Unit("epoch seconds", in_ms=1_000),
    "ms": Unit("epoch milliseconds", per_ms=1),
    "us": Unit("epoch microseconds", per_ms=1_000),
    "ns": Unit("epoch nanoseconds", per_ms=1_000_000),
    "minutes": Unit("minutes since 1970", in_ms=60_000),
    "hours": Unit("hours since 1970", in_ms=3_600_000),
    "days": Unit("days since 1970", in_ms=DAY),
    "excel": Unit("days of Excel and OLE, since 1899-12-30", in_ms=DAY, origin=-25_569 * DAY),
    "julian": Unit("Julian days", in_ms=DAY, origin=-210_866_760_000_000),
    "matlab": Unit("days of MATLAB", in_ms=DAY, origin=-719_529 * DAY),
    "cocoa": Unit("seconds since 2001 (Cocoa)", in_ms=1_000, origin=978_307_200_000),
    "dotnet": Unit(".NET ticks", per_ms=10_000, origin=_YEAR_1),
    "filetime": Unit("Windows FILETIME, 100 ns since 1601", per_ms=10_000, origin=_YEAR_1601),
    "webkit": Unit("microseconds since 1601 (WebKit)", per_ms=1_000, origin=_YEAR_1601),
}
"""Value of the setting `columns.timestamp_unit` → unit."""
EPOCHS = {"s": (0.0, 1e11), "ms": (1e11, 1e14), "us": (1e14, 1e17), "ns": (1e17, 9.2e18)}
"""Unit of an epoch → the magnitudes that are read as it."""

_CALENDARS = {
    "YYYYMMDD": (8, "%Y%m%d"),
    "YYYYMMDDHH": (10, "%Y%m%d%H"),
    "YYYYMMDDHHMM": (12, "%Y%m%d%H%M"),
    "YYYYMMDDHHMMSS": (14, "%Y%m%d%H%M%S"),
    "YYYYMMDDHHMMSSmmm": (17, "%Y%m%d%H%M%S%g"),
}


def usual(unit: str) -> str:
    """The SQL condition that ``number``, as an epoch of this unit, is a usual time of a log."""
    low, high = (UNITS[unit].number(time) for time in USUAL)
    return f"(number >= {low!r} AND number < {high!r})"


def calendar(values: TimeColumn, greatest: float) -> tuple[str, str] | None:
    """How the numbers write a date and time, such as YYYYMMDDHHMMSS, and the SQL over the column that reads them.

    None unless every number but 0 is a moment of the years 1900 to 2100 in one such form.

    Args:
        greatest: the greatest of the numbers.
    """
    for words, (digits, form) in _CALENDARS.items():
        ten = 10 ** (digits - 4)
        if 1900 * ten <= greatest < 2101 * ten:
            (fits,) = values.summary(f"bool_and({_moment('value', form, ten)} IS NOT NULL)", "number <> 0")
            if fits:
                return words, _moment(values.column, form, ten)
    return None


def _moment(column: str, form: str, ten: int) -> str:
    whole = f"TRY_CAST({column} AS BIGINT)"
    return f"(CASE WHEN {whole} BETWEEN {1900 * ten} AND {2101 * ten} THEN {strptime(whole, form)} END)"


def strptime(column: str, form: str) -> str:
    """The SQL that reads a column as epoch ms by a strptime format; null for what is written otherwise.

    Left out are moments before the year 1000: DuckDB takes 14 for the year 14 where four digits are asked for, and
    words such as "infinity" for a moment.
    """
    moment = f"epoch_us(try_strptime(CAST({column} AS VARCHAR), {literal(form)})) // 1000"
    return f"(CASE WHEN {moment} >= {_YEAR_1000} THEN {moment} END)"


def believable(values: TimeColumn) -> list[str]:
    """The units under which nearly all numbers of the column but 0 are times of the years 1995 to 2039."""
    low, high = _BELIEVABLE
    lies = (f"{unit.sql('value')} BETWEEN {max(low, unit.origin + _YOUNG)} AND {high}" for unit in UNITS.values())
    found = values.summary(", ".join(f"avg(CAST({each} AS INTEGER))" for each in lies), "number <> 0")
    return [unit for unit, share in zip(UNITS, found, strict=True) if share and share >= _NEARLY_ALL]

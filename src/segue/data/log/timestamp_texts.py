"""Text that writes time otherwise than ISO 8601: forms with one meaning are read, others are only proposed.

``04/07/2014`` is a day of April or of July. Such a form is never read unasked, also where a look at the other rows
would speak for one of the two: it is proposed as a value of the setting `columns.timestamp_format`.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import product

from segue.data.log.time_column import TimeColumn
from segue.data.log.timestamp_units import strptime

NEARLY_ALL = 0.9
"""Share of the texts of a column that a form must read to be the column's."""

_NAMED = [f"%d{gap}{month}{gap}%Y" for gap in " -/" for month in ("%b", "%B")]
_NAMED += [f"{month} %d{comma} %Y" for month in ("%b", "%B") for comma in ("", ",")]
_NAMED += [f"%a, {date}" for date in _NAMED[:2]]
_DATES = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", *_NAMED]
_DAY_OR_MONTH_FIRST = [
    form.replace(" ", gap) for gap in "/-." for year in ("%Y", "%y") for form in (f"%m %d {year}", f"%d %m {year}")
]
_DAY_OR_MONTH_FIRST += [f"%y{gap}%m{gap}%d" for gap in "/-."]
_CLOCKS = [
    f"{clock}{end}" for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f") for end in ("", "Z", " UTC", " GMT", " %z")
]
_CLOCKS += [f"{clock}{gap}%p" for clock in ("%I:%M", "%I:%M:%S", "%I:%M:%S.%f") for gap in (" ", "")]
_WHOLE = ["%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S UTC %Y"]
_WHOLE += ["%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S%z"]

_CERTAIN = [
    *_WHOLE,
    *_DATES,
    *(f"{date}{gap}{clock}" for date, gap, clock in product(_DATES, (" ", ", ", "T"), _CLOCKS)),
]
_UNCERTAIN = [
    *_DAY_OR_MONTH_FIRST,
    *(f"{date}{gap}{clock}" for date, gap, clock in product(_DAY_OR_MONTH_FIRST, (" ", ", "), _CLOCKS)),
]


def certain_format(values: TimeColumn, example: str) -> str | None:
    """The form with one meaning that reads the example and nearly every text of the column."""
    return next(iter(_reading(values, example, _CERTAIN)), None)


def proposed_formats(values: TimeColumn, example: str) -> list[str]:
    """The formats of more than one meaning that read the example and nearly every text of the column."""
    return _reading(values, example, _UNCERTAIN)


def _reading(values: TimeColumn, example: str, formats: list[str]) -> list[str]:
    outline = _outline(example.strip())
    chosen = [form for form in formats if values.is_text and outline in _outlines(form)]
    if not chosen:
        return []
    shares = values.summary(
        ", ".join(f"avg(CAST({strptime('value', form)} IS NOT NULL AS INTEGER))" for form in chosen)
    )
    return [form for form, share in zip(chosen, shares, strict=True) if share >= NEARLY_ALL]


@cache
def _outlines(form: str) -> tuple[str, ...]:
    """The outlines of texts of this format: the engine is asked about formats of the example's outline alone."""
    text = re.sub(r"%[bBap]", "x", form)
    zones = ("+0", "-0", "+0:0", "-0:0", "Z") if "%z" in text else ("",)
    return tuple(_outline(re.sub(r"%[A-Za-z]", "0", text.replace("%z", zone))) for zone in zones)


def _outline(text: str) -> str:
    """The text with each number as 0 and each word as x."""
    return re.sub(r"[^\W\d_]+", "x", re.sub(r"\d+", "0", text))

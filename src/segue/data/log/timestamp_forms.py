"""The forms of time that a column of numbers or text holds, and how many of its values have each."""

from __future__ import annotations

from dataclasses import dataclass

from segue.data.log.time_column import TimeColumn
from segue.data.log.timestamp_units import EPOCHS, usual

_DATE_RE = r"\d{4}-\d{2}-\d{2}"
_TIME_RE = _DATE_RE + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
TEXTS = {
    "ISO 8601 with zone, converted to UTC": (_TIME_RE + r"( ?(Z|UTC)|[+-]\d{2}(:?\d{2})?)", "TIMESTAMPTZ"),
    "ISO 8601 without zone, read as UTC": (_TIME_RE, "TIMESTAMP"),
    "dates (YYYY-MM-DD)": (_DATE_RE, "DATE"),
}
"""Form of a text in words → its regular expression, and the type that the engine reads it as."""
UNREADABLE = "no time that Segue reads"
"""The form of a value that has none."""


@dataclass(frozen=True)
class Form:
    """One form of time found in a column: the number of its values, its first row, the range of the numbers, whether
    one has a fraction, and how many are usual times of a log."""

    name: str
    count: int
    row: int
    least: float
    greatest: float
    fractional: bool
    usual: int


def form_sql(values: TimeColumn) -> str:
    """The SQL of the name of a value's form."""
    magnitudes = " ".join(
        f"WHEN abs(number) >= {low!r} AND abs(number) < {high!r} THEN '{unit}'" for unit, (low, high) in EPOCHS.items()
    )
    texts = " ".join(
        f"WHEN regexp_full_match(value, '{pattern}') AND TRY_CAST(value AS {into}) IS NOT NULL THEN '{words}'"
        for words, (pattern, into) in TEXTS.items()
        if values.is_text
    )
    return f"CASE {magnitudes} {texts} ELSE '{UNREADABLE}' END"


def forms_of(values: TimeColumn) -> list[Form]:
    """The forms in a column of numbers or text, in the order of their first rows."""
    normal = " ".join(f"WHEN '{unit}' THEN {usual(unit)}" for unit in EPOCHS)
    rows = values.connection.execute(f"""
        SELECT form, count(*), min(row) AS first, coalesce(min(number), 0), coalesce(max(number), 0),
               coalesce(bool_or(number <> trunc(number)), false), count(*) FILTER (CASE form {normal} END)
        FROM (SELECT row, number, {form_sql(values)} AS form FROM {values.rows}) GROUP BY form ORDER BY first
    """)
    return [Form(*row) for row in rows.fetchall()]

"""The meaning of a column of times: recognised over the whole column and reported, never guessed row by row.

A number is read by its magnitude alone, whatever its sign::

    |x| < 1e11           epoch seconds, whole or fractional    (1e11 s is the year 5138)
    1e11 <= |x| < 1e14   epoch milliseconds                    (1e11 ms is March 1973)
    1e14 <= |x| < 1e17   epoch microseconds
    1e17 <= |x| < 9.2e18 epoch nanoseconds

Two exceptions, for whole columns: when every number is a calendar day written YYYYMMDD, they are dates; seconds that
all lie before 1980 and not before zero count from an unknown start. Text is a number, an ISO 8601 time with zone, one
without (read as UTC), or an ISO date. One column holds one of these forms; two of them are refused.
What is finer than a millisecond is rounded (fractional seconds) or cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import duckdb

from segue.data.engine import one_row
from segue.data.log.tabular import column_types, quoted
from segue.errors import LogError

DAY = 86_400_000
YEAR_1980 = 315_532_800_000

_NUMBERS = {
    "seconds": (0.0, 1e11, "TRY_CAST(round(TRY_CAST({column} AS DOUBLE) * 1000) AS BIGINT)"),
    "milliseconds": (1e11, 1e14, "TRY_CAST({column} AS BIGINT)"),
    "microseconds": (1e14, 1e17, "TRY_CAST({column} AS BIGINT) // 1000"),
    "nanoseconds": (1e17, 9.2e18, "TRY_CAST({column} AS BIGINT) // 1000000"),
}
_DATE_RE = r"\d{4}-\d{2}-\d{2}"
_TIME_RE = _DATE_RE + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
_TEXTS = {
    "ISO 8601 with zone, converted to UTC": (_TIME_RE + r"( ?(Z|UTC)|[+-]\d{2}(:?\d{2})?)", "TIMESTAMPTZ"),
    "ISO 8601 without zone, read as UTC": (_TIME_RE, "TIMESTAMP"),
    "dates (YYYY-MM-DD)": (_DATE_RE, "DATE"),
}
_WHOLE = {sign + size for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")}
_UNREADABLE = "no time that Segue reads"
_KNOWN = "epoch seconds, ms, us or ns, ISO 8601 such as 2024-01-31T18:30:00Z, or dates such as 2024-01-31"
_CALENDAR_DAY = "try_strptime(CAST(TRY_CAST({column} AS BIGINT) AS VARCHAR), '%Y%m%d')"


@dataclass(frozen=True)
class TimestampFormat:
    """How a column of times is read.

    Attributes:
        words: the format as reports name it.
        sql: the expression over the column that gives epoch milliseconds, BIGINT, null for a null.
        dates_only: every time is a midnight: all events of a day share one time.
        relative: the times count from an unknown start.
    """

    words: str
    sql: str
    dates_only: bool = False
    relative: bool = False


_NO_TIMES = TimestampFormat("no times", "CAST(NULL AS BIGINT)")


def recognise(
    connection: duckdb.DuckDBPyConnection, relation: str, column: str, name: str, row_name: Callable[[int], str]
) -> TimestampFormat:
    """Recognise the times in `column` of the engine's table `relation`.

    Args:
        name: the source, for messages.
        row_name: rowid → the position of that row, for messages.

    Raises LogError for a type that holds no times, for the first time that cannot be read, and for mixed forms.
    """
    kind = column_types(connection, relation)[column]
    reading = _native(quoted(column), kind)
    if reading is None:
        forms = _forms(connection, relation, quoted(column), kind, name)

        def example(form: _Form) -> str:
            (value,) = one_row(connection, f"SELECT {quoted(column)} FROM {relation} WHERE rowid = {form.row}")
            return f"{row_name(form.row)} ('{value}')"

        single = _single_form(forms, name, example)
        reading = _reading(connection, relation, quoted(column), single) if single else _NO_TIMES
    return _with_dates(connection, relation, reading)


def _native(column: str, kind: str) -> TimestampFormat | None:
    """The reading of a column of dates or timestamps of any resolution; infinite times are null."""
    if kind == "DATE":
        return TimestampFormat("native dates", f"epoch_ms({column})")
    if kind.startswith("TIMESTAMPTZ") or kind.endswith("WITH TIME ZONE"):
        return TimestampFormat(
            "native timestamps with zone, in UTC", f"epoch_us(CAST({column} AS TIMESTAMPTZ)) // 1000"
        )
    if kind.startswith("TIMESTAMP"):
        return TimestampFormat(
            "native timestamps without zone, read as UTC", f"epoch_us(CAST({column} AS TIMESTAMP)) // 1000"
        )
    return None


@dataclass(frozen=True)
class _Form:
    """One form of time found in a column, its first row, and the range of the numbers."""

    form: str
    row: int
    least: float | None
    greatest: float | None
    fractional: bool | None


def _forms(connection: duckdb.DuckDBPyConnection, relation: str, column: str, kind: str, name: str) -> list[_Form]:
    """The forms in a column of numbers or text, in the order of their first rows."""
    if kind == "VARCHAR":
        value = f"nullif(trim({column}), '')"
        # DuckDB would also take 1_000 for a number.
        number = "CASE WHEN NOT contains(value, '_') THEN TRY_CAST(value AS DOUBLE) END"
    elif kind in ("DOUBLE", "FLOAT"):
        # Not-a-number is how frames write a missing number.
        value, number = f"CASE WHEN NOT isnan({column}) THEN {column} END", "CAST(value AS DOUBLE)"
    elif kind in _WHOLE or kind.startswith("DECIMAL"):
        value, number = column, "CAST(value AS DOUBLE)"
    else:
        raise LogError(f"{name}: the timestamp column holds {kind}; expected {_KNOWN}")
    magnitudes = " ".join(
        f"WHEN abs(number) >= {low!r} AND abs(number) < {high!r} THEN '{form}'"
        for form, (low, high, _) in _NUMBERS.items()
    )
    texts = " ".join(
        f"WHEN regexp_full_match(value, '{pattern}') AND TRY_CAST(value AS {into}) IS NOT NULL THEN '{words}'"
        for words, (pattern, into) in _TEXTS.items()
        if kind == "VARCHAR"
    )
    rows = connection.execute(f"""
        SELECT form, min(row) AS first, min(number), max(number), bool_or(number <> trunc(number))
        FROM (
            SELECT row, number, CASE {magnitudes} {texts} ELSE '{_UNREADABLE}' END AS form
            FROM (SELECT row, value, {number} AS number FROM (SELECT rowid AS row, {value} AS value FROM {relation}))
            WHERE value IS NOT NULL
        )
        GROUP BY form ORDER BY first
    """)
    return [_Form(*row) for row in rows.fetchall()]


def _single_form(forms: list[_Form], name: str, example: Callable[[_Form], str]) -> _Form | None:
    for each in forms:
        if each.form == _UNREADABLE:
            raise LogError(f"{name}: the timestamp of {example(each)} is {_UNREADABLE}; expected {_KNOWN}")
    if len(forms) > 1:
        seen = ", ".join(f"{each.form} in {example(each)}" for each in forms)
        raise LogError(f"{name}: the timestamps mix forms: {seen}; bring all of them to one")
    return forms[0] if forms else None


def _reading(connection: duckdb.DuckDBPyConnection, relation: str, column: str, found: _Form) -> TimestampFormat:
    if found.form in _TEXTS:
        return TimestampFormat(found.form, f"epoch_us(TRY_CAST(trim({column}) AS {_TEXTS[found.form][1]})) // 1000")
    least, greatest = found.least or 0.0, found.greatest or 0.0
    sql = _NUMBERS[found.form][2].format(column=column)
    detail = " (fractional)" if found.fractional else ""
    if found.form == "seconds":
        if not detail and _all_calendar_days(connection, relation, column, least, greatest):
            return TimestampFormat("dates (YYYYMMDD)", f"epoch_ms({_CALENDAR_DAY.format(column=column)})")
        if least >= 0 and greatest * 1000 < YEAR_1980:
            words = f"seconds since an unknown start{detail}, from {least:.15g} to {greatest:.15g}"
            return TimestampFormat(words, sql, relative=True)
    return TimestampFormat(f"epoch {found.form}{detail}, UTC", sql)


def _all_calendar_days(
    connection: duckdb.DuckDBPyConnection, relation: str, column: str, least: float, greatest: float
) -> bool:
    """Whether every number is a day of the years 1900 to 2100 (read as seconds: all in August 1970)."""
    if least < 19000101 or greatest > 21001231:
        return False
    day = _CALENDAR_DAY.format(column=column)
    query = f"SELECT bool_and({day} IS NOT NULL) FROM {relation} WHERE TRY_CAST({column} AS BIGINT) IS NOT NULL"
    return bool(one_row(connection, query)[0])


def _with_dates(connection: duckdb.DuckDBPyConnection, relation: str, found: TimestampFormat) -> TimestampFormat:
    if found.relative:
        return found
    (dates_only,) = one_row(connection, f"SELECT bool_and({found.sql} % {DAY} = 0) FROM {relation}")
    if not dates_only:
        return found
    return replace(found, words=f"{found.words}: all events of a day share one time", dates_only=True)

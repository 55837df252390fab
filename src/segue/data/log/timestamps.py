"""The meaning of a column of times: recognised over the whole column and reported, never guessed row by row.

A number is read by its magnitude alone, whatever its sign::

    |x| < 1e11           epoch seconds, whole or fractional    (1e11 s is the year 5138)
    1e11 <= |x| < 1e14   epoch milliseconds                    (1e11 ms is March 1973)
    1e14 <= |x| < 1e17   epoch microseconds
    1e17 <= |x| < 9.2e18 epoch nanoseconds

unless the whole column speaks for something else. Where every number writes a date, YYYYMMDD or YYYYMMDDHHMMSS, they
are dates. Where more than half of the numbers would be no usual times of a log (before 1997 or after 2059), they are no
epochs: they count seconds from an unknown start when they begin near 0, and are refused otherwise, with the units that
would make times of them (``timestamp_units``). Text is a number, an ISO 8601 time with zone, one without (read as UTC),
an ISO date, or another form with one meaning (``timestamp_texts``). One column holds one of these forms; two of them
are refused. The settings `columns.timestamp_unit` and `columns.timestamp_format` say the form, and nothing is
recognised. What is finer than a millisecond is rounded (fractional seconds) or cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import duckdb

from segue.data.engine import column_types, one_row, quoted
from segue.data.log.time_column import TimeColumn
from segue.data.log.timestamp_forms import TEXTS, UNREADABLE, Form, form_sql, forms_of
from segue.data.log.timestamp_refusals import KNOWN, LEAVE_OUT, why_mixed, why_uncertain, why_unreadable
from segue.data.log.timestamp_texts import certain_format
from segue.data.log.timestamp_units import EPOCHS, UNITS, YEAR_1980, YEAR_10000, believable, calendar, strptime
from segue.errors import LogError
from segue.settings import ColumnsSettings
from segue.settings.units import DAY

_NEAR_ZERO = 9_000
"""Numbers that begin below this count from a start of their own: as days since 1970 they would be of before 1995."""


@dataclass(frozen=True)
class TimestampFormat:
    """How a column of times is read.

    Attributes:
        words: the format as reports name it.
        sql: the expression over the column that gives epoch milliseconds, BIGINT, null for a null.
        dates_only: every time is a midnight: all events of a day share one time.
        relative: the times count from an unknown start.
        unreadable: number of values that are no times; they were made null, because that was asked for.
    """

    words: str
    sql: str
    dates_only: bool = False
    relative: bool = False
    unreadable: int = 0

    def of_dates(self) -> TimestampFormat:
        """This format for a column that holds midnights alone: its times are dates, and the words say so."""
        return replace(self, words=f"{self.words}: all events of a day share one time", dates_only=True)


NATIVE = {
    "DATE": "native dates",
    "TIMESTAMPTZ": "native timestamps with zone, in UTC",
    "TIMESTAMP": "native timestamps without zone, read as UTC",
}
"""Type of a column of dates or timestamps → its format in words."""
_NO_TIMES = TimestampFormat("no times", "CAST(NULL AS BIGINT)")


def recognise(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    column: str,
    name: str,
    row_name: Callable[[int], str],
    *,
    asked: ColumnsSettings | None = None,
    drop_unreadable: bool = False,
) -> TimestampFormat:
    """Recognise the times in `column` of the engine's table `relation`.

    Args:
        name: the source, for messages.
        row_name: rowid → the position of that row, for messages.
        asked: settings whose `timestamp_unit` or `timestamp_format` says the form.
        drop_unreadable: make values that are no times null in `relation`, and count them, where other values are times.

    Raises LogError for a type that holds no times, for the first time that cannot be read, for mixed forms, and for
    numbers of which it is not certain what they count.
    """
    kind = column_types(connection, relation)[column]
    values = TimeColumn(connection, relation, quoted(column), kind, name, row_name)
    unit, form = (asked.timestamp_unit, asked.timestamp_format) if asked else (None, None)
    native = _native(values)
    if native is not None:
        if unit or form:
            raise LogError(
                f"{name}: the timestamp column holds {kind}, which needs no unit and no format; leave out "
                "columns.timestamp_unit and columns.timestamp_format"
            )
        return _with_dates(values, native)
    if not values.holds_numbers_or_text:
        raise LogError(f"{name}: the timestamp column holds {kind}; expected {KNOWN}")
    reading = _declared(values, unit, form) if unit or form else _recognised(values, drop_unreadable)
    unreadable = _make_null_or_refuse(values, reading, drop_unreadable)
    return replace(_with_dates(values, reading.format), unreadable=unreadable)


def _native(values: TimeColumn) -> TimestampFormat | None:
    """The reading of a column of dates or timestamps of any resolution; infinite times are null."""
    column, kind = values.column, values.kind
    if kind == "DATE":
        return TimestampFormat(NATIVE[kind], f"epoch_ms({column})")
    if kind.startswith("TIMESTAMP"):
        cast = "TIMESTAMPTZ" if kind.startswith("TIMESTAMPTZ") or kind.endswith("WITH TIME ZONE") else "TIMESTAMP"
        return TimestampFormat(NATIVE[cast], f"epoch_us(CAST({column} AS {cast})) // 1000")
    return None


@dataclass(frozen=True)
class _Reading:
    """A format, the SQL condition over ``value`` and ``number`` that a value is a time of it (None where that is known
    of every value), and the setting that asked for the format, if one did."""

    format: TimestampFormat
    holds: str | None = None
    setting: str = ""


def _declared(values: TimeColumn, unit: str | None, form: str | None) -> _Reading:
    """The reading that the settings ask for."""
    if unit is None:
        assert form is not None
        read = _by_format(values, form, f"text of columns.timestamp_format '{form}'")
        return replace(read, setting="columns.timestamp_format")
    time = UNITS[unit].sql("value")
    holds = f"(number IS NOT NULL AND {time} < {YEAR_10000})"  # a null time, where the number is too large, fails too
    (early,) = values.summary(f"bool_and({time} >= 0 AND {time} < {YEAR_1980})", holds)
    words = f"{UNITS[unit].words} (columns.timestamp_unit)"
    found = TimestampFormat(words, UNITS[unit].sql(values.column), relative=bool(early))
    return _Reading(found, holds, "columns.timestamp_unit")


def _by_format(values: TimeColumn, form: str, words: str) -> _Reading:
    zone = "converted to UTC" if "%z" in form.lower() else "read as UTC"
    return _Reading(
        TimestampFormat(f"{words}, {zone}", strptime(values.value, form)), f"{strptime('value', form)} IS NOT NULL"
    )


def _recognised(values: TimeColumn, drop_unreadable: bool) -> _Reading:
    """The reading of a column of numbers or text about which the settings say nothing."""
    forms = forms_of(values)
    times = [form for form in forms if form.name != UNREADABLE]
    wrong = next((form for form in forms if form.name == UNREADABLE), None)
    if wrong and (written := certain_format(values, values.example(wrong.row))):
        reading = _by_format(values, written, f"text such as '{values.example(wrong.row)}' ({written})")
        (count,) = values.summary("count(*)", reading.holds or "true")
        if count > sum(form.count for form in times):  # else one wrong value would outvote the times around it
            return reading
    if wrong and not (times and drop_unreadable):
        raise LogError(why_unreadable(values, wrong.row) + (LEAVE_OUT if times else ""))
    if all(form.name in EPOCHS for form in times):  # 0 is the same moment in every unit
        times = [form for form in times if form.least or form.greatest] or times
    if len(times) > 1:
        raise LogError(why_mixed(values, times))
    return _of_form(values, times[0], checked=not wrong) if times else _Reading(_NO_TIMES)


def _of_form(values: TimeColumn, found: Form, *, checked: bool) -> _Reading:
    holds = None if checked else f"({form_sql(values)} = '{found.name}' OR number = 0)"
    if found.name in TEXTS:
        sql = f"epoch_us(TRY_CAST(trim({values.column}) AS {TEXTS[found.name][1]})) // 1000"
        return _Reading(TimestampFormat(found.name, sql), holds)
    written = None if found.fractional else calendar(values, found.greatest)
    if written:
        dates = "dates" if written[0] == "YYYYMMDD" else "dates and times"
        return _Reading(TimestampFormat(f"{dates} ({written[0]})", written[1]), holds)
    sql = UNITS[found.name].sql(values.column)
    detail = " (fractional)" if found.fractional else ""
    if found.usual * 2 >= found.count:
        return _Reading(TimestampFormat(f"{UNITS[found.name].words}{detail}, UTC", sql), holds)
    if _counts_from_zero(values, found):
        words = f"seconds since an unknown start{detail}, from {found.least:.15g} to {found.greatest:.15g}"
        return _Reading(TimestampFormat(words, sql, relative=True), holds)
    raise LogError(why_uncertain(values, found))


def _counts_from_zero(values: TimeColumn, found: Form) -> bool:
    """Whether the numbers look like seconds since an unknown start: before 1980 as epochs, beginning near 0 beside
    their range, and nearly all of them no times of today in a rarer unit, as days of Excel would be."""
    early = found.name == "s" and found.least >= 0 and found.greatest * 1000 < YEAR_1980
    return early and found.least <= max(found.greatest - found.least, _NEAR_ZERO) and not believable(values)


def _make_null_or_refuse(values: TimeColumn, reading: _Reading, drop: bool) -> int:
    """Refuse the first value that is no time of the reading, or make all such values null; returns their number."""
    if reading.holds is None:
        return 0
    wrong = f"({reading.holds}) IS NOT TRUE"
    count, first, total = values.summary(f"count(*) FILTER ({wrong}), min(row) FILTER ({wrong}), count(*)")
    if not count:
        return 0
    if not drop or count == total:
        raise LogError(
            why_unreadable(values, first, reading.format.words, reading.setting) + (LEAVE_OUT if count < total else "")
        )
    values.make_null(wrong)
    return int(count)


def _with_dates(values: TimeColumn, found: TimestampFormat) -> TimestampFormat:
    if found.relative:
        return found
    (dates_only,) = one_row(values.connection, f"SELECT bool_and({found.sql} % {DAY} = 0) FROM {values.relation}")
    return found.of_dates() if dates_only else found

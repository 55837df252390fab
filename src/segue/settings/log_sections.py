"""The sections that say how a log is read: its columns, and the form of its text files."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, ValidationInfo, field_validator

from segue.settings.base import Config
from segue.settings.units import Words


def _delimiter(text: str) -> str:
    text = "\t" if text in ("\\t", "tab") else text
    if not 1 <= len(text.encode()) <= 4 or any(sign in text for sign in '"\\\r\n\0'):
        raise ValueError('use 1 to 4 characters without quote, backslash or line end, such as "," or "::"; or "tab"')
    return text


Delimiter = Annotated[str, AfterValidator(_delimiter), Words('1 to 4 characters, such as "," or "::", or "tab"')]
"""What stands between two fields of a text file."""


_DIRECTIVES = frozenset((*"aAbBcdfgHIjmMnpSxXyYzZ", *(f"-{letter}" for letter in "dHIjmMSy")))
"""What may follow a percent sign in a strptime format of DuckDB; a minus asks for numbers without leading zeros."""


def _pattern(form: str) -> str:
    directives = re.findall(r"%(-?.?)", form.replace("%%", ""), re.DOTALL)
    unknown = [each for each in directives if each not in _DIRECTIVES]
    if unknown:
        raise ValueError(f"strptime formats know no '%{unknown[0]}'; a form is '%Y-%m-%d %H:%M:%S'")
    named = {each.removeprefix("-") for each in directives}
    days = named & set("cx") or (named & set("yY") and (named & set("j") or (named & set("d") and named & set("mbB"))))
    if not days:
        raise ValueError("a format must hold a year, a month and a day, such as '%Y-%m-%d %H:%M:%S'")
    return form


TimestampUnit = Literal[
    "s", "ms", "us", "ns", "minutes", "hours", "days", "excel", "julian", "matlab", "cocoa", "dotnet", "filetime",
    "webkit"
]  # fmt: skip
"""What a number of time counts; :mod:`segue.data.log.timestamp_units` says what each means."""
TimestampPattern = Annotated[str, AfterValidator(_pattern), Words('a strptime format such as "%m/%d/%Y %I:%M:%S %p"')]
"""How the text of a time is written."""


class ColumnsSettings(Config):
    """Names of the source's columns. A number is a name too: 0 is the column that is called "0"."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    user_id: str = "user_id"
    """Column with the id of the user."""
    item_id: str = "item_id"
    """Column with the id of the item."""
    timestamp: str = "timestamp"
    """Column with the time of the event: epoch seconds, ms, us or ns, ISO 8601, dates, or another form that has one
    meaning. Without a zone: UTC."""
    timestamp_unit: TimestampUnit | None = None
    """What the numbers of the timestamp column count: epoch "s", "ms", "us" or "ns"; "minutes", "hours" or "days" since
    1970; "excel" (days since 1899-12-30, OLE too), "julian" or "matlab" days; "cocoa" (seconds since 2001), "dotnet"
    (ticks), "filetime" (100 ns since 1601) or "webkit" (microseconds since 1601). Unset: recognised."""
    timestamp_format: TimestampPattern | None = None
    """How the text of the timestamp column is written, as a strptime format such as "%m/%d/%Y %I:%M:%S %p". Unset:
    recognised; text such as 04/07/2014, where day and month could be taken for each other, is refused then."""
    order: str | None = None
    """Column that orders the events of one time: as numbers where all of it are numbers, else as text. Unset: their
    rows do."""
    session_id: str | None = None
    """Column with the id of the session; with one, sessions are not cut by `sessions.gap`. Unset: a column called
    session_id is used where there is one; "" leaves that unused."""
    event_type: str | None = None
    """Column with the type of the event, which `filters.event_types` reads. Unset: a column called event_type is used
    where there is one; "" leaves that unused."""
    null_words: tuple[str, ...] = ("\\N",)
    """Words that stand for a missing value in these columns and in those of the items and users files, such as
    ["\\\\N", "NULL"]; blanks around them do not count. A text of blanks alone is always missing."""

    @field_validator("user_id", "item_id", "timestamp", "order")
    @classmethod
    def _named(cls, column: str | None) -> str | None:
        if column == "":
            raise ValueError("expected the name of a column")
        return column

    @field_validator("timestamp_format")
    @classmethod
    def _one_form(cls, form: str | None, info: ValidationInfo) -> str | None:
        if form and info.data.get("timestamp_unit"):
            raise ValueError("numbers have a unit and text has a format; set columns.timestamp_unit or this, not both")
        return form


class CsvSettings(Config):
    """How text files are read: .csv, .tsv, .txt, .dat, .inter, also packed as .gz. `csv.delimiter` and `csv.header` are
    those of the log; an items or users file always has a header, and its delimiter is recognised."""

    quoting: Literal["auto", "standard", "backslash", "off"] = "auto"
    """What a `"` means: "standard" quotes a field that begins with it, and two of them inside are one; in "backslash"
    `\\"` inside a quoted field is a quote; under "off" it is a letter like any other. "auto" tries these over the whole
    file, takes the one under which every line is a row, says so where it is not "standard", and refuses where two are
    possible and differ in their rows."""
    delimiter: Delimiter | None = None
    """What stands between two fields: 1 to 4 characters, such as "," or "::". Unset: recognised from the first line."""
    header: bool = True
    """True takes the first line for the names of the columns. False reads it as a row; the columns are then called by
    their places, "1" for the first, as in `columns.user_id = 1`."""

"""What is said of times that cannot be read or believed: what was found, and the setting that would read them."""

from __future__ import annotations

from segue.data.log.moments import iso
from segue.data.log.time_column import TimeColumn
from segue.data.log.timestamp_forms import UNREADABLE, Form, forms_of
from segue.data.log.timestamp_texts import NEARLY_ALL, certain_format, proposed_formats
from segue.data.log.timestamp_units import EPOCHS, UNITS, believable

KNOWN = "epoch seconds, ms, us or ns, ISO 8601 such as 2024-01-31T18:30:00Z, or dates such as 2024-01-31"
_FORMAT_HINT = "its form can be said, such as --set 'columns.timestamp_format=%d.%m.%Y %H:%M:%S'"
LEAVE_OUT = "; --drop-invalid leaves out such rows"


def why_uncertain(values: TimeColumn, found: Form) -> str:
    """The message about numbers of which it is not certain what they count."""
    unit = UNITS[found.name]
    (time,) = values.summary(f"arg_min({unit.sql('value')}, row)", f"row = {found.row}")
    ways = [(UNITS[name].words, name) for name in believable(values) if name != found.name]
    ways.append((f"{unit.words} all the same", found.name))
    say = "; ".join(f"{words}: --set columns.timestamp_unit={name}" for words, name in ways)
    others = "" if len(ways) > 1 else f"; other units: {', '.join(UNITS)}"
    return (
        f"{values.name}: as {unit.words} most timestamps lie before 1997 or after 2059, {values.in_words(found.row)} "
        f"at {iso(time)}; say what they count ({say}{others})"
    )


def why_mixed(values: TimeColumn, times: list[Form]) -> str:
    """The message about a column with more than one form."""
    seen = ", ".join(f"{_words(form.name)} in {values.in_words(form.row)}" for form in times)
    return (
        f"{values.name}: the timestamps mix forms: {seen}; bring all of them to one, or say which one is meant with "
        "columns.timestamp_unit or columns.timestamp_format and leave out the other rows with --drop-invalid"
    )


def _words(form: str) -> str:
    return UNITS[form].words.removeprefix("epoch ") if form in UNITS else form


def why_unreadable(values: TimeColumn, row: int, expected: str = KNOWN, setting: str = "") -> str:
    """The message about the first value that is no time, with what would read the column.

    Args:
        expected: the forms that are read.
        setting: the setting that asked for such a form.
    """
    proposed = proposed_formats(values, values.example(row))
    hint = _FORMAT_HINT
    if proposed:
        say = " or ".join(f"--set 'columns.timestamp_format={form}'" for form in proposed)
        other = "leave out columns.timestamp_unit; " if setting == "columns.timestamp_unit" else ""
        hint = f"{other}what would read the column: {say}"
    elif setting and _needs_no_setting(values, row):
        hint = f"leave out {setting}: without it the times are recognised"
    elif setting == "columns.timestamp_unit":
        hint = f"is {setting} right?"
    return f"{values.name}: the timestamp of {values.in_words(row)} is {UNREADABLE}; expected {expected}; {hint}"


def _needs_no_setting(values: TimeColumn, row: int) -> bool:
    """Whether nearly all values are usual times of forms that are recognised, or are written as that row is."""
    forms = forms_of(values)
    known = sum(form.usual if form.name in EPOCHS else form.count for form in forms if form.name != UNREADABLE)
    nearly_all = known >= NEARLY_ALL * sum(form.count for form in forms)
    return nearly_all or certain_format(values, values.example(row)) is not None

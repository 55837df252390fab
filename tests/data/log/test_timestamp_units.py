"""Numbers that are no epochs: read where they are unmistakable, otherwise refused with the setting that reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from times import EPOCH, milliseconds, read

from segue.data.log.timestamp_units import UNITS
from segue.errors import ConfigError, LogError
from segue.settings import ColumnsSettings
from segue.settings.log_sections import TimestampUnit
from segue.settings.overrides import read_overrides

MOMENTS = st.lists(
    st.datetimes(datetime(2008, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), min_size=1, max_size=4
)


def since(year: int) -> int:
    """Milliseconds from the beginning of a year until 1970."""
    return -(datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


WRITTEN = {
    "minutes": lambda time: time / 60_000,
    "hours": lambda time: time / 3_600_000,
    "days": lambda time: time / 86_400_000,
    "excel": lambda time: time / 86_400_000 + 25_569,
    "julian": lambda time: time / 86_400_000 + 2_440_587.5,
    "matlab": lambda time: time / 86_400_000 + 719_529,
    "cocoa": lambda time: (time + since(2001)) / 1_000,
    "dotnet": lambda time: (time + since(1)) * 10_000,
    "filetime": lambda time: (time + since(1601)) * 10_000,
    "webkit": lambda time: (time + since(1601)) * 1_000,
}


@pytest.mark.parametrize("unit", WRITTEN)
@pytest.mark.parametrize("as_text", [False, True])
@budget(max_examples=4)
@given(moments=MOMENTS)
def test_what_is_no_epoch_is_refused_with_the_unit_that_reads_it(
    unit: str, as_text: bool, moments: list[datetime]
) -> None:
    times = [milliseconds(moment) for moment in moments]
    numbers = [WRITTEN[unit](time) for time in times]
    values = [repr(number) for number in numbers] if as_text else numbers
    with pytest.raises(LogError, match="say what they count") as caught:
        read(values)
    assert "\n" not in str(caught.value)
    advice = re.findall(r"--set (columns\.timestamp_unit=\w+)", str(caught.value))
    assert f"columns.timestamp_unit={unit}" in advice
    for each in advice:
        read(values, **read_overrides(None, [each])["columns"])
    found, told = read(values, timestamp_unit=unit)
    assert not found.relative
    assert UNITS[unit].words in found.words
    coarse = 1 if unit not in ("julian", "matlab") else 100  # ms that a double of that size can tell apart
    assert all(abs(a - b) <= coarse for a, b in zip(told, times, strict=True) if a is not None)


@pytest.mark.parametrize("form", ["%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d%H", "%Y%m%d"])
@pytest.mark.parametrize("as_text", [False, True])
@budget(max_examples=8)
@given(moments=MOMENTS)
def test_digits_of_a_calendar_are_read_as_what_they_write(form: str, as_text: bool, moments: list[datetime]) -> None:
    texts = [moment.strftime(form) for moment in moments]
    found, times = read(texts if as_text else [int(text) for text in texts])
    expected = [datetime.strptime(text, form).replace(tzinfo=UTC) for text in texts]
    assert times == [milliseconds(moment) for moment in expected]
    assert "YYYYMMDD" in found.words


def test_digits_down_to_the_millisecond() -> None:
    found, times = read([20140407194640123, 20140407194641456])
    assert times == [1396900000123, 1396900001456]
    assert "YYYYMMDDHHMMSSmmm" in found.words


def test_digits_that_are_not_all_of_a_calendar_are_refused() -> None:
    with pytest.raises(LogError, match=r"before 1997 or after 2059, row 1 \('20140407194640'\) at 2608"):
        read([20140407194640, 20140499194640])


def test_a_few_stray_numbers_do_not_make_epochs_uncertain() -> None:
    found, _ = read([0, 1700000000, 1700000060, 1700000090, 4102444800])
    assert found.words == "epoch seconds, UTC"


@pytest.mark.parametrize("values", [[0, 40, 31_000_000], [5, 5], [0.5, 7.25, 86_400.0], [0, 0]])
def test_what_begins_near_zero_counts_seconds_from_an_unknown_start(values: list[float]) -> None:
    found, times = read(values)
    assert found.relative
    assert times == [round(value * 1000) for value in values]


@pytest.mark.parametrize("values", [[140407, 140408], [16167.5, 16168.0], [190_000_000, 190_000_600]])
def test_what_begins_far_from_zero_is_not_said_to_count_from_an_unknown_start(values: list[float]) -> None:
    with pytest.raises(LogError, match="say what they count"):
        read(values)
    assert read(values, timestamp_unit="s")[0].relative


def test_one_stray_number_near_zero_does_not_make_days_count_from_an_unknown_start() -> None:
    days = [45_000 + day / 4 for day in range(20)]
    with pytest.raises(LogError, match=r"say what they count .*--set columns\.timestamp_unit=excel"):
        read([1, *days])


def test_a_unit_that_is_asked_for_is_obeyed() -> None:
    assert read([1700000000], timestamp_unit="ms")[1] == [1700000000]
    found, times = read(["90", "150.5"], timestamp_unit="minutes")
    assert found.relative
    assert times == [5_400_000, 9_030_000]


def test_a_number_out_of_range_is_named_or_left_out() -> None:
    values = ["1.5", "1e300", "noon"]
    with pytest.raises(LogError, match=r"row 2 \('1e300'\) is no time that Segue reads; expected days since 1970"):
        read(values, timestamp_unit="days")
    found, times = read(values, timestamp_unit="days", drop=True)
    assert times == [129_600_000, None, None]
    assert found.unreadable == 2


def test_native_times_need_no_unit() -> None:
    with pytest.raises(LogError, match=r"needs no unit and no format; leave out columns\.timestamp_unit"):
        read([datetime(2024, 1, 1)], timestamp_unit="s")


def test_the_setting_names_every_unit() -> None:
    assert list(get_args(TimestampUnit)) == list(UNITS)


def test_an_unknown_unit_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"columns\.timestamp_unit.*'ticks'"):
        ColumnsSettings.parse({"timestamp_unit": "ticks"}, "columns")


def test_a_time_in_ms_among_seconds_is_no_time_of_the_asked_unit() -> None:
    values = [1700000000, 1700000060, 1700000120000]
    with pytest.raises(LogError, match=r"row 3 \('1700000120000'\).*--drop-invalid leaves out such rows"):
        read(values, timestamp_unit="s")
    found, times = read(values, timestamp_unit="s", drop=True)
    assert (found.unreadable, times) == (1, [1700000000000, 1700000060000, None])

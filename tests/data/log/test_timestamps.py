from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from times import EPOCH, milliseconds, read

from segue.errors import LogError

MOMENTS = st.lists(
    st.datetimes(datetime(1997, 1, 2), datetime(2059, 12, 1), timezones=st.just(UTC)), min_size=1, max_size=8
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


WHOLE = {
    "epoch seconds, UTC": lambda moment: microseconds(moment) // 10**6,
    "epoch milliseconds, UTC": milliseconds,
    "epoch microseconds, UTC": microseconds,
    "epoch nanoseconds, UTC": lambda moment: microseconds(moment) * 1000,
}


@pytest.mark.parametrize("words", WHOLE)
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.string()])
@settings(max_examples=15)
@given(moments=MOMENTS)
def test_whole_epochs_come_back(words: str, kind: pa.DataType, moments: list[datetime]) -> None:
    numbers = [WHOLE[words](moment) for moment in moments]
    found, times = read([str(number) for number in numbers] if kind == pa.string() else numbers, kind)
    exact = [milliseconds(moment) for moment in moments]
    assert found.words.removesuffix(": all events of a day share one time") == words
    assert times == ([time // 1000 * 1000 for time in exact] if words == "epoch seconds, UTC" else exact)


@settings(max_examples=40)
@given(moments=MOMENTS, as_text=st.booleans())
def test_fractional_seconds_come_back_to_the_millisecond(moments: list[datetime], as_text: bool) -> None:
    numbers = [milliseconds(moment) / 1000 for moment in moments]
    found, times = read([repr(number) for number in numbers] if as_text else numbers)
    assert found.words.startswith("epoch seconds")
    assert ("fractional" in found.words) == any(number % 1 for number in numbers)
    assert times == [milliseconds(moment) for moment in moments]


@settings(max_examples=40)
@given(moments=MOMENTS, zone=OFFSETS, separator=st.sampled_from("T "), end=st.sampled_from(["", "Z", " UTC", "offset"]))
def test_iso_text_comes_back(moments: list[datetime], zone: timezone, separator: str, end: str) -> None:
    def write(moment: datetime) -> str:
        if end == "offset":
            return moment.astimezone(zone).isoformat(separator)
        return moment.replace(tzinfo=None).isoformat(separator) + end

    found, times = read([write(moment) for moment in moments])
    expected = "ISO 8601 with zone, converted to UTC" if end else "ISO 8601 without zone, read as UTC"
    assert found.words.startswith(expected)
    assert times == [milliseconds(moment) for moment in moments]


@settings(max_examples=40)
@given(days=st.lists(st.dates(date(1900, 1, 1), date(2100, 12, 31)), min_size=1, max_size=6))
@pytest.mark.parametrize("form", ["iso", "compact text", "compact number", "native"])
def test_dates_come_back_and_are_said_to_be_dates(form: str, days: list[date]) -> None:
    compact = [f"{day:%Y%m%d}" for day in days]
    written: dict[str, list[Any]] = {
        "iso": [day.isoformat() for day in days],
        "compact text": compact,
        "compact number": [int(text) for text in compact],
        "native": days,
    }
    found, times = read(written[form])
    assert found.dates_only
    assert found.words.endswith("dates (YYYY-MM-DD): all events of a day share one time") or form != "iso"
    assert "dates" in found.words
    assert times == [(day - date(1970, 1, 1)).days * 86_400_000 for day in days]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_native_timestamps(unit: str, zone: str | None) -> None:
    moment = datetime(2024, 3, 1, 12, 30, 5, tzinfo=UTC)
    found, times = read([moment, None], pa.timestamp(unit, zone))
    assert times == [milliseconds(moment), None]
    assert found.words == f"native timestamps {'with zone, in UTC' if zone else 'without zone, read as UTC'}"


EXAMPLES = {
    "epoch seconds": "1700000000",
    "epoch milliseconds": "1700000000123",
    "epoch microseconds": "1700000000123456",
    "epoch nanoseconds": "1700000000123456789",
    "zoned": "2023-11-14T22:13:20Z",
    "local": "2023-11-14T22:13:20",
    "date": "2023-11-14",
}


@settings(max_examples=40)
@given(
    forms=st.lists(st.sampled_from(sorted(EXAMPLES)), min_size=2, max_size=2, unique=True),
    before=st.integers(1, 20),
    after=st.integers(0, 3),
)
def test_mixed_forms_are_refused_with_the_row_where_the_second_begins(
    forms: list[str], before: int, after: int
) -> None:
    first, second = (EXAMPLES[form] for form in forms)
    with pytest.raises(LogError, match="the timestamps mix forms") as caught:
        read([first] * before + [second] + [first] * after)
    assert f"in row 1 ('{first}')" in str(caught.value)
    assert f"in row {before + 1} ('{second}')" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mixed_magnitudes_of_native_numbers_are_refused() -> None:
    with pytest.raises(LogError, match=r"seconds in row 1 \('1700000000'\), milliseconds in row 3 \('1700000000000'\)"):
        read([1700000000, None, 1700000000000])


@pytest.mark.parametrize(
    "wrong",
    [
        "yesterday",
        "2023-13-01",
        "2023-02-30",
        "14/11/2023",
        "2023-11-14T25:00:00",
        "1_700",
        "inf",
        "nan",
        "1e30",
        "12:30",
    ],
)
def test_the_first_time_that_cannot_be_read_is_named(wrong: str) -> None:
    with pytest.raises(LogError, match="timestamp of row 2 ") as caught:
        read(["1700000000", wrong, "also wrong"])
    assert f"('{wrong}')" in str(caught.value)


def test_a_type_that_holds_no_times_is_refused() -> None:
    with pytest.raises(LogError, match="holds BOOLEAN"):
        read([True, False])


def test_infinity_is_no_time() -> None:
    with pytest.raises(LogError, match=r"row 2 \('inf'\)"):
        read([1.0, float("inf")])


def test_missing_times_are_null_and_do_not_disturb() -> None:
    assert read([1700000000.5, float("nan"), None])[1] == [1700000000500, None, None]
    assert read(["1700000000", "", "  ", None])[1] == [1700000000000, None, None, None]
    assert read(["2023-11-14T22:13:20Z", "", None])[1] == [1700000000000, None, None]
    assert read([20231114, None])[1] == [1699920000000, None]
    assert read([None, None], pa.string())[1] == [None, None]


def test_small_seconds_count_from_an_unknown_start() -> None:
    found, times = read([0, 36, 77, 2678373])
    assert found.relative
    assert found.words == "seconds since an unknown start, from 0 to 2678373"
    assert times == [0, 36000, 77000, 2678373000]


def test_numbers_that_are_only_sometimes_calendar_days_are_no_dates() -> None:
    with pytest.raises(
        LogError, match=r"say what they count \(minutes since 1970: --set columns.timestamp_unit=minutes"
    ):
        read([20240101, 20240199])


def test_a_few_negative_seconds_are_before_1970_not_relative() -> None:
    found, times = read([-86401, 1700000000, 1700000060])
    assert not found.relative
    assert times == [-86401000, 1700000000000, 1700000060000]


def test_midnights_of_any_form_are_reported_as_dates() -> None:
    assert read([1699920000, 1700006400])[0].dates_only
    assert read(["2023-11-14 00:00:00", "2023-11-15 00:00:00"])[0].dates_only
    assert not read(["2023-11-14 00:00:00", "2023-11-15 00:00:01"])[0].dates_only


def test_zeros_fit_every_unit_of_epochs() -> None:
    found, times = read([1700000000000, 0, 1700000060000])
    assert found.words == "epoch milliseconds, UTC"
    assert times == [1700000000000, 0, 1700000060000]
    with pytest.raises(LogError, match="the timestamps mix forms"):
        read(["0", "2023-11-14"])


def test_one_bad_row_does_not_change_how_the_good_ones_are_read() -> None:
    values = [f"2024-01-01 10:{minute:02d}:00{'.5' if minute % 20 == 0 else ''}" for minute in range(60)]
    found, times = read([*values, "2024-02-30 00:00:00"], drop=True)
    assert (found.words, found.unreadable) == ("ISO 8601 without zone, read as UTC", 1)
    assert None not in times[:-1]
    assert times[-1] is None
    with pytest.raises(LogError, match=r"row 61 \('2024-02-30 00:00:00'\)"):
        read([*values, "2024-02-30 00:00:00"])

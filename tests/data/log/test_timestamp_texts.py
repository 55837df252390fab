"""Text that writes time otherwise than ISO 8601."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from times import milliseconds, read

from segue.errors import ConfigError, LogError
from segue.settings import ColumnsSettings
from segue.settings.overrides import read_overrides

CERTAIN = {
    "2014/04/07 19:46:40": 1396900000000,
    "2014.4.7 19:46": 1396899960000,
    "2014/04/07": 1396828800000,
    "07-Apr-2014 19:46:40": 1396900000000,
    "7 April 2014": 1396828800000,
    "Apr 7, 2014 7:46:40 PM": 1396900000000,
    "April 7, 2014, 7:46 PM": 1396899960000,
    "2014-04-07 07:46:40 PM": 1396900000000,
    "07/Apr/2014:21:46:40 +0200": 1396900000000,
    "Mon Apr 07 19:46:40 +0000 2014": 1396900000000,
    "Mon, 07 Apr 2014 19:46:40 GMT": 1396900000000,
    "20140407T194640Z": 1396900000000,
}


@pytest.mark.parametrize("text", CERTAIN)
def test_a_form_with_one_meaning_is_read_and_said(text: str) -> None:
    found, times = read([text, "", None, text])
    assert times == [CERTAIN[text], None, None, CERTAIN[text]]
    assert f"text such as '{text}'" in found.words


@pytest.mark.parametrize("form", ["%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M:%S", "%d-%m-%y %H:%M:%S", "%m/%d/%Y"])
@budget(max_examples=4)
@given(moments=st.lists(st.datetimes(datetime(2001, 1, 1), datetime(2030, 1, 1)), min_size=1, max_size=5))
def test_where_day_and_month_could_be_either_the_message_holds_the_setting(form: str, moments: list[datetime]) -> None:
    texts = [moment.strftime(form) for moment in moments]
    with pytest.raises(LogError, match="no time that Segue reads") as caught:
        read(texts)
    advice = [word for word in shlex.split(str(caught.value)) if word.startswith("columns.timestamp_format=")]
    assert f"columns.timestamp_format={form}" in advice
    for each in advice:
        read(texts, **read_overrides(None, [each])["columns"])
    expected = [datetime.strptime(text, form).replace(tzinfo=UTC) for text in texts]
    assert read(texts, timestamp_format=form)[1] == [milliseconds(moment) for moment in expected]


def test_a_day_beyond_twelve_settles_nothing_unasked() -> None:
    with pytest.raises(LogError, match=r"'columns.timestamp_format=%m/%d/%Y'$"):
        read(["04/07/2014", "04/25/2014"])


def test_text_of_no_known_form_is_refused_with_a_way_to_say_it() -> None:
    with pytest.raises(LogError, match=r"its form can be said, such as --set 'columns.timestamp_format="):
        read(["week 12 of 2014"])


def test_one_row_of_another_form_is_named_or_left_out() -> None:
    texts = ["Apr 7, 2014"] * 20 + ["tomorrow"]
    with pytest.raises(LogError, match=r"row 21 \('tomorrow'\) is no time that Segue reads; expected text such as"):
        read(texts)
    found, times = read(texts, drop=True)
    assert found.unreadable == 1
    assert times[-2:] == [1396828800000, None]


def test_mixed_forms_name_the_settings_that_choose() -> None:
    texts = ["2014-04-07 19:46:40", "1396900000", "2014-04-07 19:46:41"]
    with pytest.raises(LogError, match=r"timestamps mix forms.*columns\.timestamp_format.*--drop-invalid"):
        read(texts)
    with pytest.raises(LogError, match="mix forms"):
        read(texts, drop=True)
    found, times = read(texts, drop=True, timestamp_format="%Y-%m-%d %H:%M:%S")
    assert times == [1396900000000, None, 1396900001000]
    assert found.unreadable == 1


def test_a_format_reads_numbers_too() -> None:
    assert read([140407, 140408], timestamp_format="%y%m%d")[1] == [1396828800000, 1396915200000]


def test_two_digits_are_no_year_of_four() -> None:
    with pytest.raises(LogError, match=r"row 1 \('04/07/14'\)"):
        read(["04/07/14"], timestamp_format="%m/%d/%Y")


@pytest.mark.parametrize(
    "form", ["%Q", "%Y-%m-%d %", "%Y-%m-%d %-", "%-Y%j", "%H:%M", "", "%Y", "%s", "YYYY-MM-DD", "%%Y %m %d"]
)
def test_a_bad_format_is_one_line(form: str) -> None:
    with pytest.raises(ConfigError, match=r"columns\.timestamp_format") as caught:
        ColumnsSettings.parse({"timestamp_format": form}, "columns")
    assert "\n" not in str(caught.value)


@budget(max_examples=20)
@given(form=st.text(alphabet="%YmdHMSpbjyzZ -/:'\"{}é", max_size=14))
def test_any_format_is_refused_in_one_line_or_can_be_tried(form: str) -> None:
    def tried() -> None:
        columns = ColumnsSettings.parse({"timestamp_format": f"%Y{form}%j"}, "columns")
        read(["no time at all"], timestamp_format=columns.timestamp_format or "")

    with pytest.raises((ConfigError, LogError)) as caught:
        tried()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ([1396900000, 1396900060], {"timestamp_format": "%d.%m.%Y"}),
        (["1396900000", "1396900060"], {"timestamp_format": "%Y-%m-%d %H:%M:%S"}),
        (["2014-04-07T19:46:40Z"] * 2, {"timestamp_format": "%d.%m.%Y"}),
        (["2014-04-07 19:46:40"] * 2, {"timestamp_unit": "s"}),
        (["07 Apr 2014", "08 Apr 2014"], {"timestamp_format": "%d.%m.%Y"}),
    ],
)
def test_a_setting_that_is_not_needed_is_to_be_left_out(values: list[Any], setting: dict[str, str]) -> None:
    (key,) = setting
    with pytest.raises(LogError, match=f"; leave out columns.{key}: without it the times are recognised$"):
        read(values, **setting)
    assert read(values)[1][0] is not None


def test_what_is_proposed_beside_a_unit_goes_without_it() -> None:
    with pytest.raises(LogError, match=r"leave out columns\.timestamp_unit; what would read the column: --set"):
        read(["25/07/2014", "26/07/2014"], timestamp_unit="s")
    with pytest.raises(LogError, match=r"is columns\.timestamp_unit right\?; --drop-invalid"):
        read(["1.5", "noon"], timestamp_unit="days")


def test_a_unit_and_a_format_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="not both"):
        ColumnsSettings.parse({"timestamp_unit": "s", "timestamp_format": "%Y-%m-%d"}, "columns")


def test_the_message_of_a_log_can_be_pasted() -> None:
    with pytest.raises(LogError) as caught:
        read(["04/07/2014 07:46:40 PM"])
    assert re.findall(r"--set '(columns\.timestamp_format=[^']+)'", str(caught.value)) == [
        "columns.timestamp_format=%m/%d/%Y %I:%M:%S %p",
        "columns.timestamp_format=%d/%m/%Y %I:%M:%S %p",
    ]

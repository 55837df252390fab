"""The figures of a log that `segue check` reports."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from checked_logs import START, Event, check, clicks, warned

from segue.data.log.check import check_log
from segue.errors import LogError
from segue.settings import compose


def test_figures_by_hand(tmp_path: Path) -> None:
    minutes = {"a": [0, 5, 20, 400, 1500], "b": [0, 1, 2]}
    events = [(user, f"i{m % 5}", START + m * 60) for user, all_ in minutes.items() for m in all_]
    report = check(tmp_path, [*events, events[0]])
    assert (report.rows, report.users, report.items, report.duplicates) == (9, 2, 3, 1)
    assert (report.first, report.last) == ("2023-11-14T22:13:20.000Z", "2023-11-15T23:13:20.000Z")
    assert report.facts.timestamp_format == "epoch seconds, UTC"
    figures = {cut.cut: (cut.sessions, cut.mean_length, cut.share_of_three) for cut in report.sessions}
    # The repeated first event makes user a's first visit longer by one, a gap of 0 apart.
    assert figures == {
        "10min": (5, 9 / 5, 2 / 5),
        "30min": (4, 9 / 4, 2 / 4),
        "1h": (4, 9 / 4, 2 / 4),
        "8h": (3, 9 / 3, 2 / 3),
        "1d": (2, 9 / 2, 2 / 2),
    }


def test_a_gap_is_strictly_longer_and_the_set_one_is_counted_too(tmp_path: Path) -> None:
    events: list[Event] = [("a", "x", 0 + START), ("a", "y", 7200 + START), ("b", "x", START)]
    report = check(tmp_path, events, {"sessions": {"gap": "2h"}})
    figures = {cut.cut: cut.sessions for cut in report.sessions}
    assert figures == {"10min": 3, "30min": 3, "1h": 3, "2h": 2, "8h": 2, "1d": 2}


def test_given_sessions_are_counted_as_they_are(tmp_path: Path) -> None:
    events = clicks(2, 3)
    report = check(tmp_path, events, session_id=["p", "p", "q", "q", "q", "q"])
    assert [(cut.cut, cut.sessions, cut.share_of_three) for cut in report.sessions] == [("session_id", 3, 1 / 3)]
    assert warned(report, "1 session ids occur with several users")


@pytest.mark.parametrize("given", [False, True])
def test_repeats_count_inside_sessions_only(tmp_path: Path, given: bool) -> None:
    day = 86_400 * 2
    events: list[Event] = [
        *[("a", item, START + place) for place, item in enumerate("xyxx")],
        *[("a", item, START + day + place) for place, item in enumerate("xy")],
        *[("b", item, START + place) for place, item in enumerate("xy")],
    ]
    columns = {"session_id": [*"11112233"]} if given else {}
    report = check(tmp_path, events, **columns)
    assert report.repeats == 2 / 8
    assert report.repeats_in_sessions
    assert not check(tmp_path, events[4:]).repeats_in_sessions


def test_years_beyond_the_calendar_are_numbers(tmp_path: Path) -> None:
    times = pa.array([START, 10**12], pa.timestamp("s"))
    report = check_log(
        pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": times}), compose({}), tmp_path
    )
    assert report.last == "1000000000000000 ms after 1970-01-01"


def test_nulls_are_counted_not_refused(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user_id": ["a", None, "b", "b"],
            "item_id": ["x", "y", None, "z"],
            "timestamp": pa.array([START, None, START, START + 1]),
        }
    )
    report = check_log(table, compose({}), tmp_path)
    assert report.facts.nulls == {"user_id": 1, "item_id": 1, "timestamp": 1}
    assert (report.facts.rows_read, report.rows) == (4, 2)
    assert warned(report, "2 of 4 rows are no events and left out (2 rows: null or empty id or time)")
    assert report.as_dict()["nulls"] == report.facts.nulls


def test_the_report_reads_as_text(tmp_path: Path) -> None:
    report = check(tmp_path, [*clicks(4, 3), ("u0", "i", 5.0)])
    text = "\n".join(report.lines())
    assert "13 rows" in text
    assert "8h" in text
    assert text.count("warning: ") == len(report.warnings) == 1
    assert all("\n" not in line for line in report.lines())


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no such file"):
        check_log(tmp_path / "absent.csv", compose({}), tmp_path)

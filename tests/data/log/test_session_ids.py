"""Session ids that are no visits are warned of; rows without one are refused, left out with a count, or cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from checked_logs import START, Event, check, clicks, warned
from raw_logs import Read, rows

from segue.data.log.check import CheckReport
from segue.errors import ConfigError, LogError
from segue.settings import ColumnsSettings

UNUSED = {"columns": {"session_id": "", "event_type": ""}}


def with_ids(folder: Path, events: list[Event], ids: list[Any], **settings: dict[str, Any]) -> CheckReport:
    return check(folder, events, settings, session_id=[None if each is None else str(each) for each in ids])


def test_ids_of_users_span_days(tmp_path: Path) -> None:
    events = clicks(30, 4)
    report = with_ids(tmp_path, events, [user for user, _, _ in events])
    assert warned(report, "sessions span days: 3 of 3 sessions of two events or more last longer than a day")
    assert warned(report, "sessions.gap is ignored")
    assert warned(report, "--set columns.session_id=")


def test_counters_that_start_again_every_day_are_counted_as_ids(tmp_path: Path) -> None:
    events = clicks(30, 4)
    report = with_ids(tmp_path, events, [place % 2 for place in range(len(events))])
    assert warned(report, "2 session ids occur with several users (the log has 2)")
    assert warned(report, "a session of its own, 6 in all")


def test_rows_that_are_left_out_for_want_of_an_id_are_said(tmp_path: Path) -> None:
    events = clicks(30, 4)
    report = with_ids(tmp_path, events, [None if place % 4 == 3 else place // 4 for place in range(len(events))])
    assert warned(report, f"{len(events) // 4} rows have no session id and are left out here")
    assert warned(report, "--set sessions.missing=gap keeps them")


def test_visits_are_not_warned_of(tmp_path: Path) -> None:
    events = clicks(30, 4)
    report = with_ids(tmp_path, events, [place // 4 for place in range(len(events))])
    assert not warned(report, "session")


def test_one_long_session_of_many_is_a_visit_left_open(tmp_path: Path) -> None:
    events = [*clicks(30, 4), ("u1", "i1", START + 9_000_000), ("u1", "i2", START + 9_200_000)]
    report = with_ids(tmp_path, events, [place // 4 for place in range(len(events) - 2)] + [99, 99])
    assert not warned(report, "span days")


def test_a_column_that_is_left_unused_is_not_read(tmp_path: Path) -> None:
    events = clicks(6, 3)
    report = check(tmp_path, events, UNUSED, session_id=[None] * len(events), event_type=["view"] * len(events))
    assert not report.facts.has_session_id
    assert not report.facts.has_event_type
    assert [figures.cut for figures in report.sessions] == ["10min", "30min", "1h", "8h", "1d"]
    assert not report.warnings


@pytest.mark.parametrize("role", ["user_id", "item_id", "timestamp"])
def test_only_optional_columns_can_be_left_unused(role: str) -> None:
    with pytest.raises(ConfigError, match=f"columns.{role}': expected the name of a column"):
        ColumnsSettings.parse({role: ""}, "columns")


def some_missing() -> pa.Table:
    return pa.table(
        {
            "user_id": ["u", "u", "v", "v", "v"],
            "item_id": list("abcde"),
            "timestamp": [START, START + 60, START, START + 60, START + 200_000],
            "session_id": ["1", "1", None, "", None],
        }
    )


def test_missing_ids_are_refused_with_every_way_out(read: Read) -> None:
    with pytest.raises(LogError, match="null or empty in 3 of 5 rows, first in row 3") as caught:
        read(some_missing())
    for way in ("--set sessions.missing=gap", "--set columns.session_id=", "--drop-invalid"):
        assert way in str(caught.value)


def test_missing_ids_pass_where_the_gap_cuts_them(read: Read, tmp_path: Path) -> None:
    log = read(some_missing(), allow_missing_session=True)
    assert log.facts.rows_dropped == 0
    assert [session for (session,) in rows(log, "session_id")] == ["1", "1", None, None, None]
    table = some_missing()
    columns = [table.column(name).to_pylist() for name in ("user_id", "item_id", "timestamp")]
    report = with_ids(
        tmp_path,
        list(zip(*columns, strict=True)),
        table.column("session_id").to_pylist(),
        sessions={"missing": "gap", "gap": "8h"},
    )
    assert report.sessions[0].sessions == 3
    assert warned(report, "3 rows have no session id: they are cut into sessions by sessions.gap")
    assert warned(check(tmp_path, clicks(2, 3), session_id=["1"] * 5 + [None]), "--set sessions.missing=gap keeps them")

"""What in a log cannot be right is said, and what to do about it."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from checked_logs import START, Event, check, clicks, warned

from segue.data.log.check import check_log
from segue.settings import compose


def test_a_believable_log_earns_no_warning(tmp_path: Path) -> None:
    report = check(tmp_path, clicks(60, 4))
    assert report.warnings == ()
    assert report.order.sorted_by_chance == pytest.approx(1 / 24)
    assert report.order.sorted_by_id < 0.3
    assert report.order.one_time == 0


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("kind", ["number", "text"])
def test_sessions_sorted_by_id_are_seen(tmp_path: Path, kind: str, falling: bool) -> None:
    draw = random.Random(1)
    events: list[Event] = []
    for session in range(30):
        numbers = draw.sample(range(2000), 5)
        ids = sorted(numbers, reverse=falling) if kind == "number" else sorted(map(str, numbers), reverse=falling)
        events += [(f"u{session % 3}", str(item), START + session * 172_800.0) for item in ids]
    report = check(tmp_path, events)
    assert report.order.sorted_by_id == 1
    assert report.order.one_time == 1
    assert warned(report, "sorted by item id")
    assert warned(report, "carry one timestamp")
    assert all("shuffle" in warning and "no conclusion about order" in warning for warning in report.warnings)


def test_few_sorted_sessions_are_no_evidence(tmp_path: Path) -> None:
    events: list[Event] = [("a", "1", START), ("a", "2", START + 5), ("a", "3", START + 9), ("b", "1", START)]
    assert not warned(check(tmp_path, events), "sorted by item id")


def test_a_repeat_breaks_a_sorted_session(tmp_path: Path) -> None:
    events = [(f"u{n}", item, START + place) for n in range(8) for place, item in enumerate(["1", "1", "2"])]
    assert check(tmp_path, events).order.sorted_by_id == 0


def test_dates_only(tmp_path: Path) -> None:
    days = ["2024-01-01", "2024-01-01", "2024-01-03", "2024-01-04"]
    table = pa.table({"user_id": [*"aabb"], "item_id": [*"xyzx"], "timestamp": days})
    report = check_log(table, compose({}), tmp_path)
    assert warned(report, "timestamps are dates only")
    assert report.facts.dates_only


def test_times_that_cannot_be(tmp_path: Path) -> None:
    times = [-5.5, 100.0, 200.0, 32_503_680_000.0, *(START + n for n in range(4))]
    report = check(tmp_path, [(f"u{n}", "x", time) for n, time in enumerate(times)])
    assert warned(report, "1 events lie before 1970")
    assert warned(report, "2 events lie in the years 1970 to 1979")
    assert warned(report, "1 events lie in the future")
    assert report.first == "1969-12-31T23:59:54.500Z"


def test_an_unknown_start_is_said_and_no_calendar_is_judged(tmp_path: Path) -> None:
    report = check(tmp_path, [("a", "x", 0), ("b", "y", 36), ("a", "z", 77)])
    assert warned(report, "unknown start")
    assert len(report.warnings) == 1


def test_one_user_is_said(tmp_path: Path) -> None:
    assert warned(check(tmp_path, [("a", "x", START), ("a", "y", START + 5)]), "all events are of one user")

"""What the ids of a log give reason to say: who holds most of it, words for nothing, one id in several spellings."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from checked_logs import START, Event, check, clicks, warned

from segue.data.log.check import check_log
from segue.data.log.ids_of_log import Busiest
from segue.settings import compose
from segue.settings.overrides import read_overrides


def spelled(number: int, *forms: str) -> list[Event]:
    """Sessions of 10 users, whose ids are written in the given forms in turn."""
    return [
        (forms[place % len(forms)].format(user), f"i{user * 7 + place}", START + user * 40_000 + place * 60.0)
        for user in range(number, number + 10)
        for place in range(6)
    ]


def test_who_holds_most_events_is_named(tmp_path: Path) -> None:
    events: list[Event] = [(f"u{n % 9}", f"i{n}", START + n * 1000.0) for n in range(90)]
    robot: list[Event] = [("bot", f"i{n}", START + n * 70.0) for n in range(40)]
    report = check(tmp_path, [*events, *robot])
    assert report.busiest_user == Busiest("bot", 40, 40 / 130)
    assert report.busiest_item == Busiest("i0", 2, 2 / 130)
    assert report.as_dict()["busiest_user"] == {"id": "bot", "events": 40, "share": 40 / 130}
    assert "  busiest user  'bot', 30.8% of the events (40)" in report.lines()
    assert not warned(report, "holds")
    more = [("bot", f"i{n}", START + n * 70.0) for n in range(120)]
    assert warned(check(tmp_path, [*events, *more]), "user 'bot' holds 120 events, 57.1% of all (the log has 10 users)")


def test_one_page_that_all_pass_through(tmp_path: Path) -> None:
    events = [each for event in clicks(60, 4) for each in (event, (event[0], "home", event[2]))]
    assert warned(check(tmp_path, events), "item 'home' holds 240 events, 50.0% of all")
    assert not warned(check(tmp_path, clicks(60, 4)), "holds")


def test_a_log_without_users_has_no_busiest_one(tmp_path: Path) -> None:
    table = pa.table({"user_id": pa.array([None, None], pa.string()), "item_id": ["x", "y"], "timestamp": [START] * 2})
    table = table.append_column("session_id", pa.array(["s", "s"]))
    report = check_log(table, compose({"filters": {"rare_users": "train"}}), tmp_path)
    assert report.busiest_user.id is None
    assert "  busiest user  none" in report.lines()


@pytest.mark.parametrize(
    ("forms", "example"),
    [
        (["{}", "{}.0"], "'10' and '10.0'"),
        (["{}", "0{}", "{} "], "such as '010' and '10 '"),
        (["{}", "{}\u00a0"], r"such as '10' and '10\xa0'"),
        (["caf\u00e9 {}", "cafe\u0301 {}"], r"'cafe\u0301 10' and 'caf\xe9 10'"),
        (["abcdef{}", "ABCDEF{}"], "such as 'ABCDEF10' and 'abcdef10'"),
    ],
)
def test_one_user_in_several_spellings(tmp_path: Path, forms: list[str], example: str) -> None:
    report = check(tmp_path, spelled(10, *forms))
    (warning,) = [each for each in report.warnings if "several spellings" in each]
    assert warning.startswith("10 users stand in the log in several spellings, such as ")
    assert example in warning
    assert f"({10 * len(forms)} spellings, 60 events)" in warning


def test_items_and_event_types_in_several_spellings(tmp_path: Path) -> None:
    events = [(user, ("7", "7.0", "8")[place % 3], time) for place, (user, _, time) in enumerate(clicks(60, 4))]
    types = [("view", "View", "buy")[place % 3] for place in range(len(events))]
    report = check(tmp_path, events, event_type=types)
    assert warned(report, "1 items stand in the log in several spellings, such as '7' and '7.0'")
    assert warned(report, "1 event types stand in the log in several spellings, such as 'View' and 'view'")


def test_short_codes_that_differ_in_case_are_ids_of_their_own(tmp_path: Path) -> None:
    assert not warned(check(tmp_path, spelled(10, "aB{}", "ab{}")), "spellings")


def test_names_that_differ_in_case_are_seen_where_they_are_many(tmp_path: Path) -> None:
    users = ["Anna", "anna", "Bert", "bert"] * 30
    events = [(user, f"i{n}", START + n * 50_000.0) for n, user in enumerate(users)]
    says = "2 users stand in the log in several spellings, such as 'Anna' and 'anna'"
    assert warned(check(tmp_path, events), says)


def test_two_names_that_differ_in_case_among_hundreds_are_ids_of_their_own(tmp_path: Path) -> None:
    """Fewer than 1 % of the users: that two codes differ in case alone happens by chance."""
    users = ["Anna", "anna", *(f"u{n}" for n in range(299))]
    events = [(user, f"i{n}", START + n * 50_000.0) for n, user in enumerate(users)]
    assert not warned(check(tmp_path, events), "spellings")
    assert warned(check(tmp_path, events[:200]), "1 users stand in the log in several spellings")


@pytest.mark.parametrize("word", ["NULL", "None", "nan", "NA", "N/A", "-", "<NA>", "undefined"])
def test_a_word_for_nothing_is_said_and_the_advice_reads_it_as_missing(tmp_path: Path, word: str) -> None:
    events = [(word if n % 5 == 0 else user, item, time) for n, (user, item, time) in enumerate(clicks(60, 4))]
    report = check(tmp_path, events)
    (warning,) = [each for each in report.warnings if "stands for a missing value" in each]
    assert warning.startswith(f"48 events of user '{word}': ")
    _, assignment = shlex.split(warning[warning.index("--set") :])
    after = check(tmp_path, events, read_overrides(assignments=[assignment]))
    assert after.facts.nulls["user_id"] == 48
    assert not warned(after, "stands for a missing value")


def test_items_and_sessions_that_are_words_for_nothing(tmp_path: Path) -> None:
    events = [(user, "null" if n == 3 else item, time) for n, (user, item, time) in enumerate(clicks(60, 4))]
    report = check(tmp_path, events, session_id=["None" if n < 8 else str(n // 4) for n in range(len(events))])
    assert warned(report, "1 events of item 'null', 8 events of session 'None': a word")


def test_what_mysql_writes_and_blanks_are_missing(tmp_path: Path) -> None:
    events = [
        (r"\N" if n < 2 else " \t" if n < 5 else user, item, t) for n, (user, item, t) in enumerate(clicks(60, 4))
    ]
    report = check(tmp_path, events)
    assert report.facts.nulls["user_id"] == report.facts.rows_dropped == 5
    kept = check(tmp_path, events, {"columns": {"null_words": []}})
    assert kept.facts.nulls["user_id"] == 3
    assert warned(kept, r"2 events of user '\\N': a word")


def test_times_may_be_words_for_nothing_too(tmp_path: Path) -> None:
    table = pa.table(
        {"user_id": ["a", "b", "c"], "item_id": ["x", "y", "z"], "timestamp": ["NULL", "1700000000", "1700000009"]}
    )
    report = check_log(table, compose({"columns": {"null_words": ["NULL"]}}), tmp_path)
    assert (report.rows, report.facts.nulls["timestamp"]) == (2, 1)

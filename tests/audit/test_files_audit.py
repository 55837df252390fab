"""Train and test files of another library: clean by each rule of splitting, and refuted where a rule is broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_logs

from segue.audit.files import audit_files
from segue.audit.finding import Finding
from segue.errors import LogError
from segue.settings import compose

NAMES = ("user_id", "item_id", "timestamp", "session_id")
BEGINNING = 1_700_000_000
Event = Sequence[Any]


def found(
    folder: Path, train: Sequence[Event], test: Sequence[Event], columns: Sequence[str] = NAMES[:3], **settings: Any
) -> dict[str, Finding]:
    """The checks of two files of (user, item, seconds after the beginning[, session])."""
    paths = [
        small_logs.write_csv(folder / f"{name}.csv", [(u, i, BEGINNING + t, *s) for u, i, t, *s in rows], columns)
        for name, rows in (("train", train), ("test", test))
    ]
    return {check.name: check for check in audit_files(*paths, compose(settings)).findings}


def test_a_split_in_time_is_clean(tmp_path: Path) -> None:
    checks = found(tmp_path, [("a", "x", 1), ("b", "y", 2)], [("a", "y", 3), ("c", "z", 4)])
    assert checks["events after the cut"].verdict == "clean"
    assert "train ends at 2023-11-14 22:13:22 UTC" in checks["events after the cut"].found
    assert checks["others' train after a test session"].verdict == "clean"
    assert checks["items that exist only later"].numbers == {"events": 1, "items": 1}
    assert checks["users that exist only later"].numbers == {"events": 1, "users": 1}


def test_a_split_per_user_is_clean_and_its_own_leak_is_a_share(tmp_path: Path) -> None:
    checks = found(tmp_path, [("a", "x", 1), ("b", "y", 9), ("b", "x", 10)], [("a", "y", 3), ("b", "x", 11)])
    said = "each user's train events come before their test events; 2 users are in both files"
    assert checks["events after the cut"].found == said
    share = checks["others' train after a test session"]
    assert (share.verdict, share.numbers["events"], share.numbers["of"]) == ("share", 1, 2)


def test_a_split_of_whole_sessions_is_clean(tmp_path: Path) -> None:
    train = [("a", "x", 1, "s1"), ("a", "y", 6, "s1")]
    checks = found(tmp_path, train, [("a", "z", 5, "s2"), ("a", "z", 8, "s2")], NAMES)
    assert "no train session ends later than test's first" in checks["events after the cut"].found
    assert checks["sessions across the cut"].verdict == "clean"


def test_a_split_at_random_is_a_leak(tmp_path: Path) -> None:
    checks = found(tmp_path, [("a", "x", 1), ("a", "y", 5), ("b", "x", 2)], [("a", "z", 3), ("b", "z", 4)])
    cut = checks["events after the cut"]
    assert (cut.verdict, cut.numbers) == ("leak", {"events": 1, "users": 1})
    assert "1 of 3 train events (33.3 %), of 1 users, are later than the same user's first test event" in cut.found


@pytest.mark.parametrize("user", ["", "u"])
def test_train_that_goes_on_after_test_is_a_leak_where_no_user_is_in_both_files(tmp_path: Path, user: str) -> None:
    """Of held-out users and of anonymous sessions there is no user whose own order could excuse it."""
    days = [(user and f"{user}{day}", "x", day, f"s{day}") for day in range(1, 9) for _ in range(2)]
    cut = found(tmp_path, days[::4] + days[1::4], days[2::4] + days[3::4], NAMES)["events after the cut"]
    assert (cut.verdict, cut.numbers["events"]) == ("leak", 6)
    assert "no user is in both files" in cut.found


def test_files_of_which_one_names_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"train\.csv names no user and .*test\.csv does"):
        found(tmp_path, [("", "x", 1, "s1")], [("a", "x", 1, "s1")], NAMES)


def test_items_that_the_files_write_in_two_ways_are_no_clean_check(tmp_path: Path) -> None:
    later = found(tmp_path, [("a", "1", 1)], [("a", "1.0", 1)])["items that exist only later"]
    assert later.verdict == "cannot"
    assert "'1.0', where train has '1'" in later.found


def test_an_event_in_both_files_is_a_leak_unless_times_are_dates(tmp_path: Path) -> None:
    rows = [("a", "x", 1), ("a", "y", 2)]
    copied = found(tmp_path, rows, [("a", "y", 2), ("a", "z", 3)])["events copied across the cut"]
    assert (copied.verdict, copied.numbers) == ("leak", {"events": 1, "of": 2})
    midnight = -BEGINNING % 86_400
    dates = [("a", "x", midnight), ("a", "y", midnight + 86_400)]
    check = found(tmp_path, dates, [("a", "y", midnight + 86_400)])["events copied across the cut"]
    assert check.verdict == "share"


def test_sessions_in_both_files_and_repeated_ones_are_shares(tmp_path: Path) -> None:
    train = [("a", "x", 1, "s1"), ("a", "y", 2, "s1"), ("b", "x", 1, "s2")]
    test = [("a", "x", 5, "s3"), ("a", "y", 6, "s3"), ("b", "z", 7, "s2")]
    checks = found(tmp_path, train, test, NAMES)
    assert checks["sessions across the cut"].numbers == {"sessions": 1}
    assert checks["sessions repeated later"].numbers == {"sessions": 1, "of": 2}


def test_parquet_with_other_names(tmp_path: Path) -> None:
    for name, times in (("train", [1, 2]), ("test", [9, 10])):
        table = pa.table({"uid": [1, 2], "iid": [3, 4], "t": [BEGINNING + time for time in times]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    columns = {"user_id": "uid", "item_id": "iid", "timestamp": "t"}
    audit = audit_files(tmp_path / "train.parquet", tmp_path / "test.parquet", compose({"columns": columns}))
    assert audit.leaks == []
    assert "of session ids; another is named with --set columns.session_id=NAME" in audit.limits[0]


def test_a_missing_column_is_refused_with_the_way_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"no column 'item_id'.*--set columns.item_id="):
        found(tmp_path, [("a", "x", 1)], [("a", "x", 2)], ("user_id", "what", "timestamp"))

"""The interactions of the RecSys Challenge 2016 in their raw form."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from raw_files import read

from segue.data import sources
from segue.data.preparation.prepare import prepare
from segue.data.sources import xing
from segue.errors import LogError
from segue.settings import compose

START = 1_440_000_000
CLICK, BOOKMARK, DELETE = 1, 2, 4


def write(path: Path, rows: list[tuple[int, int, int, int]], prefix: str = "") -> Path:
    """(user, item, type, minute) as interactions.csv, tab separated."""
    header = "\t".join(prefix + name for name in ("user_id", "item_id", "interaction_type", "created_at"))
    lines = [f"{user}\t{item}\t{kind}\t{START + 60 * minute}" for user, item, kind, minute in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def popular(item: int, times: int = 19) -> list[tuple[int, int, int, int]]:
    """Clicks of others, each in a session of its own, that bring an item near the support of 20."""
    return [(1000 + k, item, CLICK, 0) for k in range(times)]


def rows_of(path: Path, user: int, **sessions: str) -> list[tuple[str, float, str, str]]:
    """(item, minute, type, session) of one user."""
    _, rows = read(xing.source(path), path.parent, {"sessions": dict(sessions)})
    began = datetime.fromtimestamp(START) - datetime.fromtimestamp(0) + datetime(1970, 1, 1)
    return [(i, (t - began) / timedelta(minutes=1), kind, s) for u, i, t, kind, s in rows if u == str(user)]


@pytest.mark.parametrize("prefix", ["", "interactions."])
def test_deletions_and_equal_interactions_of_a_session_go(tmp_path: Path, prefix: str) -> None:
    own = [
        (1, 7, CLICK, 0),
        (1, 7, CLICK, 10),  # again in the session
        (1, 7, BOOKMARK, 12),  # of another type: stays, an immediate repeat
        (1, 8, DELETE, 13),
        (1, 8, CLICK, 42),  # 30 minutes after the bookmark: the same session
        (1, 7, CLICK, 73),  # 31 minutes: a new session
    ]
    path = write(tmp_path / "interactions.csv", [*own, *popular(7, 17), *popular(8)], prefix)
    assert rows_of(path, 1) == [
        ("7", 0, "1", "1-1"),
        ("7", 12, "2", "1-1"),
        ("8", 42, "1", "1-1"),
        ("7", 73, "1", "1-2"),
    ]


def test_support_is_counted_after_equal_interactions_are_gone(tmp_path: Path) -> None:
    path = write(tmp_path / "interactions.csv", [(1, 7, CLICK, 0), (1, 7, CLICK, 1), (1, 8, CLICK, 2), *popular(8)])
    assert rows_of(path, 1) == [("8", 2, "1", "1-1")]
    path = write(tmp_path / "interactions.csv", [(1, 7, CLICK, 0), *popular(7), *popular(8)])
    assert rows_of(path, 1) == [("7", 0, "1", "1-1")]


def test_the_gap_is_a_setting(tmp_path: Path) -> None:
    rows = [(1, 7, CLICK, 0), (1, 7, CLICK, 20), *popular(7, 18)]
    path = write(tmp_path / "interactions.csv", rows)
    assert [session for *_, session in rows_of(path, 1, gap="10min")] == ["1-1", "1-2"]


def test_it_prepares_with_repeats_kept(tmp_path: Path) -> None:
    rows = [
        (user, item, kind, 1000 * day + minute)
        for user in range(1, 7)
        for day in range(5)
        for minute, (item, kind) in enumerate([(1, CLICK), (1, BOOKMARK), (2, CLICK), (3, CLICK)])
    ]
    source = xing.source(write(tmp_path / "interactions.csv", rows))
    manifest = prepare(source, tmp_path / "corpus", compose(source.settings))
    assert manifest["sizes"]["items"] == 3
    assert manifest["sizes"]["train_events"] == 6 * 3 * 4
    assert not compose(source.settings).sessions.drop_repeats


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id,interaction_type,created_at\n1,2,1,3\n")
    with pytest.raises(LogError, match=r"no column user_id, item_id, interaction_type, created_at in its tab-sep"):
        read(sources.open_source("xing", tmp_path), tmp_path)


def test_no_item_with_support_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "interactions.csv", popular(7))
    with pytest.raises(LogError, match=r"of 19 interactions none is of an item with 20"):
        read(xing.source(path), tmp_path)


def test_a_time_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id\titem_id\tinteraction_type\tcreated_at\n1\t2\t1\tnoon\n")
    source = xing.source(tmp_path)
    with pytest.raises(LogError, match=r"^[^\n]*interactions\.csv: line 2 is broken [^\n]*noon[^\n]*$"):
        prepare(source, tmp_path / "corpus", compose(source.settings))


def test_where_test_must_not_count_the_support_is_left_to_the_filters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "interactions.csv", [(1, 7, CLICK, 0), (1, 8, CLICK, 2), *popular(8)])
    _, rows = read(xing.source(path), path.parent, {"filters": {"scope": "train"}})
    assert ("1", "7") in {(user, item) for user, item, *_ in rows}
    assert "--set filters.min_item_support=20" in caplog.text

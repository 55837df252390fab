"""What the corpus has passed the filters before, and is not filtered again; what is new is, and is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from daily import COLUMNS, Event, days, grown, made, visit
from small_logs import write_csv

from segue.data.corpus import Part, load
from segue.errors import CorpusError
from segue.updating.growth import grow
from segue.updating.source import Source


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("scope", ["all", "train"])
def test_what_has_become_rare_in_the_corpus_stays(scope: str, apart: bool, tmp_path: Path) -> None:
    """Item r had its support from sessions that were too short, and has less in the corpus; a daily log brings none."""
    rows = [*days(0, 6), *visit("u1", 30, "abr"), *visit("u2", 31, "rab"), *visit("u3", 40, "r"), *visit("u4", 41, "r")]
    corpus = made(tmp_path, rows, filters={"min_item_support": 4, "scope": scope}, split={"test": 0.1})
    assert (load(corpus).sessions.items == load(corpus).item_ids.index("r")).sum() == 2
    read, whole = grown(corpus, days(6, 8), apart=apart)
    assert (read.lost, read.items, read.users) == (0, 0, 0)
    assert "r" in whole.item_ids
    assert read.added == 48 if not apart else read.added > 0


def test_sessions_and_users_of_the_corpus_stay(tmp_path: Path) -> None:
    """Test sessions lost events of unknown items, and a user of three sessions has two: neither is filtered again."""
    rows = [*days(0, 4), *visit("rare", 1, "abc"), *visit("rare", 49, "abc"), *visit("rare", 90, "xyz")]
    rows += visit("u1", 93, "abx")
    settings: Any = {"sessions": {"min_length": 3}, "filters": {"min_user_sessions": 3}, "split": {"test": 0.2}}
    corpus = made(tmp_path, rows, **settings)
    old = load(corpus)
    assert int(old.sessions.lengths.min()) == 2
    assert (old.sessions.user == old.user_ids.index("rare")).sum() == 2
    read, whole = grown(corpus, days(5, 7))
    assert (read.lost, read.added) == (0, 48)
    assert set(old.user_ids) <= set(whole.user_ids)


def test_what_is_new_is_filtered(tmp_path: Path) -> None:
    corpus = made(tmp_path, days(0, 4), filters={"min_item_support": 3, "min_user_sessions": 2})
    read, whole = grown(corpus, [*days(4, 6), *visit("guest", 130, "abc"), *visit("u1", 131, "abz")])
    assert ("guest" in whole.user_ids, "z" in whole.item_ids) == (False, False)
    assert (read.added, read.left_out, read.lost) == (50, 4, 0)


@pytest.mark.parametrize("protocol", ["global_time", "user_80_20"])
def test_anonymous_sessions_of_the_newest_days_are_learned(protocol: str, tmp_path: Path) -> None:
    """Days that are fewer than validation has: their anonymous sessions come, and those of the corpus stay."""

    def with_ids(first: int, last: int) -> list[Event]:
        named = [(*event, f"{event[0]}-{event[2][:10]}") for event in days(first, last)]
        nobody = [event for day in range(first, last) for event in visit("", 24 * day + 20, "cab", f"nobody-{day}")]
        return [*named, *nobody]

    corpus = made(tmp_path, with_ids(0, 20), COLUMNS[:4], filters={"rare_users": "train"}, split={"protocol": protocol})
    had = [load(corpus).user_ids[user] for user in load(corpus).sessions.user]
    read, whole = grown(corpus, with_ids(20, 21), COLUMNS[:4])
    assert (read.rows, read.added, read.left_out, read.lost) == (27, 27, 0, 0)
    owners = [whole.user_ids[user] for user in whole.sessions.user]
    assert owners.count(None) == had.count(None) + 1
    train, later = (whole.select(part) for part in (Part.TRAIN, Part.VALIDATION))
    assert train.times.max() <= later.times[later.offsets[1:] - 1].min()
    read, apart = grown(corpus, with_ids(20, 21), COLUMNS[:4], apart=True)
    test = apart.select(Part.TEST)
    assert None not in [apart.user_ids[user] for user in test.user]
    fitted = apart.with_train([Part.TRAIN, Part.VALIDATION]).train
    assert fitted.times.max() <= test.times[test.offsets[1:] - 1].min()


def test_six_users_to_compare_on_are_users_that_can_be_compared(tmp_path: Path) -> None:
    """Sessions of nobody are no test, so they are none of the six."""
    named = [(*event, f"{event[0]}-{event[2][:10]}") for event in days(0, 5)]
    nobody = [event for at in range(30) for event in visit("", 105 + at / 10, "abc", f"nobody-{at}")]
    kept = {"filters": {"rare_users": "train"}}
    corpus = made(tmp_path, [row for row in named if row[2] < "2024-01-05"], COLUMNS[:4], **kept)
    _, apart = grown(corpus, [*(row for row in named if row[2] >= "2024-01-05"), *nobody], COLUMNS[:4], apart=True)
    assert len(set(apart.select(Part.TEST).user.tolist())) == 6


def test_newest_counts_from_the_last_session_that_is_left(tmp_path: Path) -> None:
    """A single click at the end is no session: the hour before the last one is."""
    corpus = made(tmp_path, days(0, 4))
    _, apart = grown(corpus, [*days(4, 5), *visit("u0", 200, "a")], apart=True, newest=3_600_000)
    assert len(apart.select(Part.TEST)) == 1


def test_items_that_would_be_lost_are_counted(tmp_path: Path) -> None:
    corpus = made(tmp_path, [*days(0, 4), *visit("u1", 50, "xy")], filters={"top_items": 5})
    with pytest.raises(CorpusError, match=r"^2 items and 0 users of the model would be lost: by filters.top_items"):
        grown(corpus, days(5, 7, items="mnlk"))


def test_events_of_other_types_are_counted(tmp_path: Path) -> None:
    def typed(first: int, last: int) -> list[Event]:
        return [
            (*event, kind) for kind, items in (("view", "abc"), ("cart", "d")) for event in days(first, last, 8, items)
        ]

    columns = (*COLUMNS[:3], COLUMNS[4])
    corpus = made(tmp_path, typed(0, 4), columns, filters={"event_types": ["view"]})
    read, whole = grown(corpus, typed(3, 6), columns)
    assert (read.rows, read.duplicates, read.added, read.left_out) == (96, 24, 48, 24)
    assert "d" not in whole.item_ids


def test_a_log_that_was_there_before_changes_nothing_though_its_item_is_known_by_now(tmp_path: Path) -> None:
    """Item z was too rare in the first log; by the second it is known, and the first would bring it now."""
    corpus = made(tmp_path, days(0, 4), filters={"min_item_support": 3})
    first = [*days(4, 5), *visit("u1", 118, "abz")]
    read, _ = grown(corpus, first)
    assert (read.added, read.left_out) == (26, 1)
    (tmp_path / "second").mkdir()
    one = (tmp_path / "grown-False").rename(tmp_path / "second" / "one") / "corpus"
    assert grown(one, [*days(5, 6), *visit("u1", 142, "zazbz")])[0].items == 1
    two = (one.parent / "grown-False" / "corpus").rename(tmp_path / "second" / "two")
    (tmp_path / "scratch").mkdir()
    source = Source(str(tmp_path / "second" / "one" / "next.csv"))
    again = grow(load(two), two, source, tmp_path / "scratch", out=tmp_path / "again")
    assert (again.added, again.left_out, again.duplicates) == (0, 1, 26)


def test_where_all_that_is_new_was_left_out_before_nothing_is_new(tmp_path: Path) -> None:
    """And there is no newer session, on which two models could be compared."""
    corpus = made(tmp_path, days(0, 4), filters={"min_item_support": 3})
    grown(corpus, [*days(4, 5), *visit("u1", 118, "abz")])
    (tmp_path / "scratch").mkdir()
    write_csv(tmp_path / "both.csv", [*days(3, 5), *visit("u1", 118, "abz")], COLUMNS[:3])
    now, places = tmp_path / "grown-False" / "corpus", {"out": tmp_path / "out", "apart": tmp_path / "apart"}
    read = grow(load(now), now, Source(str(tmp_path / "both.csv")), tmp_path / "scratch", **places)
    assert (read.added, read.left_out, read.duplicates) == (0, 1, 50)
    assert not places["apart"].exists()


def test_one_time_and_item_of_two_sessions_of_nobody_are_two_events(tmp_path: Path) -> None:
    named = [(*event, event[2][:10]) for event in days(0, 4)]
    old, new = ([*visit("", 90, "abc", name)] for name in ("one", "two"))
    corpus = made(tmp_path, [*named, *visit("", 1, "abc", "zero"), *old], COLUMNS[:4], filters={"rare_users": "train"})
    later = [(*event, event[2][:10]) for event in days(4, 5)]
    had = visit("", 1, "abc", "zero")
    read, _ = grown(corpus, [*visit("", 1, "abc", "other"), *had, *new, *later], COLUMNS[:4])
    assert (read.duplicates, read.added) == (3, 30)

"""A grown corpus is what preparing everything at once gives, but for the order in which items and users came."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import growing
import pyarrow.parquet as pq
import pytest
import runs
from hypothesis import given, settings
from hypothesis import strategies as st
from small_logs import SMALL, write_csv

from segue.data.corpus import Corpus, Part, load
from segue.errors import CorpusError, LogError
from segue.evaluation.significance import FEWEST
from segue.settings.units import DAY
from segue.updating.division import cut_of
from segue.updating.growth import grow
from segue.updating.source import Read, Source

Session = tuple[str | None, tuple[tuple[str, int], ...]]


def grown(corpus: Path, log: Any, out: Path, *, apart: bool = False, **how: Any) -> Read:
    out.mkdir(parents=True)
    (out / "scratch").mkdir()
    place = out / "corpus"
    return grow(
        load(corpus),
        corpus,
        Source(log, **how),
        out / "scratch",
        out=None if apart else place,
        apart=place if apart else None,
    )


def sessions(corpus: Corpus) -> set[Session]:
    """Every session by the ids of its user and items."""
    found = corpus.sessions
    return {
        (
            corpus.user_ids[found.user[number]],
            tuple(
                (corpus.item_ids[found.items[place]], int(found.times[place]))
                for place in range(found.offsets[number], found.offsets[number + 1])
            ),
        )
        for number in range(len(found))
    }


def test_everything_is_there_as_if_prepared_at_once(tmp_path: Path) -> None:
    _, second, both = growing.logs()
    read = grown(growing.corpus(), str(second), tmp_path / "grown")
    runs.prepare(str(both), tmp_path / "once", {**growing.SETTINGS, "split": {"protocol": "global_time", "test": 0.05}})
    whole, once = load(tmp_path / "grown" / "corpus"), load(tmp_path / "once")
    assert sessions(whole) == sessions(once)
    assert set(whole.item_ids) == set(once.item_ids)
    assert read.rows == read.invalid + read.duplicates + read.left_out + read.added
    assert (read.items, read.users, read.late, read.lost) == (1, 1, 0, 0)
    assert {whole.manifest["log"][key] == once.manifest["log"][key] for key in ("first_time", "last_time")} == {True}
    assert len(whole.sessions.items) == len(load(growing.corpus()).sessions.items) + read.added


def test_both_corpora_are_written_from_one_reading_and_neither_shows_in_the_other(tmp_path: Path) -> None:
    old, log = load(growing.corpus()), str(growing.logs()[1])
    for name in ("whole", "apart"):
        grown(growing.corpus(), log, tmp_path / name, apart=name == "apart")
    both = [tmp_path / "both-whole", tmp_path / "both-apart"]
    grow(old, growing.corpus(), Source(log), tmp_path / "whole" / "scratch", out=both[0], apart=both[1])
    manifests = [load(folder).manifest for folder in both]
    assert manifests == [load(tmp_path / name / "corpus").manifest for name in ("whole", "apart")]
    assert manifests[0]["fingerprint"] != manifests[1]["fingerprint"]


def test_what_was_known_keeps_its_number(tmp_path: Path) -> None:
    grown(growing.corpus(), str(growing.logs()[1]), tmp_path / "grown")
    before, after = load(growing.corpus()), load(tmp_path / "grown" / "corpus")
    assert after.item_ids[: before.n_items] == before.item_ids
    assert after.user_ids[: before.n_users] == before.user_ids[: before.n_users]
    assert after.item_ids[before.n_items :] == ["latest"]


def test_items_of_the_newest_day_are_known_where_nothing_is_set_apart(tmp_path: Path) -> None:
    _, rows = growing.parts()
    last = max(time for *_, time in rows)[:10]
    fresh = [(user, "of today" if item == "latest" and time[:10] == last else item, time) for user, item, time in rows]
    growing.written(tmp_path / "fresh.csv", fresh)
    read = grown(growing.corpus(), str(tmp_path / "fresh.csv"), tmp_path / "whole")
    apart = grown(growing.corpus(), str(tmp_path / "fresh.csv"), tmp_path / "apart", apart=True)
    assert "of today" in load(tmp_path / "whole" / "corpus").item_ids
    assert "of today" not in load(tmp_path / "apart" / "corpus").item_ids
    assert (read.items, apart.items) == (2, 1)
    assert read.added > apart.added


def test_test_is_the_time_that_is_named_and_nothing_that_the_corpus_had(tmp_path: Path) -> None:
    grown(growing.corpus(), str(growing.logs()[1]), tmp_path / "grown", apart=True, newest=DAY)
    corpus, old = load(tmp_path / "grown" / "corpus"), load(growing.corpus())
    test = corpus.select(Part.TEST)
    end = int(corpus.sessions.times.max())
    assert len(test)
    assert (test.times[test.offsets[1:] - 1] > max(end - DAY, int(old.sessions.times.max()))).all()
    fitted = corpus.with_train([Part.TRAIN, Part.VALIDATION]).train
    assert fitted.times.max() <= end - DAY


@given(
    finishes=st.lists(st.integers(1, 72 * 60), min_size=1, max_size=60),
    users=st.lists(st.integers(0, 19), min_size=60, max_size=60),
)
def test_test_is_the_newest_third_of_at_most_a_day_and_of_six_users(finishes: list[int], users: list[int]) -> None:
    """Against the rule in plain Python: the newest third of the new sessions, of the last 24 hours only; but so many
    that six users have one, where the log has six."""
    old, minute = int(load(growing.corpus()).sessions.times.max()), 60_000
    # Sessions of one user must not touch; a start of its own keeps them apart, whatever their ends are.
    new = [
        (f"v{user}", old + (minute * finish) + place)
        for place, (finish, user) in enumerate(zip(finishes, users, strict=False))
    ]
    rows = [
        (user, item, end + step, f"s{place}")
        for place, (user, end) in enumerate(new)
        for step, item in ((0, "first0"), (1, "second0"))
    ]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events (user_key VARCHAR, session_key VARCHAR, time BIGINT)")
        connection.executemany(
            "INSERT INTO events VALUES (?, ?, ?)", [(user, number, time) for user, _, time, number in rows]
        )
        cut = cut_of(connection, old, None, "events")
    ends = sorted(end + 1 for _, end in new)
    third = [old, *ends][-1 - math.ceil(len(ends) / 3)]
    expected = max(third, ends[-1] - DAY)
    last_of_user = sorted(({user: end + 1 for user, end in sorted(new, key=itemgetter(1))}).values(), reverse=True)
    if len(last_of_user) >= FEWEST:
        expected = min(expected, last_of_user[FEWEST - 1] - 1)
    assert cut == expected
    assert cut >= old


def test_nothing_that_the_corpus_had_is_test_however_long_the_time_that_is_named() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events AS SELECT 1 AS user_key, 1 AS session_key, 1000 AS time")
        assert cut_of(connection, 900, 50, "events") == 950
        assert cut_of(connection, 900, 400 * DAY, "events") == 900


def test_a_session_that_begins_with_the_newest_event_of_the_corpus_is_not_new() -> None:
    """Three sessions are new, so one is a third; with the one that begins at 900 it would be two."""
    begun = [(user, 900 if user == 0 else 900 + 10 * user) for user in range(4)]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events (user_key BIGINT, session_key BIGINT, time BIGINT)")
        rows = [(user, user, start + step) for user, start in begun for step in (0, 5)]
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
        assert cut_of(connection, 900, None, "events") == 925


def test_validation_is_what_weights_of_before_have_not_learned(tmp_path: Path) -> None:
    grown(growing.corpus(), str(growing.logs()[1]), tmp_path / "grown", apart=True)
    corpus, old = load(tmp_path / "grown" / "corpus"), int(load(growing.corpus()).sessions.times.max())
    validation, train = corpus.select(Part.VALIDATION), corpus.select(Part.TRAIN)
    assert len(validation)
    assert validation.times.min() > old
    new = train.times[train.offsets[:-1]] > old
    assert new.sum() >= len(validation), "at least half of the new sessions are learned"


def test_the_same_log_twice_adds_nothing(tmp_path: Path) -> None:
    log = str(growing.logs()[1])
    grown(growing.corpus(), log, tmp_path / "one")
    again = grown(tmp_path / "one" / "corpus", log, tmp_path / "two")
    assert (again.added, again.items, again.users) == (0, 0, 0)
    assert again.duplicates + again.left_out + again.invalid == again.rows
    assert not (tmp_path / "two" / "corpus" / "manifest.json").exists()


def test_a_longer_log_brings_what_is_new_in_it(tmp_path: Path) -> None:
    """The log of all days so far may be given: what is known is a duplicate."""
    _, second, both = growing.logs()
    read = grown(growing.corpus(), str(both), tmp_path / "both")
    assert read.duplicates == len(load(growing.corpus()).sessions.items)
    grown(growing.corpus(), str(second), tmp_path / "second")
    assert load(tmp_path / "both" / "corpus").fingerprint == load(tmp_path / "second" / "corpus").fingerprint


def test_the_order_of_the_rows_is_nothing(tmp_path: Path) -> None:
    _, rows = growing.parts()
    growing.written(tmp_path / "turned.csv", rows[::-1])
    grown(growing.corpus(), str(tmp_path / "turned.csv"), tmp_path / "turned")
    grown(growing.corpus(), str(growing.logs()[1]), tmp_path / "plain")
    assert load(tmp_path / "turned" / "corpus").fingerprint == load(tmp_path / "plain" / "corpus").fingerprint


def test_late_events_are_counted_and_stand_where_they_belong(tmp_path: Path) -> None:
    _, rows = growing.parts()
    user, _, time = growing.parts()[0][0]
    late = (user, "latest", (datetime.fromisoformat(time) + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    growing.written(tmp_path / "late.csv", [*rows, late])
    read = grown(growing.corpus(), str(tmp_path / "late.csv"), tmp_path / "grown")
    assert (read.late, read.backwards) == (1, 1)
    corpus = load(tmp_path / "grown" / "corpus")
    at = int(datetime.fromisoformat(late[2]).timestamp() * 1000)
    (found,) = [events for name, events in sessions(corpus) if name == user and ("latest", at) in events]
    assert found.index(("latest", at)) == 1


def test_an_old_log_alone_is_nothing_to_compare_on(tmp_path: Path) -> None:
    user, _, time = growing.parts()[0][0]
    growing.written(tmp_path / "old.csv", [(user, "latest", time), (user, "first0", time)])
    with pytest.raises(CorpusError, match=r"newest event of the model's corpus, 2024-01-14T09:11:\d\d.000Z, so"):
        grown(growing.corpus(), str(tmp_path / "old.csv"), tmp_path / "grown", apart=True)


def test_items_that_filters_would_take_are_not_lost_in_silence(tmp_path: Path) -> None:
    first, _, _ = growing.logs()
    settings = {**growing.SETTINGS, "filters": {**growing.SETTINGS["filters"], "top_items": 20}}
    runs.prepare(str(first), tmp_path / "corpus", settings)
    _, rows = growing.parts()
    many = [(user, f"latest{number}", time) for user, _, time in rows for number in range(20)]
    growing.written(tmp_path / "many.csv", many)
    with pytest.raises(CorpusError, match=r"items and \d+ users of the model would be lost"):
        grown(tmp_path / "corpus", str(tmp_path / "many.csv"), tmp_path / "grown")


def test_names_of_new_items_come_with_their_file_and_other_columns_do_not(tmp_path: Path) -> None:
    write_csv(tmp_path / "names.csv", [("first0", "First"), ("second0", "Second")], ("item_id", "name"))
    runs.prepare(str(growing.logs()[0]), tmp_path / "corpus", growing.SETTINGS, items=tmp_path / "names.csv")
    log = str(growing.logs()[1])
    write_csv(tmp_path / "more.csv", [("latest", "Latest"), ("first0", "Other")], ("item_id", "name"))
    grown(tmp_path / "corpus", log, tmp_path / "grown", items=tmp_path / "more.csv")
    names = pq.read_table(tmp_path / "grown" / "corpus" / "items.parquet").select(["item_id", "name"]).to_pylist()
    by_id = {row["item_id"]: row["name"] for row in names}
    assert (by_id["latest"], by_id["first0"], by_id["a0"]) == ("Latest", "First", None)
    write_csv(tmp_path / "kinds.csv", [("latest", "Latest", "k")], ("item_id", "name", "kind"))
    with pytest.raises(LogError, match="the items of the model have the columns item_id, the file has item_id, kind"):
        grown(tmp_path / "corpus", log, tmp_path / "other", items=tmp_path / "kinds.csv")


EVENTS = st.lists(
    st.tuples(st.sampled_from(["u1", "u2", "u3"]), st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 5_000)),
    min_size=12,
    max_size=40,
    unique_by=lambda event: (event[0], event[2]),
)
OPEN: Any = {
    "sessions": {"gap": "30min", "min_length": 2, "drop_repeats": False},
    "filters": {"min_item_support": 1, "min_user_sessions": 1},
    "split": {"protocol": "global_time"},
    "preparation": SMALL["preparation"],
}


@settings(max_examples=25, deadline=None)
@given(events=EVENTS, share=st.floats(0.4, 0.8))
def test_any_log_grows_to_what_it_is_at_once(events: list[Any], share: float) -> None:
    """Minutes as times; where no filter takes anything, sessions do not depend on where the log was cut."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    ordered = sorted(events, key=lambda event: (event[2], event[0]))
    rows = [(user, item, (begin + timedelta(minutes=at)).strftime("%Y-%m-%dT%H:%M:%SZ")) for user, item, at in ordered]
    cut = int(len(rows) * share)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        write_csv(folder / "first.csv", rows[:cut])
        write_csv(folder / "rest.csv", rows[cut:])
        try:
            runs.prepare(str(folder / "first.csv"), folder / "first", OPEN)
            read = grown(folder / "first", str(folder / "rest.csv"), folder / "grown")
        except CorpusError:  # too small a log, or nothing after its end
            return
        old, whole = load(folder / "first"), load(folder / "grown" / "corpus")
        assert whole.item_ids[: old.n_items] == old.item_ids
        assert whole.user_ids[: old.n_users] == old.user_ids[: old.n_users]
        assert read.rows == read.invalid + read.duplicates + read.left_out + read.added
        kept = {(user, item, time) for user, session in sessions(whole) for item, time in session}
        had = {(user, item, time) for user, session in sessions(old) for item, time in session}
        assert had <= kept
        assert len(kept - had) == read.added
        gap = 30 * 60 * 1000
        for user in {user for user, _ in sessions(whole)}:
            own = sorted((session for who, session in sessions(whole) if who == user), key=lambda s: s[0][1])
            assert all(b[1] - a[1] <= gap for session in own for a, b in pairwise(session))

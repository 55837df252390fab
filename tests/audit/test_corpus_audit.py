"""Corpora with a leak put in on purpose are refuted, each by its name; honest ones of each protocol are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import leaks
import numpy as np
import pyarrow.parquet as pq
import pytest
import runs
import small_logs
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from leaks import Row

from segue.audit.corpus import audit_corpus
from segue.audit.finding import Finding
from segue.audit.shares import others_later
from segue.data.arrays import offsets_of
from segue.data.corpus import Part, Sessions, load
from segue.errors import CorpusError, LogError

TRAIN, VALIDATION, TEST = Part
PROTOCOLS = ("user_80_20", "global_time")


def found(folder: Path, log: Path | None = None) -> dict[str, Finding]:
    return {finding.name: finding for finding in audit_corpus(folder, None if log is None else str(log)).findings}


def leaking(folder: Path) -> set[str]:
    return {leak.name for leak in audit_corpus(folder).leaks}


@pytest.mark.parametrize("scope", ["all", "train"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_honest_corpus_is_clean_beside_its_log_too(protocol: str, scope: str) -> None:
    checks = found(leaks.corpus(protocol, scope), leaks.log())
    assert [check for check in checks.values() if check.verdict in ("leak", "cannot")] == []
    assert checks["corpus from its log"].verdict == "clean"
    planted = len(load(leaks.corpus(protocol, scope), (TEST,)).sessions.items)
    assert checks["markers in the log"].numbers["events"] == planted > 0


def test_a_session_in_two_parts(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    twice = leaks.rows_of(folder, TEST)[0]
    leaks.change_rows(folder, TRAIN, lambda rows: [*rows, twice])
    checks = found(folder)
    assert checks["sessions in two parts"].verdict == "leak"
    assert checks["sessions in two parts"].found == "1 sessions are in train and test"
    assert checks["sessions copied across the cut"].numbers == {"validation": 0, "test": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_test_session_copied_into_train(tmp_path: Path, protocol: str) -> None:
    folder = leaks.copy(leaks.corpus(protocol), tmp_path / "c")
    leaks.spread(folder)
    copied = leaks.rows_of(folder, TEST)[3]
    leaks.change_rows(folder, TRAIN, lambda rows: [*rows, {**copied, "session": copied["session"] - 1}])
    checks = found(folder)
    assert checks["sessions copied across the cut"].verdict == "leak"
    assert "1 test sessions stand in train too" in checks["sessions copied across the cut"].found
    assert checks["events copied across the cut"].numbers["test"] == len(copied["items"])
    assert {"sessions copied across the cut", "events after the cut"} <= leaking(folder)


def test_a_single_test_event_in_a_train_session(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    test = leaks.rows_of(folder, TEST)[0]

    def with_event(rows: list[Row]) -> list[Row]:
        last = max((row for row in rows if row["user"] == test["user"]), key=lambda row: row["session"])
        last["items"], last["times"] = [*last["items"], test["items"][0]], [*last["times"], test["times"][0]]
        return rows

    leaks.change_rows(folder, TRAIN, with_event)
    checks = found(folder)
    assert checks["events copied across the cut"].verdict == "leak"
    assert checks["sessions copied across the cut"].verdict == "clean"
    assert checks["sessions across the cut"].numbers["train"] == 1


def test_a_train_event_after_the_cut_in_time(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus("global_time"), tmp_path / "c")

    def late(rows: list[Row]) -> list[Row]:
        rows[-1]["times"][-1] += 100 * leaks.DAY * 1000
        return rows

    leaks.change_rows(folder, TRAIN, late)
    assert "events after the cut" in leaking(folder)
    assert (
        "1 train events are later than the end of validation's first session"
        in found(folder)["events after the cut"].found
    )
    leaks.change_manifest(folder, lambda manifest: manifest.pop("split"))
    assert "events after the cut" in leaking(folder)


def test_a_later_session_of_the_user_in_train(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    moved = max((row for row in leaks.rows_of(folder, TEST) if row["user"] == 4), key=lambda row: int(row["session"]))
    leaks.change_rows(folder, TEST, lambda rows: [row for row in rows if row["session"] != moved["session"]])
    leaks.change_rows(folder, TRAIN, lambda rows: [*rows, moved])
    check = found(folder)["events after the cut"]
    assert (check.verdict, check.numbers["users"]) == ("leak", 1)


def test_an_item_that_only_test_has_in_the_vocabulary(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    item = leaks.rows_of(folder, TEST)[0]["items"][0]

    def without(rows: list[Row]) -> list[Row]:
        return [{**row, "items": [(item + 1) % 80 if i == item else i for i in row["items"]]} for row in rows]

    for part in (TRAIN, VALIDATION):
        leaks.change_rows(folder, part, without)
    check = found(folder)["item vocabulary"]
    assert check.verdict == "leak"
    assert f"1 items are in neither part, 1 of them in test: 'i{item:02d}'" in check.found


def test_numbers_that_follow_popularity(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    items = pq.read_table(folder / "items.parquet")
    pq.write_table(items.take(np.arange(len(items))[::-1].copy()), folder / "items.parquet")
    leaks.change_manifest(folder, lambda _: None)
    assert "do not follow the order of their ids" in found(folder)["item vocabulary"].found


def test_a_user_whom_only_test_knows(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    for part in (TRAIN, VALIDATION):
        leaks.change_rows(folder, part, lambda rows: [row for row in rows if row["user"] != 3])
    check = found(folder)["user vocabulary"]
    assert (check.verdict, check.found) == ("leak", "1 known users have none: 'u3'")


def _counts(folder: Path, *parts: Part) -> list[int]:
    corpus = load(folder)
    items = np.concatenate([corpus.select(part).items for part in parts])
    return np.bincount(items, minlength=corpus.n_items).tolist()


BUCKETS: dict[str, Callable[[list[int]], list[str]]] = {
    "number": lambda counts: [str(count) for count in counts],
    "bucket": lambda counts: ["rare" if count < np.median(counts) else "usual" for count in counts],
}


@pytest.mark.parametrize("kind", BUCKETS)
@pytest.mark.parametrize("parts", [(VALIDATION, TEST), (TRAIN, VALIDATION, TEST)])
def test_an_attribute_derived_from_later_events(tmp_path: Path, kind: str, parts: tuple[Part, ...]) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    leaks.with_column(folder, "item", "shelf", BUCKETS[kind](_counts(folder, *parts)))
    check = found(folder)["attributes"]
    assert check.verdict == "leak"
    assert "item.shelf follows from the number of" in check.found


def test_an_attribute_of_the_last_time_of_all_events(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    sessions = load(folder).sessions
    last = np.zeros(80, dtype=np.int64)
    np.maximum.at(last, sessions.items, sessions.times)
    leaks.with_column(folder, "item", "sold", [str(time) for time in last.tolist()])
    assert "item.sold follows from the last time of all events" in found(folder)["attributes"].found


@pytest.mark.parametrize("kind", BUCKETS)
def test_an_attribute_derived_from_train_or_from_nothing_is_none(tmp_path: Path, kind: str) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    leaks.with_column(folder, "item", "shelf", BUCKETS[kind](_counts(folder, TRAIN)))
    leaks.with_column(folder, "item", "any", BUCKETS[kind]([item % 7 for item in range(80)]))
    assert found(folder)["attributes"].verdict == "clean"


def test_a_false_record_of_the_newest_event_and_of_the_parts(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    record = {"parts": ["train", "test"], "newest_event": 5}
    leaks.change_manifest(folder, lambda manifest: manifest["made_from"].update({"items.parquet": record}))
    check = found(folder)["record of origins"]
    assert check.verdict == "leak"
    assert "items.parquet: recorded train + test until 1970-01-01 00:00:00 UTC, found train + validation" in check.found


def test_a_corpus_from_before_there_were_records(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    leaks.change_manifest(folder, lambda manifest: manifest.pop("made_from"))
    check = found(folder)["record of origins"]
    assert (check.verdict, check.found) == ("cannot", "not recorded: an earlier Segue wrote the folder")


def test_a_corpus_that_is_not_what_its_log_gives(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")

    def other(rows: list[Row]) -> list[Row]:
        rows[0]["items"][0] = (rows[0]["items"][0] + 1) % 80
        return rows

    leaks.change_rows(folder, TRAIN, other)
    check = found(folder, leaks.log())["corpus from its log"]
    assert (check.verdict, check.found) == ("leak", "the corpus is not what the log gives: train")


def test_another_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"has 864 rows; the corpus .* was prepared from a log of"):
        audit_corpus(leaks.corpus(), str(small_logs.log()))


def test_what_the_filters_take_because_of_test_is_measured(tmp_path: Path) -> None:
    wanted: Any = leaks.settings("user_80_20")
    wanted["filters"]["min_item_support"] = 9
    runs.prepare(str(leaks.log()), tmp_path / "c", wanted)
    checks = found(tmp_path / "c", leaks.log())
    assert checks["filters"].verdict == checks["filters, measured"].verdict == "share"
    assert checks["filters, measured"].numbers["items"] > 0


def test_a_damaged_corpus_is_refused(tmp_path: Path) -> None:
    folder = leaks.copy(leaks.corpus(), tmp_path / "c")
    (folder / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match=r"damaged: test.parquet has changed"):
        audit_corpus(folder)


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=12)


def _sessions(events: list[tuple[int, int]]) -> Sessions:
    rows = sorted(events)
    user, times = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows), dtype=np.int64)
    zeros = np.zeros(len(rows), dtype=np.int32)
    return Sessions(zeros, times.astype(np.int64), offsets_of(ones), user.astype(np.int32), np.arange(len(rows)))


@given(EVENTS, EVENTS)
def test_the_share_of_the_per_user_split_is_that_of_counting_by_hand(
    train: list[tuple[int, int]], test: list[tuple[int, int]]
) -> None:
    later = [sum(time > begin and user != owner for owner, time in train) for user, begin in test]
    numbers = others_later(_sessions(train), _sessions(test)).numbers
    assert numbers["events"] == sum(count > 0 for count in later)
    assert numbers["median_train_after"] == pytest.approx(np.median(later) / len(train), abs=1e-6)


SETTINGS = st.fixed_dictionaries(
    {
        "filters": st.fixed_dictionaries(
            {
                "min_item_support": st.integers(1, 3),
                "min_user_sessions": st.integers(1, 3),
                "rare_users": st.sampled_from(["drop", "train"]),
                "scope": st.sampled_from(["all", "train"]),
            }
        ),
        "split": st.fixed_dictionaries({"protocol": st.sampled_from(PROTOCOLS), "test": st.sampled_from([0.2, 0.4])}),
        "sessions": st.fixed_dictionaries({"drop_repeats": st.booleans()}),
    }
)
LOGS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 8), st.integers(0, 40 * leaks.DAY)),
    min_size=30,
    max_size=120,
    unique_by=lambda row: row[2],
)


@hypothesis_settings(max_examples=12)
@given(LOGS, SETTINGS)
def test_whatever_is_prepared_holds_no_leak(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]], wanted: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    log = small_logs.write_csv(
        folder / "log.csv",
        [(f"u{user}", f"i{item}", 1_700_000_000 + time) for user, item, time in rows],
    )
    try:
        runs.prepare(str(log), folder / "c", {**wanted, "preparation": {"memory_limit": "256MiB"}})
        audit = audit_corpus(folder / "c", str(log))
    except CorpusError:
        return
    assert audit.leaks == []

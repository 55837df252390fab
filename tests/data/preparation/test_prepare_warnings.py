"""What `segue check` warns of is said by the preparation too, in the same words, and kept in the manifest."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_corpora import small

from segue.data import corpus_folder
from segue.data.corpus_folder import log_warnings_of
from segue.data.log.check import check_log
from segue.data.preparation.prepare import prepare

START = 1_600_000_000
Columns = dict[str, list[Any]]


def believable(seed: int = 0) -> Columns:
    draw = random.Random(seed)
    rows = [
        (f"u{user}", f"i{draw.randrange(30)}", START + visit * 90_000 + user * 60 + place * 30)
        for user in range(30)
        for visit in range(4)
        for place in range(4)
    ]
    users, items, times = zip(*rows, strict=True)
    return {"user_id": list(users), "item_id": list(items), "timestamp": list(times)}


def changed(column: str, change: Callable[[int, Any], Any]) -> Columns:
    columns = believable()
    return {**columns, column: [change(place, value) for place, value in enumerate(columns[column])]}


def twice() -> Columns:
    return {name: values + values[:10] for name, values in believable().items()}


def shared_sessions() -> Columns:
    return {**believable(), "session_id": [str(place // 4 % 60) for place in range(480)]}


def sorted_by_id() -> Columns:
    return changed("item_id", lambda place, _: f"i{place % 4}{place % 7}")


LOGS: dict[str, tuple[Callable[[], Columns], str]] = {
    "stray future": (
        lambda: changed("timestamp", lambda n, t: 2**31 - 1 if n < 3 else t),
        "3 events lie in the future",
    ),
    "zero times": (lambda: changed("timestamp", lambda n, t: 0 if n % 50 == 0 else t), "in the years 1970 to 1979"),
    "negative times": (lambda: changed("timestamp", lambda n, t: -5 if n == 0 else t), "1 events lie before 1970"),
    "duplicates": (twice, "10 rows repeat an earlier row exactly"),
    "one time": (lambda: changed("timestamp", lambda n, t: START + n // 4 * 90_000), "all events carry one timestamp"),
    "sorted": (sorted_by_id, "are sorted by item id"),
    "shared sessions": (shared_sessions, "session ids occur with several users"),
    "robot": (lambda: changed("user_id", lambda n, user: "bot" if n < 320 else user), "user 'bot' holds 320 events"),
    "spellings": (lambda: changed("item_id", lambda n, _: f"{n * 5 % 7}{'.0' * (n % 2)}"), "several spellings"),
    "words": (lambda: changed("user_id", lambda n, user: "None" if n < 8 else user), "8 events of user 'None'"),
}


@pytest.mark.parametrize("name", LOGS)
def test_prepare_says_what_check_says(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    make, says = LOGS[name]
    log = pa.table(make())
    found = check_log(log, small(), tmp_path / "scratch").warnings
    assert any(says in warning for warning in found), found
    with caplog.at_level(logging.WARNING, logger="segue"):
        manifest = prepare(log, tmp_path / "corpus", small())
    assert manifest["warnings"] == list(found) == log_warnings_of(tmp_path / "corpus")
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"warning: {warning}" for warning in found]


def test_the_example_of_a_stray_time_is_its_first_event(tmp_path: Path) -> None:
    log = changed("timestamp", lambda n, t: 2**31 - 1 - n if n in (7, 9) else t)
    (warning,) = prepare(pa.table(log), tmp_path / "corpus", small())["warnings"]
    user, item = log["user_id"][7], log["item_id"][7]
    assert f"such as that of user '{user}' with item '{item}' at 2038-01-19T03:14:00.000Z: is the unit" in warning


def test_a_believable_log_earns_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert prepare(pa.table(believable()), tmp_path / "corpus", small())["warnings"] == []
    assert not caplog.records


def test_a_corpus_of_before_has_no_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for written in ({}, {"warnings": None}):
        monkeypatch.setattr(corpus_folder, "read_manifest", lambda folder, written=written: written)
        assert log_warnings_of(tmp_path) == []

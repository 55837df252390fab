"""A log of another form than that of the corpus is refused, and what looks wrong is said."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from daily import COLUMNS, Event, days, grown, made

from segue.errors import LogError

SESSIONS, TYPES = COLUMNS[:4], (*COLUMNS[:3], COLUMNS[4])


def seconds(rows: Iterable[Event], start: int = 0) -> list[Event]:
    return [(*row[:2], int(datetime.fromisoformat(row[2]).timestamp()) - start, *row[3:]) for row in rows]


def test_a_log_without_types_is_refused(tmp_path: Path) -> None:
    corpus = made(tmp_path, days(0, 4, 8, "abc", "view"), TYPES, filters={"event_types": ["view"]})
    with pytest.raises(LogError, match=r"keeps events of the type view \(filters.event_types\), and the log has no"):
        grown(corpus, days(4, 6))


@pytest.mark.parametrize(("first", "second"), [("session ids", "none"), ("no session ids", "some")])
def test_session_ids_are_in_both_logs_or_in_none(first: str, second: str, tmp_path: Path) -> None:
    forms: Any = [(("s",), SESSIONS), ((), COLUMNS[:3])]
    old, new = forms if second == "none" else forms[::-1]
    corpus = made(tmp_path, days(0, 4, 8, "abc", *old[0]), old[1])
    with pytest.raises(LogError, match=f"the log of the model's corpus has {first}, this one {second}; give one of"):
        grown(corpus, days(4, 6, 8, "abc", *new[0]), new[1])


def test_rows_without_a_session_id_pass_where_the_corpus_lets_them(tmp_path: Path) -> None:
    corpus = made(tmp_path, days(0, 4, 8, "abc", "s"), SESSIONS, sessions={"missing": "gap"})
    assert grown(corpus, days(4, 6))[0].added == 48


def test_times_from_an_unknown_start_go_on(tmp_path: Path) -> None:
    """A later log alone does not tell that its times count from a start."""
    rows = seconds(days(0, 12))
    start = rows[0][2]
    corpus = made(tmp_path, seconds(days(0, 8), start))
    read, whole = grown(corpus, seconds(days(8, 12), start))
    assert read.added == 96
    assert whole.sessions.times.max() == 1000 * (rows[-1][2] - start)


def test_times_from_an_unknown_start_and_dates_are_not_mixed(tmp_path: Path) -> None:
    start = seconds(days(0, 1))[0][2]
    corpus = made(tmp_path, seconds(days(0, 8), start))
    with pytest.raises(LogError, match="has times from an unknown start, this one dates that are known"):
        grown(corpus, seconds(days(8, 10)))


def dated(rows: list[Event]) -> list[Event]:
    return [(*row[:2], row[2][:10], *row[3:]) for row in rows]


def finer(rows: list[Event]) -> list[Event]:
    return [(*row[:2], f"{row[2][:-1]}.{place % 900 + 1:03d}Z", *row[3:]) for place, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (list, dated, "has times finer than days, this one times of whole days"),
        (dated, list, "has times of whole days, this one times finer than days"),
        (finer, list, "has times finer than seconds, this one times of whole seconds"),
        (list, finer, "has times of whole seconds, this one times finer than seconds"),
    ],
)
def test_times_of_another_resolution_would_make_other_events_of_the_same_ones(
    old: Any, new: Any, said: str, tmp_path: Path
) -> None:
    corpus = made(tmp_path, old(days(0, 4)))
    with pytest.raises(LogError, match=said):
        grown(corpus, new(days(2, 6)))


def test_a_few_events_do_not_tell_how_fine_times_are(tmp_path: Path) -> None:
    corpus = made(tmp_path, finer(days(0, 4)))
    assert grown(corpus, days(4, 5, users=1))[0].added == 3


def test_advice_to_set_something_says_of_which_command_it_is(tmp_path: Path) -> None:
    corpus = made(tmp_path, days(0, 4))
    with pytest.raises(LogError, match=r"--set columns.user_id=.*; settings are those of segue fit, segue update"):
        grown(corpus, days(4, 6), ("who", *COLUMNS[1:3]))


def test_what_is_hard_to_believe_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ids in another spelling are new users, and a future time would be the newest event of all days to come."""
    corpus = made(tmp_path, days(0, 4))
    rows = [(f"{user} ", *rest) for user, *rest in days(4, 6)]
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="segue"):
        read, whole = grown(corpus, [*rows, *((user, item, f"2090{time[4:]}") for user, item, time in days(6, 7))])
    assert read.users == 8
    said = [record.getMessage() for record in caplog.records]
    assert any("lie in the future" in line for line in said)
    assert any("'u0 '" in line for line in said)
    assert [f"warning: {line}" for line in whole.manifest["warnings"]] == said

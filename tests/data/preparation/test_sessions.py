"""Sessions, repeats, length cap and filters on logs small enough to work out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import sessions_of, visits, with_log

from segue.data.preparation.filters import apply_filters
from segue.data.preparation.ledger import Ledger
from segue.data.preparation.sessions import form_sessions
from segue.errors import CorpusError, LogError
from segue.settings import FiltersSettings, SessionsSettings


def formed(rows: list[Any], filters: dict[str, Any] | None = None, **sessions: Any) -> tuple[Any, Ledger]:
    connection = with_log(rows)
    return connection, form_sessions(connection, SessionsSettings(**sessions), FiltersSettings(**filters or {}))


def test_only_a_gap_strictly_longer_opens_a_session() -> None:
    rows = [("u", "a", 0), ("u", "b", 480), ("u", "c", 960.5), ("v", "d", 961)]
    connection, _ = formed(rows, gap="8h")
    assert sessions_of(connection) == [("u", "a b"), ("u", "c"), ("v", "d")]


def test_order_is_time_then_place_in_the_file() -> None:
    rows = [("u", "late", 5), ("u", "second", 1), ("u", "first", 0), ("u", "third", 1)]
    connection, _ = formed(rows)
    assert sessions_of(connection) == [("u", "first second third late")]


def test_given_sessions_ignore_the_gap_and_may_interleave() -> None:
    rows = [("u", "a", 0, "s"), ("u", "b", 1, "t"), ("u", "c", 2, "s"), ("u", "d", 90_000, "t")]
    connection, _ = formed(rows, gap="1min")
    assert sessions_of(connection) == [("u", "a c"), ("u", "b d")]


def test_events_without_a_session_id_are_cut_by_the_gap_beside_given_sessions() -> None:
    rows = [("u", "a", 0, "s"), ("u", "b", 1, None), ("u", "c", 2, "s"), ("u", "d", 2, None), ("u", "e", 90, None)]
    connection, _ = formed(rows, gap="1h")
    assert sessions_of(connection) == [("u", "a c"), ("u", "b d"), ("u", "e")]


def test_a_session_id_of_two_users_is_two_sessions() -> None:
    connection, _ = formed([("u", "a", 0, "s"), ("v", "b", 1, "s"), ("u", "c", 2, "s")])
    assert sessions_of(connection) == [("u", "a c"), ("v", "b")]


def test_an_event_of_neither_user_nor_session_is_removed_and_counted() -> None:
    connection, ledger = formed([("u", "a", 0, "s"), (None, "b", 1, None), (None, "c", 2, "t")])
    assert sessions_of(connection) == [("u", "a"), (None, "c")]
    assert [(step.step, step.events, step.users, step.removed_events) for step in ledger.steps[:2]] == [
        ("log", 3, 1, 0),
        ("sessions", 2, 1, 1),
    ]


def test_immediate_repeats_go_and_returns_stay() -> None:
    rows = visits("u", "a a a b a a", "a a")
    connection, ledger = formed(rows)
    assert sessions_of(connection) == [("u", "a b a"), ("u", "a")]
    assert ledger.steps[-2].step == "sessions.drop_repeats"
    assert ledger.steps[-2].removed_events == 4
    connection, _ = formed(rows, drop_repeats=False)
    assert sessions_of(connection) == [("u", "a a a b a a"), ("u", "a a")]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("last", ["c d e", "x y"]), ("first", ["a b c", "x y"]), ("drop", ["x y"])],
)
def test_length_cap(keep: str, expected: list[str]) -> None:
    connection, ledger = formed(visits("u", "a b c d e", "x y"), max_length=3, keep=keep)
    assert [items for _, items in sessions_of(connection)] == expected
    assert ledger.steps[-1].removed_events == 7 - sum(len(items.split()) for items in expected)
    assert ledger.steps[-1].removed_sessions == 2 - len(expected)


def test_the_length_cap_comes_after_repeats() -> None:
    connection, _ = formed(visits("u", "a a a a b"), max_length=2, keep="first")
    assert sessions_of(connection) == [("u", "a b")]


def test_top_items_by_events_then_by_id_before_sessions() -> None:
    rows = [("u", item, 400 * minute) for minute, item in enumerate("abcbca")]
    connection, ledger = formed(rows, {"top_items": 2}, gap="8h")
    assert sessions_of(connection) == [("u", "a b"), ("u", "b"), ("u", "a")]
    assert ledger.steps[1].step == "filters.top_items"
    assert ledger.steps[1].sessions is None


def test_event_types() -> None:
    rows = [("u", "a", 0, None, "view"), ("u", "b", 1, None, "buy"), ("u", "c", 2, None, None)]
    connection, ledger = formed(rows, {"event_types": ("buy",)})
    assert sessions_of(connection) == [("u", "b")]
    assert ledger.steps[1].removed_events == 2
    with pytest.raises(LogError, match=r"event_types is set, but the log has no event types"):
        formed([("u", "a", 0)], {"event_types": ("buy",)})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("view", "Byu"), r"'Byu' occurs nowhere in the log; did you mean 'buy'\? write a type that occurs"),
        (("BUY",), r"'BUY' occurs nowhere in the log; did you mean 'buy'\?"),
        (("7",), r"'7' occurs nowhere in the log; write a type .*\(types and their events: 'view' 2, 'buy' 1\)"),
    ],
)
def test_an_event_type_that_occurs_nowhere_is_named(asked: tuple[str, ...], says: str) -> None:
    rows = [("u", "a", 0, None, "view"), ("u", "b", 1, None, "buy"), ("u", "c", 2, None, "view")]
    with pytest.raises(LogError, match=says):
        formed(rows, {"event_types": asked})


def test_event_types_may_be_numbers() -> None:
    rows = [("u", "a", 0, None, "1"), ("u", "b", 1, None, "2"), ("u", "c", 2, None, "3")]
    assert sessions_of(formed(rows, {"event_types": [1, 3]})[0]) == [("u", "a c")]


def filtered(rows: list[Any], **filters: Any) -> tuple[Any, Ledger]:
    settings, sessions = FiltersSettings(**filters), SessionsSettings(min_length=2)
    connection = with_log(rows)
    ledger = form_sessions(connection, sessions, settings)
    apply_filters(connection, ledger, sessions, settings)
    return connection, ledger


def test_support_then_short_sessions_then_rare_users_once() -> None:
    rows = [
        *visits("u", "a b", "a rare", "a b c"),
        *visits("v", "b c", "c b"),
        *visits("w", "c rare2", "b c"),
    ]
    connection, ledger = filtered(rows, min_item_support=3, min_user_sessions=2)
    # rare and rare2 stood once each; their sessions fall to one item; w is left with one session. a, three times
    # in the log, is left with two events: one pass does not come back to it.
    assert sessions_of(connection) == [("u", "a b"), ("u", "a b c"), ("v", "b c"), ("v", "c b")]
    taken = {step.step: (step.removed_events, step.removed_sessions) for step in ledger.steps}
    assert taken["filters.min_item_support"] == (2, 0)
    assert taken["sessions.min_length"] == (2, 2)
    assert taken["filters.min_user_sessions"] == (2, 1)


def test_rare_users_for_train_are_set_apart_with_sessions_without_a_user() -> None:
    rows = [*visits("u", "a b", "b a"), *visits("rare", "a b"), (None, "a", 0, "s"), (None, "b", 1, "s")]
    connection, ledger = filtered(rows, min_item_support=1, min_user_sessions=2, rare_users="train")
    apart = connection.execute("SELECT user_id FROM rare_users JOIN user_codes USING (user_key) ORDER BY user_key")
    assert apart.fetchall() == [("rare",), (None,)]
    assert len(sessions_of(connection)) == 4
    assert ledger.steps[-1].removed_sessions == 0
    assert ledger.steps[-1].users == 2


def test_when_nothing_is_left_the_message_says_which_filter_took_what() -> None:
    with pytest.raises(CorpusError) as caught:
        filtered([*visits("u", "a b"), *visits("v", "c")], min_item_support=1, min_user_sessions=2)
    assert str(caught.value) == (
        "nothing is left of the log's 3 events (2 users, 3 items): sessions.min_length took 1 events and 1 sessions; "
        "filters.min_user_sessions took 2 events and 1 sessions; relax these settings "
        "(each user has one session: --set filters.min_user_sessions=1 --set split.protocol=global_time prepares such "
        "a log)"
    )
